"""Points of a video without jitter: the One-Euro filter, told how sure each point is."""

import numpy as np
from jaxtyping import Float

RANGE = 4.0
"""A point is smoothed at most so much more or less than the face's middle one, however its deviation compares."""


class OneEuro:
    """A low-pass filter whose cutoff rises with speed: still points lose their jitter, moving ones hardly lag.

    Casiez, Roussel and Vogel, CHI 2012: `y <- y + a (x - y)` with `a = 1 / (1 + fs / (2 pi f))` at `fs` frames a
    second, and the cutoff `f = slow + gain |v|`, where the speed `v` is filtered with a cutoff of 1 Hz. Here
    coordinates are over the face's size, so that the same numbers suit every resolution, and a point's cutoff is
    multiplied by `median deviation / its deviation`: what the network is unsure of follows more slowly.

    Args:
        slow: cutoff of what stands still, Hz.
        gain: of the speed, Hz per face size a second.
    """

    def __init__(self, slow: float = 1.0, gain: float = 20.0) -> None:
        self.slow, self.gain = slow, gain
        self.points: Float[np.ndarray, "k 2"] | None = None

    def __call__(
        self,
        points: Float[np.ndarray, "k 2"],
        deviations: Float[np.ndarray, " k"] | None,
        size: float,
        seconds: float,
    ) -> Float[np.ndarray, "k 2"]:
        """The points of the next frame, smoothed.

        Args:
            points: as they were read.
            deviations: of each, in the unit of the points; None where nothing is known.
            size: of the face, in that unit.
            seconds: since the frame before; not positive: the frame before again.
        """
        if self.points is None:
            self.points, self.speed = points, np.zeros_like(points)
            return points
        if seconds <= 0:
            return self.points
        moved = (points - self.points) / (size * seconds)
        self.speed = self.speed + _share(1.0, seconds) * (moved - self.speed)
        cutoff = self.slow + self.gain * np.linalg.norm(self.speed, axis=-1)
        if deviations is not None:
            middle = np.median(deviations)
            cutoff = cutoff * np.clip(middle / np.maximum(deviations, 1e-9), 1 / RANGE, RANGE)
        self.points = self.points + _share(cutoff, seconds)[:, None] * (points - self.points)
        return self.points


def _share(cutoff: Float[np.ndarray, " k"] | float, seconds: float) -> Float[np.ndarray, " k"]:
    """Of the new value in the filtered one."""
    turns = 2 * np.pi * np.atleast_1d(cutoff) * seconds
    return turns / (1 + turns)


def jitter(points: Float[np.ndarray, "t k 2"], size: float) -> float:
    """The mean distance between the points of one frame and the next, over the face's size: of a still clip, noise."""
    return float(np.linalg.norm(np.diff(points, axis=0), axis=-1).mean() / size)


def lag(points: Float[np.ndarray, "t k 2"], truth: Float[np.ndarray, "t k 2"]) -> float:
    """How many frames points come after the truth: the step along its velocity that explains their error best.

    >>> truth = np.arange(20.0)[:, None, None] * np.ones((1, 3, 2))
    >>> round(lag(truth - 2.5, truth), 3)
    2.5
    """
    velocity = np.gradient(truth, axis=0)
    return float(((truth - points) * velocity).sum() / (velocity**2).sum())
