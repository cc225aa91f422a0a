"""What a long reading has found so far: a line of JSON for each picture, from which an interrupted one goes on."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from keyposs.errors import KeyposError
from keyposs.files import atomic

LINES = "faces.jsonl"


class Journal:
    """The lines of an output folder: the first tells how pictures are read, each other one what was found in one.

    Lines are appended as they come, whole. A last one that was cut short is taken off, and so are those of broken
    pictures, which may have been mended since.

    Args:
        folder: of the output; made where it is not there.
        facts: how pictures are read, in JSON's terms; a folder of others is not gone on with.

    Raises:
        KeyposError: if the folder holds what was read otherwise, or is not to be written to.
    """

    def __init__(self, folder: Path, facts: Mapping[str, Any]) -> None:
        self.file = folder / LINES
        self.done: set[str] = set()
        make(folder)
        try:
            if self._cut():
                self._go_on(facts)
            self._lines = self.file.open("a", encoding="utf-8")
        except OSError as error:
            raise KeyposError(
                self.file, f"is not to be written to ({error.strerror})", "choose another --out"
            ) from error
        if not self._lines.tell():
            self._append(facts)

    def add(self, entry: Mapping[str, Any]) -> None:
        """Writes down what was found in a picture, `file`, for good."""
        self._append(entry)
        self.done.add(entry["file"])

    def entries(self) -> Iterator[dict[str, Any]]:
        """All pictures, in order, one after another."""
        with self.file.open(encoding="utf-8") as lines:
            next(lines)  # how they were read
            yield from map(json.loads, lines)

    def seen(self) -> Iterator[dict[str, Any]]:
        """All pictures that have faces."""
        return (entry for entry in self.entries() if entry.get("faces"))

    def close(self) -> None:
        """Nothing more will come."""
        self._lines.close()

    def _append(self, entry: Mapping[str, Any]) -> None:
        self._lines.write(json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n")
        self._lines.flush()

    def _go_on(self, facts: Mapping[str, Any]) -> None:
        """Takes note of what is done already, if anything is."""
        try:
            with self.file.open(encoding="utf-8") as lines:
                head = dict(json.loads(next(lines)))
            broken = {entry["file"]: "error" in entry for entry in self.entries()}
        except (ValueError, KeyError, TypeError) as error:
            raise KeyposError(self.file, "was not written by keyposs predict", "choose another --out") from error
        if head != facts:
            changed = ", ".join(key for key in {**head, **facts} if head.get(key) != facts.get(key))
            remedy = "give the same options to go on, or another --out"
            raise KeyposError(self.file, f"holds faces that were read with other options ({changed})", remedy)
        self.done = {name for name in broken if not broken[name]}
        if len(self.done) < len(broken):
            with (
                atomic(self.file) as new,
                new.open("w", encoding="utf-8") as kept,
                self.file.open(encoding="utf-8") as lines,
            ):
                kept.writelines(line for line in lines if "error" not in json.loads(line))

    def _cut(self) -> bool:
        """Takes a line off that an interruption has left unfinished; whether any is left."""
        if not self.file.exists():
            return False
        with self.file.open("r+b") as file:
            end = file.seek(0, os.SEEK_END)
            while end:
                start = max(end - 65536, 0)
                file.seek(start)
                at = file.read(end - start).rfind(b"\n")
                if at >= 0:
                    file.truncate(start + at + 1)
                    return True
                end = start
            file.truncate(0)
        return False


def make(folder: Path) -> None:
    """Makes a folder, and makes sure that files can be written into it.

    Raises:
        KeyposError: if not.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()
    except OSError as error:
        raise KeyposError(folder, f"is not to be written to ({error.strerror})", "choose another --out") from error


def row(name: str, number: int, face: Mapping[str, Any]) -> list[object]:
    """A face's line of a table."""
    values = (v for (x, y), s in zip(face["points"], face["scores"], strict=True) for v in (x, y, s))
    return [name, number, *face["box"], *values]


def columns(k: int) -> dict[str, type]:
    """Of a table of faces with `k` points."""
    boxes = (f"box_{name}" for name in ("x0", "y0", "x1", "y1"))
    return {"file": str, "face": int, **dict.fromkeys(boxes, float), **point_columns(k)}


def point_columns(k: int) -> dict[str, type]:
    """Of a table of `k` points: x, y and score of each."""
    return {f"{axis}{i}": float for i in range(k) for axis in "xys"}
