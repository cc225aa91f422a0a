"""From pictures to landmarks, in one call."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch

from keyposs.detectors import Detect, detector
from keyposs.errors import KeyposError
from keyposs.found import Found, Picture, as_photo
from keyposs.networks import BATCH, Boxes, Marked, Network, Read, boxes_of, nothing, open_network, read_faces

FARTHEST = 4.0
"""A second pass looks at most so much closer or wider than the first: points that fly apart are no new box."""

PIXELS = 2**26
"""Photos are held together for a batch until they have so many pixels."""


class Finder:
    """Finds faces and their landmarks.

    Args:
        network: that reads faces.
        detect: finds the boxes of a photo's faces where none are given, see `keyposs.detectors`.
        passes: how often a face is read; from the second time on in the box of its own landmarks, so that a sloppy box
            costs little.
        batch_size: the most faces at once.

    Raises:
        KeyposError: if `passes` or `batch_size` is not positive.
    """

    def __init__(
        self,
        network: Network,
        detect: Detect,
        *,
        passes: int = 2,
        batch_size: int = BATCH,
    ) -> None:
        for name, value in (("passes", passes), ("batch_size", batch_size)):
            if value < 1:
                raise KeyposError(f"{name}={value}", "is less than one", "leave it out")
        self.network, self.passes, self.batch_size = network, passes, batch_size
        self.detect = detect

    @overload
    def __call__(self, pictures: Picture, boxes: Any = None) -> Found: ...
    @overload
    def __call__(self, pictures: Sequence[Picture], boxes: Any = None) -> list[Found]: ...
    def __call__(self, pictures: Picture | Sequence[Picture], boxes: Any = None) -> Found | list[Found]:
        """The landmarks of a picture, or of each of a list.

        Args:
            pictures: files, PIL images, arrays or tensors, see `Picture`.
            boxes: of a picture's faces, (n, 4) as x0, y0, x1, y1 in its pixels, each tight around the landmarks; of
                a list of pictures a list of such. Without, faces are looked for.

        Raises:
            KeyposError: if a picture is broken, or the boxes are none.
        """
        if not isinstance(pictures, list | tuple):
            return next(self.stream([(pictures, boxes)]))
        given = [None] * len(pictures) if boxes is None else boxes
        if len(given) != len(pictures):
            cause = f"{len(given)} lists of boxes were given for {len(pictures)} pictures"
            raise KeyposError("boxes", cause, "give a list of boxes for each picture")
        return list(self.stream(zip(pictures, given, strict=True)))

    def stream(self, pictures: Iterable[tuple[Picture, Any]]) -> Iterator[Found]:
        """The landmarks of any number of pictures, each with its boxes or None, one after another.

        As many are held as fill a batch.

        Raises:
            KeyposError: if a picture is broken, or boxes are none.
        """
        held: list[tuple[Picture, Marked]] = []
        for picture, boxes in pictures:
            photo = as_photo(picture)
            held.append((picture, (photo, self.detect(photo) if boxes is None else as_boxes(boxes))))
            faces, pixels = sum(len(b) for _, (_, b) in held), sum(p.size // 3 for _, (p, _) in held)
            if faces >= self.batch_size or pixels >= PIXELS:
                yield from self._found(held)
                held = []
        yield from self._found(held)

    def _found(self, held: Sequence[tuple[Picture, Marked]]) -> Iterator[Found]:
        reads = self.read([marked for _, marked in held])
        for (picture, (photo, boxes)), read in zip(held, reads, strict=True):
            yield Found(picture, (photo.shape[1], photo.shape[0]), boxes, *read, self.network.markup)

    def read(self, photos: Sequence[Marked]) -> list[Read]:
        """The faces in the boxes of some photos, read as often as `passes` says."""
        reads = [nothing(self.network.markup.size)] * len(photos)
        for i in range(self.passes):
            if i:
                photos = [(photo, closer(boxes, read)) for (photo, boxes), read in zip(photos, reads, strict=True)]
            reads = read_faces(self.network, photos, self.batch_size)
        return reads


def closer(boxes: Boxes, read: Read) -> Boxes:
    """The boxes of the landmarks that were found; the old one where that is far smaller or larger."""
    new = boxes_of(read.points)
    sides, before = (np.ptp(b.reshape(-1, 2, 2), axis=1).max(-1) for b in (new, boxes))
    ratio = sides / before
    return np.where(((ratio > 1 / FARTHEST) & (ratio < FARTHEST))[:, None], new, boxes)


def as_boxes(boxes: Any) -> Boxes:
    """Boxes as an array of doubles.

    Raises:
        KeyposError: if they are not n times x0, y0, x1, y1 of positive size.
    """
    if isinstance(boxes, torch.Tensor):
        boxes = boxes.detach().cpu()
    try:
        found = np.asarray(boxes, dtype=np.float64)
    except (TypeError, ValueError):
        found = np.full((1, 1), np.nan)
    found = found.reshape(0, 4) if not found.size else found
    if found.ndim != 2 or found.shape[1] != 4 or not np.isfinite(found).all() or (found[:, 2:] <= found[:, :2]).any():
        remedy = "give an array (n, 4), or [[x0, y0, x1, y1], ...], in pixels"
        raise KeyposError("boxes", "are not n times x0 < x1, y0 < y1", remedy)
    return found


def open_finder(path: str | Path, *, device: str, boxes: str, passes: int, batch_size: int) -> Finder:
    """A trained network on a device as a finder; see `keyposs.load`."""
    network = open_network(path, device)
    detect = detector(boxes, network.padding, device, batch_size)
    return Finder(network, detect, passes=passes, batch_size=batch_size)
