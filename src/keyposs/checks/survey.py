"""A whole dataset, read once: its faces, what of them is bad, and what their photos look like."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from rich.progress import track

from keyposs.crop import crop_matrix, warp
from keyposs.data import Boxes
from keyposs.data.dataset import SPLITS
from keyposs.errors import KeyposError
from keyposs.markup import Markup
from keyposs.types import Annotation, Photo

THUMB = 64
"""Side in pixels of the grey picture of each face that duplicates are found by."""

_GREY = 8  # grey levels: colours that differ by less, at every pixel, are those of a grey photo in a JPEG


class View(NamedTuple):
    """What is kept of a face's photo."""

    size: tuple[int, int]  # width, height
    grey: bool
    thumb: UInt8[np.ndarray, "t t"]  # the tight box of its landmarks, made square


@dataclass(frozen=True)
class Survey:
    """What the checks look at.

    Args:
        name: of the dataset.
        markup: of its landmarks.
        official: the authors' counts, see `FaceDataset`.
        photos: whether there are pictures to read.
        padding: crop side over the longer side of a box.
        image_size: crop side in pixels.
        faces: those whose annotations are good, with the boxes chosen.
        splits: of each face.
        views: of each face; None where its photo was not read.
        bad: split and error of each face that is missing or broken.
        boxless: names of the faces without the box chosen; they have the landmarks' box here.
        limit: how many photos of each split were read at most; None for all.
    """

    name: str
    markup: Markup
    official: Mapping[str, int]
    photos: bool
    padding: float
    image_size: int
    faces: Sequence[Annotation]
    splits: Sequence[str]
    views: Sequence[View | None]
    bad: Sequence[tuple[str, KeyposError]]
    boxless: Sequence[str] = ()
    limit: int | None = None

    @cached_property
    def masks(self) -> list[Bool[np.ndarray, " n"]]:
        """Which faces are of train, of val and of test."""
        return [np.array([of == split for of in self.splits], dtype=bool) for split in SPLITS]

    @cached_property
    def keypoints(self) -> Float[np.ndarray, "n k 2"]:
        """Of all faces; NaN where they are not visible."""
        shape = (-1, self.markup.size, 2)
        points = np.array([face.keypoints for face in self.faces], dtype=float).reshape(shape)
        visible = np.array([face.visible for face in self.faces], dtype=bool).reshape(shape[:2])
        return np.where(visible[..., None], points, np.nan)

    @cached_property
    def boxes(self) -> Float[np.ndarray, "n 4"]:
        """The boxes that crops are cut by."""
        return np.array([face.box for face in self.faces], dtype=float).reshape(-1, 4)

    @cached_property
    def tight(self) -> Float[np.ndarray, "n 4"]:
        """The tight boxes of the visible landmarks."""
        return np.array([tight_box(face) for face in self.faces], dtype=float).reshape(-1, 4)

    @cached_property
    def norms(self) -> Float[np.ndarray, " n"]:
        """The normalisers, in pixels of the photo."""
        return np.array([face.norm for face in self.faces], dtype=float)

    @cached_property
    def sizes(self) -> Float[np.ndarray, "n 2"]:
        """Width and height of the photos; NaN where they were not read."""
        return np.array([view.size if view else (np.nan, np.nan) for view in self.views], dtype=float).reshape(-1, 2)

    @cached_property
    def sides(self) -> Float[np.ndarray, " n"]:
        """Sides of the cropped squares, in pixels of the photo."""
        return self.padding * (self.boxes[:, 2:] - self.boxes[:, :2]).max(1)

    def name_of(self, order: Sequence[int] | np.ndarray) -> list[str]:
        """Names of faces by their numbers."""
        return [self.faces[i].name for i in order]


def tight_box(face: Annotation) -> Float[np.ndarray, " 4"]:
    """Of the visible landmarks; the face's own box where there are none."""
    seen = face.keypoints[face.visible]
    return np.concatenate([seen.min(0), seen.max(0)]) if len(seen) else face.box


