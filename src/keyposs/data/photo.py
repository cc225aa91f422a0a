"""Photos of every kind, read as RGB."""

import os
import warnings
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from keyposs.errors import KeyposError
from keyposs.types import Photo

_ENDS = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND\xaeB`\x82"}
"""First bytes of a JPEG and a PNG, and the last ones of a whole file."""


def read_photo(path: str | Path, *, exif: bool = False) -> Photo:
    """Reads a photo as 8-bit RGB.

    Grey is repeated thrice, palettes are looked up, CMYK is converted, 16 bits are scaled to 8, what is transparent
    shows black, and of a moving picture the first frame counts.

    Args:
        path: any format that Pillow reads itself.
        exif: turn the photo as its EXIF orientation says. Datasets do not: their points lie in stored pixels.

    Raises:
        KeyposError: if the file is missing, not to be read, cut short, too large or no image.
    """
    if not os.path.isfile(path):  # no Path here: see keyposs.data.packed
        raise _missing(path)
    try:
        with warnings.catch_warnings(), Image.open(path, formats=_formats()) as image:
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return to_rgb(ImageOps.exif_transpose(image) if exif else image)
    except Exception as error:  # of broken bytes Pillow raises nearly any
        raise _unread(path, error) from error


@cache
def _formats() -> list[str]:
    """All but EPS, a program that Pillow hands to another program to run."""
    Image.init()
    return [name for name in Image.ID if name != "EPS"]


def _missing(path: str | Path) -> KeyposError:
    cause, remedy = "the photo is missing", "put it back, or check the path (of a dataset: data.root)"
    if os.path.islink(path):
        return KeyposError(path, f"{cause}: it is a link to {os.readlink(path)}, which is not there", remedy)
    if os.path.exists(path):
        return KeyposError(path, "is not a file", "give a picture")
    return KeyposError(path, cause, remedy)


def _unread(path: str | Path, error: Exception) -> KeyposError:
    """What a picture's reader met, so that it can be mended."""
    remedy = "fetch or export the file again, or leave it out"
    if isinstance(error, PermissionError):
        why, remedy = "you may not read it", "change its permissions (chmod u+r), or leave it out"
    elif isinstance(error, Image.DecompressionBombError):
        why, remedy = (
            f"it claims more than {2 * (Image.MAX_IMAGE_PIXELS or 0)} pixels",
            "make it smaller, or leave it out",
        )
    elif os.path.getsize(path) == 0:
        why = "it is empty"
    elif isinstance(error, UnidentifiedImageError):
        why = "it is none, or of a kind that is not read"
    else:
        why = f"it is broken or cut short ({str(error) or type(error).__name__})"
    return KeyposError(path, f"cannot be read as an image, {why}", remedy)


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
