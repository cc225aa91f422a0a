// What a distance map says in geometry: its strongest cells as anchors, and the range that each of them gives.

/** A cell that a range is taken from; all in cells, cell i has its centre at i. */
export interface Anchor {
  readonly x: number;
  readonly y: number;
  readonly range: number;
}

/** The strongest cells of a map, strongest first, and the width (sigma, in cells) that their ranges are read with. */
export interface Ranges {
  readonly anchors: readonly Anchor[];
  readonly sigma: number;
}

/** Cells that a map's height and width are fitted to, and those of them that are shown. */
const FITTED = 9;
const SHOWN = 4;

/** What is not positive counts as the smallest normal number of float32, as in Python. */
const TINY = 2 ** -126;

/**
 * The ranges of a map's strongest cells.
 *
 * A cell p says d² = c - 2 sigma² ln p. The map's height, and so c, is unknown and belongs to the solution, as a
 * receiver's clock error does. Its width is known of drawn maps only: networks that are trained through the fix of all
 * cells paint narrower ones. So both are those with which the map agrees best with the point: a line through
 * (-2 ln p, |a - point|²) of the strongest cells a, with the decoder's weights p².
 *
 * @param map - size x size cells.
 * @param sigma - of drawn maps; it stands in where the cells tell no width.
 * @param point - that was found, in cells.
 */
export function rangesOf(map: Float32Array, size: number, sigma: number, point: readonly [number, number]): Ranges {
  const strongest = Array.from(map, (value, i) => {
    const [x, y] = [i % size, Math.floor(i / size)];
    const p = Math.max(value, TINY);
    return { x, y, p, said: -2 * Math.log(p), away: (x - point[0]) ** 2 + (y - point[1]) ** 2 };
  })
    .sort((a, b) => b.p - a.p)
    .slice(0, FITTED);
  const weights = strongest.map(({ p }) => (p / strongest[0]!.p) ** 2);
  const mean = (values: readonly number[]): number => dot(weights, values) / dot(weights, weights.map(() => 1));
  const said = mean(strongest.map((cell) => cell.said));
  const away = mean(strongest.map((cell) => cell.away));
  const slope =
    mean(strongest.map((cell) => (cell.said - said) * (cell.away - away))) /
    mean(strongest.map((cell) => (cell.said - said) ** 2));
  const squared = slope > 0 && slope < Infinity ? slope : sigma ** 2;
  const anchors = strongest.slice(0, SHOWN).map((cell) => {
    return { x: cell.x, y: cell.y, range: Math.sqrt(Math.max(away + squared * (cell.said - said), 0)) };
  });
  return { anchors, sigma: Math.sqrt(squared) };
}

function dot(one: readonly number[], other: readonly number[]): number {
  return one.reduce((sum, value, i) => sum + value * other[i]!, 0);
}

/** Semi-axes and angle (radians, from x towards y) of the ellipse that holds 90 % of a normal distribution. */
export function ellipse(xx: number, xy: number, yy: number): { long: number; short: number; angle: number } {
  const share = -2 * Math.log(1 - 0.9); // 4.605: the square of a radius of 2.146 standard deviations
  const middle = (xx + yy) / 2;
  const apart = Math.hypot((xx - yy) / 2, xy);
  return {
    long: Math.sqrt(share * (middle + apart)),
    short: Math.sqrt(share * Math.max(middle - apart, 0)),
    angle: Math.atan2(2 * xy, xx - yy) / 2,
  };
}
