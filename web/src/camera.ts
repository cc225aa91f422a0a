// Reads what a camera sees, frame after frame.

import { ask, giveUp, take, taken } from './ask';
import type { Box } from './crop';
import type { Face } from './network';
import { apart, boxOf } from './scan';
import { clearError, facesInWords, fail, figure, find, say, show, showPicture, view } from './view';

/** A face that is followed may be in more doubt than one that is found: else it would be lost at every turn. */
const HOLD = 0.04;

/** In front of a camera faces are near: smaller windows, over the picture's shorter side, are not looked into. */
const NEAR = 0.25;

/** How much of an old frame's time stays in the shown mean. */
const INERTIA = 0.85;

const ERRORS: Record<string, string> = {
  NotAllowedError: 'The camera was not allowed. Allow it in the browser’s settings for this page, and try again.',
  NotFoundError: 'No camera was found. Connect one, or choose a photo.',
  NotReadableError: 'The camera is in use by another program. Close that, and try again.',
};

const button = find<HTMLButtonElement>('camera');
const video = find<HTMLVideoElement>('video');
let stream: MediaStream | null = null;
let opening = false; // while the browser asks whether it may

export function switchCamera(): void {
  if (stream) stopCamera();
  else if (!opening) void startCamera();
}

async function startCamera(): Promise<void> {
  clearError();
  if (!navigator.mediaDevices) return fail('There is no camera here: browsers give it to https and localhost only.');
  const wanted = { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: 'user' };
  opening = true;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
  } catch (error) {
    const name = (error as Error).name;
    return fail(ERRORS[name] ?? `The camera could not be opened (${name}).`);
  } finally {
    opening = false;
  }
  const mine = stream;
  mine.getVideoTracks()[0]?.addEventListener('ended', () => {
    if (stream !== mine) return;
    stopCamera();
    fail('The camera was disconnected.');
  });
  video.srcObject = mine;
  setLive(true);
  view.photo = false;
  show(null);
  say('Looking for a face …');
  await video.play().catch(() => {}); // stopped before it started
  return follow(mine);
}

/** Reads frame after frame, each face in the box that it had in the last one; looks for faces where there is none. */
async function follow(mine: MediaStream): Promise<void> {
  let boxes: Box[] | null = null;
  let last = 0;
  let mean: number | null = null; // ms from frame to frame, while a face is followed
  let frame = nextFrame();
  while (stream === mine) {
    await frame;
    if (stream !== mine) return;
    frame = nextFrame(); // may come while this one is read: then there is no wait
    take(video, video.videoWidth, video.videoHeight);
    const answer = await ask(boxes, NEAR, boxes ? 1 : 2);
    if (stream !== mine) return;
    if (!answer) return stopCamera();
    const now = performance.now();
    if (boxes) mean = mean === null ? now - last : INERTIA * mean + (1 - INERTIA) * (now - last);
    else mean = null;
    last = now;
    boxes = held(answer.faces);
    showPicture(taken);
    show(answer);
    figure('fps', mean === null ? '–' : (1000 / mean).toFixed(1));
    say(boxes ? `Following ${facesInWords(boxes.length)}.` : 'Looking for a face: come closer, and look ahead.');
  }
}

/** The boxes to follow: of faces that are still sure, each once; null where none is. */
function held(faces: readonly Face[]): Box[] | null {
  const sure = faces.filter((face) => face.doubt < HOLD);
  const boxes = sure.map((face) => boxOf(face.points));
  const kept = apart(boxes, sure.map((face) => face.doubt));
  return kept.length ? kept.map((i) => boxes[i]!) : null;
}

function nextFrame(): Promise<unknown> {
  return new Promise((resolve) => {
    if ('requestVideoFrameCallback' in video) video.requestVideoFrameCallback(resolve);
    else requestAnimationFrame(resolve);
  });
}

export function stopCamera(): void {
  if (!stream) return;
  for (const track of stream.getTracks()) track.stop();
  stream = null;
  video.srcObject = null;
  giveUp();
  setLive(false);
  show(view.read);
  say(view.read?.faces.length ? 'The camera is off. The last frame stays.' : 'The camera is off.');
}

function setLive(on: boolean): void {
  view.live = on;
  button.setAttribute('aria-pressed', String(on));
  button.textContent = on ? 'Stop the camera' : 'Use the camera';
}
