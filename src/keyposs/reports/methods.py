"""Methods beside each other: what each costs, how far off its points are, and how it was trained."""

import json
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from keyposs.plots import STYLES
from keyposs.reports.comparison import Comparison, Setting
from keyposs.reports.evidence import RANGES, SURE, TEST, Evidence, Key
from keyposs.reports.nme import ranked
from keyposs.reports.run import Run
from keyposs.reports.settings import facts
from keyposs.tables import DAGGER, Cell, Table, markdown

NEEDED = ("parameters", "macs", "latency_ms", "hardware", "torch", "config")
"""Of a run's `run.json`."""

HEADING = ("method", "backbone", "map", "seed")
"""The columns of each table that tell its rows apart."""

ELSEWHERE = ("hydra.", "hydra/", "datamodule.cache=", "datamodule.workers=", "logger=", "logger.")
"""Words of a command that say where a run lies and what watches it, not what it trains."""


class Method(NamedTuple):
    """A run whose `run.json` has all that is needed, and what its network costs here."""

    run: Run
    speed: Mapping[str, Any] | None = None  # see `keyposs.speed.measure`
    tag: str = ""  # what tells it from another of the same name, see `tagged`

    @property
    def name(self) -> str:
        """Method, encoding, loss, early exit and flip test."""
        row, config = self.run.rows[0], self.run.facts["config"]
        loss = ((config["codec"].get("loss") or {}).get("_target_") or "").rpartition(".")[2].lower()
        exit = "early exit" * (config.get("head", {}).get("exit", "none") != "none")
        words = [row["method"], row["encoding"], loss, exit, "flip test" * row["flip_test"], self.tag]
        return ", ".join(dict.fromkeys(filter(None, words)))

    @property
    def backbone(self) -> str:
        """Its name, or its class with the whole numbers that it was given."""
        given = self.run.facts["config"]["backbone"]
        sizes = ("image_size", "heatmap_size")
        numbers = [f"{key} {value}" for key, value in given.items() if type(value) is int and key not in sizes]
        return given.get("name") or ", ".join([given["_target_"].rpartition(".")[2].lower(), *numbers])

    @property
    def size(self) -> int | None:
        """The heatmap size."""
        return self.run.rows[0]["heatmap_size"]  # type: ignore[no-any-return]

    @property
    def gmacs(self) -> float:
        """Of reading a face: with a flip test the network runs twice."""
        return float(self.run.facts["macs"]) * (1 + self.run.rows[0]["flip_test"]) / 1e9

    @property
    def heading(self) -> list[Cell]:
        """The cells of `HEADING`."""
        size = math.nan if self.size is None else self.size
        return [Cell(self.name), Cell(self.backbone), Cell(size, ".0f"), Cell(self.run.rows[0]["seed"], ".0f")]


def tagged(methods: Sequence[Method]) -> list[Method]:
    """The methods, each that looks like another with the name of its run's folder."""
    looks = [tuple(cell.text for cell in method.heading) for method in methods]
    return [
        method._replace(tag=method.run.folder.name * (looks.count(look) > 1))
        for method, look in zip(methods, looks, strict=True)
    ]


def costs(methods: Sequence[Method]) -> Table:
    """Parameters, multiply-adds, time and memory; of networks that were not measured here what their runs know."""
    rows, names = [], {}
    for method in methods:
        known, speeds = method.run.facts, _speeds(method)
        image = Cell(known["config"].get("image_size"), ".0f")
        counts = Cell(known["parameters"] / 1e6), Cell(method.gmacs, ".3g")
        rows.append([*method.heading, image, *counts, *speeds.values()])
        names |= speeds
    columns = [*HEADING, "image", "parameters, M", "GMACs", *names]
    return Table("costs", "What each costs", columns, rows, note=_conditions(methods[0]))


def _speeds(method: Method) -> dict[str, Cell]:
    """By column."""
    if method.speed is None:
        latency = method.run.facts["latency_ms"]
        return {"ms": Cell(latency, ".1f"), "FPS": Cell(1000 / latency, ".1f")}
    names = {"ms": "ms", "fps": "FPS", "memory_mb": "MB"}
    return {
        f"{names[key]}, batch {cost['batch']}": Cell(cost[key], ".0f" if key == "memory_mb" else ".1f")
        for cost in method.speed["batches"]
        for key in names
    }


def _conditions(method: Method) -> str:
    """Under which costs were measured."""
    if method.speed is None:
        return "ms: of the network alone, one face at a time, as each run measured it on the hardware named below."
    machine = f"{method.speed['hardware']}, torch {method.speed['torch']}, commit {method.speed['commit']}"
    what = "ms of a batch and faces a second, from crops to points; MB: the weights and the most that is held beside"
    return f"{machine}, float32, one after another. {what} them."


def beside(methods: Sequence[Method]) -> Comparison:
    """Each run as a setting of its own, also where two differ in their seed alone."""
    return Comparison(tuple(Setting(method.name, (method.run,)) for method in methods))


