"""Runs beside each other: which of them can be compared, and what tells them apart."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from keyposs.errors import KeyposError
from keyposs.reports.run import Row, Run, of_size

KINDS = ("method", "encoding", "flip_test")
"""Of a row of results: what tells settings of one heatmap size apart, before their configs are asked."""

FOLLOWING = (
    "run_dir",
    "seed",
    "test",
    "resume",
    "checkpoint",
    "logger",
    "hydra",
    "callbacks",
    "datamodule.cache",
    "data.root",
)
HARDWARE = ("datamodule.workers", "trainer.accelerator", "trainer.devices", "trainer.strategy")
"""Of a config: what does not make another setting. (A checkpoint is its own setting, see `_key`.)"""

MOST_KEYS = 3
"""Differing keys of a config that make a label; where more differ, the folder's name is shorter."""


@dataclass(frozen=True)
class Setting:
    """Runs that differ in their seed alone."""

    label: str  # what tells it from the others of its heatmap size; empty where nothing does
    runs: tuple[Run, ...]

    @property
    def size(self) -> int | None:
        """The heatmap size; None for a network without maps."""
        return _size(self.runs)

    @property
    def title(self) -> str:
        """Label and heatmap size."""
        return f"{self.label}, {of_size(self.size)}".lstrip(", ")

    def value(self, split: str, subset: str, decoder: str, measure: str) -> float | None:
        """A measure's mean over the seeds; None where one of them lacks it."""
        values = [row[measure] for run in self.runs for row in run.rows if _where(row) == (split, subset, decoder)]
        return float(np.mean(values)) if len(values) == len(self.runs) else None

    def errors(self, split: str, subset: str) -> dict[str, Float[np.ndarray, " n"]]:
        """Each decoder's error on each face in percent, the mean over the seeds; empty without predictions."""
        readings = [run.readings[split] for run in self.runs if split in run.readings]
        if len(readings) < len(self.runs):
            return {}
        inside = np.array([subset in subsets for subsets in readings[0].subsets])
        shared = [decoder for decoder in readings[0].nme if all(decoder in read.nme for read in readings)]
        return {decoder: np.mean([read.nme[decoder][inside] for read in readings], axis=0) for decoder in shared}


@dataclass(frozen=True)
class Comparison:
    """Settings whose numbers can stand in one table."""

    settings: tuple[Setting, ...]  # by label, then from the largest heatmap to the smallest and to none

    @property
    def runs(self) -> list[Run]:
        """All of them."""
        return [run for setting in self.settings for run in setting.runs]

    @property
    def first(self) -> Row:
        """A row; data, norm and threshold are the same in all."""
        return self.runs[0].rows[0]

    @property
    def labels(self) -> list[str]:
        """In order."""
        return list(dict.fromkeys(setting.label for setting in self.settings))

    @property
    def sizes(self) -> list[int | None]:
        """Heatmap sizes, the largest first; None for networks without maps, last."""
        return sorted({setting.size for setting in self.settings}, key=lambda size: -(size or 0))

    @property
    def splits(self) -> list[str]:
        """Those that were read, test first."""
        return sorted(dict.fromkeys(row["split"] for row in self.rows()), key=lambda split: split != "test")

    @property
    def figures(self) -> dict[str, dict[str, Setting]]:
        """Label -> title -> setting: a figure for each label, with a panel for each heatmap size; of one size, one."""
        if len(self.sizes) == 1:
            return {"": {setting.title: setting for setting in self.settings}}
        return {
            label: {of_size(setting.size): setting for setting in self.settings if setting.label == label}
            for label in self.labels
        }

    def rows(self) -> Iterator[Row]:
        """The results of all runs."""
        return (row for run in self.runs for row in run.rows)

    def subsets(self, split: str) -> dict[str, int]:
        """The subsets of a split, and how many faces each has."""
        return {row["subset"]: row["faces"] for row in self.rows() if row["split"] == split}

    def main(self, split: str) -> str:
        """The subset that stands for a split."""
        subsets = self.subsets(split)
        return next((name for name in ("full", "common", "all") if name in subsets), next(iter(subsets)))

    def decoders(self) -> list[str]:
        """Of all runs, in order."""
        return list(dict.fromkeys(row["decoder"] for row in self.rows()))

    def faces(self, split: str, subset: str) -> str:
        """What was read, and by which norm, for a caption."""
        count = self.subsets(split)[subset]
        where = f"{self.first['data']} {split} ({subset}, {count} {'face' if count == 1 else 'faces'})"
        return f"{where}, NME in % of {self.first['norm']}"


def compare(runs: Sequence[Run]) -> Comparison:
    """Puts runs that can be compared beside each other.

    Runs with equal configs and different seeds become one setting. A setting is called by what tells it from the
    others of its heatmap size: encoding, method and flip test, else the keys of the configs that differ, else the
    folder's name.

    Raises:
        KeyposError: if the runs differ in data, norm, threshold or faces.
    """
    for run in runs[1:]:
        _check_comparable(runs[0], run)
    groups: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        groups.setdefault(_key(run), []).append(run)
    settings = [of_seed for group in groups.values() for of_seed in _by_seed(group)]
    labels = _labels(settings)
    order = sorted(range(len(settings)), key=lambda i: (labels.index(labels[i]), -(_size(settings[i]) or 0)))
    return Comparison(tuple(Setting(labels[i], tuple(settings[i])) for i in order))


