// Asks the worker for the faces of a picture.

import type { Box } from './crop';
import { facesProgress, fail, say } from './view';
import type { Answer, Request } from './worker';

export type Faces = Extract<Answer, { kind: 'faces' }>;

/** The picture that the worker reads next. */
export const taken = document.createElement('canvas');

const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
let lastId = 0;
let settle: (answer: Faces | null) => void = () => {};

/** Puts a picture into `taken`. */
export function take(source: CanvasImageSource, width: number, height: number): void {
  Object.assign(taken, { width, height });
  const context = contextOf(taken);
  context.imageSmoothingQuality = 'high';
  context.drawImage(source, 0, 0, width, height);
}

/**
 * Asks for the faces of the picture in `taken`; null where that failed, or a newer question has overtaken this one.
 *
 * @param boxes - to read; null: faces are looked for.
 * @param smallest - window of that search, over the picture's shorter side.
 * @param passes - how often a face is read, from the second time on in the box of its own landmarks.
 */
export function ask(boxes: readonly Box[] | null, smallest: number, passes: number): Promise<Faces | null> {
  giveUp();
  const { width, height, data } = contextOf(taken).getImageData(0, 0, taken.width, taken.height);
  const models = new URL('models/', document.baseURI).href;
  const request: Request = {
    id: ++lastId,
    models,
    network: network(),
    photo: { width, height, data },
    boxes,
    smallest,
    passes,
  };
  worker.postMessage(request, [data.buffer]);
  return new Promise((resolve) => (settle = resolve));
}

/** Answers the last question with null, where it is open. */
export function giveUp(): void {
  lastId++; // what the worker still says of it is not heard
  facesProgress(null);
  settle(null);
}

worker.addEventListener('message', ({ data }: MessageEvent<Answer>) => {
  if (data.kind === 'loading') return say(`Loading ${data.network} …`);
  if (data.id !== lastId) return undefined;
  if (data.kind === 'looking') return facesProgress(data.share);
  facesProgress(null);
  if (data.kind === 'failed') fail(data.words);
  return settle(data.kind === 'faces' ? data : null);
});

worker.addEventListener('error', () => {
  fail('The page’s worker could not be started in this browser. Try a newer one.');
  settle(null);
});

function network(): string {
  return `keyposs-${document.querySelector<HTMLInputElement>('input[name=size]:checked')!.value}`;
}

function contextOf(canvas: HTMLCanvasElement): CanvasRenderingContext2D {
  return canvas.getContext('2d', { willReadFrequently: true })!;
}