def errors(methods: Sequence[Method]) -> Table:
    """NME on val and on each subset of test; of the other readings the best on val, where it is better there."""
    comparison = beside(methods)
    keys = [key for i in range(len(methods)) for key in _readings(comparison, i)]
    subsets = [(split, subset) for split in reversed(comparison.splits) for subset in comparison.subsets(split)]
    cells = [column(comparison, split, subset, keys) for split, subset in subsets]
    heads = [f"{split} {subset} ({comparison.subsets(split)[subset]})" for split, subset in subsets]
    rows = [
        [*methods[i].heading, Cell(reading), *(of_subset.get((i, reading), Cell()) for of_subset in cells)]
        for i, reading in keys
    ]
    title = f"NME in % of {comparison.first['norm']}, {comparison.first['data']}; in the heads, how many faces"
    which = "The reading that picked the checkpoint, and below it the best of the others, where that is better on val."
    sure = f"{DAGGER}: not told from the best of its column ({TEST} over the column, at least {SURE})."
    return Table("errors", title, [*HEADING, "reading", *heads], rows, len(HEADING), f"{which} {RANGES} {sure}")


def _readings(comparison: Comparison, i: int) -> list[Key]:
    """The run's own, and the best on val, which comes last of the splits, if that is another."""
    run, split = comparison.runs[i], comparison.splits[-1]
    rows = [row for row in run.rows if (row["split"], row["subset"]) == (split, comparison.main(split))]
    best = min(rows, key=lambda row: (math.isnan(row["nme"]), row["nme"], row["decoder"] != run.decoder))
    return [(i, reading) for reading in dict.fromkeys([run.decoder, best["decoder"]])]


def column(comparison: Comparison, split: str, subset: str, keys: Sequence[Key]) -> dict[Key, Cell]:
    """The NME of some readings on a subset, with intervals; none of a run that was not read there."""
    values = {key: comparison.settings[key[0]].value(split, subset, key[1], "nme") for key in keys}
    known = {key: value for key, value in values.items() if value is not None}
    return ranked(known, Evidence(comparison, split, subset))


def trainings(methods: Sequence[Method]) -> Table:
    """How long and on what each was trained."""
    shown = ("epochs", "time", "hardware")
    rows = [
        [*method.heading, *(facts(method.run)[name] for name in shown), Cell(began(method.run).get("commit"))]
        for method in methods
    ]
    return Table("trainings", "How each was trained", [*HEADING, *shown, "commit"], rows)


def began(run: Run) -> Mapping[str, Any]:
    """What is known of the first start of a training, which may have been resumed; of an evaluation, of itself."""
    file = run.folder / "environment.json"
    starts = json.loads(file.read_text(encoding="utf-8")) if file.exists() else [run.facts]
    return starts[0]  # type: ignore[no-any-return]


def portable(command: str) -> str:
    """What trains the same, wherever the data lies.

    >>> portable("python -m keyposs.train codec=hih data.root=/a/b hydra.run.dir=c logger=csv")
    'python -m keyposs.train codec=hih data.root=FOLDER'
    """
    kept = [word for word in shlex.split(command) if not word.lstrip("+~").startswith(ELSEWHERE)]
    return shlex.join("data.root=FOLDER" if word.lstrip("+").startswith("data.root=") else word for word in kept)


def scatter(methods: Sequence[Method]) -> Figure:
    """NME of the reading that picked the checkpoint, with its interval, against multiply-adds; a colour a method."""
    comparison = beside(methods)
    split, subset = comparison.splits[0], comparison.main(comparison.splits[0])
    cells = column(comparison, split, subset, [(i, method.run.decoder) for i, method in enumerate(methods)])
    kinds = dict.fromkeys(method.run.rows[0]["method"] for method in methods)
    colours = dict(zip(kinds, STYLES.by_key()["color"], strict=False))
    figure = Figure((8, 5), dpi=120, layout="constrained")
    ax = figure.subplots()
    middle = math.sqrt(methods[0].gmacs * methods[-1].gmacs)  # they come by cost
    for (i, _), cell in cells.items():
        x, y = methods[i].gmacs, float(cell.value or 0)
        low, high = cell.interval or (y, y)
        ax.errorbar(x, y, [[y - low], [high - y]], fmt="o", color=colours[methods[i].run.rows[0]["method"]], capsize=2)
        side = {"ha": "left", "xytext": (5, 4)} if x <= middle else {"ha": "right", "xytext": (-5, 4)}
        ax.annotate(_said(methods[i]), (x, y), textcoords="offset points", fontsize=7, parse_math=False, **side)
    ax.set(xscale="log", xlabel="GMACs of a face", ylabel=f"NME, % of {comparison.first['norm']}")
    ax.set_title(f"{comparison.first['data']} {split}, {subset}", fontsize="medium", parse_math=False)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    return figure


def _said(method: Method) -> str:
    return f"{method.name}\n{method.backbone}" + (f", map {method.size}" if method.size else "")


def section(methods: Sequence[Method], picture: str | None) -> str:
    """Tables, picture and commands in Markdown.

    Args:
        methods: the cheapest first.
        picture: a link to `scatter`, drawn; None leaves it out.
    """
    return "\n\n".join(_blocks(methods, picture)) + "\n"


def _blocks(methods: Sequence[Method], picture: str | None) -> Iterator[str]:
    yield from map(markdown, (costs(methods), errors(methods)))
    if picture is not None:
        yield f"![NME against multiply-adds, by method]({picture})"
    yield markdown(trainings(methods))
    for method in methods:
        if given := began(method.run).get("command"):
            heading = ", ".join(
                f"{name} {cell.text}" for name, cell in zip(HEADING[1:], method.heading[1:], strict=True)
            )
            yield f"{method.name}; {heading}:\n\n    {portable(given)}"
