"""MATLAB files of version 5 in plain Python: on a damaged one scipy's reader can end the whole process.

The format: https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf
"""

import math
import zlib
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from keyposs.errors import KeyposError

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _CHAR = 1, 2, 4
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""How numbers stand in the file: MATLAB stores whole numbers in as few bytes as they need."""

_CLASSES = dict(enumerate(("f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"), 6))
"""What an array holds."""

_TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_ENDS = {"<": "-le", ">": "-be"}

_Element = tuple[int, memoryview]


def read_matlab(path: Path, names: Collection[str], *, remedy: str) -> dict[str, np.ndarray]:
    """Reads variables.

    Numbers keep their shape and class, text is an array of rows, cells are an array of arrays, structs one of dicts.

    Args:
        path: a `.mat` file of version 5 to 7.2.
        names: of the variables; the others are passed over.
        remedy: what the error advises.

    Raises:
        KeyposError: if the file is missing, another kind of file, not whole, or without one of the variables.
    """
    try:
        found = dict(_variables(path.read_bytes(), names))
    except OSError as error:
        raise KeyposError(path, f"cannot be read ({error.strerror or error})", remedy) from error
    except (ValueError, IndexError, zlib.error, MemoryError, RecursionError) as error:
        raise KeyposError(path, f"is no whole MATLAB file of version 5 ({error})", remedy) from error
    missing = [name for name in names if name not in found]
    if missing:
        raise KeyposError(path, f"holds no variable {', '.join(missing)}", remedy)
    return found


def _variables(data: bytes, names: Collection[str]) -> Iterator[tuple[str, np.ndarray]]:
    order = {b"IM": "<", b"MI": ">"}.get(data[_HEADER - 2 : _HEADER])
    if order is None or data.startswith(b"MATLAB 7.3"):
        raise ValueError("its header is another one")
    for kind, content in _elements(memoryview(data)[_HEADER:], order):
        if kind == _COMPRESSED:
            kind, content = next(_elements(memoryview(zlib.decompress(content)), order), (0, content))
        if kind == _MATRIX:
            yield from _matrix(content, order, names)


def _elements(data: memoryview, order: str) -> Iterator[_Element]:
    """Type and content of each data element; all but the compressed ones fill multiples of 8 bytes."""
    at = 0
    while at < len(data):
        if at + 8 > len(data):
            raise ValueError("it ends too early")
        kind, size = (int(number) for number in np.frombuffer(data[at : at + 8], order + "u4"))
        small = kind >> 16  # up to 4 bytes stand in the tag itself
        start, end = (at + 4, at + 8) if small else (at + 8, at + 8 + size)
        size = small or size
        if end > len(data) or start + size > end:
            raise ValueError("it ends too early")
        yield kind & 0xFFFF, data[start : start + size]
        at = end if kind == _COMPRESSED else end + -end % 8


def _matrix(content: memoryview, order: str, names: Collection[str] | None = None) -> Iterator[tuple[str, np.ndarray]]:
    """Name and value of an array; nothing where its name is not asked for."""
    if not len(content):  # a cell that nothing was put into
        yield "", np.zeros((0, 0))
        return
    parts = _elements(content, order)
    flags, shape = (_numbers(next(parts, None), order) for _ in range(2))
    name = _text(next(parts, None), order)
    if names is None or name in names:
        value = _value(int(flags[0]) & 0xFF if len(flags) else 0, tuple(map(int, shape)), parts, order)
        yield name, value


def _value(kind: int, shape: tuple[int, ...], parts: Iterator[_Element], order: str) -> np.ndarray:
    count = math.prod(shape)
    if kind == _CELL:
        return _objects(_arrays(parts, count, order), shape)
    if kind == _STRUCT:
        width = int(_numbers(next(parts, None), order)[:1].sum())
        text = _text(next(parts, None), order)
        fields = [text[i : i + width].rstrip("\0") for i in range(0, len(text), width)] if width > 0 else []
        cells = _arrays(parts, count * len(fields), order)
        rows = [cells[i : i + len(fields)] for i in range(0, len(cells), max(len(fields), 1))]
        return _objects([dict(zip(fields, row, strict=True)) for row in rows], shape)
    if kind == _CHAR:
        text = _text(next(parts, None), order)
        return np.array([text[i :: shape[0]] for i in range(min(shape[0], len(text)))], dtype=str)
    if kind not in _CLASSES:
        raise ValueError(f"an array of class {kind}")
    return _numbers(next(parts, None), order).reshape(shape, order="F").astype(_CLASSES[kind])


def _arrays(parts: Iterator[_Element], count: int, order: str) -> list[np.ndarray]:
    if count < 0:
        raise ValueError("a size below 0")
    # Every cell takes bytes of the file, so that a damaged count cannot ask for more than there is.
    return [value for kind, part in islice(parts, min(count, 2**40)) for _, value in _matrix(part, order)]


def _objects(values: list, shape: tuple[int, ...]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        array[i] = value
    return array.reshape(shape, order="F")


def _numbers(element: _Element | None, order: str) -> np.ndarray:
    if element is None or element[0] not in _STORED:
        raise ValueError("numbers of an unknown type" if element else "it ends too early")
    return np.frombuffer(element[1], order + _STORED[element[0]])


def _text(element: _Element | None, order: str) -> str:
    if element is None or element[0] not in _TEXTS:
        raise ValueError("text of an unknown type" if element else "it ends too early")
    codec = _TEXTS[element[0]]
    return bytes(element[1]).decode(codec + _ENDS[order] if codec in ("utf-16", "utf-32") else codec)
