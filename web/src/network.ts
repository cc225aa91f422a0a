// A network in the browser: crops in, points, covariances and distance maps out, on the GPU where that is faster.

import type { InferenceSession, Tensor } from 'onnxruntime-common';
import wasmScript from 'onnxruntime-web/ort-wasm-simd-threaded.mjs?url';
import wasmFile from 'onnxruntime-web/ort-wasm-simd-threaded.wasm?url';
import gpuScript from 'onnxruntime-web/ort-wasm-simd-threaded.asyncify.mjs?url';
import gpuFile from 'onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm?url';
import { cut, type Box, type Photo, type Similarity } from './crop';
import { doubt } from './scan';

/** The sidecar of a model, see web/facts.py. */
export interface Facts {
  readonly image_size: number;
  readonly padding: number;
  readonly heatmap_size: number;
  readonly sigma: number;
  readonly decoder: string;
  readonly contours: readonly { readonly points: readonly number[]; readonly closed: boolean }[];
  readonly names: readonly string[];
}

/** A face that was read; all but maps in pixels of the photo. */
export interface Face {
  readonly box: Box; // in which it was read
  readonly points: Float32Array; // x, y of each
  readonly scores: Float32Array;
  readonly covariances: Float32Array; // xx, xy, yy of each
  readonly doubt: number;
  readonly maps: Float32Array; // k x h x w
  readonly crop: Similarity; // from the photo to the crop
}

/** Crops at once: more gain little, and keep new tasks waiting. */
const BATCH = 16;

/** Pixels of the crop that a GPU may be off, or it is not used. */
const AGREE = 0.1;

const GPU = 'WebGPU';

type Runtime = typeof import('onnxruntime-web/wasm');

interface Engine {
  readonly runtime: Runtime;
  readonly session: InferenceSession;
  readonly words: string;
}

export class Network {
  private constructor(
    readonly facts: Facts,
    private readonly model: Uint8Array,
    private engine: Engine,
  ) {}

  /** Where it runs, in words. */
  get runsOn(): string {
    return this.engine.words;
  }

  /**
   * Loads a network and chooses what runs it.
   *
   * @throws Error in words for people, where a file is missing or broken.
   */
  static async open(folder: string, name: string): Promise<Network> {
    const [model, sidecar] = await Promise.all([fetched(`${folder}${name}.onnx`), fetched(`${folder}${name}.json`)]);
    const facts = (await sidecar.json()) as Facts;
    const bytes = new Uint8Array(await model.arrayBuffer());
    try {
      return new Network(facts, bytes, await fastest(bytes, facts.image_size));
    } catch (error) {
      throw new Error(`${name} could not be started in this browser (${String(error)}).`);
    }
  }

  /** Reads the faces in some boxes of a photo, a batch at a time, and lets other tasks run in between. */
  async read(photo: Photo, boxes: readonly Box[], progress: (done: number) => void = () => {}): Promise<Face[]> {
    const faces: Face[] = [];
    for (let i = 0; i < boxes.length; i += BATCH) {
      faces.push(...(await this.batch(photo, boxes.slice(i, i + BATCH))));
      progress(faces.length);
      if (boxes.length > BATCH) await new Promise((done) => setTimeout(done));
    }
    return faces;
  }

  private async batch(photo: Photo, boxes: readonly Box[]): Promise<Face[]> {
    const { image_size: size, padding } = this.facts;
    const one = 3 * size * size;
    const crops = new Uint8ClampedArray(one * boxes.length);
    const matrices = boxes.map((box, i) => cut(photo, box, size, padding, crops.subarray(i * one, (i + 1) * one)));
    const output = await this.run(new Uint8Array(crops.buffer));
    return boxes.map((box, i) => this.face(box, matrices[i]!, (name) => share(output[name]!, i, boxes.length)));
  }

  /** Runs it; where the GPU is gone, as after a long sleep, without one from then on. */
  private async run(crops: Uint8Array): Promise<InferenceSession.OnnxValueMapType> {
    const size = this.facts.image_size;
    try {
      return await run(this.engine, crops, size);
    } catch (error) {
      if (this.engine.words !== GPU) throw error;
      this.engine = await onWasm(this.model);
      return run(this.engine, crops, size);
    }
  }

