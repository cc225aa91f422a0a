"""WFLW in its official layout (https://wywu.github.io/projects/LAB/WFLW.html)."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from keyposs.data.dataset import FaceDataset, Source
from keyposs.errors import KeyposError
from keyposs.markup import MARKUP_98
from keyposs.types import Annotation

_log = logging.getLogger(__name__)

ATTRIBUTES = ("pose", "expression", "illumination", "make-up", "occlusion", "blur")
"""The flags of a line, in order; each names a test subset."""

_LISTS = "list_98pt_rect_attr_train_test"
_COORDINATES = 2 * MARKUP_98.size
_FIELDS = _COORDINATES + 4 + len(ATTRIBUTES) + 1


class Wflw(FaceDataset):
    """WFLW: 98 points.

    `val` is cut from `train` by `hold_out`; the test subsets are `all` and the six attributes. Without the folder
    of photos the annotations can be used, but not read. The arguments are `FaceDataset`'s; `root` is the folder
    that holds `WFLW_annotations` and `WFLW_images`, or the folder of lists itself.
    """

    name = "wflw"
    markup = MARKUP_98
    official: ClassVar[Mapping[str, int]] = {"train": 7500, "test": 2500}

    def sources(self, split: str) -> Sequence[Source]:
        """One for each line of the split's list."""
        self.photos = (self.root / "WFLW_images").is_dir()
        if split == "val":
            return []
        path = self._find_lists().get(split)
        if path is None:
            _log.warning("wflw: the list of the split %s is not there", split)
            return []
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        return [
            partial(self._face, path, number, line, test=split == "test")
            for number, line in enumerate(lines, 1)
            if line.strip()
        ]

    def _find_lists(self) -> dict[str, Path]:
        folders = (self.root / _LISTS, self.root / "WFLW_annotations" / _LISTS)
        named = [(s, folder / f"list_98pt_rect_attr_{s}.txt") for folder in folders for s in ("train", "test")]
        paths = {split: path for split, path in named if path.is_file()}
        if not paths:
            remedy = "set data.root to the folder that holds WFLW_annotations and WFLW_images"
            raise KeyposError(self.root, f"holds no WFLW_annotations/{_LISTS}", remedy)
        return paths

    def _face(self, path: Path, number: int, line: str, *, test: bool) -> Annotation:
        source, remedy = f"{path}:{number}", "fetch the list again, or set data.bad_faces=skip"
        fields = line.split(maxsplit=_FIELDS - 1)
        if len(fields) != _FIELDS:
            raise KeyposError(source, f"holds {len(fields)} fields, not {_FIELDS}", remedy)
        try:
            numbers = np.array(fields[:-1], dtype=np.float64)
        except ValueError as error:
            raise KeyposError(source, f"holds text among its numbers ({error})", remedy) from error
        photo = fields[-1].strip()
        flags = numbers[-len(ATTRIBUTES) :]
        return self.describe(
            source,
            numbers[:_COORDINATES].reshape(-1, 2),
            name=f"{photo}#{number}",
            photo=photo,
            file=self.root / "WFLW_images" / photo,
            subsets=("all", *(a for a, flag in zip(ATTRIBUTES, flags, strict=True) if flag and test)),
            face_box=numbers[_COORDINATES : _COORDINATES + 4],
        )
