"""Differences in NME on the same faces: between the decoders of a run, and between settings."""

from collections.abc import Iterator, Mapping, Sequence

from keyposs.reports.comparison import Comparison, Setting
from keyposs.reports.document import Section
from keyposs.reports.evidence import RANGES, SURE, TEST, Difference, Evidence, Key
from keyposs.reports.run import size_head
from keyposs.tables import DAGGER, Cell, Table

PAPER = "multilateration"
"""The decoder of the paper, with which the others are compared."""


def between_decoders(comparison: Comparison, split: str, evidence: Evidence) -> Section | None:
    """Each decoder of a setting against its best and against the paper's; all pairs of a setting are one family."""
    if not evidence.known:
        return None
    references = ["best", *[PAPER] * (PAPER in comparison.decoders())]
    rows = []
    for i, setting in enumerate(comparison.settings):
        read = [decoder for number, decoder in evidence.columns if number == i]
        nme = {decoder: setting.value(split, comparison.main(split), decoder, "nme") for decoder in read}
        rows += [[Cell(setting.title), *cells] for cells in _against(references, i, nme, evidence)]
    if not rows:
        return None
    several = len(comparison.settings) > 1
    heads = [head for reference in references for head in (f"minus {reference}", f"p, {reference}")]
    table = Table(
        name=f"decoders_{split}",
        title=f"Decoders on the same faces, {comparison.faces(split, comparison.main(split))}",
        columns=["setting", "decoder", "NME %", *heads][not several :],
        rows=[row[not several :] for row in rows],
        groups=int(several),
        note=f"{RANGES} {TEST} over all comparisons of a setting.",
    )
    return Section("Differences between decoders", [table])


def _against(
    references: Sequence[str], i: int, nme: Mapping[str, float | None], evidence: Evidence
) -> Iterator[list[Cell]]:
    """A row for each decoder of setting i: its NME, and the differences from the references with their p."""
    ranked = sorted((value, decoder) for decoder, value in nme.items() if value is not None and value == value)
    if len(ranked) < 2:
        return
    best = ranked[0][1]
    others = [best if reference == "best" else reference for reference in references]
    pairs: list[tuple[Key, Key]] = [((i, d), (i, other)) for d in nme for other in dict.fromkeys(others) if d != other]
    found = dict(zip(pairs, evidence.differences(pairs), strict=True))
    for decoder, value in nme.items():
        differences = (found.get(((i, decoder), (i, other))) for other in others)
        yield [Cell(decoder), Cell(value, best=decoder == best), *(c for d in differences for c in _difference(d))]


def _difference(found: Difference | None) -> tuple[Cell, Cell]:
    """The difference with its interval, and its p."""
    if found is None:
        return Cell(), Cell()
    return Cell(found.mean, "+.2f", found.interval), Cell(found.p, ".4f")


def between_settings(comparison: Comparison, split: str, evidence: Evidence) -> Section | None:
    """Each setting against the first of its heatmap size, read by the same decoder; all of it is one family."""
    pairs = [
        ((j, decoder), (i, decoder))
        for i, j in _rivals(comparison.settings)
        for decoder in comparison.decoders()
        if (i, decoder) in evidence.columns and (j, decoder) in evidence.columns
    ]
    found = dict(zip(pairs, evidence.differences(pairs), strict=True))
    sizes = {i: setting.size for i, setting in enumerate(comparison.settings)}
    rows: dict[tuple[str, str], dict[int | None, Cell]] = {}
    for ((j, decoder), (i, _)), difference in found.items():
        title = f"{comparison.settings[j].label} minus {comparison.settings[i].label}"
        rows.setdefault((title, decoder), {})[sizes[j]] = _marked(difference)
    if not rows:
        return None
    shown = [size for size in comparison.sizes if any(size in cells for cells in rows.values())]
    table = Table(
        name=f"settings_{split}",
        title=f"Differences in NME on the same faces, {comparison.faces(split, comparison.main(split))}",
        columns=["settings", "decoder", *map(size_head, shown)],
        rows=[
            [Cell(title), Cell(d), *(cells.get(size, Cell()) for size in shown)] for (title, d), cells in rows.items()
        ],
        groups=1,
        note=f"By heatmap size. {RANGES} {DAGGER}: not told from 0 ({TEST} over the table, at least {SURE}).",
    )
    return Section("Differences between settings", [table])


def _marked(found: Difference | None) -> Cell:
    return Cell() if found is None else _difference(found)[0]._replace(tied=found.tied)


def _rivals(settings: Sequence[Setting]) -> Iterator[tuple[int, int]]:
    """The number of each setting's reference, the first of the same heatmap size, and its own."""
    first: dict[int | None, int] = {}
    for j, setting in enumerate(settings):
        i = first.setdefault(setting.size, j)
        if i != j:
            yield i, j
