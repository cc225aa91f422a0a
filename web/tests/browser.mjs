// The built page on a server of its own, and a browser to open it with: CHROMIUM= names another one.

import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { preview } from 'vite';

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/**
 * Serves a built page and starts a browser for it.
 *
 * @param dist - the built page.
 * @param flags - more of them for Chromium.
 */
export async function start(dist, flags = []) {
  const server = await preview({
    root: join(import.meta.dirname, '..'),
    build: { outDir: dist },
    preview: { port: 0, host: '127.0.0.1', open: false },
    logLevel: 'silent',
  });
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
  const browser = await chromium.launch({ executablePath, args: [...FLAGS, ...flags] });
  const close = async () => {
    await browser.close();
    await server.close();
  };
  return { browser, origin: `http://127.0.0.1:${server.httpServer.address().port}`, close };
}
