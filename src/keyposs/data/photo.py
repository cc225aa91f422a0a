"""Photos of every kind, read as RGB."""

import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from keyposs.errors import KeyposError
from keyposs.types import Photo

_ENDS = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND\xaeB`\x82"}
"""First bytes of a JPEG and a PNG, and the last ones of a whole file."""


def read_photo(path: str | Path, *, exif: bool = False) -> Photo:
    """Reads a photo as 8-bit RGB.

    Grey is repeated thrice, palettes are looked up, CMYK is converted, 16 bits are scaled to 8, and what is
    transparent shows black.

    Args:
        path: any format that Pillow reads.
        exif: turn the photo as its EXIF orientation says. Datasets do not: their points lie in stored pixels.

    Raises:
        KeyposError: if the file is missing, cut short or no image.
    """
    if not os.path.isfile(path):  # no Path here: see keyposs.data.packed
        raise KeyposError(path, "the photo is missing", "put it back, or check the data's root folder")
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return to_rgb(ImageOps.exif_transpose(image) if exif else image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        cause = f"cannot be read as an image, it is broken or cut short ({error})"
        raise KeyposError(path, cause, "fetch or export the file again, or remove the face") from error


def check_photo(path: str | Path) -> None:
    """Finds a missing or broken photo before a training starts: a whole JPEG or PNG is known by its two ends.

    Raises:
        KeyposError: as `read_photo` does.
    """
    path = Path(path)
    if path.is_file():
        with path.open("rb") as file:
            end = _ENDS.get(file.read(2))
            file.seek(max(path.stat().st_size - 8, 0))
            if end is not None and file.read().endswith(end):
                return
    read_photo(path)


def to_rgb(image: Image.Image) -> Photo:
    """A picture as 8-bit RGB.

    Raises:
        ValueError: if it holds floating-point values.
    """
    if image.mode.startswith("I"):  # 16-bit grey, in one of Pillow's several ways
        grey = np.asarray(image).astype(np.float64)
        return np.repeat(np.rint(np.clip(grey, 0, 65535) / 257).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode == "F":
        raise ValueError("it holds floating-point values")
    if "A" in image.getbands() or "transparency" in image.info:
        opaque = Image.new("RGBA", image.size, "black")
        opaque.alpha_composite(image.convert("RGBA"))
        image = opaque
    return np.array(image.convert("RGB"))
