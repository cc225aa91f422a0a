// Crops against those that Python cuts, see fixture.py.

import { describe, expect, test } from 'vitest';
import { cut, type Box, type Photo } from '../src/crop';
import python from './python.json';

const bytes = (text: string): Uint8Array => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

const rgb = bytes(python.photo.pixels);
const { width, height } = python.photo;
const photo: Photo = { width, height, data: new Uint8ClampedArray(4 * width * height) };
for (let i = 0; i < width * height; i++) photo.data.set(rgb.subarray(3 * i, 3 * i + 3), 4 * i);

describe.each(python.crops)('the crop of a box: $name', ({ box, pixels, to_photo }) => {
  const { size, padding } = python;
  const crop = new Uint8ClampedArray(3 * size * size);
  const toCrop = cut(photo, box as unknown as Box, size, padding, crop);

  test('has the pixels that Python gives', () => {
    const apart = bytes(pixels).map((value, i) => Math.abs(value - crop[i]!));
    expect(Math.max(...apart)).toBeLessThanOrEqual(1);
    expect(apart.filter((value) => value > 0).length).toBeLessThan(0.01 * apart.length); // a half is rounded otherwise
  });

  test('lies where Python has it', () => {
    const [[scale, , x], [, , y]] = to_photo as [[number, number, number], [number, number, number]];
    expect(1 / toCrop.scale).toBeCloseTo(scale, 9);
    expect(-toCrop.x / toCrop.scale).toBeCloseTo(x, 9);
    expect(-toCrop.y / toCrop.scale).toBeCloseTo(y, 9);
  });
});
