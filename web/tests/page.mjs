// Drives the built page as people do: node page.mjs DIST FOLDER, with photo.png, blank.png and clip.y4m in the folder.
// Writes there what it saw: seen.json, the points that the page saved, and screenshots.

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import axe from 'axe-core';
import { start } from './browser.mjs';

const [dist, folder] = process.argv.slice(2);
const SIZES = ['16', '8', '4'];
const LONG = 60_000; // ms, of a slow machine

const { browser, origin, close } = await start(dist, [
  '--use-fake-device-for-media-stream',
  '--use-fake-ui-for-media-stream',
  `--use-file-for-fake-video-capture=${join(folder, 'clip.y4m')}`,
]);

const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

const seen = { axe: {},  console: [], origins: new Set(), keys: {}, errors: {}, camera: {}, photo: {} };

/** A page whose console and requests are written down; `broken` is run in it before its own code. */
async function open(options, { broken, route } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(LONG);
  context.on('request', (request) => {
    const { protocol, origin: of } = new URL(request.url());
    if (!['blob:', 'data:'].includes(protocol)) seen.origins.add(of);
  });
  if (broken) await page.addInitScript(broken);
  if (route) await page.route(route, (request) => request.fulfill({ status: 404, body: 'gone' }));
  if (!route) page.on('console', (message) => seen.console.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => seen.console.push(`uncaught: ${error.message}`));
  await page.goto(origin);
  return page;
}

const status = (page, words) => page.locator('#status', { hasText: words }).waitFor();

async function save(page, name) {
  const saved = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Save points' }).click();
  const download = await saved;
  await download.saveAs(join(folder, name));
}

/** The error that the page shows. */
async function errorOf(page) {
  await page.getByRole('alert').waitFor();
  return page.getByRole('alert').textContent();
}

/** Notes what axe finds wrong for people who do not see, or not well. */
async function accessible(page, when) {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate((rules) => window.axe.run({ runOnly: rules }), RULES);
  seen.axe[when] = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
}

async function photo(page) {
  await page.locator('#file').setInputFiles(join(folder, 'photo.png'));
  await status(page, 'found in');
  for (const size of SIZES) {
    await page.getByRole('radio', { name: `${size} ×` }).check({ force: true });
    await page.locator('#told', { hasText: `map of ${size} ×` }).waitFor(); // it is read
    await save(page, `photo-${size}.json`);
    seen.photo[size] = await page.locator('#ms').textContent();
  }
}

/** Everything by keys: what has the focus, and what the keys do to it. */
async function keys(page) {
  await page.locator('body').click({ position: { x: 2, y: 2 } });
  const order = [];
  for (let i = 0; i < 12; i++) {
    await page.keyboard.press('Tab');
    order.push(await page.evaluate(() => document.activeElement.id || document.activeElement.name));
  }
  const stepped = [];
  const heard = [];
  const note = async () => {
    stepped.push(await page.locator('#landmark').getAttribute('aria-valuetext'));
    heard.push(await page.locator('#chosen').textContent());
  };
  await note();
  await page.locator('#stage').focus();
  for (const key of ['ArrowRight', 'ArrowRight', 'ArrowLeft']) {
    await page.keyboard.press(key);
    await note();
  }
  await page.locator('#landmark').focus();
  await page.keyboard.press('ArrowRight');
  await note();
  await page.getByRole('button', { name: 'Next landmark' }).focus();
  await page.keyboard.press('Enter');
  await note();
  await page.locator('#contours').focus();
  await page.keyboard.press('Space');
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineWidth);
  const contours = await page.locator('#contours').isChecked();
  await page.keyboard.press('Space');
  await page.locator('input[name=size]:checked').focus();
  await page.keyboard.press('ArrowUp'); // from 4 to 8
  const size = await page.locator('input[name=size]:checked').getAttribute('value');
  await page.locator('#told', { hasText: 'map of 8 ×' }).waitFor();
  seen.keys = { order, stepped, heard, contours, outline, size, told: await page.locator('#told').textContent() };
}

