"""`python -m keyposs.report RUN_OR_SWEEP... [--out FOLDER]`: tables, plots and a page, from the files of runs alone."""

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table as TerminalTable

from keyposs import plots
from keyposs.errors import KeyposError
from keyposs.files import atomic, readable
from keyposs.reports import figures, landmarks, measures, nme, paired, settings
from keyposs.reports.comparison import Comparison, compare
from keyposs.reports.document import Plot, Section, markdown_report
from keyposs.reports.evidence import Evidence
from keyposs.reports.page import page
from keyposs.reports.run import Row, read_results, read_run
from keyposs.results import FAILURE
from keyposs.tables import Table, csv_text, latex, terminal

__all__ = ["find_runs", "main", "read_results", "results_table", "write_report"]

MARKS = ("results.json", "config.yaml", FAILURE)
"""A folder with one of these is that of a run; only a finished one has the first."""


def write_report(runs: Sequence[Path], folder: Path) -> Path:
    """Writes `report.html`, `report.md`, `tables/` and `plots/` into a folder.

    Nothing is written before all is drawn: where it fails, an older report stays as it was.

    Args:
        runs: folders of runs; those that have not finished are listed as such.
        folder: for the report.

    Returns:
        The page's path.

    Raises:
        KeyposError: if no run has finished, a file of one is broken, or two cannot be compared.
    """
    if not runs:
        raise KeyposError(folder, "has no runs to report on", "give the folder of a run or of a sweep")
    finished = [run for run in runs if (run / "results.json").exists()] or runs[:1]  # whose reading says what is wrong
    comparison = compare([read_run(run) for run in finished])
    sections = list(_sections(comparison, [run for run in runs if run not in finished]))
    for path, content in _files(_title(comparison), sections, folder).items():
        with atomic(folder / path) as temporary:
            temporary.write_bytes(content)
    return folder / "report.html"


def find_runs(path: Path) -> list[Path]:
    """A run's folder itself, or the runs below a sweep's folder, finished or not: size-8 before size-16.

    Raises:
        KeyposError: if there is none, or the folder is that of a run that has not finished.
    """
    if not path.is_dir():
        raise KeyposError(path, "is no folder", "give the folder of a run or of a sweep")
    runs = list(_runs(path))
    if runs == [path]:
        read_results(path)
    if not any((run / "results.json").exists() for run in runs):
        raise KeyposError(path, "holds no finished run", "give the folder of a run or of a sweep, or finish its runs")
    return runs


def _runs(path: Path) -> Iterator[Path]:
    if any((path / mark).is_file() for mark in MARKS):
        yield path
    else:
        folders = (child for child in path.iterdir() if child.is_dir() and not child.is_symlink())
        for folder in sorted(folders, key=_natural):
            yield from _runs(folder)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Numbers in a name sort as numbers."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name)]


def _title(comparison: Comparison) -> str:
    data, runs, size = comparison.first["data"], len(comparison.runs), comparison.sizes[0]
    if runs > 1:
        return f"{data}: {runs} runs"
    return f"{data} without maps" if size is None else f"{data} at heatmap size {size}"


def _sections(comparison: Comparison, unfinished: Sequence[Path]) -> Iterator[Section]:
    """Those that there is something to say in. Of the splits the first is looked at closely, which is test."""
    evidence = {split: Evidence(comparison, split, comparison.main(split)) for split in comparison.splits}
    split = comparison.splits[0]
    found = [
        settings.runs(comparison, unfinished),
        *(nme.by_size(comparison, split, of_split) for split, of_split in evidence.items()),
        *(measures.by_subset(comparison, split) for split in evidence),
        paired.between_decoders(comparison, split, evidence[split]),
        paired.between_settings(comparison, split, evidence[split]),
        figures.cumulative(comparison, split),
        figures.trends(comparison, split, evidence[split]),
        landmarks.landmarks(comparison, split),
        figures.pictures(comparison),
        figures.training(comparison.runs),
        settings.configs(comparison),
    ]
    return (section for section in found if section is not None)


def _files(title: str, sections: Sequence[Section], folder: Path) -> dict[str, bytes]:
    """What the report consists of, by path in its folder; the page is last."""
    parts = [part for section in sections for part in section.parts]
    tables = [part for part in parts if isinstance(part, Table)]
    drawn = {part.name: plots.svg(part.figure) for part in parts if isinstance(part, Plot)}
    texts = {
        **{f"tables/{table.name}.tex": latex(table) for table in tables},
        **{f"tables/{table.name}.csv": csv_text(table) for table in tables},
        "report.md": markdown_report(title, sections, folder),
        "report.html": page(title, sections, drawn),
    }
    return {
        **{f"plots/{name}.svg": code for name, code in drawn.items()},
        **{f"plots/{part.name}.png": plots.png(part.figure) for part in parts if isinstance(part, Plot)},
        **{path: readable(text).encode() for path, text in texts.items()},
    }


def results_table(rows: Sequence[Row]) -> TerminalTable:
    """The results of a run for a terminal of 80 columns: NME, FR and AUC of each decoder on each subset."""
    return terminal(measures.results(rows))


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes a report; of a single run it prints the results too."""
    parser = argparse.ArgumentParser(prog="python -m keyposs.report", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of finished runs or of sweeps")
    parser.add_argument("--out", type=Path, help="folder for the report (of one run or sweep: its own; else: report)")
    given = parser.parse_args(arguments)
    folder = given.out or (given.runs[0] if len(given.runs) == 1 else Path("report"))
    try:
        runs = list(dict.fromkeys(run for path in given.runs for run in find_runs(path)))
        written = write_report(runs, folder)
    except KeyposError as error:
        raise SystemExit(f"keyposs: {error}") from error
    console = Console()
    if len(runs) == 1:
        console.print(results_table(read_results(runs[0])))
    console.print(f"report: {written}", soft_wrap=True, markup=False)


if __name__ == "__main__":
    main()
