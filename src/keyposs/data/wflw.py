"""WFLW in its official layout (https://wywu.github.io/projects/LAB/WFLW.html)."""

from pathlib import Path

import numpy as np

from keyposs.data.gather import check_choices, describe, gather
from keyposs.data.split import hold_out
from keyposs.errors import KeyposError
from keyposs.markup import MARKUP_98
from keyposs.types import Annotation

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
        check_choices(norm, bad_faces)
        self.root, self.norm, self.bad_faces = Path(root), norm, bad_faces

    def annotations(self, split: str) -> list[Annotation]:
        """The faces of `train`, `val` or `test`.

        Raises:
            KeyposError: if the list is missing, or if a face is bad and not to be skipped.
        """
        path = self._find_list("test" if split == "test" else "train")
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        sources = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]

        def face(source: tuple[int, str]) -> Annotation:
            return self._face(path, *source, test=split == "test")

        photos = (self.root / "WFLW_images").is_dir()
        faces = gather(sources, face, bad_faces=self.bad_faces, photos=photos)
        return faces if split == "test" else hold_out(faces)[split == "val"]

    def _find_list(self, split: str) -> Path:
        file = Path(_LISTS, f"list_98pt_rect_attr_{split}.txt")
        for folder in (self.root / "WFLW_annotations", self.root):
            if (folder / file).is_file():
                return folder / file
        remedy = "set data.root to the folder that holds WFLW_annotations and WFLW_images"
        raise KeyposError(self.root / "WFLW_annotations" / file, "the list is missing", remedy)

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
