// What the built page runs on where WebGPU is of no use: node gpu.mjs DIST PICTURE, as JSON.

import { start } from './browser.mjs';

const [dist, picture] = process.argv.slice(2);

/** In the worker, before its own code: the GPU of software looks like a real one, and breaks when it is asked for. */
const BROKEN = `
  const ask = GPU.prototype.requestAdapter;
  GPU.prototype.requestAdapter = async function (options) {
    const adapter = await ask.call(this, options);
    const info = { vendor: 'some', architecture: 'some', device: '', description: '', isFallbackAdapter: false };
    Object.defineProperty(adapter, 'info', { value: info });
    adapter.requestDevice = () => Promise.reject(new Error('broken'));
    return adapter;
  };
`;

/** What the page says that it runs on, and whether it fetched what WebGPU needs. */
async function visit({ browser, origin }, before) {
  const page = await browser.newPage();
  let fetched = false;
  page.context().on('request', (request) => (fetched ||= request.url().includes('asyncify')));
  await page.route('**/worker-*.js', async (route) => {
    const response = await route.fetch();
    return route.fulfill({ response, body: before + (await response.text()) });
  });
  await page.goto(origin);
  await page.getByRole('radio', { name: '4 ×' }).check({ force: true }); // the one that looks for faces as well
  await page.locator('#file').setInputFiles(picture);
  await page.locator('#error', { hasText: 'No face' }).waitFor({ timeout: 60_000 });
  const [gpu, runs] = [await page.evaluate(adapterOf), await page.locator('#runs').textContent()];
  await page.close();
  return { gpu, runs, fetched };
}

async function adapterOf() {
  return (await navigator.gpu?.requestAdapter())?.info.architecture ?? null;
}

const told = {};
for (const [name, flags, before] of [
  ['software', ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'], ''],
  ['broken', ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'], BROKEN],
]) {
  const served = await start(dist, flags);
  try {
    told[name] = await visit(served, before);
  } finally {
    await served.close();
  }
}
console.log(JSON.stringify(told));
