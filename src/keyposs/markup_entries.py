"""A markup's entries as people write them by hand: points `7` or `"0-16"`, mirrored runs like `"0-7:16-9"`."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from numbers import Integral
from typing import Any, NamedTuple

MOST = 10_000
"""Points of a scheme; keeps a slip like `"0-160000000"` from filling the memory."""

_RUN = re.compile(r"\s*(\d{1,9})\s*(?:-\s*(\d{1,9})\s*)?", re.ASCII)


class Contour(NamedTuple):
    """A run of points that belong to one line of the face."""

    name: str
    points: tuple[int, ...]
    closed: bool = False


def points_of(spec: Any) -> tuple[int, ...]:
    """Point numbers of an int, of inclusive runs up or down, or of a list of these.

    Raises:
        ValueError: if it is anything else.

    >>> points_of("0-3, 9"), points_of([5, "8-6"])
    ((0, 1, 2, 3, 9), (5, 8, 7, 6))
    """
    return tuple(chain.from_iterable(_run(part) for part in _parts(spec)))


def pairs_of(spec: Any) -> tuple[tuple[int, int], ...]:
    """Pairs of points: a list of `[a, b]` or of two runs of one length, `"0-7:16-9"` for (0, 16), ... (7, 9).

    Raises:
        ValueError: if it is anything else.

    >>> pairs_of("0-2:16-14"), pairs_of([[31, 35], "36-37:45-44"])
    (((0, 16), (1, 15), (2, 14)), ((31, 35), (36, 45), (37, 44)))
    """
    if not _is_list(spec) and not isinstance(spec, str):
        raise ValueError(f"{spec!r} is no list of pairs; {_QUOTED}")
    return tuple(chain.from_iterable(_pairs(part) for part in _parts(spec)))


def contour_of(plain: Any) -> Contour:
    """A contour of `{name, points, closed}`; a ValueError says what is wrong."""
    if not isinstance(plain, Mapping) or "name" not in plain or not set(plain) <= set(Contour._fields):
        raise ValueError(f"{plain!r} is no contour; write {{name: nose, points: 27-30}}, perhaps with closed: true")
    points, closed = points_of(plain.get("points", ())), plain.get("closed", False)
    if not points or not isinstance(closed, bool):
        raise ValueError(f"{plain['name']!r} needs points, and closed is true or false")
    return Contour(str(plain["name"]), points, closed)


def pair_of(plain: Any) -> tuple[int, int]:
    """Two points; a ValueError says what is wrong."""
    points = points_of(plain)
    if len(points) != 2:
        raise ValueError(f"{plain!r} are not two points")
    return points[0], points[1]


def groups_of(plain: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two groups of points; a ValueError says what is wrong."""
    groups = tuple(points_of(group) for group in plain) if not isinstance(plain, str) else ()
    if len(groups) != 2 or not all(groups):
        raise ValueError(f"{plain!r} are not two lists of points")
    return groups[0], groups[1]


def count_of(plain: Any) -> int:
    """How many points; a ValueError says what is wrong."""
    if not isinstance(plain, int) or isinstance(plain, bool) or plain < 0:
        raise ValueError(f"{plain!r} is no number of points")
    return plain


_QUOTED = 'write [a, b], or mirrored runs in quotes like "0-7:16-9"'  # bare 31:35 is the number 1895 in yaml


def _pairs(part: Any) -> Iterator[tuple[int, int]]:
    sides = part.split(":") if isinstance(part, str) else part
    if not _is_list(sides) or len(sides) != 2:
        raise ValueError(f"{part!r} is no pair; {_QUOTED}")
    right, left = (points_of(side) for side in sides)
    if len(right) != len(left) or not (isinstance(part, str) or len(right) == 1):
        raise ValueError(f"{part!r} pairs {len(right)} points with {len(left)}; {_QUOTED}")
    return zip(right, left, strict=True)


def _run(part: Any) -> Sequence[int]:
    if isinstance(part, Integral) and not isinstance(part, bool):
        part = str(part)
    match = _RUN.fullmatch(part) if isinstance(part, str) else None
    if match is None:
        raise ValueError(f'{part!r} is no point; write a number from 0, or a run like "0-16"')
    first, last = int(match[1]), int(match[2] or match[1])
    if max(first, last) >= MOST:
        raise ValueError(f"{part!r} goes beyond the {MOST} points that a scheme may have")
    return range(first, last + 1) if first <= last else range(first, last - 1, -1)


def _parts(spec: Any) -> Sequence[Any]:
    if isinstance(spec, str):
        return spec.split(",")
    return spec if _is_list(spec) else [spec]


def _is_list(spec: Any) -> bool:
    return isinstance(spec, Sequence) and not isinstance(spec, str | bytes)
