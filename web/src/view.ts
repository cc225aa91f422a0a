// What the page shows and says.

import type { Faces } from './ask';
import { drawFace, drawMap, fit, fixOf, onScreen, type Fix, type Layers } from './draw';
import type { Face, Facts } from './network';
import { ellipse } from './ranges';

/** Pixels of the screen within which a landmark is pointed at. */
const REACH = 28;

export const find = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;

const stage = find<HTMLCanvasElement>('stage');
const slider = find<HTMLInputElement>('landmark');
const faceChoice = find<HTMLSelectElement>('face');
const mapCanvas = find<HTMLCanvasElement>('map');
const chosen = find('chosen');
const controls = [slider, ...['before', 'next', 'save'].map((id) => find<HTMLButtonElement>(id))];

const hint = find('told').textContent;

/** The picture under the faces. */
export const shown = document.createElement('canvas');

/** What is seen. */
export const view = {
  read: null as Faces | null, // the faces of the picture
  face: 0, // which of them is chosen
  photo: false, // whether the picture is a photo
  live: false, // whether the camera is on
};

/** Changes the picture, for a `show` to come. */
export function showPicture(picture: HTMLCanvasElement): void {
  Object.assign(shown, { width: picture.width, height: picture.height });
  shown.getContext('2d')!.drawImage(picture, 0, 0);
}

export function say(words: string): void {
  tell(find('status'), words);
}

/** Changes what is read out: not the same words again at every frame. */
function tell(element: HTMLElement, words: string): void {
  if (element.textContent !== words) element.textContent = words;
}

export function fail(words: string): void {
  const error = find('error');
  error.textContent = words;
  error.hidden = false;
  say('');
}

export function clearError(): void {
  find('error').hidden = true;
}

/** Shows how far a search is; null: there is none. */
export function facesProgress(share: number | null): void {
  const bar = find<HTMLProgressElement>('progress');
  bar.hidden = share === null || view.live; // there it would flicker
  if (share === null || view.live) return;
  bar.value = share;
  say('Looking for faces …');
}

export function facesInWords(count: number): string {
  return count === 1 ? '1 face' : `${count} faces`;
}

export function figure(id: string, words: string | number): void {
  find(id).textContent = String(words);
}

/** Shows the faces of the picture; null: none are known yet. */
export function show(answer: Faces | null): void {
  view.read = answer;
  const count = answer?.faces.length ?? 0;
  find('empty').hidden = true;
  find('video').hidden = !view.live || count > 0; // it runs while there is no face to follow
  stage.hidden = !find('video').hidden;
  find('drop').classList.add('full');
  for (const control of controls) control.disabled = !count;
  showFaces(count);
  if (answer) {
    figure('count', count);
    figure('ms', count ? (answer.ms / count).toFixed(1) : '–');
    figure('runs', answer.runsOn);
    slider.max = String(answer.facts.names.length - 1);
  }
  redraw();
}

/** Offers the faces to choose from, where there is more than one. */
function showFaces(count: number): void {
  view.face = Math.min(view.face, Math.max(count - 1, 0));
  find('which').hidden = count < 2;
  if (faceChoice.length !== count) {
    faceChoice.replaceChildren(...Array.from({ length: count }, (_, i) => new Option(String(i + 1), String(i))));
  }
  faceChoice.value = String(view.face);
}

function zoomOf(): number {
  const room = find('drop').clientWidth;
  return Math.min(room / shown.width, Math.max(0.7 * window.innerHeight, 280) / shown.height);
}

export function redraw(): void {
  mapCanvas.hidden = chosen.hidden = !view.read?.faces.length;
  if (mapCanvas.hidden) find('told').textContent = hint;
  if (stage.hidden) return;
  const zoom = zoomOf();
  const context = fit(stage, Math.round(shown.width * zoom), Math.round(shown.height * zoom));
  context.drawImage(shown, 0, 0, shown.width * zoom, shown.height * zoom);
  const { read } = view;
  for (const [i, face] of (read?.faces ?? []).entries()) {
    drawFace(context, face, read!.facts, layers(), zoom, i === view.face ? landmark() : null);
  }
  stage.setAttribute('aria-label', read ? `The picture, with ${facesInWords(read.faces.length)}` : 'The picture');
  redrawMap();
}

function layers(): Layers {
  const checked = (id: string): boolean => find<HTMLInputElement>(id).checked;
  return { points: checked('points'), ellipses: checked('ellipses'), contours: checked('contours') };
}

export function landmark(): number {
  return Number(slider.value);
}

function redrawMap(): void {
  const face = view.read?.faces[view.face];
  if (!face || !view.read) return;
  const side = Math.min(find('told').clientWidth, 420);
  const fix = fixOf(face, view.read.facts, landmark());
  drawMap(fit(mapCanvas, side, side), side, face, view.read.facts, landmark(), fix);
  find('told').textContent = mapInWords(face, view.read.facts, fix);
  const name = `${landmark()}, ${view.read.facts.names[landmark()]}`;
  slider.setAttribute('aria-valuetext', name);
  tell(chosen, name);
}

/** A product that no line breaks. */
function times(one: string | number, other: string | number): string {
  return `${one}\u00a0×\u00a0${other}`;
}

function mapInWords(face: Face, facts: Facts, fix: Fix): string {
  const i = landmark();
  const ranges = fix.anchors.map((anchor) => anchor.range.toFixed(2)).join(', ');
  const [xx, xy, yy] = [0, 1, 2].map((k) => face.covariances[3 * i + k]!) as [number, number, number];
  const { long, short } = ellipse(xx, xy, yy);
  const size = facts.heatmap_size;
  const [x, y] = [0, 1].map((k) => face.points[2 * i + k]!.toFixed(1));
  return (
    `Its map of ${times(size, size)} cells: the brighter, the nearer. The four strongest cells (white) say that it ` +
    `is ${ranges} cells away, as the circles show, read with the map’s own height and width (sigma ` +
    `${fix.sigma.toFixed(1)} cells). All cells together put it where the pink point is, at ${x}, ${y} in the ` +
    `picture; in 90 of 100 cases the truth is within an ellipse of ${times(long.toFixed(1), short.toFixed(1))} ` +
    `pixels (semi-axes) around it.`
  );
}

export function choose(i: number): void {
  const last = Number(slider.max);
  slider.value = String((i + last + 1) % (last + 1));
  redraw();
}

/** The face and landmark next to a place on the stage. */
export function pointAt(event: PointerEvent): void {
  if (!view.read) return;
  const frame = stage.getBoundingClientRect();
  const zoom = zoomOf();
  let nearest = REACH;
  for (const [f, face] of view.read.faces.entries()) {
    for (let i = 0; i < face.points.length / 2; i++) {
      const dx = onScreen(face.points[2 * i]!, zoom) - (event.clientX - frame.left);
      const dy = onScreen(face.points[2 * i + 1]!, zoom) - (event.clientY - frame.top);
      if (Math.hypot(dx, dy) >= nearest) continue;
      nearest = Math.hypot(dx, dy);
      view.face = f;
      slider.value = String(i);
    }
  }
  faceChoice.value = String(view.face);
  redraw();
}

