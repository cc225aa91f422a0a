"""300-W in its official folders (iBUG: https://ibug.doc.ic.ac.uk/resources/facial-point-annotations/)."""

import logging
import re
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from keyposs.data.gather import BAD_FACES, SPLITS, check_choice, describe, gather
from keyposs.data.split import hold_out
from keyposs.errors import KeyposError
from keyposs.markup import MARKUP_68, NORMS
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


class Ibug300W:
    """300-W: 68 points. Parts that are not there are reported and left out.

    `val` is cut from `train` by `hold_out`; the test subsets are `common`, `challenging` and, where both are
    there, `full`. Boxes are the tight boxes of the landmarks.

    Args:
        root: the folder that holds `afw`, `helen`, `lfpw`, `ibug`.
        norm: the normaliser of errors.
        bad_faces: `error`, or `skip` to report and leave out what cannot be read.
    """

    name = "300w"
    markup = MARKUP_68
    threshold = 0.08

    def __init__(self, root: str | Path, *, norm: str = "inter-ocular", bad_faces: str = "error") -> None:
        check_choice("data.norm", norm, NORMS)
        check_choice("data.bad_faces", bad_faces, BAD_FACES)
        self.root, self.norm, self.bad_faces = Path(root).expanduser(), norm, bad_faces

    def annotations(self, split: str) -> list[Annotation]:
        """The faces of `train`, `val` or `test`.

        Raises:
            KeyposError: if the root holds no part, or if a face is bad and not to be skipped.
        """
        check_choice("split", split, SPLITS)
        return self._read("test") if split == "test" else self._train_and_val[split == "val"]

    @cached_property
    def _train_and_val(self) -> tuple[list[Annotation], list[Annotation]]:
        return hold_out(self._read("train"))

    def _read(self, split: str) -> list[Annotation]:
        _check_root(self.root)
        parts = [part for part in PARTS if part.split == split]
        sources = [(part, path) for part in parts for path in _find_points(self.root / part.folder)]
        _report(split, parts, [part for part, _ in sources])
        there = {part.subset for part, _ in sources}

        def face(source: tuple[Part, Path]) -> Annotation:
            part, path = source
            name = f"{part.folder}/{path.stem}"
            return describe(
                path,
                _find_photo(path),
                read_points(path),
                name=name,
                # AFW and HELEN number the faces of a photo: 134212_1, 134212_2.
                photo=name if part.folder.startswith("lfpw") else re.sub(r"_\d+$", "", name),
                subsets=(part.subset, "full") if {"common", "challenging"} <= there else (part.subset,),
                markup=self.markup,
                norm=self.norm,
            )

        return gather(sources, face, bad_faces=self.bad_faces, photos=True)


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