  private face(box: Box, crop: Similarity, part: (name: string) => Float32Array): Face {
    const points = part('points').map((value, i) => (value - (i % 2 ? crop.y : crop.x)) / crop.scale);
    const full = part('covariance');
    const covariances = new Float32Array((3 * full.length) / 4);
    for (let i = 0; i < full.length / 4; i++) {
      for (const [to, from] of [0, 1, 3].entries()) covariances[3 * i + to] = full[4 * i + from]! / crop.scale ** 2;
    }
    const scores = part('scores').slice();
    return { box, points, scores, covariances, doubt: doubt(points, covariances), maps: part('maps').slice(), crop };
  }
}

async function fetched(file: string): Promise<Response> {
  const answer = await fetch(file).catch(() => null);
  if (answer?.ok) return answer;
  const cause = answer ? `the server says ${answer.status}` : 'the server does not answer';
  throw new Error(`The network could not be loaded: ${cause} for ${file}. Build the page with “make web-build”.`);
}

/** The part of one face of an output of n. */
function share(output: Tensor, i: number, n: number): Float32Array {
  const data = output.data as Float32Array;
  const one = data.length / n;
  return data.subarray(i * one, (i + 1) * one);
}

async function run(engine: Engine, crops: Uint8Array, size: number): Promise<InferenceSession.OnnxValueMapType> {
  const n = crops.length / (3 * size * size);
  return engine.session.run({ image: new engine.runtime.Tensor('uint8', crops, [n, 3, size, size]) });
}

/** WebAssembly, or WebGPU where there is one that finds the same points in less time. */
async function fastest(model: Uint8Array, size: number): Promise<Engine> {
  const wasm = await onWasm(model);
  const gpu = (await hasGpu()) ? await onGpu(model).catch(() => null) : null;
  if (!gpu) return wasm;
  const crop = Uint8Array.from({ length: 3 * size * size }, (_, i) => (i * 7919) % 256);
  const there = await trial(gpu, crop, size).catch(() => null);
  const here = await trial(wasm, crop, size);
  const same = there?.points.every((value, i) => Math.abs(value - here.points[i]!) < AGREE);
  const [better, other] = there && same && there.ms < here.ms ? [gpu, wasm] : [wasm, gpu];
  await other.session.release().catch(() => {}); // a GPU that has failed may fail at this as well
  return better;
}

async function onWasm(model: Uint8Array): Promise<Engine> {
  const runtime = await import('onnxruntime-web/wasm');
  const threads = self.crossOriginIsolated ? Math.max(1, Math.min(4, navigator.hardwareConcurrency >> 1)) : 1;
  runtime.env.wasm.numThreads = threads;
  runtime.env.wasm.wasmPaths = { mjs: wasmScript, wasm: wasmFile };
  const session = await runtime.InferenceSession.create(model, { executionProviders: ['wasm'] });
  return { runtime, session, words: `WebAssembly, ${threads} thread${threads > 1 ? 's' : ''}` };
}

/** The part of WebGPU that is asked for here. */
interface Gpu {
  requestAdapter(): Promise<{ info?: { architecture?: string; isFallbackAdapter?: boolean } } | null>;
}

/** Whether there is a GPU; one that is made of software only takes minutes to try. */
async function hasGpu(): Promise<boolean> {
  const adapter = await (navigator as { gpu?: Gpu }).gpu?.requestAdapter().catch(() => null);
  return Boolean(adapter) && !adapter?.info?.isFallbackAdapter && adapter?.info?.architecture !== 'swiftshader';
}

async function onGpu(model: Uint8Array): Promise<Engine> {
  const runtime = await import('onnxruntime-web/webgpu');
  runtime.env.wasm.numThreads = 1;
  runtime.env.wasm.wasmPaths = { mjs: gpuScript, wasm: gpuFile };
  const quiet = 3; // errors only: it warns of what it leaves to the CPU, as it should
  const options = { executionProviders: ['webgpu'], logSeverityLevel: quiet } as const;
  const session = await runtime.InferenceSession.create(model, options);
  return { runtime, session, words: GPU };
}

/** The points of one crop, and the milliseconds of a run once it is warm. */
async function trial(engine: Engine, crop: Uint8Array, size: number): Promise<{ points: Float32Array; ms: number }> {
  await run(engine, crop, size);
  const start = performance.now();
  const output = await run(engine, crop, size);
  return { points: output['points']!.data as Float32Array, ms: performance.now() - start };
}
