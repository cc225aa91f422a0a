// The search against Python's, see fixture.py, and against faces whose places are known.

import { describe, expect, test } from 'vitest';
import type { Box } from '../src/crop';
import * as scan from '../src/scan';
import python from './python.json';

describe('as in keyposs.scan', () => {
  test.each(Object.entries(python.constants))('%s', (name, value) => {
    expect(scan[name as keyof typeof python.constants]).toBe(value);
  });

  test.each(python.windows)('windows of $size', ({ size, boxes }) => {
    const found = scan.windows(size[0]!, size[1]!);
    expect(found.length).toBe(boxes.length);
    found.flat().forEach((value, i) => expect(value).toBeCloseTo(boxes.flat()[i]!, 9));
  });

  test('doubt', () => {
    const points = new Float32Array(python.doubt.points.flat());
    const covariances = new Float32Array(python.doubt.covariances.flatMap(([x, y]) => [x![0]!, x![1]!, y![1]!]));
    expect(scan.doubt(points, covariances)).toBeCloseTo(python.doubt.doubt, 6);
  });

  test('of boxes that overlap the surest', () => {
    expect(scan.apart(python.apart.boxes as unknown as Box[], python.apart.doubts)).toEqual(python.apart.kept);
  });
});

/** Sees the faces of `truth`: surer the better a box fits one, and its points always in that one's corners. */
function readerOf(truth: readonly Box[], asked: number[] = []): scan.Reader<scan.Reading> {
  return async (boxes, progress) => {
    asked.push(boxes.length);
    progress?.(boxes.length);
    return boxes.map((box) => {
      const [best] = truth.map((face) => ({ face, iou: scan.overlap(face, box) })).sort((a, b) => b.iou - a.iou);
      const seen = best && best.iou > 0.2;
      return { points: new Float32Array(seen ? best.face : box), doubt: seen ? 0.06 - 0.04 * best.iou : 0.2 };
    });
  };
}

describe('a search', () => {
  const truth: Box[] = [[20, 30, 120, 130], [200, 60, 250, 110]];

  test('finds every face once, and nothing else', async () => {
    const found = await scan.scan(readerOf(truth), 320, 200);
    expect(found.sort((a, b) => a[0] - b[0])).toEqual(truth);
  });

  test('reads few windows again', async () => {
    const asked: number[] = [];
    await scan.scan(readerOf(truth, asked), 320, 200);
    expect(asked).toEqual([scan.windows(320, 200).length, 2, 2]);
  });

  test('finds nothing where all is in doubt', async () => {
    expect(await scan.scan(readerOf([]), 320, 200)).toEqual([]);
  });

  test('tells how far it is', async () => {
    const shares: number[] = [];
    await scan.scan(readerOf([]), 320, 200, scan.SMALLEST, (share) => shares.push(share));
    expect(shares).toEqual([1]);
  });

  test('leaves small windows out when asked to', () => {
    const sides = scan.windows(320, 200, 0.25).map((box) => box[2] - box[0]);
    expect(Math.min(...sides)).toBeGreaterThanOrEqual(50);
  });
});

test('a box follows its points, unless they fly apart', () => {
  expect(scan.closer([0, 0, 10, 10], new Float32Array([1, 2, 12, 9]))).toEqual([1, 2, 12, 9]);
  expect(scan.closer([0, 0, 10, 10], new Float32Array([1, 2, 60, 9]))).toEqual([0, 0, 10, 10]);
  expect(scan.closer([0, 0, 10, 10], new Float32Array([1, 2, 2, 3]))).toEqual([0, 0, 10, 10]);
});
