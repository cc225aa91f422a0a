"""The tables of NME, FR and AUC on every subset: of one run for a terminal, and the section of a report."""

from collections.abc import Iterator, Sequence

from keyposs.reports.comparison import Comparison, Setting
from keyposs.reports.document import Section
from keyposs.reports.run import Row, of_size
from keyposs.tables import Cell, Table, best_of

MEASURES = (("nme", "NME %", ".2f"), ("fr", "FR@{} %", ".2f"), ("auc", "AUC@{}", ".3f"))
"""Key, name, and form of the number."""


def results(rows: Sequence[Row]) -> Table:
    """The rows of a run's `results.json`: each decoder on each subset, the best of a subset in bold."""
    shown = []
    for split, subset in dict.fromkeys((row["split"], row["subset"]) for row in rows):
        inside = [row for row in rows if (row["split"], row["subset"]) == (split, subset)]
        columns = [best_of([Cell(row[key], form) for row in inside], lowest=key != "auc") for key, _, form in MEASURES]
        heading = Cell(f"{split} {subset}"), Cell(inside[0]["faces"], ".0f")
        shown += [[*heading, Cell(row["decoder"]), *of_row] for row, *of_row in zip(inside, *columns, strict=True)]
    title = f"{rows[0]['data']}, {of_size(rows[0]['heatmap_size'])}, NME in % of {rows[0]['norm']}"
    measures = [name.format(threshold(rows[0]["threshold"])) for _, name, _ in MEASURES]
    return Table("results", title, ["subset", "faces", "decoder", *measures], shown, groups=2)


def threshold(value: float) -> str:
    """As the field writes it.

    >>> threshold(0.08), threshold(0.1)
    ('.08', '.10')
    """
    return f"{value:.2f}".removeprefix("0")


def by_subset(comparison: Comparison, split: str) -> Section:
    """NME, FR and AUC of each decoder of each setting, on every subset."""
    subsets = comparison.subsets(split)
    at = threshold(comparison.first["threshold"])
    heads = [f"{subset} {name.format(at)}" for subset in subsets for _, name, _ in MEASURES]
    rows = [row for setting in comparison.settings for row in _measured(comparison, setting, split)]
    several = len(comparison.settings) > 1
    faces = "; ".join(f"{subset}: {count} {'face' if count == 1 else 'faces'}" for subset, count in subsets.items())
    table = Table(
        name=f"subsets_{split}",
        title=f"{comparison.first['data']} {split} ({faces}), NME in % of {comparison.first['norm']}",
        columns=["setting", "decoder", *heads][not several :],
        rows=[row[not several :] for row in rows],
        groups=int(several),
        note="The best decoder of each setting in bold.",
    )
    return Section(f"Subsets of {split}", [table])


def _measured(comparison: Comparison, setting: Setting, split: str) -> Iterator[list[Cell]]:
    """The rows of a setting: title, decoder, and its measures."""
    columns = []
    for subset in comparison.subsets(split):
        for key, _, form in MEASURES:
            values = (setting.value(split, subset, decoder, key) for decoder in comparison.decoders())
            columns.append(best_of([Cell(value, form) for value in values], lowest=key != "auc"))
    for decoder, *cells in zip(comparison.decoders(), *columns, strict=True):
        if any(cell.value is not None for cell in cells):
            yield [Cell(setting.title), Cell(decoder), *cells]
