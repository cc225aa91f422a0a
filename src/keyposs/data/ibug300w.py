"""300-W in its official folders (iBUG: https://ibug.doc.ic.ac.uk/resources/facial-point-annotations/)."""

import logging
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float

from keyposs.data.dataset import FaceDataset, Source
from keyposs.errors import KeyposError
from keyposs.markup import MARKUP_68
from keyposs.types import Annotation

_log = logging.getLogger(__name__)


class Part(NamedTuple):
    """One official folder."""

    folder: str
    split: str
    faces: int  # in the official release
    subset: str = "all"


PARTS = (
    Part("afw", "train", 337),
    Part("helen/trainset", "train", 2000),
    Part("lfpw/trainset", "train", 811),
    Part("helen/testset", "test", 330, "common"),
    Part("lfpw/testset", "test", 224, "common"),
    Part("ibug", "test", 135, "challenging"),
)

_FOLDERS = ", ".join(part.folder for part in PARTS)
_SUFFIXES = (".jpg", ".jpeg", ".png")


class Ibug300W(FaceDataset):
    """300-W: 68 points. Parts that are not there are reported and left out.

    `val` is cut from `train` by `hold_out`; the test subsets are `common`, `challenging` and, where both are
    there, `full`. The arguments are `FaceDataset`'s; `root` is the folder that holds `afw`, `helen`, `lfpw`, `ibug`.
    """

    name = "300w"
    markup = MARKUP_68
    threshold = 0.08
    official: ClassVar[Mapping[str, int]] = {"train": 3148, **{part.folder: part.faces for part in PARTS}}

    def sources(self, split: str) -> Sequence[Source]:
        """One for each `.pts` file of the split's parts."""
        if split == "val":
            return []
        _check_root(self.root)
        parts = [part for part in PARTS if part.split == split]
        found = [(part, path) for part in parts for path in _find_points(self.root / part.folder)]
        _report(split, parts, [part for part, _ in found])
        there = {part.subset for part, _ in found}
        whole = {"common", "challenging"} <= there
        return [
            partial(self._face, part, path, (part.subset, "full") if whole else (part.subset,)) for part, path in found
        ]

    def _face(self, part: Part, path: Path, subsets: tuple[str, ...]) -> Annotation:
        name = f"{part.folder}/{path.stem}"
        return self.describe(
            path,
            read_points(path),
            name=name,
            # AFW and HELEN number the faces of a photo: 134212_1, 134212_2.
            photo=name if part.folder.startswith("lfpw") else re.sub(r"_\d+$", "", name),
            file=_find_photo(path),
            subsets=subsets,
        )


def read_points(path: Path) -> Float[np.ndarray, "68 2"]:
    """Reads a `.pts` file, with or without its header; its 1-based coordinates become 0-based.

    Raises:
        KeyposError: if it does not hold 68 pairs of finite numbers.
    """
    remedy = "fetch the file again, or set data.bad_faces=skip"
    text = path.read_text(encoding="utf-8", errors="replace").partition("}")[0]
    lines = [line.strip() for line in text.rpartition("{")[2].splitlines()]
    lines = [line for line in lines if line and not line.startswith(("version", "n_points"))]
    if not lines:
        raise KeyposError(path, "holds no points", remedy)
    try:
        points = [[float(number) for number in line.split()] for line in lines]
    except ValueError as error:
        raise KeyposError(path, f"holds something else than numbers ({error})", remedy) from error
    if len(points) != MARKUP_68.size:
        raise KeyposError(path, f"holds {len(points)} points, not {MARKUP_68.size}", remedy)
    if any(len(point) != 2 for point in points) or not np.isfinite(points).all():
        raise KeyposError(path, "holds a point that is not two finite numbers", remedy)
    return np.array(points) - 1


def _find_points(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.suffix.lower() == ".pts")


def _find_photo(points: Path) -> Path:
    found = [points.with_suffix(s) for suffix in _SUFFIXES for s in (suffix, suffix.upper())]
    for path in found:
        if path.is_file():
            return path
    found = [p for p in points.parent.glob("*") if p.stem == points.stem and p.suffix.lower() in _SUFFIXES]
    return found[0] if found else points.with_suffix(".jpg")


def _check_root(root: Path) -> None:
    if not root.is_dir():
        raise KeyposError(root, "the folder is missing", "set data.root to the folder of 300-W")
    if _has_part(root):
        return
    better = [path for path in (*sorted(root.glob("*/")), root.parent, root.parent.parent) if _has_part(path)]
    remedy = f"set data.root={better[0]}" if better else "set data.root to the folder that holds them"
    raise KeyposError(root, f"holds none of the official folders {_FOLDERS}", remedy)


def _has_part(root: Path) -> bool:
    return any((root / part.folder).is_dir() for part in PARTS)


def _report(split: str, parts: list[Part], found: list[Part]) -> None:
    _log.info("300w %s: part, faces found, official count", "train and val" if split == "train" else split)
    for part in parts:
        count = found.count(part)
        _log.info("  %-14s %4s of %4d", part.folder, count or "none", part.faces)
