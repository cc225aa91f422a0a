"""Faces that are the same picture, found by pixels: whatever their file, size, compression or exact box.

A first look compares each face with each other at 16 x 16, a second one the few that are alike, at 64 x 64, without
what light does: the first blurs, so that boxes need not agree, the second sees the details that tell faces apart.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SAME = 0.9
"""Likeness from which faces are the same picture.

On 300-W copies of half the size, at JPEG quality 50 and with box edges moved by up to 6 %, are above 0.92; pictures
of one person from one sitting are below 0.88, different persons below 0.85.
"""

ALIKE = 0.75
"""Correlation at the first look from which a second one is taken."""

MOST = 8
"""Second looks for each face, the most alike first, so that a set of equal pictures costs no more than another."""

_COARSE = 16
_FLAT = 2.0  # grey levels; a picture of less contrast is like none
_SIGMA = 5.0  # pixels of 64: slower changes are light
_SCALES = (1.0, 0.95, 1.05, 0.9, 1.1)
_HOPELESS = 0.4  # of a likeness at the first scale
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
    """Largest correlation of the second's inner part with the first, at any shift and some scales, without light."""
    whole, part = details(first), details(second)[8:-8, 8:-8]
    best = -1.0
    for scale in _SCALES:
        side = round(len(part) * scale)
        scaled = cv2.resize(part, (side, side), interpolation=cv2.INTER_LINEAR)
        best = max(best, float(cv2.matchTemplate(whole, scaled, cv2.TM_CCOEFF_NORMED).max()))
        if best < _HOPELESS:
            break
    return best


def details(thumb: UInt8[np.ndarray, "64 64"]) -> Float[np.ndarray, "64 64"]:
    """The picture with the contrast made even: what is left where light and shade are taken away."""
    grey = thumb.astype(np.float32)
    edges = grey - cv2.GaussianBlur(grey, (0, 0), _SIGMA)
    contrast = np.sqrt(cv2.GaussianBlur(edges * edges, (0, 0), _SIGMA))
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
