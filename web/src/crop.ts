// From a photo to a square crop, as keyposs.pictures.cut and keyposs.crop do it: a similarity with half pixels,
// blocks averaged where the crop is smaller than half of the photo's scale, bilinear, black outside.

/** Pixels as a canvas gives them: RGBA, row by row. Pixel i has its centre at i. */
export interface Photo {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8ClampedArray;
}

/** x0, y0, x1, y1 in pixels of a photo. */
export type Box = readonly [number, number, number, number];

/** Takes (px, py) to (scale * px + x, scale * py + y). */
export interface Similarity {
  readonly scale: number;
  readonly x: number;
  readonly y: number;
}

/** The similarity from a photo to the crop of a box; `padding` is the crop's side over the longer side of the box. */
export function cropMatrix(box: Box, size: number, padding: number): Similarity {
  const side = padding * Math.max(box[2] - box[0], box[3] - box[1]);
  const scale = size / side;
  const middle = (size - 1) / 2;
  return { scale, x: middle - scale * ((box[0] + box[2]) / 2), y: middle - scale * ((box[1] + box[3]) / 2) };
}

/**
 * Cuts a face's crop into `out`, as planes of red, green and blue.
 *
 * @returns the similarity from the photo's pixels to the crop's.
 */
export function cut(photo: Photo, box: Box, size: number, padding: number, out: Uint8ClampedArray): Similarity {
  const edge = Math.floor(size / 4); // training draws on a wider crop, whose middle this is: blocks start where its do
  const wide = size + 2 * edge;
  const matrix = cropMatrix(box, wide, (padding * wide) / size);
  const toCrop = { scale: matrix.scale, x: matrix.x - edge, y: matrix.y - edge };
  const shrink = Math.floor(Math.min(1 / Math.sqrt(matrix.scale ** 2), Math.max(photo.width, photo.height)));
  const [part, toPart] = shrink >= 2 ? average(photo, matrix, wide, edge, shrink) : [photo, { scale: 1, x: 0, y: 0 }];
  const scale = toCrop.scale / toPart.scale;
  resample(part, { scale, x: toCrop.x - scale * toPart.x, y: toCrop.y - scale * toPart.y }, size, out);
  return toCrop;
}

/** One axis of the blocks that a crop sees: where they start, how many there are, and the first and last one needed. */
interface Axis {
  readonly start: number;
  readonly end: number;
  readonly first: number;
  readonly last: number;
}

function axis(offset: number, scale: number, wide: number, edge: number, shrink: number, limit: number): Axis {
  const low = (-1 - offset) / scale;
  const high = (wide - offset) / scale;
  const start = clamp(Math.floor(low) - shrink, 0, limit - 1);
  const end = Math.max(clamp(Math.ceil(high) + shrink, 1, limit), start + 1);
  const blocks = Math.ceil((end - start) / shrink);
  const block = (pixel: number) => Math.floor(((pixel - offset) / scale - start) / shrink);
  return {
    start,
    end,
    first: clamp(block(edge) - 1, 0, blocks - 1),
    last: clamp(block(wide - edge) + 1, 0, blocks - 1),
  };
}

