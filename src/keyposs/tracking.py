"""Faces through a video: a frame's box is the last frame's landmarks; looked for anew when that fails."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from keyposs.finder import Finder
from keyposs.networks import Boxes, Read, boxes_of, read_faces
from keyposs.scan import OVERLAP, apart, doubt, overlap
from keyposs.smoothing import OneEuro
from keyposs.types import Photo

LOST = 0.035
"""A face of more doubt than this is lost; one is found below `keyposs.scan.SURE`."""

SOON = 0.5
"""Seconds after which faces are looked for again where there is none."""


class Tracked(NamedTuple):
    """A face in a frame."""

    number: int  # the same through the video, from 0
    points: Float[np.ndarray, "k 2"]  # pixels of the frame
    scores: Float[np.ndarray, " k"]
    covariances: Float[np.ndarray, "k 2 2"]
    doubt: float  # see `keyposs.scan.doubt`


@dataclass
class _Track:
    number: int
    box: Float[np.ndarray, " 4"]
    seen: float  # seconds
    smooth: OneEuro = field(default_factory=OneEuro)


class Tracker:
    """Follows the faces of one video.

    Args:
        finder: of a network that tells covariances.
        every: seconds after which faces that have come into view are looked for.
        smooth: whether points pass a One-Euro filter.
    """

    def __init__(self, finder: Finder, *, every: float = 3.0, smooth: bool = True) -> None:
        self.finder, self.every, self.smooth = finder, every, smooth
        self.tracks: list[_Track] = []
        self.count, self.looked = 0, -np.inf

    def __call__(self, photo: Photo, seconds: float) -> list[Tracked]:
        """The faces of the next frame, in the order in which they came.

        Args:
            photo: the frame.
            seconds: its time in the video.
        """
        read = self._read(photo, [track.box for track in self.tracks], passes=1)
        found = self._keep(self.tracks, read, seconds)
        if seconds - self.looked >= (self.every if found else SOON):
            self.looked = seconds
            found += self._look(photo, seconds)
        return found

    def _look(self, photo: Photo, seconds: float) -> list[Tracked]:
        """Faces that are not followed yet, which are from now on."""
        known = self.tracks
        boxes = [b for b in self.finder.detect(photo) if all(overlap(b, track.box) <= OVERLAP for track in known)]
        new = [_Track(self.count + i, box, seconds) for i, box in enumerate(boxes)]
        self.count += len(new)
        found = self._keep(new, self._read(photo, boxes, passes=self.finder.passes), seconds)
        self.tracks = known + self.tracks
        return found

    def _read(self, photo: Photo, boxes: list[Float[np.ndarray, " 4"]], passes: int) -> Read:
        at: Boxes = np.array(boxes).reshape(-1, 4)
        for _ in range(passes):
            (read,) = read_faces(self.finder.network, [(photo, at)], self.finder.batch_size)
            at = boxes_of(read.points)
        return read

    def _keep(self, tracks: list[_Track], read: Read, seconds: float) -> list[Tracked]:
        """The faces that are sure, each once; their tracks are what is followed from now on."""
        doubts, boxes = doubt(read), boxes_of(read.points)
        assert read.covariances is not None  # or there was no doubt
        found, self.tracks = [], []
        for i in sorted(apart(boxes, doubts)):
            if doubts[i] > LOST:
                continue
            track, points = tracks[i], read.points[i]
            if self.smooth:
                deviations = np.clip(np.linalg.det(read.covariances[i]), 0, None) ** 0.25
                points = track.smooth(points, deviations, float(max(np.ptp(points, axis=0))), seconds - track.seen)
            found.append(Tracked(track.number, points, read.scores[i], read.covariances[i], float(doubts[i])))
            self.tracks.append(_Track(track.number, boxes[i], seconds, track.smooth))
        return found
