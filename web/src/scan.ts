// Finding faces without a detector, as keyposs.scan does it: where the network is sure of its landmarks, there is a
// face. A test holds the constants to those of Python.

import type { Box } from './crop';

/** Sides of windows: the smallest over the photo's shorter side, each over the next; and steps over a window's side. */
export const SMALLEST = 0.1;
export const SHRINK = 1.6;
export const STEP = 0.4;

/** Pixels of the photo: smaller windows are not read. */
export const LEAST = 16;

/** Windows of less doubt than this whose landmarks are not alike, so many at most, are read again, so many times. */
export const WORTH = 0.07;
export const CANDIDATES = 64;
export const ROUNDS = 2;

/** A face is less in doubt than this. */
export const SURE = 0.03;

/** Of two boxes that overlap by more than this only the surer is read again; is a face. */
export const ALIKE = 0.6;
export const OVERLAP = 0.3;

/** A second pass looks at most so much closer or wider than the first. */
export const FARTHEST = 4;

/** What a scan has to know of a face that was read: its points (x, y, x, y, ...) in the photo, and its doubt. */
export interface Reading {
  readonly points: Float32Array;
  readonly doubt: number;
}

export type Reader<T extends Reading> = (boxes: readonly Box[], progress?: (done: number) => void) => Promise<T[]>;

/**
 * How unsure the points of a face are: their mean standard deviation over the longer side of their box.
 *
 * @param points - x, y of each.
 * @param covariances - xx, xy, yy of each, in the same pixels, squared.
 */
export function doubt(points: Float32Array, covariances: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < covariances.length; i += 3) {
    sum += Math.max(covariances[i]! * covariances[i + 2]! - covariances[i + 1]! ** 2, 0) ** 0.25;
  }
  return sum / (covariances.length / 3) / Math.max(sideOf(boxOf(points)), 1e-9);
}

/** The tight box of the points. */
export function boxOf(points: Float32Array): Box {
  let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
  for (let i = 0; i < points.length; i += 2) {
    x0 = Math.min(x0, points[i]!);
    y0 = Math.min(y0, points[i + 1]!);
    x1 = Math.max(x1, points[i]!);
    y1 = Math.max(y1, points[i + 1]!);
  }
  return [x0, y0, x1, y1];
}

export function sideOf(box: Box): number {
  return Math.max(box[2] - box[0], box[3] - box[1]);
}

/** The box of the landmarks that were found; the old one where that is far smaller or larger. */
export function closer(box: Box, points: Float32Array): Box {
  const found = boxOf(points);
  const ratio = sideOf(found) / sideOf(box);
  return ratio > 1 / FARTHEST && ratio < FARTHEST ? found : box;
}

/** Squares of all sizes, a step apart, that cover a photo; none where it is too narrow for a face. */
export function windows(width: number, height: number, smallest = SMALLEST): Box[] {
  const shorter = Math.min(width, height);
  const found: Box[] = [];
  for (let side = shorter / 1.25; side >= Math.max(smallest * shorter, LEAST); side /= SHRINK) {
    for (const y of centres(height, side)) {
      for (const x of centres(width, side)) {
        found.push([x - side / 2, y - side / 2, x + side / 2, y + side / 2]);
      }
    }
  }
  return found;
}

function centres(length: number, side: number): number[] {
  const steps = Math.ceil((length - side) / (STEP * side));
  return Array.from({ length: steps + 1 }, (_, i) => side / 2 + (i * (length - side)) / Math.max(steps, 1) - 0.5);
}

/**
 * The faces of a photo, as the boxes of their landmarks, the surest first.
 *
 * @param read - reads faces in boxes.
 * @param progress - is told the share of windows that have been read.
 */
export async function scan(
  read: Reader<Reading>,
  width: number,
  height: number,
  smallest = SMALLEST,
  progress: (share: number) => void = () => {},
): Promise<Box[]> {
  const all = windows(width, height, smallest);
  const worth = (await read(all, (done) => progress(done / all.length))).filter((face) => face.doubt < WORTH);
  let boxes = worth.map((face) => boxOf(face.points));
  const doubts = worth.map((face) => face.doubt);
  boxes = apart(boxes, doubts, ALIKE)
    .slice(0, CANDIDATES)
    .map((i) => boxes[i]!);
  let faces: Reading[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    faces = await read(boxes);
    boxes = faces.map((face) => boxOf(face.points));
  }
  const final = faces.map((face) => face.doubt);
  return apart(boxes, final)
    .filter((i) => final[i]! < SURE)
    .map((i) => boxes[i]!);
}

/** Which boxes to keep so that no two overlap by more than `most`, the surest first. */
export function apart(boxes: readonly Box[], doubts: readonly number[], most = OVERLAP): number[] {
  const order = doubts.map((_, i) => i).sort((i, j) => doubts[i]! - doubts[j]!);
  const kept: number[] = [];
  for (const i of order) {
    if (kept.every((j) => overlap(boxes[i]!, boxes[j]!) <= most)) kept.push(i);
  }
  return kept;
}

/** Intersection over union. */
export function overlap(one: Box, other: Box): number {
  const width = Math.max(Math.min(one[2], other[2]) - Math.max(one[0], other[0]), 0);
  const height = Math.max(Math.min(one[3], other[3]) - Math.max(one[1], other[1]), 0);
  const shared = width * height;
  const both = areaOf(one) + areaOf(other) - shared;
  return both > 0 ? shared / both : 0;
}

function areaOf(box: Box): number {
  return (box[2] - box[0]) * (box[3] - box[1]);
}
