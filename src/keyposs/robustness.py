"""`python -m keyposs.robustness checkpoint=...`: the error of the landmarks as the boxes of the faces err."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import track

from keyposs import plots, viz
from keyposs.callbacks import DecoderMetrics
from keyposs.checkpoint import Checkpoint, adopt, load
from keyposs.config import command
from keyposs.data.boxes import is_fraction
from keyposs.errors import KeyposError
from keyposs.evaluate import build
from keyposs.files import write_json, write_text
from keyposs.reports.run import of_size
from keyposs.trainer import build_trainer

KINDS = {"shift": (1, 0), "scale": (0, 1), "both": (1, 1)}
"""What of a box errs, as factors of the level for its shift and its scale."""

EXPLAINED = (
    "Each box is moved along x and y (shift), scaled (scale), or both, at random and uniformly by at most so much of "
    "its side, either way; a face's box errs in the same direction at every level."
)

Row = dict[str, Any]
"""A row of `results.json`, with the kind and the level of its boxes' error."""


def robustness(config: DictConfig, checkpoint: Checkpoint) -> list[Row]:
    """Reads a split with boxes that err by each level, and leaves table and curves in `config.run_dir`.

    A face's box errs in the same direction at every level; crops are cut from the photo anew, and points are
    compared in the photo, wherever the crop lies.

    Args:
        config: with the checkpoint's network, see `adopt`.
        checkpoint: the weights.

    Returns:
        The rows of `robustness.json`.

    Raises:
        KeyposError: if a level or the split makes no sense, or the data has no such faces.
    """
    splits, levels = _splits(config.split), _levels(config.levels)
    errors = {(kind, level): (level * a, level * b) for kind, (a, b) in KINDS.items() for level in levels}
    datamodule = instantiate(config.datamodule, cache=None)  # a cache of moved crops would serve once
    for split in splits:
        if not datamodule.annotations(split):
            raise KeyposError(f"data={datamodule.dataset.name}", f"has no {split} faces", "choose another split")
    module, metrics = build(config, checkpoint, datamodule), DecoderMetrics()
    config.trainer.enable_progress_bar = False  # there is one over all levels
    trainer = build_trainer(config, [metrics], logger=False)
    found: dict[tuple[float, float], list[Row]] = {}
    for error in track(dict.fromkeys(errors.values()), "reading"):
        moved = instantiate(config.datamodule, cache=None, dataset=datamodule.dataset, box_error=error)
        for split in splits:
            (trainer.validate if split == "val" else trainer.test)(module, datamodule=moved, verbose=False)
        found[error] = [row for split in splits for row in metrics.rows[split]]
    rows = [{"error": k, "level": level, **row} for (k, level), error in errors.items() for row in found[error]]
    if trainer.is_global_zero:
        _write(Path(config.run_dir), rows, f"Checkpoint {checkpoint.file}; padding {config.padding}.")
    return rows


def _splits(split: Any) -> list[str]:
    """One, or several.

    >>> _splits("val"), _splits(["val", "test"])
    (['val'], ['val', 'test'])
    """
    splits = list(split) if isinstance(split, Sequence) and not isinstance(split, str) else [split]
    if not splits or not set(splits) <= {"val", "test"}:
        raise KeyposError(f"split={split}", "names no split", "choose val, test or [val,test]")
    return splits


def _levels(level: Any) -> list[float]:
    """One, or several in order.

    >>> _levels(0.1), _levels([0.1, 0, 0.1])
    ([0.1], [0.0, 0.1])
    """
    levels = list(level) if isinstance(level, Sequence) else [level]
    if not levels or not all(map(is_fraction, levels)):
        raise KeyposError(f"levels={level}", "are no fractions below 1", "give some, like [0,0.1]")
    return sorted(set(map(float, levels)))


def _write(run: Path, rows: Sequence[Row], facts: str) -> None:
    write_json(run / "robustness.json", list(rows))
    text = "\n\n".join(["# Error of the landmarks by the error of the boxes", EXPLAINED, facts, *_tables(rows)])
    write_text(run / "robustness.md", f"{text}\n\n![error by error of the boxes](robustness.png)\n")
    panels: dict[str, dict[str, dict[str, plots.Line]]] = {}
    for row in rows:
        of_subset = panels.setdefault(_subset(row), {}).setdefault(row["error"], {})
        of_subset.setdefault(row["decoder"], {})[100 * row["level"]] = row["nme"]
    viz.save(run / "robustness.png", plots.draw(plots.robustness_figure(panels, norm=rows[0]["norm"])))
    console = Console(soft_wrap=True)
    console.print("\n\n".join(_tables(rows)), markup=False, highlight=False)
    console.print(f"report: {run / 'robustness.md'}")


def _tables(rows: Sequence[Row]) -> Iterator[str]:
    """For each subset NME in percent, a line for each error of the boxes and a column for each decoder."""
    decoders = list(dict.fromkeys(row["decoder"] for row in rows))
    for subset in dict.fromkeys(map(_subset, rows)):
        inside = [row for row in rows if _subset(row) == subset]
        title = f"{inside[0]['data']} {subset}, {inside[0]['faces']} faces, {of_size(inside[0]['heatmap_size'])}"
        lines = [["boxes off by", *(f"`{decoder}`" for decoder in decoders)], ["---", *["---:"] * len(decoders)]]
        of_error: dict[str, dict[str, str]] = {}
        for row in inside:
            off = f"{row['error']}, {100 * row['level']:.4g} %" if row["level"] else "0 %"
            of_error.setdefault(off, {})[row["decoder"]] = f"{row['nme']:.2f}"
        lines += [[off, *(nme[decoder] for decoder in decoders)] for off, nme in of_error.items()]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        yield f"{title}, NME in % of {inside[0]['norm']}:\n\n{table}"


def _subset(row: Row) -> str:
    return f"{row['split']} {row['subset']}"


@command("robustness")
def main(config: DictConfig) -> None:
    """Reports the robustness of a checkpoint into a directory of its own."""
    checkpoint = load(config.checkpoint)
    robustness(adopt(config, checkpoint), checkpoint)


if __name__ == "__main__":
    main()
