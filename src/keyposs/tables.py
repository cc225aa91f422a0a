"""Tables of `results.json`: decoders by subsets, for a terminal and for Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rich import box
from rich.table import Table

Row = Mapping[str, Any]
"""A row of `results.json`: one decoder on one subset of one split."""

KINDS = ("data", "heatmap_size", "method", "encoding", "seed")
MEASURES = (("nme", 2, min), ("fr", 2, min), ("auc", 3, max))
"""Key, decimals, and which of several values is the best."""


class Column(NamedTuple):
    """One measure on one subset; a cell per decoder, with whether it is the best, or empty."""

    split: str
    subset: str
    faces: int
    measure: str
    cells: list[tuple[str, bool]]


def results_table(rows: Sequence[Row]) -> Table:
    """Decoders on each subset for a terminal of 80 columns: NME, FR and AUC, the best of a subset in bold."""
    columns = _columns(rows)
    table = Table(title=_title(rows), box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    for name in ("subset", "faces", "decoder", *(column.measure for column in columns[: len(MEASURES)])):
        table.add_column(name, justify="left" if name in ("subset", "decoder") else "right", no_wrap=True)
    for i in range(0, len(columns), len(MEASURES)):
        group = columns[i : i + len(MEASURES)]
        heading = (f"{group[0].split} {group[0].subset}", str(group[0].faces))
        lines = zip(dict.fromkeys(_labels(rows)), *(column.cells for column in group), strict=True)
        for label, *cells in (line for line in lines if line[1][0]):
            table.add_row(*heading, label, *(f"[bold green]{text}[/]" if best else text for text, best in cells))
            heading = ("", "")
        table.add_section()
    return table


def markdown_table(rows: Sequence[Row]) -> str:
    """The same table in Markdown, with a line above that names data, normaliser and faces."""
    labels, columns = _labels(rows), _columns(rows)
    faces = dict.fromkeys(f"{column.split} {column.subset}: {column.faces} faces" for column in columns)
    several = len({column.split for column in columns}) > 1
    heads = [f"{column.split} " * several + f"{column.subset} {column.measure}" for column in columns]
    lines = [["decoder", *heads], ["---", *["---:"] * len(columns)]]
    for label, *cells in zip(dict.fromkeys(labels), *(column.cells for column in columns), strict=True):
        lines.append([f"`{label}`", *(f"**{text}**" if best else text for text, best in cells)])
    return "\n".join([f"{_title(rows)} ({'; '.join(faces)}).", "", *(f"| {' | '.join(line)} |" for line in lines)])


def _varying(rows: Sequence[Row]) -> list[str]:
    return [kind for kind in KINDS if len({row[kind] for row in rows}) > 1]


def _labels(rows: Sequence[Row]) -> list[str]:
    """What a row is called: its decoder, and what else tells it from the others."""
    return [" ".join([row["decoder"], *(f"{kind}={row[kind]}" for kind in _varying(rows))]) for row in rows]


def _title(rows: Sequence[Row]) -> str:
    names = {"data": "{}", "heatmap_size": "heatmap size {}"}
    fixed = [words.format(rows[0][kind]) for kind, words in names.items() if kind not in _varying(rows)]
    return ", ".join([*fixed, f"NME in % of {' or '.join(dict.fromkeys(row['norm'] for row in rows))}"])


def _columns(rows: Sequence[Row]) -> list[Column]:
    """Three columns for each subset of each split, in the order of the rows."""
    labels = _labels(rows)
    thresholds = {row["threshold"] for row in rows}
    at = f"@{min(thresholds):.2f}".replace("@0", "@") if len(thresholds) == 1 else "@t"
    columns = []
    for split, subset in dict.fromkeys((row["split"], row["subset"]) for row in rows):
        inside = {
            label: row
            for label, row in zip(labels, rows, strict=True)
            if (row["split"], row["subset"]) == (split, subset)
        }
        faces = next(iter(inside.values()))["faces"]
        for (key, decimals, better), name in zip(MEASURES, ("NME %", f"FR{at} %", f"AUC{at}"), strict=True):
            texts = [f"{inside[label][key]:.{decimals}f}" if label in inside else "" for label in dict.fromkeys(labels)]
            best = better(float(text) for text in texts if text)
            differ = len(set(texts)) > 1
            cells = [(text, differ and bool(text) and float(text) == best) for text in texts]
            columns.append(Column(split, subset, faces, name, cells))
    return columns
