// A picture of the built page with the faces of a photo: node pictures.mjs DIST PHOTO PICTURE WIDTH SCALE COLOURS, see
// pictures.py.

import { start } from './browser.mjs';

const LANDMARK = 8; // the chin, which is pointed at

const [dist, photo, picture, width, scale, colours] = process.argv.slice(2);
const { browser, origin, close } = await start(dist);
try {
  const page = await browser.newPage({
    viewport: { width: Number(width), height: 800 },
    deviceScaleFactor: Number(scale),
    colorScheme: colours,
  });
  await page.goto(origin);
  await page.locator('#file').setInputFiles(photo);
  await page.locator('#status', { hasText: 'found in' }).waitFor({ timeout: 120_000 });
  const saved = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Save points' }).click();
  const chunks = [];
  for await (const chunk of await (await saved).createReadStream()) chunks.push(chunk);
  const { faces, width: pixels } = JSON.parse(Buffer.concat(chunks).toString());
  await page.locator('#stage').scrollIntoViewIfNeeded();
  const frame = await page.locator('#stage').boundingBox();
  const [x, y] = faces[0].points[LANDMARK].map((value) => ((value + 0.5) * frame.width) / pixels);
  await page.mouse.move(frame.x + x, frame.y + y);
  await page.screenshot({ path: picture, fullPage: true, type: 'jpeg', quality: 90 });
} finally {
  await close();
}
