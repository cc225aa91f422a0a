// Ranges of exact maps, whatever their amplitude, and ellipses of known covariances.

import { describe, expect, test } from 'vitest';
import { ellipse, rangesOf } from '../src/ranges';

/** A distance map of known amplitude. */
function drawn(size: number, sigma: number, x: number, y: number, amplitude: number): Float32Array {
  return Float32Array.from({ length: size * size }, (_, i) => {
    const squared = ((i % size) - x) ** 2 + (Math.floor(i / size) - y) ** 2;
    return amplitude * Math.exp(-squared / (2 * sigma ** 2));
  });
}

describe.each([
  [4, 1, 2],
  [8, 0.37, 1.2],
  [16, 120, 0.9],
])('a map of %d cells a side, height %d, sigma %d', (size, height, sigma) => {
  const point = [1.3, 2.2] as const;
  const found = rangesOf(drawn(size, sigma, ...point, height), size, 2, point);

  test('has the nearest cells for anchors, nearest first', () => {
    expect(found.anchors.map(({ x, y }) => [x, y])).toEqual([[1, 2], [2, 2], [1, 3], [2, 3]]);
  });

  test('puts them as far away as they are', () => {
    for (const { x, y, range } of found.anchors) expect(range).toBeCloseTo(Math.hypot(x - point[0], y - point[1]), 4);
    expect(found.sigma).toBeCloseTo(sigma, 4);
  });
});

test('a map that tells no width is read with that of drawn ones', () => {
  const { anchors, sigma } = rangesOf(new Float32Array(16), 4, 2, [1.5, 1.5]);
  expect(sigma).toBe(2);
  for (const { range } of anchors) expect(range).toBeGreaterThanOrEqual(0);
});

test('ellipses hold 90 %', () => {
  const round = ellipse(1, 0, 1);
  expect(round.long).toBeCloseTo(Math.sqrt(4.605), 3);
  expect(round.short).toBeCloseTo(round.long, 9);
  const turned = ellipse(2.5, 1.5, 2.5); // variances 4 and 1 along the diagonals
  expect(turned.long / turned.short).toBeCloseTo(2, 9);
  expect(turned.angle).toBeCloseTo(Math.PI / 4, 9);
});
