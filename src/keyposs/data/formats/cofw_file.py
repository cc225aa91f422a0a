"""COFW's MATLAB 7.3 files, which are HDF5: each face is a column, its image stands behind a reference."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import h5py
import numpy as np
from jaxtyping import Float

from keyposs.errors import KeyposError
from keyposs.markup import MARKUP_29
from keyposs.types import Photo

SUFFIXES = {"train": "Tr", "test": "T"}
"""Of the variables `Is` (images), `phis` (points) and `bboxes`."""

_LONGEST = 1 << 14  # pixels on a side; a damaged size must not ask for all memory
_REMEDY = "fetch the file again"
_T = TypeVar("_T")


class Column(NamedTuple):
    """One face."""

    keypoints: Float[np.ndarray, "29 2"]  # 1-based, as MATLAB counts
    occluded: Float[np.ndarray, " 29"]  # 1: hidden
    box: Float[np.ndarray, " 4"]  # x, y, width, height; 1-based
    fault: str  # what is wrong with its image, or nothing


def read_columns(path: Path, split: str) -> list[Column]:
    """The faces of a file; images are looked at, not read.

    Raises:
        KeyposError: if the file is broken or holds something else.
    """
    return _with_file(path, partial(_columns, path, SUFFIXES[split]))


def read_image(path: Path, split: str, index: int) -> Photo:
    """Reads one image as RGB; the file is opened each time (0.1 ms), so that no process or thread shares it.

    Raises:
        KeyposError: if the image is not there or broken.
    """
    image = _with_file(path, partial(_image, SUFFIXES[split], index), f"{path}:{index + 1}")
    return np.ascontiguousarray(image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2))


def _columns(path: Path, suffix: str, file: h5py.File) -> list[Column]:
    images, phis, bboxes = variables = [f"{name}{suffix}" for name in ("Is", "phis", "bboxes")]
    missing = [name for name in variables if not isinstance(file.get(name), h5py.Dataset)]
    if missing:
        raise KeyposError(path, f"holds no variable {', '.join(missing)}", _REMEDY)
    if h5py.check_ref_dtype(file[images].dtype) is not h5py.Reference:
        raise KeyposError(path, f"{images} is no cell array of images", _REMEDY)
    for name, rows in ((phis, 3 * MARKUP_29.size), (bboxes, 4)):
        shape, dtype, expected = file[name].shape, file[name].dtype, (rows, file[images].size)
        if shape != expected or dtype.kind not in "fiu":
            raise KeyposError(path, f"{name} is {dtype} of shape {shape}, not numbers of {expected}", _REMEDY)
    points, boxes = (file[name][()].T.astype(np.float64) for name in (phis, bboxes))
    faults = [_fault(file, reference) for reference in np.ravel(file[images][()])]
    return [
        Column(np.stack([x, y], axis=1), occluded, box, fault)
        for (x, y, occluded), box, fault in zip(points.reshape(len(points), 3, -1), boxes, faults, strict=True)
    ]


def _image(suffix: str, index: int, file: h5py.File) -> np.ndarray:
    references = file[f"Is{suffix}"]
    reference = references[np.unravel_index(index, references.shape)]
    if fault := _fault(file, reference):
        raise ValueError(fault)
    return file[reference][()].T  # MATLAB stores columns first


def _fault(file: h5py.File, reference: object) -> str:
    """What is wrong with an image, as far as its header tells."""
    try:
        image = file[reference]
        shape, dtype = image.shape, image.dtype
    except Exception as error:
        return f"the reference to its image leads nowhere ({error})"
    sized = len(shape) in (2, 3) and shape[:-2] in ((), (3,)) and all(0 < side <= _LONGEST for side in shape[-2:])
    return "" if sized and dtype == np.uint8 else f"its image is {dtype} of shape {shape}, not grey or RGB bytes"


def _with_file(path: Path, read: Callable[[h5py.File], _T], subject: str | None = None) -> _T:
    """Opens a file and reads from it; whatever HDF5 finds broken becomes one error."""
    try:
        with h5py.File(path, "r", locking=False) as file:  # some disks, and read-only ones, cannot lock
            return read(file)
    except KeyposError:
        raise
    except Exception as error:  # broken bytes make h5py fail in many ways
        raise KeyposError(subject or path, f"cannot be read as a MATLAB 7.3 file ({error})", _REMEDY) from error
