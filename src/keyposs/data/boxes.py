"""The box that a face's crop is cut around: which one, and how far it errs."""

import logging
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from keyposs.data.formats.boxes_csv import Box, Row, read_rows
from keyposs.errors import KeyposError
from keyposs.types import Annotation

SOURCES = ("landmarks", "dataset", "csv")

MISSING = ("error", "landmarks")

_log = logging.getLogger(__name__)


class Boxes:
    """Chooses the box of each face; norms stay those of the dataset.

    Args:
        source: `landmarks`, the tight box of the visible ones; `dataset`, its own box; `csv`, from a file.
        file: the CSV, with the columns file, x0, y0, x1, y1 and a row per box, in pixels of the stored photo. `file`
            is a face's name as in predictions.csv, or its photo's path: absolute, relative to `root` or to the CSV's
            folder, or as the dataset's own lists have it. Of a photo's boxes its faces take those that overlap their
            landmarks best; boxes may be left over.
        root: the folder of the data.
        missing: what becomes of a face that no box of the CSV overlaps: `error`, or `landmarks` to take their box.
        jitter: how far a training face's box errs, see `jittered`: one fraction for shift and scale, or a pair.

    Raises:
        KeyposError: if a setting is unknown or not in its range.
    """

    def __init__(
        self,
        source: str = "landmarks",
        *,
        file: str | Path | None = None,
        root: str | Path | None = None,
        missing: str = "error",
        jitter: Any = 0,
    ) -> None:
        for setting, value, known in (("source", source, SOURCES), ("missing", missing, MISSING)):
            if value not in known:
                raise KeyposError(f"box.{setting}={value}", "is unknown", f"choose one of {', '.join(known)}")
        if source == "csv" and file is None:
            raise KeyposError("box.file", "is not given", "add box.file=... to the command")
        self.source, self.file, self.root, self.missing = source, file, root, missing
        self.jitter = shift_and_scale(jitter, "box.jitter")

    def choose(self, faces: Sequence[Annotation]) -> list[Annotation]:
        """The faces, each with the chosen box in place of its tight one.

        Raises:
            KeyposError: if a face has no such box, or the CSV is bad.
        """
        boxes = self.find(faces)
        lacking = [face for face, box in zip(faces, boxes, strict=True) if box is None]
        if lacking:
            raise self._lacks(lacking, len(faces))
        return [face._replace(box=box) for face, box in zip(faces, boxes, strict=True)]

    def find(self, faces: Sequence[Annotation]) -> list[Box | None]:
        """The chosen box of each face; None where it has none, or one without extent.

        Raises:
            KeyposError: if the CSV is bad, or none of its rows is of these faces and `missing` is `error`.
        """
        boxes: Sequence[Box | None] = [face.face_box if self.source == "dataset" else face.box for face in faces]
        if self.source == "csv":
            boxes = self._listed(faces)
        return [None if box is None or _side(box) <= 0 else box for box in boxes]

    def _listed(self, faces: Sequence[Annotation]) -> list[Box | None]:
        """The boxes of the CSV; where it has none for a face, the landmarks' box or None, as `missing` says."""
        boxes: list[Box | None] = [None] * len(faces)
        if not faces:
            return boxes
        file = _path(self.file)
        rows = list(read_rows(file, "box.file="))
        photos, rows_of = _photos(faces), defaultdict(list)
        place = _finder(faces, photos, [_path(folder) for folder in (self.root, file.parent) if folder is not None])
        for row in rows:
            photo, face = place(row.file)
            if photo is not None:
                rows_of[photo].append((row.box, face))
        for photo, found in rows_of.items():
            members = photos[photo][1]
            for member, box in _assign([faces[i] for i in members], found, members):
                boxes[member] = box
        unknown = "" if rows_of else _unknown(rows, faces)
        if self.missing == "landmarks":
            return self._filled(boxes, faces, unknown)
        if unknown:
            raise KeyposError(file, unknown, "write a face's name as in predictions.csv, or its photo's path")
        return boxes

    def _filled(self, boxes: Sequence[Box | None], faces: Sequence[Annotation], why: str) -> list[Box | None]:
        """The boxes, or where there is none the landmarks', which is logged."""
        lacking, because = sum(box is None for box in boxes), f" ({why})" if why else ""
        if lacking:
            text = "box.file: %d of %d faces have no box of %s%s; theirs is the landmarks'"
            _log.warning(text, lacking, len(faces), self.file, because)
        return [face.box if box is None else box for face, box in zip(faces, boxes, strict=True)]

    def _lacks(self, lacking: Sequence[Annotation], count: int) -> KeyposError:
        cause, remedy = {
            "landmarks": ("the tight box of its landmarks has no extent", "set box=dataset"),
            "dataset": ("has no box of the dataset's own", "set box=landmarks"),
            "csv": (f"no box of {self.file} overlaps its landmarks", "add its box, or set box.missing=landmarks"),
        }[self.source]
        first, so = lacking[0], f" (so for {len(lacking)} of {count} faces)"
        return KeyposError(first.name if first.file is None else f"{first.name} ({first.file})", cause + so, remedy)


def is_fraction(value: Any) -> bool:
    """Whether it is a number from 0 to below 1."""
    return isinstance(value, float | int) and 0 <= value < 1


