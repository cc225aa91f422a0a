"""The official folders of 300-W: which there are, and where their files lie."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from keyposs.errors import KeyposError

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
    Part("300W/01_Indoor", "test", 300, "indoor"),
    Part("300W/02_Outdoor", "test", 300, "outdoor"),
)

UNIONS = {"full": {"common", "challenging"}, "private": {"indoor", "outdoor"}}
"""Test subsets that are there where all of their own subsets are."""

_FOLDERS = ", ".join(part.folder for part in PARTS)
_SUFFIXES = (".jpg", ".jpeg", ".png")


def find_folder(root: Path, part: Part) -> Path:
    """The private test lies in `300W`, or beside the other parts."""
    direct = root / part.folder.removeprefix("300W/")
    return direct if direct.is_dir() else root / part.folder


def find_points(folder: Path) -> list[Path]:
    """The `.pts` files of a folder, in order; none where there is no folder."""
    return sorted(path for path in folder.glob("*") if path.suffix.lower() == ".pts")


def find_photo(points: Path) -> Path:
    """The photo beside a `.pts` file, whatever the case of its suffix; a missing one is said to be a `.jpg`."""
    found = [points.with_suffix(s) for suffix in _SUFFIXES for s in (suffix, suffix.upper())]
    for path in found:
        if path.is_file():
            return path
    found = [p for p in points.parent.glob("*") if p.stem == points.stem and p.suffix.lower() in _SUFFIXES]
    return found[0] if found else points.with_suffix(".jpg")


def check_root(root: Path) -> None:
    """Says where the folders are, if one has given a folder above or below theirs.

    Raises:
        KeyposError: if `root` does not hold them.
    """
    if not root.is_dir():
        raise KeyposError(root, "the folder is missing", "set data.root to the folder of 300-W")
    if _count_parts(root) > 0 and _count_parts(root) >= _count_parts(root / "300W"):
        return
    better = max((*sorted(root.glob("*/")), root.parent, root.parent.parent), key=_count_parts)
    remedy = f"set data.root={better}" if _count_parts(better) else "set data.root to the folder that holds them"
    raise KeyposError(root, f"holds none of the official folders {_FOLDERS}", remedy)


def _count_parts(root: Path) -> int:
    return sum(find_folder(root, part).is_dir() for part in PARTS)


def report(split: str, found: Mapping[Part, Sequence[Path]]) -> None:
    """Logs how many faces each part of a split holds."""
    _log.info("300w %s: part, faces found, official count", "train and val" if split == "train" else split)
    for part, paths in found.items():
        _log.info("  %-15s %4s of %4d", part.folder, len(paths) or "none", part.faces)
