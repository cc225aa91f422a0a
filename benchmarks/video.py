"""Jitter, lag and speed of points in a video, raw and smoothed.

python benchmarks/video.py --network keyposs-8

Two clips of a rendered face at 30 frames a second, with noise of its own on each frame: in one it stands still, in the
other it swings by a quarter of its size, to and fro in two seconds. Jitter is the mean step of a point between frames
of the still clip, over the face's size; lag is in frames, of the swinging clip.
"""

import argparse
import time
from collections.abc import Iterator

import cv2
import numpy as np
import torch

import keyposs
from keyposs.data import Synthetic
from keyposs.smoothing import OneEuro, jitter, lag
from keyposs.tracking import Tracker

FPS, FRAMES, NOISE = 30, 90, 6.0
FACE = Synthetic(test=1).annotations("test")[0]
SIZE = float(np.ptp(FACE.keypoints, axis=0).max())


def clip(swing: float) -> Iterator[tuple[float, np.ndarray, np.ndarray]]:
    """Times, frames and true points; `swing` is the way to one side, over the face's size."""
    painted, generator = FACE.read(), np.random.default_rng(0)
    for seconds in np.arange(FRAMES) / FPS:
        across = swing * SIZE * np.sin(np.pi * seconds)
        moved = cv2.warpAffine(painted, np.array([[1, 0, across], [0, 1, 0]]), painted.shape[1::-1], borderMode=1)
        noisy = moved + generator.normal(0, NOISE, moved.shape)
        yield seconds, noisy.clip(0, 255).astype(np.uint8), FACE.keypoints + np.array([across, 0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="keyposs-8")
    chosen = parser.parse_args()
    finder = keyposs.load(chosen.network)
    raw, true, sure, spent = [], [], [], []
    for swing in (0.0, 0.25):
        tracker, frames = Tracker(finder, every=np.inf, smooth=False), list(clip(swing))
        found = []
        for seconds, photo, _ in frames:
            start = time.perf_counter()
            (face,) = tracker(photo, seconds)
            spent.append(time.perf_counter() - start)
            found.append(face)
        raw.append(np.array([face.points for face in found]))
        sure.append(np.linalg.det(np.array([face.covariances for face in found])) ** 0.25)
        true.append(np.array([points for *_, points in frames]))
    steady = raw[1] - (raw[1] - true[1]).mean(0)  # without each point's own constant error
    print(
        f"{chosen.network}, {torch.get_num_threads()} threads: {1 / np.median(spent):.0f} frames a second when tracking"
    )
    print(f"raw: jitter {100 * jitter(raw[0], SIZE):.3f} %, lag {lag(steady, true[1]):.2f} frames")
    for name, known in (("by covariance", True), ("alike for all points", False)):
        filters = OneEuro(), OneEuro()
        still, moving = (
            np.array([f(p, d if known else None, SIZE, 1 / FPS) for p, d in zip(points, deviations, strict=True)])
            for f, points, deviations in zip(filters, (raw[0], steady), sure, strict=True)
        )
        said = f"jitter {100 * jitter(still[FPS // 3 :], SIZE):.3f} %, lag {lag(moving, true[1]):.2f} frames"
        print(f"One-Euro, {name}: {said}")


if __name__ == "__main__":
    main()
