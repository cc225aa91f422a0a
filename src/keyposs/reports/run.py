"""The files of a run, read and checked."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from keyposs.errors import KeyposError

Row = Mapping[str, Any]
"""A row of `results.json`: one decoder on one subset of one split."""

WORDS = ("data", "split", "subset", "method", "encoding", "decoder", "norm")
NUMBERS = ("nme", "fr", "auc", "threshold", "faces")
FIELDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(WORDS, (str,)),
    **dict.fromkeys(NUMBERS, (int, float)),
    "heatmap_size": (int, type(None)),  # null: a network without maps
    "flip_test": (bool,),
    "seed": (int, type(None)),
}
"""The fields of a row, and what they may hold."""


@dataclass(frozen=True, eq=False)
class Readings:
    """What the decoders read of the faces of a split, in the order of the faces' names."""

    names: tuple[str, ...]
    subsets: tuple[frozenset[str], ...]
    nme: Mapping[str, Float[np.ndarray, " n"]]  # of each decoder, in percent; NaN for a face without a reading
    norm: Float[np.ndarray, " n"]  # pixels of the photo
    points: Float[np.ndarray, "n k 2"]  # of the run's own decoder, in pixels of the photo


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run."""

    folder: Path
    rows: list[dict[str, Any]]  # of results.json
    facts: dict[str, Any]  # run.json; empty where it is missing
    readings: Mapping[str, Readings]  # by split; empty where there is no predictions.csv

    @property
    def name(self) -> str:
        """Of its folder."""
        return self.folder.resolve().name

    @property
    def decoder(self) -> str:
        """The one that picked the checkpoint; of those that were read, the best if that was not."""
        return own_decoder(self.rows, self.facts)


def own_decoder(rows: list[dict[str, Any]], facts: Mapping[str, Any]) -> str:
    """See `Run.decoder`.

    >>> own_decoder([{"decoder": "dark", "nme": 5.0}, {"decoder": "quarter", "nme": 4.0}], {"config": {}})
    'quarter'
    """
    monitored = str((facts.get("config") or {}).get("monitor"))
    best = min(rows, key=lambda row: np.nan_to_num(row["nme"], nan=np.inf))
    return monitored if any(row["decoder"] == monitored for row in rows) else str(best["decoder"])


def size_head(size: int | None) -> str:
    """A heatmap size as the head of a column.

    >>> size_head(8), size_head(None)
    ('8', 'no map')
    """
    return "no map" if size is None else str(size)


def of_size(size: int | None) -> str:
    """A heatmap size in words.

    >>> of_size(8), of_size(None)
    ('heatmap size 8', 'no map')
    """
    return "no map" if size is None else f"heatmap size {size}"


def read_run(folder: Path) -> Run:
    """Reads what a finished run left in its folder.

    Raises:
        KeyposError: if there is no finished run, or a file of it is broken.
    """
    rows, facts, readings = read_results(folder), _read_facts(folder), {}
    if (folder / "predictions.csv").exists():
        readings = _read_predictions(folder / "predictions.csv", own_decoder(rows, facts))
        _check_faces(folder, rows, readings)
    return Run(folder, rows, facts, readings)


def read_results(folder: Path) -> list[dict[str, Any]]:
    """The rows of a run's `results.json`.

    Raises:
        KeyposError: if the file is missing, broken, empty, or of another version of keyposs.
    """
    path = folder / "results.json"
    if not folder.is_dir():
        raise KeyposError(folder, "is no folder", "give the folder of a run or of a sweep")
    if not path.exists():
        raise KeyposError(path, "is missing: the run has not finished", f"finish it with resume={folder}")
    rows = _read_json(path)
    if not isinstance(rows, list) or not rows or any(not isinstance(row, dict) for row in rows):
        raise KeyposError(path, "holds no list of rows", _again(folder))
    for i, row in enumerate(rows):
        if lacking := [field for field in FIELDS if field not in row]:
            version = _read_facts(folder).get("version", "unknown")
            cause = f"is from another version of keyposs ({version}): row {i} lacks {', '.join(lacking)}"
            raise KeyposError(path, cause, _again(folder))
        for field, known in FIELDS.items():
            if not isinstance(row[field], known) or (isinstance(row[field], bool) and bool not in known):
                raise KeyposError(path, f"row {i} has {row[field]!r} for {field}", _again(folder))
    return rows


def _again(folder: Path) -> str:
    return f"evaluate its checkpoint again: python -m keyposs.evaluate checkpoint={folder}"


def _read_facts(folder: Path) -> dict[str, Any]:
    path = folder / "run.json"
    facts = _read_json(path) if path.exists() else {}
    if not isinstance(facts, dict):
        raise KeyposError(path, "holds no facts by name", _again(folder))
    return facts


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise KeyposError(path, f"is not JSON ({error})", _again(path.parent)) from error


def read_lines(path: Path, *needed: str, also: Sequence[str] = ()) -> Iterator[tuple[Mapping[str, str], list[str]]]:
    """The lines of a CSV file: the cells of some columns, and all cells from x0 on, which are points.

    Args:
        path: of the file.
        needed: columns that must be there.
        also: further columns, given where they are there.

    Raises:
        KeyposError: if a column is missing, or a line is not as long as the head.
    """
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        head = next(reader, [])
        if lacking := [name for name in needed if name not in head]:
            raise KeyposError(path, f"has no column {', '.join(lacking)}", _again(path.parent))
        columns = {name: head.index(name) for name in (*needed, *also) if name in head}
        first = head.index("x0") if "x0" in head else len(head)
        for cells in reader:
            if len(cells) != len(head):
                cause = f"line {reader.line_num} has {len(cells)} cells, not {len(head)}"
                raise KeyposError(path, cause, _again(path.parent))
            yield {name: cells[column] for name, column in columns.items()}, cells[first:]


def number(path: Path, text: str) -> float:
    """The number of a cell; NaN where it is empty.

    Raises:
        KeyposError: if it is no number.
    """
    try:
        return float(text or "nan")
    except ValueError as error:
        raise KeyposError(path, f"has {text!r} for a number", _again(path.parent)) from error


def points_of(path: Path, cells: list[str]) -> Float[np.ndarray, "k 2"]:
    """Points from their cells; NaN where these are empty."""
    return np.array([number(path, cell) for cell in cells]).reshape(-1, 2)


def _read_predictions(path: Path, decoder: str) -> dict[str, Readings]:
    """By split; points of one decoder alone, for all of them would be large."""
    errors: dict[str, dict[str, dict[str, float]]] = {}
    faces: dict[str, dict[str, tuple[frozenset[str], float, np.ndarray]]] = {}
    for face, cells in read_lines(path, "name", "split", "subsets", "decoder", "norm", "nme"):
        of_decoder = errors.setdefault(face["split"], {}).setdefault(face["decoder"], {})
        if face["name"] in of_decoder:
            cause = f"has {face['name']} twice for {face['decoder']}"
            raise KeyposError(path, cause, _again(path.parent))
        of_decoder[face["name"]] = number(path, face["nme"])
        if face["decoder"] == decoder:
            known = frozenset(face["subsets"].split("|")), number(path, face["norm"]), points_of(path, cells)
            faces.setdefault(face["split"], {})[face["name"]] = known
    return {split: _readings(path, decoder, of_split, faces.get(split, {})) for split, of_split in errors.items()}


def _readings(
    path: Path, decoder: str, errors: Mapping[str, Mapping[str, float]], faces: Mapping[str, Any]
) -> Readings:
    names = tuple(sorted(faces))
    for known, of_decoder in errors.items():
        if of_decoder.keys() != faces.keys():
            raise KeyposError(path, f"has other faces for {known} than for {decoder}", _again(path.parent))
    nme = {known: np.array([of_decoder[name] for name in names]) for known, of_decoder in errors.items()}
    subsets, norms, points = zip(*(faces[name] for name in names), strict=True)
    return Readings(names, subsets, nme, np.array(norms), np.stack(points))


def _check_faces(folder: Path, rows: list[dict[str, Any]], readings: Mapping[str, Readings]) -> None:
    """Refuses predictions that are not those of the results."""
    for row in rows:
        read = readings.get(row["split"])
        known = read is not None and row["decoder"] in read.nme
        found = sum(row["subset"] in subsets for subsets in read.subsets) if read and known else 0
        if found != row["faces"]:
            where = f"{row['split']} {row['subset']} by {row['decoder']}"
            cause = f"has {found} faces of {where}, but results.json counts {row['faces']}"
            raise KeyposError(folder / "predictions.csv", cause, _again(folder))
