"""Tables of any length, row by row: CSV, or Parquet."""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from keyposs.errors import KeyposError
from keyposs.files import atomic

KINDS = ("csv", "parquet")
"""What a table's file may end in."""

GROUP = 512
"""Rows that a Parquet file holds together, and memory before they are written."""

Write = Callable[[Iterable[Sequence[Any]]], None]
"""Takes further rows."""


def check_kind(kind: str) -> None:
    """Makes sure that tables of this kind can be written here.

    Raises:
        KeyposError: if they need a package that is missing.
    """
    try:
        import_module("pyarrow.parquet" if kind == "parquet" else "csv")
    except ImportError as error:
        raise KeyposError(f"table={kind}", "needs the package pyarrow", 'pip install "keyposs[parquet]"') from error


@contextmanager
def sheet(file: Path, columns: Mapping[str, type]) -> Iterator[Write]:
    """Yields what takes rows; the file is there at the end, and whole, or not at all.

    Args:
        file: ends in one of `KINDS`.
        columns: what stands in each: str, int or float.
    """
    with atomic(file) as temporary, (_parquet if file.suffix == ".parquet" else _csv)(temporary, columns) as write:
        yield write


@contextmanager
def _csv(file: Path, columns: Mapping[str, type]) -> Iterator[Write]:
    with file.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines)
        writer.writerow(columns)
        yield writer.writerows


@contextmanager
def _parquet(file: Path, columns: Mapping[str, type]) -> Iterator[Write]:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in columns.items()])
    held: list[Sequence[Any]] = []
    with ParquetWriter(file, schema) as writer:

        def flush() -> None:
            values = [list(column) for column in zip(*held, strict=True)] or [[] for _ in columns]
            writer.write_table(pa.table(values, schema=schema))
            held.clear()

        def write(rows: Iterable[Sequence[Any]]) -> None:
            for row in rows:
                held.append(row)
                if len(held) == GROUP:
                    flush()

        yield write
        flush()