def _check_comparable(one: Run, other: Run) -> None:
    remedy = "make a report of each on its own"
    for field in ("data", "norm", "threshold"):
        a, b = (run.rows[0][field] for run in (one, other))
        if a != b:
            raise KeyposError(f"{one.folder} and {other.folder}", f"cannot be compared: {field} {a} and {b}", remedy)
    counts, others = ({(row["split"], row["subset"]): row["faces"] for row in run.rows} for run in (one, other))
    for split, subset in sorted(counts.keys() & others.keys()):
        a, b = counts[split, subset], others[split, subset]
        names = [run.readings[split].names for run in (one, other) if split in run.readings]
        if a != b or len(set(names)) > 1:
            cause = f"cannot be compared: their {split} {subset} has other faces ({a} and {b})"
            raise KeyposError(f"{one.folder} and {other.folder}", cause, remedy)


def _size(runs: Sequence[Run]) -> int | None:
    return runs[0].rows[0]["heatmap_size"]  # type: ignore[no-any-return]


def _where(row: Row) -> tuple[str, str, str]:
    return row["split"], row["subset"], row["decoder"]


def _by_seed(runs: Sequence[Run]) -> list[list[Run]]:
    """Together where each has a seed of its own, else one by one."""
    seeds = [run.rows[0]["seed"] for run in runs]
    return [list(runs)] if len(set(seeds)) == len(seeds) else [[run] for run in runs]


def _key(run: Run) -> tuple[Any, ...]:
    """Equal for runs of one setting. Which training a checkpoint is from is not known, so it is its own."""
    row, settings = run.rows[0], flat_config(run)
    started = (run.facts.get("config") or {}).get("checkpoint")
    return (row["heatmap_size"], *(row[kind] for kind in KINDS), str(started), str(sorted(settings.items())))


def flat_config(run: Run) -> dict[str, str]:
    """The run's config with dotted keys, without what does not make another setting.

    Paths in the run's folder are written as from there.
    """
    config = run.facts.get("config") or {}
    home = str(config.get("run_dir") or run.folder)
    return {
        key: str(value).replace(home, "RUN")
        for key, value in flat(config).items()
        if not any(f"{key}.".startswith(f"{known}.") for known in (*FOLLOWING, *HARDWARE))
    }


def flat(values: Any, path: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys.

    >>> flat({"optim": {"lr": 0.1, "betas": [0.9, 0.99]}})
    {'optim.lr': 0.1, 'optim.betas': [0.9, 0.99]}
    """
    if not isinstance(values, Mapping):
        return {path: values}
    nested = (flat(value, f"{path}.{name}" if path else str(name)) for name, value in values.items())
    return {key: leaf for inner in nested for key, leaf in inner.items()}


def differing(configs: Sequence[Mapping[str, str]]) -> list[str]:
    """The keys in which flat configs differ; where a part is another one, its settings go without saying.

    >>> differing([{"loss._target_": "mse", "lr": "1"}, {"loss._target_": "awing", "loss.omega": "14", "lr": "1"}])
    ['loss._target_']
    """
    keys = list(dict.fromkeys(key for config in configs for key in config))
    found = [key for key in keys if len({config.get(key) for config in configs}) > 1]
    parts = [key.removesuffix("_target_") for key in found if key.endswith("._target_")]
    return [key for key in found if key.endswith("._target_") or not key.startswith(tuple(parts))]


def _labels(settings: Sequence[Sequence[Run]]) -> list[str]:
    """What each is called."""
    varied = [kind for kind in KINDS if len({runs[0].rows[0][kind] for runs in settings}) > 1]
    labels = [", ".join(_word(kind, runs[0].rows[0][kind]) for kind in varied) for runs in settings]
    clashes = _clashes(settings, labels)
    keys = list(dict.fromkeys(key for clash in clashes for key in differing([flat_config(runs[0]) for runs in clash])))
    if 0 < len(keys) <= MOST_KEYS:
        words = [", ".join(_setting(key, flat_config(runs[0])) for key in keys) for runs in settings]
        labels = [f"{label}, {more}".lstrip(", ") for label, more in zip(labels, words, strict=True)]
    clashing = [runs for clash in _clashes(settings, labels) for runs in clash]
    return [runs[0].name if runs in clashing else label for runs, label in zip(settings, labels, strict=True)]


def _clashes(settings: Sequence[Sequence[Run]], labels: Sequence[str]) -> list[list[Sequence[Run]]]:
    """Settings that share both heatmap size and label."""
    groups: dict[tuple[int | None, str], list[Sequence[Run]]] = {}
    for runs, label in zip(settings, labels, strict=True):
        groups.setdefault((_size(runs), label), []).append(runs)
    return [group for group in groups.values() if len(group) > 1]


def _word(kind: str, value: Any) -> str:
    """A value of `KINDS`.

    >>> _word("encoding", "biased"), _word("flip_test", False)
    ('biased', 'no flip test')
    """
    return str(value) if kind != "flip_test" else "flip test" if value else "no flip test"


def _setting(key: str, config: Mapping[str, str]) -> str:
    """One key of a config, as short as can be.

    >>> _setting("loss._target_", {"loss._target_": "torch.nn.MSELoss"}), _setting("optim.lr", {"optim.lr": "0.1"})
    ('loss=MSELoss', 'optim.lr=0.1')
    """
    part, value = key.removesuffix("._target_"), config.get(key, "none")
    return f"{key}={value}" if part == key else f"{part}={value.rpartition('.')[2]}"
