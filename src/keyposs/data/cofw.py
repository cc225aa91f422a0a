"""COFW, Caltech Occluded Faces in the Wild."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from keyposs.data.dataset import SKIP, FaceDataset
from keyposs.data.formats.cofw_file import Column, read_columns, read_image
from keyposs.data.gather import Source
from keyposs.errors import KeyposError
from keyposs.markup import MARKUP_29
from keyposs.types import Annotation

_log = logging.getLogger(__name__)

FILES = {split: (f"COFW_{split}_color.mat", f"COFW_{split}.mat") for split in ("train", "test")}
"""In colour, which is preferred, and in grey."""

FOLDERS = ("", "COFW_color", "COFW", "common/xpburgos/behavior/code/pose")
"""Where the files may lie below the root; the last is what the archive of grey ones unpacks to."""

LFPW = 845
"""The first training faces come from LFPW and are hardly occluded."""


class Cofw(FaceDataset):
    """COFW: 29 points on 1345 faces to train (845 of LFPW and 500 occluded ones) and 507 to test, a photo each.

    `val` is cut from `train` by `hold_out`; the one test subset is `all`. All points count, hidden ones too; those
    are `occluded`. Grey photos stand among the coloured ones.

    `phis` holds 29 x, 29 y and 29 flags of occlusion, `bboxes` x, y, width, height. Both are MATLAB's: its
    authors' code draws them right on the image, whose first pixel is 1. So one is subtracted (mmpose subtracts it
    from points alone, HRNet and PIPNet from nothing).

    Files: https://data.caltech.edu/records/bc0bf-nc666 (`COFW_color.zip`, or the grey `COFW.zip`), CC BY 4.0. Cite
    Burgos-Artizzu, Perona, Dollár, "Robust face landmark estimation under occlusion", ICCV 2013.

    The arguments are `FaceDataset`'s; `root` is the folder that holds `COFW_train_color.mat` and `COFW_test_color.mat`.
    """

    name = "cofw"
    markup = MARKUP_29
    official: ClassVar[Mapping[str, int]] = {"train": 1345, "test": 507, "lfpw": LFPW, "cofw": 500}

    def sources(self, split: str) -> Sequence[Source]:
        """One for each face of the split's file; images are looked at, not read."""
        if split == "val":
            return []
        files = {name: path for name in FILES if (path := _find(self.root, name))}
        if not files:
            raise _nothing(self.root)
        if split not in files:
            _log.warning("cofw: the file of the split %s is not there", split)
            return []
        path = files[split]
        columns = read_columns(path, split)
        return [partial(self._face, path, split, index, column) for index, column in enumerate(columns)]

    def _face(self, path: Path, split: str, index: int, column: Column) -> Annotation:
        source = f"{path}:{index + 1}"
        if column.fault:
            raise KeyposError(source, column.fault, f"fetch the file again, or set {SKIP}")
        part = split if split == "test" else "lfpw" if index < LFPW else "cofw"
        return self.describe(
            source,
            column.keypoints - 1,
            name=f"{part}/{index + 1:04d}",
            photo=f"{part}/{index + 1:04d}",
            file=path,
            read=partial(read_image, path, split, index),
            occluded=column.occluded > 0.5,
            face_box=np.concatenate([column.box[:2], column.box[:2] + column.box[2:]]) - 1,
        )


def _find(root: Path, split: str) -> Path | None:
    paths = (root / folder / name for name in FILES[split] for folder in FOLDERS)
    return next((path for path in paths if path.is_file()), None)


def _nothing(root: Path) -> KeyposError:
    if not root.is_dir():
        return KeyposError(root, "the folder is missing", "set data.root to the folder of COFW")
    near = [path for path in (*sorted(root.glob("*/")), root.parent) if any(_find(path, split) for split in FILES)]
    names = " or ".join(name for files in FILES.values() for name in files[:1])
    remedy = f"set data.root={near[0]}" if near else "set data.root to the folder that holds them"
    return KeyposError(root, f"holds no {names}, nor does its {', '.join(FOLDERS[1:])}", remedy)
