// Reads faces away from the page's own thread, which stays free to draw and to answer.

import type { Box, Photo } from './crop';
import { Network, type Face, type Facts } from './network';
import { closer, scan } from './scan';

/** Finds faces: it is fast, and doubts as well as the others do. */
const SCANNER = 'keyposs-4';

export interface Request {
  readonly id: number;
  readonly models: string; // the folder that networks lie in
  readonly network: string;
  readonly photo: Photo;
  readonly boxes: readonly Box[] | null; // null: look for faces
  readonly smallest: number; // window of that search, over the photo's shorter side
  readonly passes: number;
}

export type Answer =
  | { readonly kind: 'loading'; readonly network: string }
  | { readonly kind: 'looking'; readonly id: number; readonly share: number }
  | { readonly kind: 'failed'; readonly id: number; readonly words: string }
  | {
      readonly kind: 'faces';
      readonly id: number;
      readonly network: string;
      readonly facts: Facts;
      readonly runsOn: string;
      readonly boxes: readonly Box[]; // of the first pass
      readonly faces: readonly Face[];
      readonly ms: number; // of the last pass, crops included
    };

const networks = new Map<string, Promise<Network>>();
let latest = 0;

/** Ends a task that a newer one has overtaken. */
class Overtaken extends Error {}

const say = (answer: Answer): void => self.postMessage(answer);

function open(folder: string, name: string): Promise<Network> {
  let network = networks.get(name);
  if (!network) {
    say({ kind: 'loading', network: name });
    network = Network.open(folder, name);
    network.catch(() => networks.delete(name)); // so that a second try is one
    networks.set(name, network);
  }
  return network;
}

async function look({ id, models, photo, smallest }: Request): Promise<Box[]> {
  const scanner = await open(models, SCANNER);
  const read = (boxes: readonly Box[], progress?: (done: number) => void): Promise<Face[]> =>
    scanner.read(photo, boxes, (done) => {
      if (id !== latest) throw new Overtaken();
      progress?.(done);
    });
  return scan(read, photo.width, photo.height, smallest, (share) => say({ kind: 'looking', id, share }));
}

async function answer(request: Request): Promise<void> {
  const { id, photo } = request;
  if (id !== latest) return;
  const network = await open(request.models, request.network);
  const boxes = request.boxes ?? (await look(request));
  let start = performance.now();
  let faces = await network.read(photo, boxes);
  for (let pass = 1; pass < request.passes; pass++) {
    start = performance.now();
    faces = await network.read(photo, faces.map((face) => closer(face.box, face.points)));
  }
  const ms = performance.now() - start;
  const { facts, runsOn } = network;
  say({ kind: 'faces', id, network: request.network, facts, runsOn, boxes, faces, ms });
}

let queue = Promise.resolve(); // one task at a time: a session is not to be run twice at once

self.addEventListener('message', ({ data }: MessageEvent<Request>) => {
  latest = data.id;
  queue = queue.then(() => answer(data)).catch((error: unknown) => {
    if (!(error instanceof Overtaken)) say({ kind: 'failed', id: data.id, words: (error as Error).message });
  });
});
