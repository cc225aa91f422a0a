"""WFLW in its official layout."""

import logging
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from keyposs.data.dataset import FaceDataset
from keyposs.data.formats.wflw_lists import ATTRIBUTES, Face, match, read_list
from keyposs.data.gather import Source
from keyposs.errors import KeyposError
from keyposs.markup import MARKUP_98
from keyposs.types import Annotation

_log = logging.getLogger(__name__)

_RECT_ATTR = "list_98pt_rect_attr_train_test"  # with boxes and flags
_POINTS = "list_98pt_test"  # the test list and its subsets, with points alone
_COUNTS = dict(zip(ATTRIBUTES, (326, 314, 698, 206, 736, 773), strict=True))


class Wflw(FaceDataset):
    """WFLW: 98 points, 7500 faces to train on and 2500 to test on.

    From https://wywu.github.io/projects/LAB/WFLW.html; photos of WIDER FACE. For research only, not for commercial
    use. Cite Wu et al., "Look at Boundary: A Boundary-Aware Face Alignment Algorithm", CVPR 2018.

    `val` is cut from `train` by `hold_out`; the test subsets are `all` and the six attributes: pose (326 faces),
    expression (314), illumination (698), make-up (206), occlusion (736), blur (773). A face counts in one where its
    flag or the subset's own list says so. Where the lists with boxes and flags are missing, the test list of points
    alone is read. Without the folder of photos the annotations can be used, but not read. The arguments are
    `FaceDataset`'s; `root` is the folder that holds `WFLW_annotations` and `WFLW_images`, or the folders of lists.
    """

    name = "wflw"
    markup = MARKUP_98
    official: ClassVar[Mapping[str, int]] = {"train": 7500, "test": 2500, **_COUNTS}

    @property
    def photos(self) -> bool:  # type: ignore[override]
        """Whether the folder of photos is there."""
        return (self.root / "WFLW_images").is_dir()

    def sources(self, split: str) -> Sequence[Source]:
        """One for each line of the split's list, and for each line of a subset's list that is wrong."""
        if split == "val":
            return []
        path = self._lists().get(split)
        if path is None:
            _log.warning("wflw: the list of the split %s is not there", split)
            return []
        faces, errors = read_list(path, rect_attr=path.parent.name == _RECT_ATTR)
        if split == "train":
            return [*(partial(self._face, split, face, ("all",)) for face in faces), *_failing(errors)]
        named, strangers = match(faces, self._folder(_POINTS))
        subsets = (_subsets(face.attributes, named.get(face.number, ())) for face in faces)
        return [*map(partial(partial, self._face, split), faces, subsets), *_failing(errors + strangers)]

    def _lists(self) -> dict[str, Path]:
        rect_attr, points = self._folder(_RECT_ATTR), self._folder(_POINTS)
        lists = {"test": points / "list_98pt_test.txt"}
        lists |= {s: path for s in ("train", "test") if (path := rect_attr / f"list_98pt_rect_attr_{s}.txt").exists()}
        lists = {split: path for split, path in lists.items() if path.exists()}
        if not lists:
            remedy = "set data.root to the folder that holds WFLW_annotations and WFLW_images"
            raise KeyposError(self.root, f"holds no WFLW_annotations/{_RECT_ATTR}", remedy)
        return lists

    def _folder(self, name: str) -> Path:
        return self.root / name if (self.root / name).is_dir() else self.root / "WFLW_annotations" / name

    def _face(self, split: str, face: Face, subsets: tuple[str, ...]) -> Annotation:
        return self.describe(
            face.source,
            face.keypoints,
            name=f"{split}/{face.photo}#{face.number}",
            photo=face.photo,
            file=self.root / "WFLW_images" / face.photo,
            subsets=subsets,
            face_box=face.face_box,
        )


def _subsets(flagged: Collection[str], named: Collection[str]) -> tuple[str, ...]:
    return ("all", *(attribute for attribute in ATTRIBUTES if attribute in flagged or attribute in named))


def _failing(errors: Sequence[KeyposError]) -> list[Source]:
    return [partial(_fail, error) for error in errors]


def _fail(error: KeyposError) -> Annotation:
    raise error
