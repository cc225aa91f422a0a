"""What each choice of a recipe is worth: runs whose commands differ in a few words from that of a base.

    python scripts/ablation.py BASE RUN [RUN ...]
    python scripts/ablation.py BASE RUN [RUN ...] --out PAGE.md --part size-8

All are folders of finished runs. A row names the words that a command has beside those of BASE; runs that differ in
their seed alone share a row. NME is read on `val` alone, by the decoder that picked the checkpoint, and compared face
by face. With `--out` the table takes the place of what stands between the two lines

    <!-- size-8: begin -->
    <!-- size-8: end -->

of the page, else it is printed.
"""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from tabled import Part

from keyposs.config import plain_mistakes
from keyposs.errors import KeyposError
from keyposs.reports.comparison import Comparison, Setting, compare
from keyposs.reports.evidence import RANGES, Difference, Evidence
from keyposs.reports.methods import began, portable
from keyposs.reports.run import Run, read_run
from keyposs.tables import Cell, Table, markdown

SPLIT = "val"


def open_runs(paths: Sequence[Path]) -> list[Run]:
    """Finished runs, in the order given.

    Raises:
        KeyposError: if one has not finished, has read no `val` faces, or two cannot be compared.
    """
    runs = [read_run(path) for path in paths]
    for run in runs:
        if SPLIT not in run.readings:
            raise KeyposError(run.folder, f"has read no {SPLIT} faces", "evaluate it on them")
    compare(runs)
    return runs


def words(run: Run) -> list[str]:
    """Of a run's command, without the seed and what does not change the weights."""
    kept = shlex.split(portable(str(began(run).get("command"))))
    return [word for word in kept if not word.startswith(("seed=", "test="))]


def change(run: Run, base: Run) -> str:
    """The words that a run's command has beside those of the base's, and the base's that it lacks.

    A word that sets what the base sets otherwise counts once.
    """
    own, others = words(run), words(base)
    keys = {word.partition("=")[0] for word in own}
    lacking = [f"without {word}" for word in others if word.partition("=")[0] not in keys]
    return " ".join([*(shlex.quote(word) for word in own if word not in others), *lacking])


def settings(runs: Sequence[Run]) -> list[Setting]:
    """Runs that differ in their seed alone, together; the base first."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(change(run, runs[0]), []).append(run)
    return [Setting(label or "the base", tuple(of_label)) for label, of_label in groups.items()]


def table(groups: Sequence[Setting]) -> Table:
    """A row for each setting."""
    comparison = Comparison(tuple(groups))
    subset = comparison.main(SPLIT)
    evidence = Evidence(comparison, SPLIT, subset)
    keys = [(i, setting.runs[0].decoder) for i, setting in enumerate(groups)]
    differences = [None, *evidence.differences([(key, keys[0]) for key in keys[1:]])]
    rows = [
        [
            Cell(setting.label),
            Cell(setting.runs[0].facts["macs"] / 1e6, ".1f"),
            Cell(setting.runs[0].facts["epochs"], ".0f"),
            Cell(", ".join(str(run.rows[0]["seed"]) for run in setting.runs)),
            Cell(key[1]),
            Cell(setting.value(SPLIT, subset, key[1], "nme"), ".2f", evidence.interval(key)),
            Cell(_scatter(setting, key[1]), ".2f"),
            Cell(_said(difference)),
            Cell(began(setting.runs[0]).get("commit")),
        ]
        for setting, key, difference in zip(groups, keys, differences, strict=True)
    ]
    first = comparison.first
    errors = f"{SPLIT} NME", "sd of seeds", "less base (p)"
    columns = ["change", "MMACs", "epochs", "seeds", "reading", *errors, "commit"]
    where = f"NME in % of {first['norm']}, {first['data']} {SPLIT}."
    note = f"{where} {RANGES} p: paired sign-flip test, corrected by Holm."
    return Table("ablation", "What each change is worth", columns, rows, note=note)


def _scatter(setting: Setting, decoder: str) -> float | None:
    """The standard deviation of the NME over seeds."""
    values = [
        row["nme"] for run in setting.runs for row in run.rows if (row["split"], row["decoder"]) == (SPLIT, decoder)
    ]
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _said(difference: Difference | None) -> str:
    return "" if difference is None else f"{difference.mean:+.2f} ({max(difference.p, 1e-4):.2g})"


def section(groups: Sequence[Setting]) -> str:
    """The table, and the command of the base."""
    return f"{markdown(table(groups))}\n\nThe base:\n\n    {shlex.join(words(groups[0].runs[0]))}\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Compares the given runs with the first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folders of finished runs, the base first")
    parser.add_argument("--out", type=Path, metavar="FILE.md", help="the page to put the table into")
    parser.add_argument("--part", default="ablation", help="its place there")
    chosen = parser.parse_args(arguments)
    with plain_mistakes():
        text = section(settings(open_runs(chosen.runs)))
        if chosen.out:
            Part(chosen.out, chosen.part).write(text)
    Console(soft_wrap=True).print(f"page: {chosen.out}" if chosen.out else text, markup=False, highlight=False)


if __name__ == "__main__":
    main()
