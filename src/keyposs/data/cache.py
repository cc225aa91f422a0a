"""Canonical crops: made from a photo, or kept in one file that is mapped into memory."""

import hashlib
import logging
import os
import pickle
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import PIL
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


class CachedCrops:
    """Canonical crops in a file; copies of this object in other processes map the same file.

    Args:
        path: raw bytes, as `cache_crops` writes them.
        shape: faces, rows, columns, colours.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int, int]) -> None:
        self.path, self.shape = path, shape
        self._crops = np.memmap(path, dtype=np.uint8, mode="r", shape=shape)

    def __call__(self, index: int) -> Photo:
        """The canonical crop of a face."""
        return np.array(self._crops[index])

    def __reduce__(self) -> tuple[type, tuple[Path, tuple[int, int, int, int]]]:
        return type(self), (self.path, self.shape)


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
        if not path.is_file() or path.stat().st_size != np.prod(shape):
            _log.info("making the crop cache %s", path)
            _check_space(path.parent, int(np.prod(shape)))
            _write(path, faces, partial(canonical_crop, image_size=image_size, padding=padding), workers)
        return CachedCrops(path, shape)
    except OSError as error:
        need = f"{np.prod(shape) / 1e9:.1f} GB"
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
    versions = (cv2.__version__, PIL.__version__, np.__version__)
    digest = hashlib.sha256(repr((image_size, padding, versions)).encode())
    for file in _code(faces):
        digest.update(file.read_bytes())
    for face in faces:
        digest.update(repr((face.name, face.box.tolist(), _stamp(face))).encode())
        digest.update(pickle.dumps(face.read))
    return digest.hexdigest()[:16]


def _code(faces: Sequence[Annotation]) -> list[Path]:
    """The files of this package that decide on a crop's pixels: to read photos, or to paint them."""
    here = Path(__file__).parent
    photos = all(getattr(face.read, "func", None) is read_photo for face in faces)
    return [here.parent / "crop.py", *([here / "photo.py"] if photos else sorted(here.glob("*.py")))]


def _stamp(face: Annotation) -> tuple[int, int] | None:
    """Size and time of the file that a face is read from."""
    if face.file is None or not face.file.is_file():
        return None
    return face.file.stat().st_size, face.file.stat().st_mtime_ns
