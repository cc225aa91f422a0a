"""Pictures to predict on: found in a folder, their faces cut out, their overlays named and drawn.

Pictures are turned upright as their EXIF orientation says; boxes and points are in pixels of the upright picture.
"""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from keyposs import viz
from keyposs.crop import canonical_matrix, canonical_size, invert, warp
from keyposs.data.formats.boxes_csv import read_rows
from keyposs.errors import KeyposError
from keyposs.files import readable
from keyposs.markup import Markup
from keyposs.types import Matrix, Photo

SUFFIXES = {
    *(".jpg", ".jpeg", ".jpe", ".jp2", ".png", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff", ".tga"),
    *(".pbm", ".pgm", ".pnm", ".ppm"),
}
"""What a folder's pictures end in, in either case; a single source, or one that `boxes` names, may end in anything."""

LARGEST = 1600
"""Overlays of larger pictures are reduced until their longer side has this many pixels."""


def find_pictures(folder: Path) -> list[Path]:
    """The pictures of a folder and its subfolders, in order; what is hidden, or a run's own output, is left out.

    Raises:
        KeyposError: if one of the folders may not be read.
    """
    found: list[Path] = []
    for at, folders, files in os.walk(folder, onerror=_unlisted):
        if ".hydra" in folders:  # a run directory: its overlays are no photos
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(at, name) for name in files if Path(name).suffix.lower() in SUFFIXES and name[0] != "."]
    return sorted(found)


def _unlisted(error: OSError) -> None:
    raise KeyposError(error.filename, f"cannot be read ({error.strerror})", "change its permissions, or move it away")


def read_boxes(file: Path, folder: Path) -> dict[Path, Float[np.ndarray, "n 4"]]:
    """Reads a CSV with the columns file, x0, y0, x1, y1: a row per face.

    Args:
        file: the CSV.
        folder: that its file names are relative to; else they are to the CSV's own folder, or absolute.

    Returns:
        The boxes of each picture, in the order of the rows.

    Raises:
        KeyposError: if columns are missing, there is no row, or a row names no picture or no box.
    """
    found: dict[Path, list[Float[np.ndarray, " 4"]]] = {}
    for row in read_rows(file, "boxes="):
        found.setdefault(_locate(row.file, folder, file.parent, row.where), []).append(row.box)
    return {path: np.stack(boxes) for path, boxes in found.items()}


def _locate(name: str, folder: Path, beside: Path, where: str) -> Path:
    for base in (folder, beside):
        path = Path(os.path.abspath(base / name))
        if path.is_file():
            return path
    raise KeyposError(where, f"names {name!r}, which is not there", f"give a path relative to {folder} or to the CSV")


def whole_box(width: int, height: int, padding: float) -> Float[np.ndarray, " 4"]:
    """The box of a face that fills its picture: padded, it is the picture, made square.

    >>> whole_box(100, 50, padding=1.25)
    array([ 9.5,  4.5, 89.5, 44.5])
    """
    centre, half = np.array([width - 1, height - 1]) / 2, np.array([width, height]) / (2 * padding)
    return np.concatenate([centre - half, centre + half])


def cut(
    photo: Photo, box: Float[np.ndarray, " 4"], *, image_size: int, padding: float
) -> tuple[UInt8[np.ndarray, "s s 3"], Matrix]:
    """A face's crop, pixel for pixel as in an evaluation, and the matrix from its pixels to the photo's."""
    edge = (canonical_size(image_size) - image_size) // 2
    matrix = canonical_matrix(box, image_size=image_size, padding=padding)
    crop = warp(photo, matrix, canonical_size(image_size))[edge : edge + image_size, edge : edge + image_size]
    matrix[:, 2] -= edge
    return crop, invert(matrix)


def check_on(photo: Photo, boxes: Float[np.ndarray, "n 4"] | None, file: Path) -> None:
    """Refuses boxes that are not on their photo.

    Raises:
        KeyposError: naming the file and the box.
    """
    size = np.array(photo.shape[1::-1])
    for box in () if boxes is None else boxes:
        shown = np.minimum(box[2:], size - 0.5) - np.maximum(box[:2], -0.5)
        if shown.min() <= 0 or shown.max() < 0.01 * (box[2:] - box[:2]).max():
            remedy = "give x0,y0,x1,y1 in pixels of the upright picture"
            raise KeyposError(file, f"the box {box.tolist()} is not on its {size[0]} x {size[1]} pixels", remedy)


def canvas_of(photo: Photo) -> tuple[UInt8[np.ndarray, "rows columns 3"], Float[np.ndarray, " 2"]]:
    """A photo at its overlay's size, and that over its own along x and along y."""
    size = np.array(photo.shape[1::-1])
    longer = size.max()
    drawn = np.maximum(np.rint(size * np.clip(longer, viz.SMALLEST, LARGEST) / longer), 1)
    how = cv2.INTER_AREA if drawn.max() < longer else cv2.INTER_CUBIC
    return cv2.resize(photo, drawn.astype(int).tolist(), interpolation=how), drawn / size


def picture_name(file: Path, folder: Path) -> str:
    """A picture's path in its folder, with "/" on every system.

    >>> picture_name(Path("photos") / "a" / "1.jpg", Path("photos"))
    'a/1.jpg'
    """
    return readable(file.relative_to(folder).as_posix())


def overlay_names(names: Sequence[str]) -> dict[str, str]:
    """A file for each picture's overlay: its name with .png, after its suffix where names differ by that alone.

    >>> overlay_names(["a.jpg", "b/c.jpg", "b/c.png"])
    {'a.jpg': 'a.png', 'b/c.jpg': 'b/c.jpg.png', 'b/c.png': 'b/c.png.png'}
    """
    stems = {name: name.removesuffix(Path(name).suffix) for name in names}
    # Lower case: on some disks A and a are one file.
    known = Counter([stem.lower() for stem in stems.values()] + [name.lower() for name in names])
    taken = {str(folder).lower() for name in names for folder in PurePosixPath(name).parents}
    overlays = {}
    for name, stem in stems.items():
        overlays[name] = f"{stem if known[stem.lower()] == 1 else name}.png"
        while overlays[name].lower() in taken:
            overlays[name] += ".png"
        taken.add(overlays[name].lower())
    return overlays


def draw(
    canvas: Photo,
    zoom: Float[np.ndarray, " 2"],
    points: Float[np.ndarray, "n k 2"],
    scores: Float[np.ndarray, "n k"],
    markup: Markup,
    covariances: Float[np.ndarray, "n k 2 2"] | None = None,
) -> Photo:
    """The overlay: all faces of a picture on its canvas, see `canvas_of`."""
    for i, face in enumerate((points + 0.5) * zoom - 0.5):
        spread = None if covariances is None else covariances[i] * np.outer(zoom, zoom)
        canvas = viz.overlay(canvas, None, face, markup, scores=scores[i], covariances=spread, scale=1)
    return canvas