/** Pointing at a point on the stage chooses it. */
async function pointing(page) {
  const { faces, width } = JSON.parse(await readFile(join(folder, 'photo-8.json'), 'utf-8'));
  const frame = await page.locator('#stage').boundingBox();
  const [x, y] = faces[0].points[8].map((value) => ((value + 0.5) * frame.width) / width);
  await page.mouse.move(frame.x + x, frame.y + y);
  seen.pointed = await page.locator('#landmark').getAttribute('aria-valuetext');
}

async function camera(page) {
  await page.getByRole('button', { name: 'Use the camera' }).click();
  for (const size of SIZES) {
    await page.getByRole('radio', { name: `${size} ×` }).check({ force: true });
    await status(page, 'Following');
    await page.locator('#told', { hasText: `map of ${size} ×` }).waitFor(); // the new network is loaded
    await page.waitForTimeout(3000);
    seen.camera[size] = { fps: await page.locator('#fps').textContent(), ms: await page.locator('#ms').textContent() };
    seen.runs = await page.locator('#runs').textContent();
    await page.getByRole('button', { name: 'Stop the camera' }).click();
    await status(page, 'The camera is off');
    await save(page, `camera-${size}.json`);
    await page.getByRole('button', { name: 'Use the camera' }).click();
  }
  await status(page, 'Following');
}

async function errors() {
  const page = await open();
  await page.locator('#file').setInputFiles(join(folder, 'clip.y4m'));
  seen.errors.picture = await errorOf(page);
  await page.locator('#file').setInputFiles(join(folder, 'blank.png'));
  await page.locator('#error', { hasText: 'No face' }).waitFor();
  seen.errors.face = await errorOf(page);
  const dropped = await page.evaluateHandle(() => {
    const data = new DataTransfer();
    data.items.add(new File(['words'], 'notes.txt'));
    return data;
  });
  await page.locator('#drop').dispatchEvent('drop', { dataTransfer: dropped });
  await page.locator('#error', { hasText: 'notes.txt' }).waitFor();
  seen.errors.dropped = await errorOf(page);
  await page.context().close();
  for (const name of ['NotAllowedError', 'NotFoundError', 'NotReadableError', 'AbortError']) {
    const refused = await open({}, {
      broken: `navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', '${name}'))`,
    });
    await refused.getByRole('button', { name: 'Use the camera' }).click();
    seen.errors[name] = await errorOf(refused);
    await refused.context().close();
  }
  const without = await open({}, { route: '**/models/keyposs-8.onnx' });
  await without.locator('#file').setInputFiles(join(folder, 'photo.png'));
  seen.errors.model = await errorOf(without);
  await without.context().close();
}

try {
  const page = await open();
  await page.screenshot({ path: join(folder, 'empty.png'), fullPage: true });
  await accessible(page, 'light, empty');
  await photo(page);
  await page.screenshot({ path: join(folder, 'photo.shot.png'), fullPage: true });
  await accessible(page, 'light, faces');
  await keys(page);
  await pointing(page);
  await page.context().setOffline(true); // all that it needs is here by now
  await camera(page);
  await page.screenshot({ path: join(folder, 'camera.png'), fullPage: true });
  await page.context().close();
  const phone = await open({ viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, colorScheme: 'dark' });
  await phone.locator('#file').setInputFiles(join(folder, 'photo.png'));
  await status(phone, 'found in');
  await accessible(phone, 'dark, faces');
  seen.read = await phone.locator('body').ariaSnapshot();
  seen.phone = await phone.evaluate(() => document.documentElement.scrollWidth);
  await phone.screenshot({ path: join(folder, 'phone.png'), fullPage: true });
  await phone.context().close();
  await errors();
  await writeFile(join(folder, 'seen.json'), JSON.stringify({ ...seen, origin, origins: [...seen.origins] }, null, 1));
} finally {
  await close();
}
