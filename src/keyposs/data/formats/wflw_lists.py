"""The lists of WFLW: a line for each face, and which faces the lists of the test subsets name."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from keyposs.data.formats.text import read_text
from keyposs.errors import KeyposError
from keyposs.markup import MARKUP_98

_log = logging.getLogger(__name__)

ATTRIBUTES = ("pose", "expression", "illumination", "make-up", "occlusion", "blur")
"""The flags of a line, in order; each names a test subset."""

_FILES = ("largepose", "expression", "illumination", "makeup", "occlusion", "blur")
"""What the subsets' own lists call them."""

_COORDINATES = 2 * MARKUP_98.size
_REMEDY = "fetch the list again, or set data.bad_faces=skip"


class Face(NamedTuple):
    """What stands in a line."""

    source: str  # file and line, as errors name them
    number: int  # of the line, from 1
    keypoints: Float[np.ndarray, "98 2"]
    face_box: Float[np.ndarray, " 4"] | None  # x0, y0, x1, y1
    attributes: tuple[str, ...]
    photo: str  # in the folder of photos


def read_list(path: Path, *, rect_attr: bool) -> tuple[list[Face], list[KeyposError]]:
    """The faces of a list, and what is wrong with its other lines.

    Args:
        path: of the list.
        rect_attr: whether its lines hold a box and flags between points and photo.

    Raises:
        KeyposError: if the file cannot be read.
    """
    faces, errors = [], []
    text = read_text(path, remedy="fetch the list again, or mend its permissions")
    for number, line in enumerate(text.split("\n"), 1):
        try:
            if line.strip():
                faces.append(_parse(path, number, line, rect_attr=rect_attr))
        except KeyposError as error:
            errors.append(error)
    return faces, errors


def match(faces: Sequence[Face], folder: Path) -> tuple[dict[int, set[str]], list[KeyposError]]:
    """The subsets of each face as the subsets' own lists name them.

    A face is known by its photo and its points, which may be rounded in one of the lists. Lines of photos that no
    face has are counted in a warning: there may be less than the whole data set.

    Args:
        faces: of the test list.
        folder: of `list_98pt_test_largepose.txt` and the others; those that are not there name nobody.

    Returns:
        The subsets by number of the face, and the lines that are broken or name another face of a known photo.

    Raises:
        KeyposError: if a file cannot be read.
    """
    photos: defaultdict[str, list[Face]] = defaultdict(list)
    for face in faces:
        photos[face.photo].append(face)
    subsets: defaultdict[int, set[str]] = defaultdict(set)
    errors: list[KeyposError] = []
    for attribute, file in zip(ATTRIBUTES, _FILES, strict=True):
        path = folder / f"list_98pt_test_{file}.txt"
        lines, bad = read_list(path, rect_attr=False) if path.exists() else ([], [])
        known = [line for line in lines if line.photo in photos]
        if len(known) < len(lines):
            _log.warning("wflw: %s names %d faces of photos not in the list", path, len(lines) - len(known))
        same = [[face for face in photos[line.photo] if _same(face, line)] for line in known]
        for face in (face for found in same for face in found):
            subsets[face.number].add(attribute)
        errors += bad + [_stranger(line) for line, found in zip(known, same, strict=True) if not found]
    return dict(subsets), errors


def _parse(path: Path, number: int, line: str, *, rect_attr: bool) -> Face:
    source = f"{path}:{number}"
    size = _COORDINATES + (4 + len(ATTRIBUTES) if rect_attr else 0) + 1
    fields = line.split(maxsplit=size - 1)
    if len(fields) != size:
        raise KeyposError(source, f"holds {len(fields)} fields, not {size}", _REMEDY)
    try:
        numbers = np.array(fields[:-1], dtype=np.float64)
    except ValueError as error:
        raise KeyposError(source, f"holds text among its numbers ({error})", _REMEDY) from error
    flags = numbers[_COORDINATES + 4 :].tolist()
    if not {0, 1}.issuperset(flags):
        raise KeyposError(source, "holds a flag that is neither 0 nor 1", _REMEDY)
    return Face(
        source=source,
        number=number,
        keypoints=numbers[:_COORDINATES].reshape(-1, 2),
        face_box=numbers[_COORDINATES : _COORDINATES + 4] if rect_attr else None,
        attributes=tuple(name for name, flag in zip(ATTRIBUTES, flags, strict=False) if flag),
        photo=fields[-1].strip(),
    )


def _same(face: Face, line: Face) -> bool:
    with np.errstate(invalid="ignore"):
        return bool(np.abs(face.keypoints - line.keypoints).max() < 1)


def _stranger(line: Face) -> KeyposError:
    cause = f"names a face of {line.photo} that is not in the test list"
    return KeyposError(line.source, cause, "fetch both lists again, or set data.bad_faces=skip")