def shift_and_scale(value: Any, setting: str) -> tuple[float, float]:
    """One fraction for both, or a pair.

    Raises:
        KeyposError: naming the setting, if they are not such fractions.

    >>> shift_and_scale(0.1, "box.jitter"), shift_and_scale([0.2, 0], "box.jitter")
    ((0.1, 0.1), (0.2, 0.0))
    """
    pair = list(value) if isinstance(value, Sequence) else [value, value]
    if len(pair) != 2 or not all(map(is_fraction, pair)):
        remedy = "give one, like 0.1, or [shift, scale]"
        raise KeyposError(f"{setting}={value}", "is no fraction below 1, nor a pair of them", remedy)
    return float(pair[0]), float(pair[1])


def jittered(box: Box, shift: float, scale: float, generator: np.random.Generator) -> Box:
    """A box with an error: moved along x and y by up to `shift` of its longer side, and scaled by 1 +- `scale`.

    All is uniform. Three numbers are drawn whatever the limits, so that boxes of one seed err alike at every
    limit; with both 0 the box stays as it is, to the last bit.
    """
    x, y, z = generator.uniform(-1, 1, 3)
    move, grow = shift * _side(box) * np.array([x, y]), scale * z / 2 * (box[2:] - box[:2])
    return box + np.concatenate([move - grow, move + grow])


def erring(faces: Sequence[Annotation], shift: float, scale: float, seed: int) -> list[Annotation]:
    """The faces with `jittered` boxes; what is drawn for a face depends on its name and the seed alone."""
    generators = (np.random.default_rng((seed, *face.name.encode(errors="surrogateescape"))) for face in faces)
    boxes = (jittered(face.box, shift, scale, generator) for face, generator in zip(faces, generators, strict=True))
    return [face._replace(box=box) for face, box in zip(faces, boxes, strict=True)]


def _path(written: object) -> Path:
    return Path(os.path.expanduser(str(written)))


def _unknown(rows: Sequence[Row], faces: Sequence[Annotation]) -> str:
    """What is wrong with rows of which none is of these faces."""
    first = faces[0]
    photo = "" if first.file is None else f" in {first.file}"
    cause = f"none of its {len(rows)} rows names one of these {len(faces)} faces or its photo"
    return f"{cause}: its first names {rows[0].file!r}, the first face is {first.name!r}{photo}"


def _finder(
    faces: Sequence[Annotation], photos: Sequence[tuple[str | None, list[int]]], folders: Sequence[Path]
) -> Callable[[str], tuple[int | None, int | None]]:
    """What the `file` of a CSV's row names: one of the photos, and its face, each None if it names none."""
    named = {face.name: i for i, face in enumerate(faces)}
    photo_of = {i: photo for photo, (_, members) in enumerate(photos) for i in members}
    paths = {path: photo for photo, (path, _) in enumerate(photos) if path is not None}
    called = [faces[members[0]].photo for _, members in photos]
    unique = {name for name, count in Counter(called).items() if count == 1}
    titles = {name: photo for photo, name in enumerate(called) if name in unique}

    @cache
    def place(name: str) -> tuple[int | None, int | None]:
        if name in named:
            return photo_of[named[name]], named[name]
        found = (paths.get(os.path.realpath(folder / name)) for folder in folders)
        return next((photo for photo in found if photo is not None), titles.get(name)), None

    return place


def _photos(faces: Sequence[Annotation]) -> list[tuple[str | None, list[int]]]:
    """The faces (by index) of each photo file, and its path; None where a file is none or holds several photos."""
    by_file: dict[Path | None, list[int]] = defaultdict(list)
    for i, face in enumerate(faces):
        by_file[face.file].append(i)
    groups: list[tuple[str | None, list[int]]] = []
    for file, members in by_file.items():
        if file is not None and len({faces[i].photo for i in members}) == 1:
            groups.append((os.path.realpath(file), members))
        else:
            groups += [(None, [i]) for i in members]
    return groups


def _assign(
    faces: Sequence[Annotation], rows: Sequence[tuple[Box, int | None]], members: Sequence[int]
) -> Iterator[tuple[int, Box]]:
    """Members and their boxes: the assignment with the largest overlap in all, without those that do not overlap.

    Args:
        faces: of a photo.
        rows: its boxes, each with the one member that it may belong to; None: any.
        members: what the faces are called in `rows`.
    """
    boxes = np.stack([box for box, _ in rows])
    shared = np.stack([overlap(face.box, boxes) for face in faces])
    for column, (_, only) in enumerate(rows):
        if only is not None:
            shared[[member != only for member in members], column] = 0
    for i, j in zip(*linear_sum_assignment(shared, maximize=True), strict=True):
        if shared[i, j] > 0:
            yield members[i], boxes[j]


def overlap(tight: Box, boxes: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, " n"]:
    """IoU of the landmarks' tight box with other boxes; it reaches to the outer edges of its pixels.

    >>> overlap(np.array([0.0, 0, 9, 9]), np.array([[-0.5, -0.5, 9.5, 4.5], [20, 20, 30, 30]]))
    array([0.5, 0. ])
    """
    tight = tight + np.array([-0.5, -0.5, 0.5, 0.5])
    sides = np.minimum(tight[2:], boxes[:, 2:]) - np.maximum(tight[:2], boxes[:, :2])
    shared = np.clip(sides, 0, None).prod(1)
    iou: np.ndarray = shared / ((tight[2:] - tight[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(1) - shared)
    return iou


def _side(box: Box) -> float:
    return float(np.max(box[2:] - box[:2]))
