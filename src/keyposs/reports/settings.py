"""The sections on the runs themselves: their facts, their configs, and in what these differ."""

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from omegaconf import OmegaConf

from keyposs.reports.comparison import Comparison, differing, flat_config
from keyposs.reports.document import Fold, Part, Section
from keyposs.reports.run import Run
from keyposs.results import FAILURE
from keyposs.tables import Cell, Table

LONG = ("command", "checkpoint")
"""Facts that are shown of a single run alone."""


def runs(comparison: Comparison, unfinished: Sequence[Path]) -> Section:
    """What is known of each run; of one run, a line for each fact."""
    known = [facts(run) for run in comparison.runs]
    if len(known) == 1:
        columns, rows = ["fact", "value"], [[Cell(name), cell] for name, cell in known[0].items()]
    else:
        columns = [name for name in known[0] if name not in LONG and any(of_run[name].text for of_run in known)]
        rows = [[of_run[name] for name in columns] for of_run in known]
    parts: list[Part] = [Table("runs", f"Runs on {comparison.first['data']}", columns, rows)]
    if unfinished:
        parts.append("Not finished, and so not in this report: " + "; ".join(map(_unfinished, unfinished)) + ".")
    return Section("Runs", parts)


def _unfinished(folder: Path) -> str:
    note = folder / FAILURE
    lines = note.read_text(encoding="utf-8", errors="replace").strip().splitlines() if note.exists() else []
    return f"{folder.name} ({lines[-1]})" if lines else folder.name


def facts(run: Run) -> dict[str, Cell]:
    """What is known of a run, by name; empty cells for what is not."""
    row, known = run.rows[0], run.facts
    macs, parameters, latency = (known.get(name) for name in ("macs", "parameters", "latency_ms"))
    return {
        "run": Cell(run.name),
        "data": Cell(row["data"]),
        "heatmap size": Cell(math.nan if row["heatmap_size"] is None else row["heatmap_size"], ".0f"),
        "method": Cell(row["method"]),
        "encoding": Cell(row["encoding"]),
        "flip test": Cell("yes" if row["flip_test"] else "no"),
        "seed": Cell(row["seed"], ".0f"),
        "parameters, M": Cell(parameters and parameters / 1e6, ".3g"),
        "GMACs": Cell(macs and macs / 1e9, ".3g"),
        "latency, ms a face": Cell(latency, ".1f"),
        "epochs": Cell(known.get("epochs"), ".0f"),
        "time": Cell(clock(known.get("seconds"), resumed=bool(known.get("resumed")))),
        "hardware": Cell(known.get("hardware")),
        "torch": Cell(known.get("torch")),
        "version": Cell(known.get("version")),
        "commit": Cell(known.get("commit")),
        "command": Cell(known.get("command")),
        "checkpoint": Cell(known.get("checkpoint")),
    }


def clock(seconds: float | None, *, resumed: bool = False) -> str | None:
    """Hours, minutes and seconds of a training, or of what was left of it when it was resumed.

    >>> clock(3723.4), clock(3723.4, resumed=True)
    ('1:02:03', '1:02:03 since resumed')
    """
    return None if seconds is None else str(timedelta(seconds=int(seconds))) + " since resumed" * resumed


def configs(comparison: Comparison) -> Section | None:
    """In what the configs differ, and each as it was composed."""
    given = [run for run in comparison.runs if run.facts.get("config")]
    if not given:
        return None
    parts: list[Part] = [_differences(given)] if len(given) > 1 else []
    for run in given:
        text = OmegaConf.to_yaml(OmegaConf.create(run.facts["config"]))
        parts.append(Fold(f"Config of {run.name}", text))
    return Section("Config", parts)


def _differences(given: Sequence[Run]) -> Part:
    configs: list[Mapping[str, str]] = [{**flat_config(run), "seed": str(run.rows[0]["seed"])} for run in given]
    if not (keys := differing(configs)):
        return "The configs of these runs do not differ."
    rows = [[Cell(key), *(Cell(config.get(key, "")) for config in configs)] for key in keys]
    columns = ["key", *(run.name for run in given)]
    return Table("configs", "In what the configs differ, apart from where and on what the runs ran", columns, rows)
