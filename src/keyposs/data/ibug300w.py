"""300-W in its official folders."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from keyposs.data.dataset import FaceDataset
from keyposs.data.formats.ibug_boxes import find_boxes, photo_key, read_boxes
from keyposs.data.formats.ibug_folders import (
    PARTS,
    UNIONS,
    Part,
    check_root,
    find_folder,
    find_photo,
    find_points,
    report,
)
from keyposs.data.formats.pts import read_points
from keyposs.data.gather import Source
from keyposs.markup import MARKUP_68
from keyposs.types import Annotation

_COUNTS = {"train": 3148, "common": 554, "challenging": 135, "full": 689, "indoor": 300, "outdoor": 300, "private": 600}


class Ibug300W(FaceDataset):
    """300-W: 68 points. Parts that are not there are reported and left out.

    3148 faces to train on (AFW 337, HELEN 2000, LFPW 811) and 689 to test on, common (HELEN 330, LFPW 224) and
    challenging (IBUG 135), from https://ibug.doc.ic.ac.uk/resources/facial-point-annotations/; the 600 faces of
    the challenge's once private test, indoor and outdoor, and the bounding boxes, from
    https://ibug.doc.ic.ac.uk/resources/300-W/. For research only, not for commercial use. Cite Sagonas et al.,
    "300 Faces in-the-Wild Challenge: The first facial landmark localization Challenge", ICCV workshops 2013, and
    "300 Faces In-The-Wild Challenge: database and results", Image and Vision Computing 47, 2016.

    `val` is cut from `train` by `hold_out`; the test subsets are `common`, `challenging` and, where both are
    there, `full`; `indoor`, `outdoor` and, where both are there, `private`. The face box is the detector's, where
    the files of `Bounding Boxes` are there; the private test has none. The arguments are `FaceDataset`'s; `root` is
    the folder that holds `afw`, `helen`, `lfpw`, `ibug`, `Bounding Boxes`, and `300W` or its own two folders.
    """

    name = "300w"
    markup = MARKUP_68
    threshold = 0.08
    official: ClassVar[Mapping[str, int]] = {**_COUNTS, **{part.folder: part.faces for part in PARTS}}

    def sources(self, split: str) -> Sequence[Source]:
        """One for each `.pts` file of the split's parts."""
        if split == "val":
            return []
        check_root(self.root)
        found = {part: find_points(find_folder(self.root, part)) for part in PARTS if part.split == split}
        report(split, found)
        there = {part.subset for part, paths in found.items() if paths}
        return [source for part, paths in found.items() for source in self._part(part, paths, there)]

    def _part(self, part: Part, paths: Sequence[Path], there: set[str]) -> list[Source]:
        unions = (union for union, halves in UNIONS.items() if part.subset in halves <= there)
        file = find_boxes(self.root, part.folder) if paths else None
        boxes = {} if file is None else read_boxes(file)
        face = partial(self._face, part, (part.subset, *unions))
        return [partial(face, path, boxes.get(photo_key(path.name))) for path in paths]

    def _face(
        self, part: Part, subsets: tuple[str, ...], path: Path, box: Float[np.ndarray, " 4"] | None
    ) -> Annotation:
        name = f"{part.folder}/{path.stem}"
        return self.describe(
            path,
            read_points(path, self.markup.size),
            name=name,
            # AFW, HELEN and IBUG number the faces of a photo (134212_1, 134212_2), the others their photos.
            photo=name if part.folder.startswith(("lfpw", "300W")) else re.sub(r"_\d+$", "", name),
            file=find_photo(path),
            subsets=subsets,
            face_box=box,
        )
