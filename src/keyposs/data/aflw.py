"""AFLW with the 19 points of Zhu et al. (AFLW-19)."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from keyposs.data.dataset import SKIP, FaceDataset, check_choice
from keyposs.data.formats.matlab import read_matlab
from keyposs.data.gather import Source
from keyposs.errors import KeyposError
from keyposs.markup import MARKUP_19
from keyposs.types import Annotation

HIDDEN = ("ignore", "count")

FILE = "AFLWinfo_release.mat"
PLACES = ("data/flickr", "aflw/data/flickr", "flickr", "images", ".")
"""Where the folders of photos lie, below the root; the first is official."""

_COLUMNS = {"bbox": 4, "data": 2 * MARKUP_19.size, "mask_new": MARKUP_19.size}
_REMEDY = f"fetch {FILE} again"


class Aflw(FaceDataset):
    """AFLW-19: 24386 faces, 20000 to train and 4386 to test; `val` is cut from `train` by `hold_out`.

    Test subsets: `all` ("full" in the literature) and `frontal`, the faces with every point in sight (1314 as the
    literature counts them). The split is by face: photos of several faces may be on both sides.

    The file holds `bbox` (left, right, top, bottom; the norms `box` and `diagonal` are of it), `data` (19 x, then
    19 y), `mask_new` (1: in sight), `nameList` (`0/image00002.jpg`), and `ra`, a 1-based order of faces whose first
    20000 train (of a file with fewer faces the same part). Coordinates stay as they are, as in every known reader.

    Points: https://mmlab.ie.cuhk.edu.hk/projects/compositional.html. Photos, for non-commercial research and on
    request: https://www.tugraz.at/institute/icg/research/team-bischof/lrs/downloads/aflw. Cite Zhu et al.,
    "Unconstrained Face Alignment via Cascaded Compositional Learning", CVPR 2016, and Köstinger et al., "Annotated
    Facial Landmarks in the Wild", ICCV workshops 2011.

    `root` is the folder with the file, and the photos in `data/flickr/{0,2,3}`. Of points out of sight, which Zhu et
    al. set by hand, `hidden` makes invisible ones (`ignore`), or occluded ones (`count`) that loss and NME count, as
    in HRNet's and mmpose's tables. The other arguments are `FaceDataset`'s.
    """

    name = "aflw"
    markup = MARKUP_19
    face_box_norm = True
    official: ClassVar[Mapping[str, int]] = {"train": 20000, "test": 4386, "frontal": 1314}

    def __init__(
        self, root: str | Path, *, norm: str = "box", hidden: str = "ignore", bad_faces: str = "error"
    ) -> None:
        super().__init__(root, norm=norm, bad_faces=bad_faces)
        check_choice("data.hidden", hidden, HIDDEN)
        self.hidden = hidden

    def sources(self, split: str) -> Sequence[Source]:
        """One for each row of the file that `ra` gives to the split."""
        if split == "val":
            return []
        path = _find_file(self.root)
        table = read_matlab(path, [*_COLUMNS, "nameList", "ra"], remedy=_REMEDY)
        order, photos = _check_table(path, table), _find_photos(self.root)
        train, test = len(order) * 20000 // 24386, split == "test"
        rows = order[train:] if test else order[:train]
        return [partial(self._face, f"{path}:{row + 1}", table, row, photos, test=test) for row in rows]

    def _face(self, source: str, table: Mapping[str, np.ndarray], row: int, photos: Path, *, test: bool) -> Annotation:
        remedy = f"{_REMEDY}, or set {SKIP}"
        photo = str(np.squeeze(table["nameList"].flat[row]))
        if not re.fullmatch(r"\d/[\w .-]{1,60}", photo):
            raise KeyposError(source, f"names no photo like 0/image00002.jpg ({photo[:80]!r})", remedy)
        face_box = table["bbox"][row, [0, 2, 1, 3]].astype(np.float64)
        if not (np.isfinite(face_box).all() and (face_box[2:] > face_box[:2]).all()):
            raise KeyposError(source, f"its face box has no area ({face_box.tolist()})", remedy)
        keypoints = table["data"][row].reshape(2, -1).T.astype(np.float64)
        seen = table["mask_new"][row] == 1
        visible = seen if self.hidden == "ignore" else seen | np.isfinite(keypoints).all(1)
        return self.describe(
            source,
            keypoints,
            name=f"{photo}#{row + 1}",
            photo=photo,
            file=photos / photo,
            subsets=("all", "frontal") if test and seen.all() else ("all",),
            visible=visible,
            occluded=visible & ~seen,
            face_box=face_box,
        )


def _check_table(path: Path, table: Mapping[str, np.ndarray]) -> list[int]:
    """The 0-based order of faces, once all shapes agree."""
    faces = table["ra"].size
    for name, columns in _COLUMNS.items():
        if table[name].shape != (faces, columns) or table[name].dtype.kind not in "fiu":
            cause = f"{name} is {table[name].dtype} of shape {table[name].shape}, not numbers of ({faces}, {columns})"
            raise KeyposError(path, cause, _REMEDY)
    if (names := table["nameList"].size) != faces:
        raise KeyposError(path, f"nameList has {names} names for {faces} faces", _REMEDY)
    order = table["ra"].ravel()
    if not faces or order.dtype.kind not in "fiu" or not np.array_equal(np.sort(order), np.arange(1, faces + 1)):
        raise KeyposError(path, "ra is no order of the faces", _REMEDY)
    return [int(number) - 1 for number in order]


def _find_file(root: Path) -> Path:
    if (root / FILE).is_file():
        return root / FILE
    better = [path.parent for path in (*sorted(root.glob(f"*/{FILE}")), root.parent / FILE) if path.is_file()]
    remedy = f"set data.root={better[0]}" if better else f"set data.root to the folder that holds {FILE}"
    raise KeyposError(root, f"holds no {FILE}" if root.is_dir() else "the folder is missing", remedy)


def _find_photos(root: Path) -> Path:
    for place in PLACES:
        if any((root / place / folder).is_dir() for folder in "023"):
            return root / place
    tried = ", ".join(f"{place}/{{0,2,3}}" for place in PLACES)
    raise KeyposError(root, f"holds no folders of photos; looked for {tried}", f"unpack AFLW's photos in {root}")
