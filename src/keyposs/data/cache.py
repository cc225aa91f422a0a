"""Canonical crops: made from a photo, or kept in one file."""

import hashlib
import logging
import math
import os
import pickle
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import PIL
import PIL.features
from rich.progress import track

from keyposs.crop import canonical_matrix, canonical_size, warp
from keyposs.data.photo import read_photo
from keyposs.errors import KeyposError
from keyposs.files import atomic
from keyposs.types import Annotation, Photo

_log = logging.getLogger(__name__)


def canonical_crop(face: Annotation, *, image_size: int, padding: float) -> Photo:
    """Reads a face's photo and cuts its canonical crop.

    Args:
        face: with the photo still to be read.
        image_size: side of the evaluation crop, the centre of the canonical one.
        padding: side of the evaluation crop over the longer side of the face's box.
    """
    matrix = canonical_matrix(face.box, image_size=image_size, padding=padding)
    return warp(face.read(), matrix, canonical_size(image_size))


class CachedCrops(NamedTuple):
    """Canonical crops in a file, as `cache_crops` writes them: raw bytes, one crop after the other.

    Each crop is read when it is asked for. A mapped file would count as memory of every worker that has looked
    at it.
    """

    path: Path
    shape: tuple[int, int, int, int]  # faces, rows, columns, colours

    def __call__(self, index: int) -> Photo:
        """The canonical crop of a face; of -1 the last one's.

        Raises:
            KeyposError: if the file has been removed or cut.
        """
        faces, *of_one = self.shape
        size = math.prod(of_one)
        try:
            return np.fromfile(self.path, np.uint8, size, offset=index % faces * size).reshape(of_one)
        except (OSError, ValueError) as error:
            cause = f"the crop cache was removed or cut while in use ({error})"
            raise KeyposError(self.path, cause, "start again: it is then made anew") from error


def cache_crops(
    folder: str | Path,
    name: str,
    faces: Sequence[Annotation],
    *,
    image_size: int,
    padding: float,
    workers: int = 2,
) -> CachedCrops:
    """Opens the cache of these faces' crops, after making it where it is not there.

    Its name holds a digest of all that the crops depend on, so that changed photos, boxes, settings or code
    make another file, and the file appears whole or not at all, so that runs may start at once. The folder
    may be emptied whenever no training runs.

    Args:
        folder: the user's, made as needed.
        name: how the file's name begins, like "300w-train".
        faces: whose crops.
        image_size: as `canonical_crop` takes it.
        padding: as `canonical_crop` takes it.
        workers: threads that read and crop.

    Raises:
        KeyposError: if a photo is bad, or the folder cannot be written or is too small.
    """
    size = canonical_size(image_size)
    shape = (len(faces), size, size, 3)
    path = Path(folder).expanduser() / f"{name}-{_digest(faces, image_size, padding)}.crops"
    try:
        if not path.is_file() or path.stat().st_size != math.prod(shape):
            _log.info("making the crop cache %s", path)
            _check_space(path.parent, math.prod(shape))
            _write(path, faces, partial(canonical_crop, image_size=image_size, padding=padding), workers)
        return CachedCrops(path, shape)
    except OSError as error:
        need = f"{math.prod(shape) / 1e9:.1f} GB"
        cause = f"the crop cache of {need} cannot be kept there ({error})"
        raise KeyposError(folder, cause, "free space, or set datamodule.cache to another folder") from error


def _write(path: Path, faces: Sequence[Annotation], crop: partial[Photo], workers: int) -> None:
    portion = 64  # bounds what waits in memory to be written
    with atomic(path) as temporary, temporary.open("wb") as file, ThreadPoolExecutor(max(workers, 1)) as pool:
        for start in track(range(0, len(faces), portion), description=f"caching {len(faces)} crops"):
            for done in pool.map(crop, faces[start : start + portion]):
                file.write(done.tobytes())
        file.flush()
        os.fsync(file.fileno())


def _check_space(folder: Path, need: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < need:
        raise OSError(f"{free / 1e9:.1f} GB are free")


def _digest(faces: Sequence[Annotation], image_size: int, padding: float) -> str:
    versions = (cv2.__version__, PIL.__version__, PIL.features.version("jpg"), np.__version__)
    digest = hashlib.sha256(repr((image_size, padding, versions)).encode())
    for file in _code(faces):
        digest.update(file.read_bytes())
    for face in faces:
        digest.update(repr((face.name, face.box.tolist(), _stamp(face))).encode())
        digest.update(pickle.dumps(face.read))
    return digest.hexdigest()[:16]


def _code(faces: Sequence[Annotation]) -> list[Path]:
    """The files that decide on a crop's pixels: how it is cut, and how photos are read, taken out of a file or painted.

    A dataset may lie in a module of the user's own.
    """
    here = Path(__file__).parent
    reads = [getattr(face.read, "func", face.read) for face in faces]
    if all(read is read_photo for read in reads):
        return [here.parent / "crop.py", here / "photo.py"]
    modules = (sys.modules.get(name) for name in {read.__module__ for read in reads})
    files = {Path(file) for file in (getattr(module, "__file__", None) for module in modules) if file is not None}
    return [here.parent / "crop.py", *sorted({*files, *here.rglob("*.py")})]


def _stamp(face: Annotation) -> tuple[int, ...] | None:
    """Size and times of the file that a face is read from; the second tells a copy that keeps the first."""
    if face.file is None or not face.file.is_file():
        return None
    stat = face.file.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
