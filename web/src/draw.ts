// What is drawn: faces on their photo, and the distance map of one landmark.

import type { Face, Facts } from './network';
import { ellipse, rangesOf, type Ranges } from './ranges';

export interface Layers {
  readonly points: boolean;
  readonly ellipses: boolean;
  readonly contours: boolean;
}

const HALO = 'rgba(8, 12, 20, 0.75)';
const POINT = '#ffffff';
const LINE = 'rgba(125, 240, 225, 0.85)';
const SPREAD = '#ffc53d';
const CHOSEN = '#ff6bb5';

/** From the lowest to the highest cell. */
const RAMP = [
  [22, 22, 48],
  [46, 54, 124],
  [30, 118, 156],
  [40, 174, 142],
  [190, 222, 84],
] as const;

/** Cells around the map that are shown as well: a landmark may lie off it. */
const MARGIN = 0.75;

/** Makes a canvas as sharp as the screen, and gives its context in CSS pixels. */
export function fit(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext('2d')!;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}

/** From a coordinate of the photo, whose pixel i has its centre at i, to the screen. */
export function onScreen(value: number, zoom: number): number {
  return (value + 0.5) * zoom;
}

/** Draws a face: contours below, then ellipses, then points. */
export function drawFace(
  context: CanvasRenderingContext2D,
  face: Face,
  facts: Facts,
  layers: Layers,
  zoom: number,
  chosen: number | null,
): void {
  const at = (i: number): [number, number] => [
    onScreen(face.points[2 * i]!, zoom),
    onScreen(face.points[2 * i + 1]!, zoom),
  ];
  const size = Math.min(Math.max((face.box[3] - face.box[1]) * zoom * 0.009, 1.2), 3.5);
  if (layers.contours) drawContours(context, facts, at, size * 0.6);
  for (let i = 0; i < facts.names.length; i++) {
    if (layers.ellipses) drawEllipse(context, face, i, at(i), zoom, size, i === chosen);
  }
  for (let i = 0; layers.points && i < facts.names.length; i++) drawDot(context, ...at(i), size, POINT);
  if (chosen !== null) drawDot(context, ...at(chosen), size * 1.8, CHOSEN);
}

function drawContours(
  context: CanvasRenderingContext2D,
  facts: Facts,
  at: (i: number) => [number, number],
  width: number,
): void {
  context.strokeStyle = LINE;
  context.lineWidth = width;
  context.lineJoin = 'round';
  for (const { points, closed } of facts.contours) {
    context.beginPath();
    for (const i of points) context.lineTo(...at(i));
    if (closed) context.closePath();
    context.stroke();
  }
}

function drawEllipse(
  context: CanvasRenderingContext2D,
  face: Face,
  i: number,
  [x, y]: [number, number],
  zoom: number,
  size: number,
  chosen: boolean,
): void {
  const [xx, xy, yy] = face.covariances.subarray(3 * i, 3 * i + 3) as unknown as [number, number, number];
  const { long, short, angle } = ellipse(xx, xy, yy);
  context.beginPath();
  context.ellipse(x, y, long * zoom, short * zoom, angle, 0, 2 * Math.PI);
  context.strokeStyle = chosen ? CHOSEN : SPREAD;
  context.lineWidth = Math.min(size / 2, 1) * (chosen ? 2 : 1);
  context.stroke();
}

function drawDot(context: CanvasRenderingContext2D, x: number, y: number, radius: number, colour: string): void {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = colour;
  context.strokeStyle = HALO;
  context.lineWidth = Math.min(radius / 2, 1);
  context.fill();
  context.stroke();
}

/** What a map's panel shows of a landmark. */
export interface Fix extends Ranges {
  readonly point: readonly [number, number]; // in cells
}

/** The anchors of a landmark's map, and where it was found. */
export function fixOf(face: Face, facts: Facts, landmark: number): Fix {
  const stride = facts.image_size / facts.heatmap_size;
  const toCells = (value: number, offset: number): number => (value * face.crop.scale + offset + 0.5) / stride - 0.5;
  const point = [
    toCells(face.points[2 * landmark]!, face.crop.x),
    toCells(face.points[2 * landmark + 1]!, face.crop.y),
  ] as const;
  return { ...rangesOf(mapOf(face, facts, landmark), facts.heatmap_size, facts.sigma, point), point };
}

function mapOf(face: Face, facts: Facts, landmark: number): Float32Array {
  const cells = facts.heatmap_size ** 2;
  return face.maps.subarray(landmark * cells, (landmark + 1) * cells);
}

/** Draws a landmark's map as cells, with its anchors, a circle of its range around each, and the point. */
export function drawMap(
  context: CanvasRenderingContext2D,
  side: number,
  face: Face,
  facts: Facts,
  landmark: number,
  fix: Fix,
): void {
  const size = facts.heatmap_size;
  const cell = side / (size + 2 * MARGIN);
  const at = (value: number): number => (value + MARGIN + 0.5) * cell;
  context.clearRect(0, 0, side, side);
  const map = mapOf(face, facts, landmark);
  const peak = map.reduce((most, value) => Math.max(most, value), 0) || 1;
  const gap = size > 8 ? 0.5 : 1; // so that cells are seen as cells
  map.forEach((value, i) => {
    const [x, y] = [at((i % size) - 0.5), at(Math.floor(i / size) - 0.5)];
    context.fillStyle = colourOf(value / peak);
    context.fillRect(x, y, cell - gap, cell - gap);
  });
  for (const anchor of fix.anchors) {
    context.beginPath();
    context.arc(at(anchor.x), at(anchor.y), anchor.range * cell, 0, 2 * Math.PI);
    for (const [colour, width] of [[HALO, 3.5], [POINT, 1.5]] as const) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.stroke();
    }
  }
  for (const anchor of fix.anchors) drawDot(context, at(anchor.x), at(anchor.y), Math.min(4, cell / 6), POINT);
  drawDot(context, at(fix.point[0]), at(fix.point[1]), Math.min(6, cell / 4), CHOSEN);
}

function colourOf(share: number): string {
  const place = Math.min(Math.max(share, 0), 1) * (RAMP.length - 1);
  const below = RAMP[Math.floor(place)]!;
  const above = RAMP[Math.ceil(place)]!;
  const mixed = below.map((value, i) => Math.round(value + (above[i]! - value) * (place % 1)));
  return `rgb(${mixed.join(' ')})`;
}
