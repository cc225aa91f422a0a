import { defineConfig, defaultClientConditions } from 'vite';

// Nothing but this page's own files may be fetched: what it says of privacy, the browser enforces.
const policy = [
  "default-src 'self'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self' blob:",
  "img-src 'self' blob: data:",
  "media-src 'self' blob: mediastream:",
].join('; ');

export default defineConfig({
  base: './', // so that dist can lie in any folder of any server
  appType: 'mpa', // a missing model is a 404, not the page once more
  resolve: {
    // the runtime as files of its own, which its threads load as well
    conditions: ['onnxruntime-web-use-extern-wasm', ...defaultClientConditions],
  },
  worker: { format: 'es' },
  build: { target: 'es2022', chunkSizeWarningLimit: 1000 },
  preview: {
    headers: {
      'Content-Security-Policy': policy,
      'Cross-Origin-Opener-Policy': 'same-origin', // with the next, threads may share memory
      'Cross-Origin-Embedder-Policy': 'require-corp',
    },
  },
  plugins: [
    {
      name: 'policy', // on servers that send no such header
      apply: 'build',
      transformIndexHtml: () => [
        { tag: 'meta', attrs: { 'http-equiv': 'Content-Security-Policy', content: policy }, injectTo: 'head-prepend' },
      ],
    },
  ],
});
