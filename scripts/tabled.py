"""Where the scripts that measure a table write it: `--out`."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from keyposs.files import write_text
from keyposs.tables import Cell, Table, csv_text, markdown


def table_file(text: str) -> Path:
    """A file whose kind is known."""
    if Path(text).suffix not in (".md", ".csv"):
        raise argparse.ArgumentTypeError(f"{text!r} ends neither in .md nor in .csv")
    return Path(text)


def write(path: Path, rows: Sequence[Mapping[str, str | float]], tables: Iterable[Table]) -> None:
    """Writes what was measured, unrounded, as `.csv`, or the tables made of it in Markdown."""
    measured = Table("rows", "", list(rows[0]), [list(map(Cell, row.values())) for row in rows])
    write_text(path, csv_text(measured) if path.suffix == ".csv" else "\n\n".join(map(markdown, tables)) + "\n")
