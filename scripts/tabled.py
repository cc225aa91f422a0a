"""Where the scripts that measure a table write it: `--out`, a file of its own or a part of a page."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from keyposs.errors import KeyposError
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


class Part(NamedTuple):
    """What stands on a page between two comments that name it; a page that is not there yet is nothing else."""

    page: Path
    name: str

    @property
    def marks(self) -> tuple[str, str]:
        """The lines between which it stands."""
        return f"<!-- {self.name}: begin -->", f"<!-- {self.name}: end -->"

    @property
    def around(self) -> tuple[str, str]:
        """What stands before and after it.

        Raises:
            KeyposError: if the page has no place for it.
        """
        begin, end = self.marks
        text = self.page.read_text(encoding="utf-8") if self.page.exists() else f"{begin}\n{end}\n"
        before, found_begin, rest = text.partition(begin)
        _, found_end, after = rest.partition(end)
        if not found_begin or not found_end:
            cause = f"has no place for the tables: {begin}, then {end}"
            raise KeyposError(self.page, cause, "add these two lines to it")
        return before, after

    def write(self, text: str) -> None:
        """Puts a text, which ends with a line's end, there."""
        (before, after), (begin, end) = self.around, self.marks
        write_text(self.page, f"{before}{begin}\n\n{text}\n{end}{after}")
