"""WFLW in its official layout (https://wywu.github.io/projects/LAB/WFLW.html)."""

import logging
from functools import cached_property
from pathlib import Path

import numpy as np

from keyposs.data.gather import BAD_FACES, SPLITS, check_choice, describe, gather
from keyposs.data.split import hold_out
from keyposs.errors import KeyposError
from keyposs.markup import MARKUP_98, NORMS
from keyposs.types import Annotation

_log = logging.getLogger(__name__)

ATTRIBUTES = ("pose", "expression", "illumination", "make-up", "occlusion", "blur")
"""The flags of a line, in order; each names a test subset."""

_LISTS = "list_98pt_rect_attr_train_test"
_COORDINATES = 2 * MARKUP_98.size
_FIELDS = _COORDINATES + 4 + len(ATTRIBUTES) + 1


class Wflw:
    """WFLW: 98 points.

    `val` is cut from `train` by `hold_out`; the test subsets are `all` and the six attributes. Boxes are the
    tight boxes of the landmarks. Without the folder of photos the annotations can be used, but not read.

    Args:
        root: the folder that holds `WFLW_annotations` and `WFLW_images`; or the folder of lists itself.
        norm: the normaliser of errors.
        bad_faces: `error`, or `skip` to report and leave out what cannot be read.
    """

    name = "wflw"
    markup = MARKUP_98
    threshold = 0.10

    def __init__(self, root: str | Path, *, norm: str = "inter-ocular", bad_faces: str = "error") -> None:
        check_choice("data.norm", norm, NORMS)
        check_choice("data.bad_faces", bad_faces, BAD_FACES)
        self.root, self.norm, self.bad_faces = Path(root).expanduser(), norm, bad_faces

    def annotations(self, split: str) -> list[Annotation]:
        """The faces of `train`, `val` or `test`.

        Raises:
            KeyposError: if the root holds no lists, or if a face is bad and not to be skipped.
        """
        check_choice("split", split, SPLITS)
        return self._read("test") if split == "test" else self._train_and_val[split == "val"]

    @cached_property
    def _train_and_val(self) -> tuple[list[Annotation], list[Annotation]]:
        return hold_out(self._read("train"))

    def _read(self, split: str) -> list[Annotation]:
        path = self._find_lists().get(split)
        if path is None:
            _log.warning("wflw: the list of the split %s is not there", split)
            return []
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        sources = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]

        def face(source: tuple[int, str]) -> Annotation:
            return self._face(path, *source, test=split == "test")

        photos = (self.root / "WFLW_images").is_dir()
        return gather(sources, face, bad_faces=self.bad_faces, photos=photos)

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
        return describe(
            source,
            self.root / "WFLW_images" / photo,
            numbers[:_COORDINATES].reshape(-1, 2),
            name=f"{photo}#{number}",
            photo=photo,
            subsets=("all", *(a for a, flag in zip(ATTRIBUTES, flags, strict=True) if flag and test)),
            markup=self.markup,
            norm=self.norm,
        )
