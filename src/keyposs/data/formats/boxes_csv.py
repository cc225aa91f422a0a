"""Boxes of faces in a CSV, as detectors' results are kept."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from keyposs.errors import KeyposError

COLUMNS = ("file", "x0", "y0", "x1", "y1")

Box = Float[np.ndarray, " 4"]
"""x0, y0, x1, y1 in pixels of the photo."""


class Row(NamedTuple):
    """A row of a CSV of boxes."""

    where: str  # for errors: the CSV and the line
    file: str
    box: Box


def read_rows(file: Path, setting: str) -> Iterator[Row]:
    """Reads a CSV with the columns file, x0, y0, x1, y1, in any order and among others.

    Args:
        file: the CSV.
        setting: that names it, like "boxes=", for errors.

    Raises:
        KeyposError: if the file is missing or no such CSV, there is no row, or a row holds no box.
    """
    count = 0
    try:
        if not file.is_file():
            raise KeyposError(file, "the file of boxes is missing", f"check {setting}")
        with file.open(newline="", encoding="utf-8-sig") as lines:
            rows = csv.DictReader(lines, skipinitialspace=True)
            missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
            if missing:
                remedy = f"let its first line be {','.join(COLUMNS)}: columns are separated by commas"
                raise KeyposError(file, f"lacks the columns {', '.join(missing)}", remedy)
            for count, row in enumerate(rows, 1):  # noqa: B007
                where = f"{file}, line {rows.line_num}"
                if "\0" in (row["file"] or ""):
                    raise KeyposError(where, "the name of its file holds a NUL byte", "mend the row or remove it")
                yield Row(where, row["file"] or "", _box(row, where))
    except (UnicodeDecodeError, csv.Error) as error:
        raise KeyposError(file, f"is no CSV in UTF-8 ({error})", "export it again as CSV, encoded in UTF-8") from error
    except OSError as error:
        raise KeyposError(file, f"cannot be read ({error.strerror})", f"check {setting}") from error
    if not count:
        raise KeyposError(file, "holds no boxes", f"add a row for each face, or leave {setting} out")


def _box(row: Mapping[str, Any], where: str) -> Box:
    written = [row[name] for name in COLUMNS[1:]]
    try:
        x0, y0, x1, y1 = box = [float(value) for value in written]
    except (TypeError, ValueError) as error:
        raise KeyposError(where, f"a box of {written} is not four numbers", "write x0,y0,x1,y1 in pixels") from error
    if not np.isfinite(box).all():
        raise KeyposError(where, f"the box {box} is not finite", "mend the row or remove it")
    if x1 <= x0 or y1 <= y0:
        raise KeyposError(where, f"the box {box} has no area", "write two corners, x0 < x1 and y0 < y1, not a size")
    return np.array(box)
