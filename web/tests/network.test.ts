// What a network runs on: WebGPU where there is one that finds the same points in less time, else WebAssembly.

import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Network } from '../src/network';

const SIZE = 4; // of the crops
const FACTS = { image_size: SIZE, padding: 1.25, heatmap_size: 2, sigma: 2, decoder: '', contours: [], names: ['tip'] };
const PHOTO = { width: 8, height: 8, data: new Uint8ClampedArray(4 * 64) };

/** How a runtime behaves: ms of a run, the point that it finds, and after how many runs it fails. */
interface Ways {
  ms: number;
  at: number;
  opens: boolean;
  fails: number;
}

const made = vi.hoisted(() => ({
  clock: 0,
  ways: {} as Record<'wasm' | 'webgpu', Ways>,
  released: [] as string[],
}));

function runtime(name: 'wasm' | 'webgpu') {
  const create = async () => {
    const ways = made.ways[name];
    if (!ways.opens) throw new Error('no device');
    let runs = 0;
    const run = async ({ image }: { image: { dims: number[] } }) => {
      if (runs++ >= ways.fails) throw new Error('the device is lost');
      made.clock += ways.ms;
      const n = image.dims[0]!;
      const part = (count: number, value: number) => ({ data: new Float32Array(count * n).fill(value) });
      return { points: part(2, ways.at), scores: part(1, 1), covariance: part(4, 1), maps: part(4, 1) };
    };
    return { run, release: async () => made.released.push(name) };
  };
  class Tensor {
    constructor(
      readonly type: string,
      readonly data: Uint8Array,
      readonly dims: number[],
    ) {}
  }
  return { env: { wasm: {} }, InferenceSession: { create }, Tensor };
}

vi.mock('onnxruntime-web/wasm', () => runtime('wasm'));
vi.mock('onnxruntime-web/webgpu', () => runtime('webgpu'));

beforeEach(() => {
  made.clock = 0;
  made.released = [];
  made.ways = {
    wasm: { ms: 20, at: 1, opens: true, fails: Infinity },
    webgpu: { ms: 5, at: 1, opens: true, fails: Infinity },
  };
  vi.stubGlobal('self', { crossOriginIsolated: false });
  vi.stubGlobal('fetch', async () => new Response(JSON.stringify(FACTS)));
  vi.spyOn(performance, 'now').mockImplementation(() => made.clock);
  adapter({ architecture: 'ampere' });
});

afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

function adapter(info: object | null): void {
  vi.stubGlobal('navigator', { hardwareConcurrency: 8, gpu: { requestAdapter: async () => info && { info } } });
}

async function runsOn(): Promise<string> {
  return (await Network.open('models/', 'keyposs-8')).runsOn;
}

const WASM = 'WebAssembly, 1 thread';

test('a GPU that is faster and agrees is used', async () => {
  expect(await runsOn()).toBe('WebGPU');
  expect(made.released).toEqual(['wasm']);
});

test.each<[string, Partial<Ways>]>([
  ['slower', { ms: 30 }],
  ['elsewhere', { at: 1.2 }],
  ['at no number', { at: NaN }],
  ['not to be opened', { opens: false }],
  ['failing at once', { fails: 0 }],
])('a GPU that is %s is not', async (_, ways) => {
  Object.assign(made.ways.webgpu, ways);
  expect(await runsOn()).toBe(WASM);
  expect(made.released).toEqual(ways.opens === false ? [] : ['webgpu']);
});

test.each([[null], [{ architecture: 'swiftshader' }], [{ isFallbackAdapter: true }]])(
  'no GPU, or one of software, is not tried: %o',
  async (info) => {
    adapter(info);
    expect(await runsOn()).toBe(WASM);
    expect(made.released).toEqual([]);
  },
);

test('browsers without WebGPU', async () => {
  vi.stubGlobal('navigator', { hardwareConcurrency: 8 });
  expect(await runsOn()).toBe(WASM);
});

test('a GPU that goes away is done without', async () => {
  made.ways.webgpu.fails = 3; // after two runs of its trial and one face
  const network = await Network.open('models/', 'keyposs-8');
  await network.read(PHOTO, [[1, 1, 5, 5]]);
  expect(network.runsOn).toBe('WebGPU');
  expect(await network.read(PHOTO, [[1, 1, 5, 5]])).toHaveLength(1);
  expect(network.runsOn).toBe(WASM);
});

test('threads only where they may share memory', async () => {
  adapter(null);
  vi.stubGlobal('self', { crossOriginIsolated: true });
  expect(await runsOn()).toBe('WebAssembly, 4 threads');
});

test('what WebAssembly cannot do is said', async () => {
  adapter(null);
  made.ways.wasm.opens = false;
  await expect(runsOn()).rejects.toThrow('keyposs-8 could not be started in this browser');
});
