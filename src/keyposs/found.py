"""The landmarks of a picture's faces: what is handed out, drawn and written."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps

from keyposs import viz
from keyposs.data.photo import read_photo, to_rgb
from keyposs.errors import KeyposError
from keyposs.files import write_text
from keyposs.markup import Markup
from keyposs.networks import Boxes
from keyposs.pictures import canvas_of, draw
from keyposs.types import Photo

Picture = str | Path | Image.Image | np.ndarray | torch.Tensor
"""A file; or RGB as PIL, as an array (h, w, 3) of 0..255, or as a tensor (3, h, w), uint8 or floats in 0..1."""


def as_photo(picture: Picture) -> Photo:
    """Any picture as 8-bit RGB, upright as its EXIF orientation says.

    Raises:
        KeyposError: if it is broken, or no picture.
    """
    if isinstance(picture, str | Path):
        return read_photo(picture, exif=True)
    if isinstance(picture, Image.Image):
        return to_rgb(ImageOps.exif_transpose(picture))
    if isinstance(picture, torch.Tensor):
        return _of_tensor(picture)
    if isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.ndim in (2, 3) and picture.size:
        grey = picture if picture.ndim == 3 else picture[:, :, None]
        if grey.shape[2] in (1, 3):
            return np.ascontiguousarray(np.broadcast_to(grey, (*grey.shape[:2], 3)))
    raise _no_picture(picture, "RGB as uint8 of shape (height, width, 3)")


def _of_tensor(picture: torch.Tensor) -> Photo:
    wanted = "RGB of shape (3, height, width), uint8 or floats in 0..1"
    if picture.ndim != 3 or picture.shape[0] != 3 or not picture.numel():
        raise _no_picture(picture, wanted)
    values = picture.detach().cpu()
    if values.is_floating_point():
        if not (values.min() >= 0 and values.max() <= 1):  # not so for NaN either
            raise _no_picture(picture, wanted)
        values = (255 * values.float()).round().to(torch.uint8)
    elif values.dtype != torch.uint8:
        raise _no_picture(picture, wanted)
    return np.ascontiguousarray(values.permute(1, 2, 0).numpy())


def _no_picture(picture: object, wanted: str) -> KeyposError:
    shape = getattr(picture, "shape", None)
    what = "" if shape is None else f" of {getattr(picture, 'dtype', '?')} {tuple(shape)}"
    return KeyposError(f"a {type(picture).__name__}{what}", "is no picture", f"give {wanted}, or a file")


@dataclass(frozen=True)
class Found:
    """The faces of a picture.

    Attributes:
        picture: as it was given.
        size: (width, height) of the upright picture.
        boxes: of the faces, x0, y0, x1, y1, as given or found.
        points: of each face, in pixels of the upright picture; pixel `i` has its centre at `i`.
        scores: of each point, from 0 to 1.
        covariances: how uncertain each point is, pixels squared; None where the method tells none.
        markup: what the points mean.
    """

    picture: Picture
    size: tuple[int, int]
    boxes: Boxes
    points: Float[np.ndarray, "n k 2"]
    scores: Float[np.ndarray, "n k"]
    covariances: Float[np.ndarray, "n k 2 2"] | None
    markup: Markup

    def __len__(self) -> int:
        """How many faces there are."""
        return len(self.boxes)

    def draw(self) -> UInt8[np.ndarray, "rows columns 3"]:
        """The picture with its faces on it: points, contours, and ellipses of two standard deviations.

        Raises:
            KeyposError: if its file cannot be read any more.
        """
        canvas, zoom = canvas_of(as_photo(self.picture))
        return draw(canvas, zoom, self.points, self.scores, self.markup, self.covariances)

    def save(self, file: str | Path) -> None:
        """Draws the picture into a PNG."""
        viz.save(file, self.draw())

    def described(self) -> list[dict[str, Any]]:
        """Each face in plain numbers: box, points, scores and, where there are some, covariances."""
        columns = {"box": self.boxes.round(3), "points": self.points.round(3), "scores": self.scores.round(4)}
        if self.covariances is not None:
            columns["covariances"] = self.covariances.round(4)
        return [{name: values[i].tolist() for name, values in columns.items()} for i in range(len(self))]

    def to_json(self, file: str | Path | None = None) -> str:
        """The faces as JSON, with what the points mean; written to a file as well where one is given."""
        picture = str(self.picture) if isinstance(self.picture, str | Path) else None
        facts = {"file": picture, "width": self.size[0], "height": self.size[1], "point_names": self.markup.names}
        text = json.dumps({**facts, "faces": self.described()}, ensure_ascii=False, allow_nan=False)
        if file is not None:
            write_text(file, text + "\n")
        return text