def survey(
    dataset: Any, boxes: Boxes, *, padding: float, image_size: int, limit: int | None = None, quiet: bool = False
) -> Survey:
    """Reads the annotations of a dataset, and then every photo once.

    Args:
        dataset: has `gather(split)`, `cut` and what `FaceDataset` has.
        boxes: chooses the box of each face.
        padding: crop side over the longer side of a box.
        image_size: crop side in pixels.
        limit: how many photos of each split are read, spread evenly; None for all.
        quiet: shows no progress.

    Raises:
        KeyposError: if the folder is not the dataset's, or a CSV of boxes is bad.
    """
    gathered = {split: dataset.gather(split) for split in SPLITS}
    bad = [(split, error) for split, (_, errors) in gathered.items() for error in errors]
    faces = {split: good for split, (good, _) in gathered.items()}
    faces["train"], faces["val"] = dataset.cut(faces["train"], faces["val"])
    flat = [face for split in SPLITS for face in faces[split]]
    splits = [split for split in SPLITS for _ in faces[split]]
    views: list[View | None] = [None] * len(flat)
    if dataset.photos:
        starts = [0, *accumulate(len(faces[split]) for split in SPLITS)]
        chosen = [i for a, b in pairwise(starts) for i in spread(a, b, limit)]
        for i, view in look(flat, chosen, quiet=quiet):
            if isinstance(view, View):
                views[i] = view
            else:
                bad.append((splits[i], view))
    found = boxes.find(flat)
    boxless = [face.name for face, box in zip(flat, found, strict=True) if box is None]
    boxed = [face if box is None else face._replace(box=box) for face, box in zip(flat, found, strict=True)]
    facts = (dataset.name, dataset.markup, dataset.official, dataset.photos)
    return Survey(*facts, padding, image_size, boxed, splits, views, bad, boxless, limit)


def spread(start: int, stop: int, limit: int | None) -> list[int]:
    """At most `limit` whole numbers from `start` to before `stop`, at even distances.

    >>> spread(10, 20, 3), spread(0, 2, None), spread(0, 2, 5)
    ([10, 13, 16], [0, 1], [0, 1])
    """
    many = stop - start if limit is None else min(limit, stop - start)
    return [start + i * (stop - start) // many for i in range(many)]


def look(
    faces: Sequence[Annotation], chosen: Sequence[int], *, quiet: bool
) -> Iterator[tuple[int, View | KeyposError]]:
    """Decodes each photo of the chosen faces once, in threads."""
    groups: defaultdict[object, list[int]] = defaultdict(list)
    for i in chosen:
        groups[faces[i].file, faces[i].photo].append(i)

    def attempt(group: Sequence[int]) -> list[tuple[int, View | KeyposError]]:
        try:
            photo = faces[group[0]].read()
        except KeyposError as error:
            return [(i, error) for i in group]
        return [(i, view(photo, tight_box(faces[i]))) for i in group]

    with ThreadPoolExecutor(4) as pool:
        done = pool.map(attempt, groups.values())
        for found in track(done, "reading photos", total=len(groups), disable=quiet, transient=True):
            yield from found


def view(photo: Photo, box: Float[np.ndarray, " 4"]) -> View:
    """What is kept of the face in that box; a box without a side gives a black picture."""
    height, width = photo.shape[:2]
    sample = photo[:: max(height // 128, 1), :: max(width // 128, 1)].astype(np.int16)
    grey = bool(np.ptp(sample, axis=2).max() < _GREY)
    box = near(box, photo)
    thumb = np.zeros((THUMB, THUMB), np.uint8)
    if (box[2:] - box[:2]).max() > 0:
        thumb = cv2.cvtColor(warp(photo, crop_matrix(box, size=THUMB, padding=1), THUMB), cv2.COLOR_RGB2GRAY)
    return View((width, height), grey, thumb)


def near(box: Float[np.ndarray, " 4"], photo: Photo) -> Float[np.ndarray, " 4"]:
    """The box, cut off where it is farther from the photo than the photo is large: a point astray makes it endless."""
    size = np.array(photo.shape[1::-1], dtype=float)
    return np.clip(box, np.tile(-size, 2), np.tile(2 * size, 2))
