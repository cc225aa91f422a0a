"""Faces that are the same picture, found by pixels: whatever their file, size, compression or exact box.

Three looks, each at fewer pairs. The first compares each face with each other at 16 x 16, so blurred that boxes need
not agree. The second takes light away and finds where and how large one picture lies in the other, at 64 x 64. The
third lays them exactly over each other (ECC, Evangelidis and Psarakis 2008), and compares the details that tell faces
apart.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from keyposs.types import Matrix

SAME = 0.93
"""Likeness from which faces are the same picture.

On 300-W copies of about half the size, at JPEG quality 50 and with box edges moved by up to 6 %, are above it in 199
of 200 cases; pictures of one person from one sitting are below 0.90, and different persons' below 0.85. Rendered
faces, which have little detail, reach 0.927.
"""

ALIKE = 0.75
"""Correlation at the first look from which a second one is taken."""

CLOSE = 0.8
"""Correlation at the second look from which a third one is taken."""

MOST = 8
"""Second looks for each face, the most alike first, so that a set of equal pictures costs no more than another."""

_COARSE = 16
_FLAT = 2.0  # grey levels; a picture of less contrast is like none
_LIGHT, _DETAIL = 5.0, 2.0  # pixels of 64: slower changes are taken away at the second and the third look
_SCALES = (1.0, 0.95, 1.05, 0.9, 1.1)
_HOPELESS = 0.4  # at the second look's first scale
_EDGE = 8  # pixels of 64 that the second picture is trimmed by
_STOP = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 50, 1e-4)
_CHUNK = 1024


class Pair(NamedTuple):
    """Two faces that are the same picture, the first before the second in the dataset."""

    first: int
    second: int
    likeness: float
    mirrored: bool


def find_duplicates(thumbs: UInt8[np.ndarray, "n 64 64"]) -> list[Pair]:
    """Pairs of pictures that are the same or mirrored; of many equal ones, enough pairs to link them all."""
    found: dict[tuple[int, int], Pair] = {}
    for mirrored in (False, True):
        others = thumbs[:, :, ::-1] if mirrored else thumbs
        for i, j in candidates(describe(thumbs), describe(others)):
            similar = likeness(thumbs[i], others[j])
            if similar >= SAME and similar > (found[j, i].likeness if (j, i) in found else 0.0):
                found[j, i] = Pair(j, i, similar, mirrored)
    return sorted(found.values())


def describe(thumbs: UInt8[np.ndarray, "n 64 64"]) -> Float[np.ndarray, "n d"]:
    """Blurred pictures of zero mean and unit length; zero where there is no contrast."""
    step = thumbs.shape[-1] // _COARSE
    small = thumbs.reshape(-1, _COARSE, step, _COARSE, step).mean((2, 4), dtype=np.float32)
    flat = small.reshape(-1, _COARSE**2)
    flat = flat - flat.mean(1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.where(length > _FLAT * _COARSE, flat / np.maximum(length, 1e-9), 0).astype(np.float32)


def candidates(
    rows: Float[np.ndarray, "n d"], columns: Float[np.ndarray, "n d"], *, least: float = ALIKE, most: int = MOST
) -> Iterator[tuple[int, int]]:
    """For each row the earlier columns that correlate by `least`, at most so many, the closest first."""
    for start in range(0, len(rows), _CHUNK):
        similar = np.tril(rows[start : start + _CHUNK] @ columns[: start + _CHUNK].T, start - 1)
        for i in np.flatnonzero((similar >= least).any(1)):
            close = np.flatnonzero(similar[i] >= least)
            order = np.argsort(-similar[i][close], kind="stable")[:most]
            yield from ((start + int(i), int(j)) for j in close[order])


def likeness(first: UInt8[np.ndarray, "64 64"], second: UInt8[np.ndarray, "64 64"]) -> float:
    """Correlation of the second picture's inner details with those of the first, laid over each other; 0 if far off."""
    inner = slice(_EDGE, -_EDGE)
    light, goal = details(first, _LIGHT), details(second, _LIGHT)[inner, inner].copy()
    matrix, close = place(light, goal)
    if close < CLOSE:
        return 0.0
    try:
        _, matrix = cv2.findTransformECC(goal, light, matrix.astype(np.float32), cv2.MOTION_AFFINE, _STOP, None, 1)
    except cv2.error:  # it does not converge
        return 0.0
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid = cv2.warpAffine(details(first, _DETAIL), matrix, goal.shape, flags=flags)
    part = details(second, _DETAIL)[inner, inner].ravel()
    return float(np.corrcoef(laid.ravel(), part)[0, 1]) if laid.std() > 0 < part.std() else 0.0


def place(whole: Float[np.ndarray, "h w"], part: Float[np.ndarray, "s s"]) -> tuple[Matrix, float]:
    """Where the part lies in the whole, at some scales: the matrix from its pixels, and the correlation there."""
    best, matrix = -1.0, np.eye(2, 3)
    for scale in _SCALES:
        side = round(len(part) * scale)
        scaled = cv2.resize(part, (side, side), interpolation=cv2.INTER_LINEAR)
        _, close, _, corner = cv2.minMaxLoc(cv2.matchTemplate(whole, scaled, cv2.TM_CCOEFF_NORMED))
        if close > best:
            ratio = side / len(part)
            best, matrix = close, np.column_stack([ratio * np.eye(2), np.array(corner) + (ratio - 1) / 2])
        if best < _HOPELESS:
            break
    return matrix, best


def details(thumb: UInt8[np.ndarray, "64 64"], sigma: float) -> Float[np.ndarray, "64 64"]:
    """The picture without slower changes than sigma, with the contrast made even, and without the finest noise."""
    grey = thumb.astype(np.float32)
    edges = grey - cv2.GaussianBlur(grey, (0, 0), sigma)
    contrast = np.sqrt(cv2.GaussianBlur(edges * edges, (0, 0), _LIGHT))
    return cv2.GaussianBlur(edges / (contrast + 4), (0, 0), 1.0)


def groups(pairs: Sequence[Pair], count: int) -> list[list[int]]:
    """The faces that pairs link, directly or by way of others.

    >>> groups([Pair(0, 3, 1.0, False), Pair(3, 4, 1.0, True)], 6)
    [[0, 3, 4]]
    """
    ends: Int[np.ndarray, "2 m"] = np.array([(pair.first, pair.second) for pair in pairs], dtype=int).reshape(-1, 2).T
    linked = coo_array((np.ones(len(pairs), dtype=np.int8), (ends[0], ends[1])), shape=(count, count))
    _, labels = connected_components(linked, directed=False)
    found: dict[int, list[int]] = {}
    for i in np.unique(ends):
        found.setdefault(int(labels[i]), []).append(int(i))
    return list(found.values())
