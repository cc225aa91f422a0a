"""Faces that the annotations of a COCO file describe."""

import logging
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from keyposs.data.dataset import SKIP, FaceDataset
from keyposs.data.formats.coco import Coco, Record
from keyposs.data.gather import Source
from keyposs.data.photo import read_photo
from keyposs.errors import KeyposError
from keyposs.types import Annotation

_log = logging.getLogger(__name__)


class CocoFaces(FaceDataset):
    """Abstract: a dataset in files of COCO's layout."""

    points_key: ClassVar[str]
    """Under which an annotation holds x, y and visibility of its points."""

    box_key: ClassVar[str]

    offset: float = 0.0
    """Added to each coordinate of points and boxes, so that pixel `i` has its centre at `i`."""

    exif: bool = False
    """Whether photos were annotated as their EXIF orientation turns them."""

    def faces(self, file: Coco, folders: Sequence[Path], order: Sequence[int] | None = None) -> list[Source]:
        """One for each annotation of a face: no crowd, and with an annotated point.

        Args:
            file: what was read.
            folders: where photos are looked for; without `photos` they need not be there.
            order: which of the file's points each point of the markup is; by default they are in its order.

        Raises:
            KeyposError: if no face is left.
        """
        chosen = [face for face in file.annotations.values() if self._has_points(face) and not face.get("iscrowd")]
        if not chosen:
            cause = f"none of its {len(file.annotations)} annotations is a face with {self.points_key}"
            raise KeyposError(file.path, cause, "give a COCO keypoints file with annotated points")
        _log.info("%s: %d faces of %d annotations", file.path, len(chosen), len(file.annotations))
        # A file that knows only 0 and 1 tells what is annotated, and nothing of what is hidden.
        graded = any(isinstance(face[self.points_key], list) and 2 in face[self.points_key][2::3] for face in chosen)
        return [partial(self._face, file, face, folders, order, graded) for face in chosen]

    def _has_points(self, annotation: Record) -> bool:
        """Whether a point is annotated; of points that are none, so that reading them says what is wrong."""
        values = annotation.get(self.points_key)
        if not isinstance(values, list):
            return values is not None
        return len(values) % 3 != 0 or any(v != 0 for v in values[2::3])

    def _face(
        self, file: Coco, annotation: Record, folders: Sequence[Path], order: Sequence[int] | None, graded: bool
    ) -> Annotation:
        photo = file.image(annotation)["file_name"]
        points = file.points(annotation, self.points_key, self.markup.size)
        points = points if order is None else points[list(order)]
        box = file.box(annotation, self.box_key)
        path = find_photo(photo, folders)
        if path is not None:
            check_size(path, file.image(annotation), exif=self.exif)
        elif self.photos:
            looked = " or ".join(dict.fromkeys(map(str, folders)))
            raise KeyposError(photo, f"the photo is missing: it is not in {looked}", f"put it there, or set {SKIP}")
        path = path or folders[0] / photo
        return self.describe(
            file.source(annotation),
            points[:, :2] + self.offset,
            name=f"{photo}#{annotation['id']}",
            photo=photo,
            file=path,
            read=partial(read_photo, path, exif=True) if self.exif else None,
            visible=points[:, 2] > 0,
            occluded=(points[:, 2] > 0) & (points[:, 2] < 2) if graded else np.zeros(len(points), dtype=bool),
            face_box=None if box is None else box + self.offset,
        )


def find_photo(name: str, folders: Sequence[Path]) -> Path | None:
    """Looks for a photo in folders, first under its whole name, then without the folders that this begins with."""
    parts = name.replace("\\", "/").split("/")
    tails = ("/".join(parts[i:]) for i in range(len(parts)))
    paths = (folder / tail for tail in tails if tail for folder in folders)
    return next((path for path in paths if os.path.isfile(path)), None)  # Path.is_file raises at an endless name


def check_size(file: Path, image: Record, *, exif: bool) -> None:
    """Compares a photo's size, as its header tells, with the one that it was annotated at, where this is told.

    Args:
        file: the photo; one that cannot be read passes, since whoever looks at it says why.
        image: with `width` and `height`.
        exif: whether the photo is turned as its EXIF orientation says.

    Raises:
        KeyposError: if they differ: then the points lie in another picture.
    """
    said = image.get("width"), image.get("height")
    size = _size(file, exif=exif)
    if not all(said) or size is None or said == size:
        return
    cause = f"the photo has {size[0]} x {size[1]} pixels, but was annotated with {said[0]} x {said[1]}"
    if not exif and said == _size(file, exif=True):
        raise KeyposError(file, f"{cause}, turned as its EXIF orientation says", "set data.exif=true")
    raise KeyposError(file, cause, f"give the photo that was annotated, or set {SKIP}")


def _size(file: Path, *, exif: bool) -> tuple[int, int] | None:
    try:
        with Image.open(file) as image:
            turned = exif and image.getexif().get(0x0112) in (5, 6, 7, 8)
            return (image.height, image.width) if turned else image.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