/** The part of the photo that the crop sees, averaged over blocks of shrink x shrink, and the way there. */
function average(photo: Photo, matrix: Similarity, wide: number, edge: number, shrink: number): [Photo, Similarity] {
  const columns = axis(matrix.x, matrix.scale, wide, edge, shrink, photo.width);
  const rows = axis(matrix.y, matrix.scale, wide, edge, shrink, photo.height);
  const width = columns.last - columns.first + 1;
  const height = rows.last - rows.first + 1;
  const left = columns.start + columns.first * shrink;
  const top = rows.start + rows.first * shrink;
  const count = shrink * shrink;
  // OpenCV rounds halves up in its own case for 2 x 2, else to even, as a clamped array does
  const mean = shrink === 2 ? (sum: number) => (sum + 2) >> 2 : (sum: number) => sum / count;
  const data = new Uint8ClampedArray(4 * width * height);
  for (let j = 0; j < height; j++) {
    for (let i = 0; i < width; i++) {
      let red = 0;
      let green = 0;
      let blue = 0;
      for (let v = 0; v < shrink; v++) {
        const y = Math.min(top + j * shrink + v, rows.end - 1);
        for (let u = 0; u < shrink; u++) {
          const at = 4 * (y * photo.width + Math.min(left + i * shrink + u, columns.end - 1));
          red += photo.data[at]!;
          green += photo.data[at + 1]!;
          blue += photo.data[at + 2]!;
        }
      }
      const to = 4 * (j * width + i);
      data[to] = mean(red);
      data[to + 1] = mean(green);
      data[to + 2] = mean(blue);
    }
  }
  const half = (shrink - 1) / 2;
  const toPart = { scale: 1 / shrink, x: -(left + half) / shrink, y: -(top + half) / shrink };
  return [{ width, height, data }, toPart];
}

/** Where a crop's columns, or rows, look in a photo: the two nearest pixels and their weights, 0 outside. */
function taps(scale: number, offset: number, size: number, limit: number): [Int32Array, Float64Array] {
  const pixels = new Int32Array(2 * size);
  const weights = new Float64Array(2 * size);
  for (let i = 0; i < size; i++) {
    const at = (i - offset) / scale;
    const low = Math.floor(at);
    for (const [k, weight] of [low + 1 - at, at - low].entries()) {
      const inside = low + k >= 0 && low + k < limit;
      pixels[2 * i + k] = inside ? low + k : 0;
      weights[2 * i + k] = inside ? weight : 0;
    }
  }
  return [pixels, weights];
}

/**
 * Bilinear, black outside; `out` takes planes, and rounds.
 *
 * Along x first, once for each row of the photo, which enlarged crops look at many times.
 */
function resample(photo: Photo, matrix: Similarity, size: number, out: Uint8ClampedArray): void {
  const across = taps(matrix.scale, matrix.x, size, photo.width);
  const [rows, down] = taps(matrix.scale, matrix.y, size, photo.height);
  const plane = size * size;
  const kept = [0, 1].map(() => ({ row: -1, values: new Float64Array(3 * size) }));
  const lineOf = (row: number): Float64Array => {
    const line = kept[row % 2]!; // of two neighbours one is even
    if (line.row !== row) along(photo, row, across, line.values);
    line.row = row;
    return line.values;
  };
  for (let j = 0; j < size; j++) {
    const above = down[2 * j]!;
    const below = down[2 * j + 1]!;
    if (above === 0 && below === 0) {
      for (let to = j * size; to < 3 * plane; to += plane) out.fill(0, to, to + size);
      continue;
    }
    const upper = lineOf(rows[2 * j + (above ? 0 : 1)]!);
    const lower = lineOf(rows[2 * j + (below ? 1 : 0)]!);
    for (let channel = 0; channel < 3; channel++) {
      const to = channel * plane + j * size;
      const from = channel * size;
      for (let i = 0; i < size; i++) out[to + i] = above * upper[from + i]! + below * lower[from + i]!;
    }
  }
}

/** A row of the photo at the crop's columns, as planes. */
function along(photo: Photo, row: number, [columns, weights]: [Int32Array, Float64Array], line: Float64Array): void {
  const size = line.length / 3;
  const { data, width } = photo;
  for (let i = 0; i < size; i++) {
    const left = 4 * (row * width + columns[2 * i]!);
    const right = 4 * (row * width + columns[2 * i + 1]!);
    const nearLeft = weights[2 * i]!;
    const nearRight = weights[2 * i + 1]!;
    line[i] = nearLeft * data[left]! + nearRight * data[right]!;
    line[size + i] = nearLeft * data[left + 1]! + nearRight * data[right + 1]!;
    line[2 * size + i] = nearLeft * data[left + 2]! + nearRight * data[right + 2]!;
  }
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}
