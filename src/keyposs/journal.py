"""What a long reading has found so far: a line of JSON for each picture, from which an interrupted one goes on."""

import csv
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from keyposs.errors import KeyposError
from keyposs.files import atomic

LINES, TABLE = "faces.jsonl", "faces.csv"


class Journal:
    """The lines of an output folder: the first tells how pictures are read, each other one what was found in one.

    Lines are appended as they come, whole; a last one that was cut short is taken off.

    Args:
        folder: of the output; made where it is not there.
        facts: how pictures are read, in JSON's terms; a folder of others is not gone on with.

    Raises:
        KeyposError: if the folder holds what was read otherwise, or is not to be written to.
    """

    def __init__(self, folder: Path, facts: Mapping[str, Any]) -> None:
        self.file = folder / LINES
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._cut()
            self._lines = self.file.open("a", encoding="utf-8")
        except OSError as error:
            raise KeyposError(folder, f"is not to be written to ({error.strerror})", "choose another --out") from error
        self.done: set[str] = set()
        entries = self.entries()
        head = next(entries, None)
        if head is None:
            self._append(facts)
        elif head != facts:
            changed = ", ".join(key for key in {**head, **facts} if head.get(key) != facts.get(key))
            remedy = "give the same options to go on, or another --out"
            raise KeyposError(folder, f"holds faces that were read with other options ({changed})", remedy)
        self.done |= {entry["file"] for entry in entries}

    def add(self, entry: Mapping[str, Any]) -> None:
        """Writes down what was found in a picture, `file`, for good."""
        self._append(entry)
        self.done.add(entry["file"])

    def entries(self) -> Iterator[dict[str, Any]]:
        """All lines, in order, one after another."""
        with self.file.open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)

    def close(self) -> None:
        """Nothing more will come."""
        self._lines.close()

    def table(self, columns: list[str]) -> None:
        """Writes `faces.csv`, a row per face: file, face, its box, then x, y and score of each point.

        Args:
            columns: their names.
        """
        with atomic(self.file.with_name(TABLE)) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            for entry in self.entries():
                writer.writerows(row(entry["file"], i, face) for i, face in enumerate(entry.get("faces", ())))

    def _append(self, entry: Mapping[str, Any]) -> None:
        self._lines.write(json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n")
        self._lines.flush()

    def _cut(self) -> None:
        """Takes a line off that an interruption has left unfinished."""
        if not self.file.exists():
            return
        with self.file.open("r+b") as file:
            end = file.seek(0, os.SEEK_END)
            while end:
                start = max(end - 65536, 0)
                file.seek(start)
                at = file.read(end - start).rfind(b"\n")
                if at >= 0:
                    file.truncate(start + at + 1)
                    return
                end = start
            file.truncate(0)


def row(name: str, number: int, face: Mapping[str, Any]) -> list[object]:
    """A face's line of a table."""
    values = (v for (x, y), s in zip(face["points"], face["scores"], strict=True) for v in (x, y, s))
    return [name, number, *face["box"], *values]


def columns(k: int) -> list[str]:
    """Of a table of faces with `k` points."""
    boxes = (f"box_{name}" for name in ("x0", "y0", "x1", "y1"))
    return ["file", "face", *boxes, *(f"{axis}{i}" for i in range(k) for axis in "xys")]
