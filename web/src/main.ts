// The page: photos in, points out, and what hands do.

import { ask, take, taken } from './ask';
import { stopCamera, switchCamera } from './camera';
import type { Box } from './crop';
import { SMALLEST } from './scan';
import {
  choose,
  clearError,
  facesInWords,
  fail,
  figure,
  find,
  landmark,
  pointAt,
  redraw,
  say,
  show,
  shown,
  showPicture,
  view,
} from './view';

/** Larger photos are reduced until their longer side has this many pixels. */
const LARGEST = 2000;

const file = find<HTMLInputElement>('file');
const faceChoice = find<HTMLSelectElement>('face');
const stage = find<HTMLCanvasElement>('stage');
const drop = find('drop');

async function openPhoto(blob: Blob, name: string): Promise<void> {
  stopCamera();
  clearError();
  const bitmap = await createImageBitmap(blob).catch(() => null);
  if (!bitmap) return fail(`${name} is not a picture that this browser can read. Choose a JPEG, PNG or WebP file.`);
  const zoom = Math.min(1, LARGEST / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * zoom)));
  take(bitmap, width!, height!);
  bitmap.close();
  showPicture(taken);
  view.photo = true;
  show(null);
  return readPhoto(null);
}

async function readPhoto(boxes: readonly Box[] | null): Promise<void> {
  const start = performance.now();
  clearError();
  say(boxes ? 'Reading the faces …' : 'Looking for faces …');
  const answer = await ask(boxes, SMALLEST, 2);
  if (!answer) return;
  show(answer);
  figure('fps', '–');
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  const { length } = answer.faces;
  if (length) return say(`${facesInWords(length)} ${boxes ? 'read' : 'found'} in ${seconds} s.`);
  return fail('No face was found. Try a picture in which a face is larger, upright and not covered.');
}

function save(): void {
  if (!view.read) return;
  const faces = view.read.faces.map((face) => ({
    box: face.box,
    doubt: face.doubt,
    points: pairs(face.points),
    scores: Array.from(face.scores),
    covariances: Array.from({ length: face.scores.length }, (_, i) => {
      const [xx, xy, yy] = face.covariances.subarray(3 * i, 3 * i + 3);
      return [[xx, xy], [xy, yy]];
    }),
  }));
  const told = {
    network: view.read.network,
    decoder: view.read.facts.decoder,
    unit: 'pixels of the picture as it was read; pixel i has its centre at i',
    width: shown.width,
    height: shown.height,
    faces,
  };
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([JSON.stringify(told)], { type: 'application/json' }));
  link.download = 'keyposs.json';
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function pairs(flat: Float32Array): number[][] {
  return Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i]!, flat[2 * i + 1]!]);
}

const STEPS: Record<string, number> = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 };

find('choose').addEventListener('click', () => file.click());
file.addEventListener('change', () => {
  const photo = file.files?.[0];
  file.value = ''; // so that the same photo can be chosen again
  if (photo) void openPhoto(photo, photo.name);
});
find('camera').addEventListener('click', switchCamera);
find('save').addEventListener('click', save);
for (const radio of document.querySelectorAll('input[name=size]')) {
  radio.addEventListener('change', () => {
    if (view.photo) void readPhoto(view.read?.boxes.length ? view.read.boxes : null);
  });
}
for (const id of ['points', 'ellipses', 'contours']) find(id).addEventListener('change', redraw);
find('landmark').addEventListener('input', redraw);
find('before').addEventListener('click', () => choose(landmark() - 1));
find('next').addEventListener('click', () => choose(landmark() + 1));
faceChoice.addEventListener('change', () => {
  view.face = Number(faceChoice.value);
  redraw();
});
stage.addEventListener('keydown', (event) => {
  const step = STEPS[event.key];
  if (!step || !view.read?.faces.length) return;
  event.preventDefault(); // the page would scroll
  choose(landmark() + step);
});
stage.addEventListener('pointermove', pointAt);
stage.addEventListener('pointerdown', pointAt);
for (const kind of ['dragover', 'dragleave', 'drop'] as const) {
  window.addEventListener(kind, (event) => {
    event.preventDefault(); // or the browser would open the file in place of the page
    drop.classList.toggle('over', kind === 'dragover');
    const photo = kind === 'drop' ? event.dataTransfer?.files[0] : undefined;
    if (photo) void openPhoto(photo, photo.name);
  });
}
window.addEventListener('resize', redraw);
