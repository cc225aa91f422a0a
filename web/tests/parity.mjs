// What the built page reads in given boxes: node parity.mjs DIST WANTED.json FOUND.json, see parity.py.
// The page's own worker is asked, as the page asks it: nothing in the page is made for this.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { start } from './browser.mjs';

const [dist, wanted, found] = process.argv.slice(2);
const { networks, shots } = JSON.parse(readFileSync(wanted, 'utf-8')); // shots: each a file and a box
const script = readdirSync(join(dist, 'assets')).find((name) => /^worker-.*\.js$/.test(name));

/** In the page: the points of the face in each box, network by network. */
async function read({ script, networks, boxes }) {
  const worker = new Worker(script, { type: 'module' });
  const models = new URL('models/', document.baseURI).href;
  const context = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const photoOf = async (i) => {
    const bitmap = await createImageBitmap(await (await fetch(`shots/${i}`)).blob());
    const { width, height } = bitmap;
    Object.assign(context.canvas, { width, height });
    context.drawImage(bitmap, 0, 0);
    return { width, height, data: context.getImageData(0, 0, width, height).data };
  };
  const ask = (id, network, photo, box) =>
    new Promise((resolve, reject) => {
      worker.onerror = () => reject(new Error('the worker does not start'));
      worker.onmessage = ({ data }) => {
        if (data.kind === 'failed') reject(new Error(data.words));
        if (data.kind === 'faces') resolve(Array.from(data.faces[0].points));
      };
      worker.postMessage({ id, models, network, photo, boxes: [box], smallest: 1, passes: 1 });
    });
  const points = Object.fromEntries(networks.map((network) => [network, []]));
  for (const [i, box] of boxes.entries()) {
    const photo = await photoOf(i);
    for (const network of networks) points[network].push(await ask(i, network, photo, box));
  }
  return points;
}

const { browser, origin, close } = await start(dist);
try {
  const page = await browser.newPage();
  await page.goto(origin);
  await page.route('**/shots/*', (route) => {
    const i = Number(new URL(route.request().url()).pathname.split('/').pop());
    return route.fulfill({ path: shots[i].file });
  });
  const boxes = shots.map(({ box }) => box);
  writeFileSync(found, JSON.stringify(await page.evaluate(read, { script: `assets/${script}`, networks, boxes })));
} finally {
  await close();
}
