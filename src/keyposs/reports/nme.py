"""The paper's Table 5: NME by decoder and heatmap size, and what of it is real."""

from collections.abc import Mapping

from keyposs.reports.comparison import Comparison
from keyposs.reports.document import Section, slug
from keyposs.reports.evidence import RANGES, SURE, TEST, Evidence, Key
from keyposs.reports.run import size_head
from keyposs.tables import DAGGER, Cell, Table, best_of


def by_size(comparison: Comparison, split: str, evidence: Evidence) -> Section:
    """The paper's Table 5: NME of each decoder, a column for each heatmap size."""
    subset = comparison.main(split)
    columns = [_column(comparison, split, size, evidence) for size in comparison.sizes]
    rows = [
        [Cell(label), Cell(decoder), *(column.get((label, decoder), Cell()) for column in columns)]
        for label, decoder in dict.fromkeys(key for column in columns for key in column)
    ]
    labelled = len(comparison.labels) > 1
    sure = f" {DAGGER}: not told from the best of its column ({TEST} over the column, at least {SURE})."
    note = f"By heatmap size; best in bold. {RANGES}{sure}" if evidence.known else "By heatmap size; best in bold."
    table = Table(
        name=f"nme_{split}_{slug(subset)}",
        title=comparison.faces(split, subset),
        columns=["setting", "decoder", *(_head(comparison, size) for size in comparison.sizes)][not labelled :],
        rows=[row[not labelled :] for row in rows],
        groups=int(labelled),
        note=note,
    )
    return Section(f"NME on {split}", [table])


def _head(comparison: Comparison, size: int | None) -> str:
    """A heatmap size, and how many seeds were averaged where there were several."""
    counts = sorted({len(setting.runs) for setting in comparison.settings if setting.size == size})
    seeds = "-".join(map(str, dict.fromkeys([counts[0], counts[-1]])))
    return size_head(size) if counts == [1] else f"{size_head(size)} ({seeds} seeds)"


def _column(comparison: Comparison, split: str, size: int | None, evidence: Evidence) -> dict[tuple[str, str], Cell]:
    """The cells of one heatmap size, by label and decoder."""
    subset = comparison.main(split)
    nme = {
        (i, decoder): value
        for i, setting in enumerate(comparison.settings)
        for decoder in comparison.decoders()
        if setting.size == size and (value := setting.value(split, subset, decoder, "nme")) is not None
    }
    return {(comparison.settings[i].label, decoder): cell for (i, decoder), cell in ranked(nme, evidence).items()}


def ranked(nme: Mapping[Key, float], evidence: Evidence) -> dict[Key, Cell]:
    """NMEs of the same faces as cells: with intervals, the best marked, and what the faces do not tell from it."""
    shown = best_of([Cell(value, interval=evidence.interval(key)) for key, value in nme.items()], lowest=True)
    cells = dict(zip(nme, shown, strict=True))
    best = next((key for key, cell in cells.items() if cell.best), None)
    others = [key for key, cell in cells.items() if best and not cell.best]
    found = evidence.differences([(key, best) for key in others]) if best else []
    tied = {key for key, difference in zip(others, found, strict=True) if difference and difference.tied}
    return {key: cell._replace(tied=key in tied) for key, cell in cells.items()}
