"""Canonical crops: read and warped when asked for, or kept in one file that is mapped into memory."""

from collections.abc import Sequence
from typing import NamedTuple

from keyposs.crop import canonical_matrix, canonical_size, warp
from keyposs.types import Annotation, Photo


class FreshCrops(NamedTuple):
    """Canonical crops, made from the photos each time."""

    annotations: Sequence[Annotation]
    image_size: int
    padding: float  # side of the cropped square over the longer side of the box

    def crop(self, index: int) -> Photo:
        """The canonical crop of a face."""
        face = self.annotations[index]
        matrix = canonical_matrix(face.box, image_size=self.image_size, padding=self.padding)
        return warp(face.read(), matrix, canonical_size(self.image_size))
