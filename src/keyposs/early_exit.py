"""`python -m keyposs.early_exit checkpoint=...`: lets the faces of a cascade stop when they are right enough."""

import copy
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.console import Console

from keyposs import plots
from keyposs.callbacks.stages import StageErrors
from keyposs.checkpoint import Checkpoint, adopt, load, save_safetensors
from keyposs.config import command
from keyposs.data import FaceDataModule
from keyposs.errors import KeyposError
from keyposs.evaluate import build
from keyposs.files import atomic, write_json, write_text
from keyposs.models import Landmarker, efficiency
from keyposs.reports import exit_pages as pages
from keyposs.reports import exits
from keyposs.reports.exits import Stages
from keyposs.tables import markdown, terminal
from keyposs.trainer import build_trainer
from keyposs.types import Annotation

log = logging.getLogger(__name__)

Row = dict[str, Any]


def early_exit(config: DictConfig, checkpoint: Checkpoint) -> Row:
    """Chooses thresholds on `val`, reads `test` once with them, and leaves all in `config.run_dir`.

    Args:
        config: of `conf/early_exit.yaml`.
        checkpoint: of a cascade.

    Returns:
        What `early_exit.json` holds.

    Raises:
        KeyposError: if the checkpoint is no cascade of several stages, a setting makes no sense, or there are no
            faces to choose on.
    """
    wanted, share = _check(config, checkpoint)
    checkpoint = stopping(checkpoint, exit="none", threshold=None, failure=None)
    config = adopt(config, checkpoint)
    config.trainer.devices = 1  # which keeps every face
    datamodule = instantiate(config.datamodule)
    data, run = datamodule.dataset, Path(config.run_dir)
    if not datamodule.annotations("val"):
        raise KeyposError(f"data={data.name}", "has no val faces, on which to choose thresholds", "choose other data")
    read = _read(config, checkpoint, datamodule)
    threshold = exits.threshold_for(read["val"].estimates, wanted)
    last = exits.of_last(read["val"], threshold, data.threshold)
    failure = exits.flag_for(*last, threshold, share)
    choice = {"threshold": threshold, "failure": failure}
    facts = {"checkpoint": str(checkpoint.file), "data": data.name, "norm": data.norm, "limit": data.threshold}
    macs = macs_of(config, checkpoint.markup.size)
    plan = {"macs": macs, "levels": exits.sweep(read["val"].estimates, threshold), **choice}
    splits = {split: _measured(stages, datamodule, split, **plan) for split, stages in read.items()}
    found = {
        **facts,
        **choice,
        "no_flag": None if failure is not None else exits.why_no_flag(*last, threshold),
        "wanted_stages": wanted,
        "reached_stages": float(exits.ran(read["val"].estimates, threshold).mean()),
        "macs": macs,
        "splits": splits,
    }
    _warn(found, share)
    _leave(run, found)
    save_safetensors(stopping(checkpoint, exit="compact", **choice), run / "calibrated.safetensors")
    return found


def stopping(checkpoint: Checkpoint, *, exit: str, threshold: float | None, failure: float | None) -> Checkpoint:
    """The same weights in a network whose faces stop so; without a flip test, whose two readings would stop apart."""
    config = copy.deepcopy(checkpoint.config)
    config["head"] |= {"exit": exit, "threshold": threshold}
    config["codec"] |= {"failure": failure}
    return checkpoint._replace(config=config | {"flip_test": False})


def macs_of(config: DictConfig, keypoints: int) -> list[int]:
    """What the first stages of a cascade cost together, for each number of them."""
    levels = list(config.head.levels)
    heads = (instantiate(config.head, levels=levels[: count + 1]) for count in range(len(levels)))
    return [
        efficiency(Landmarker(instantiate(config.backbone), head, keypoints), config.image_size)["macs"]
        for head in heads
    ]


def _read(config: DictConfig, checkpoint: Checkpoint, datamodule: FaceDataModule) -> dict[str, Stages]:
    """One pass over val, and one over test where the data has it."""
    module, kept = build(config, checkpoint, datamodule), StageErrors()
    trainer = build_trainer(config, [kept], logger=False)
    trainer.validate(module, datamodule=datamodule, verbose=False)
    if datamodule.annotations("test"):
        log.info("test is read once; the thresholds are val's")
        trainer.test(module, datamodule=datamodule, verbose=False)
    return {
        split: Stages(*(np.concatenate(parts, axis=1) for parts in zip(*batches, strict=True)))
        for split, batches in kept.batches.items()
    }


def _measured(
    stages: Stages,
    datamodule: FaceDataModule,
    split: str,
    *,
    macs: Sequence[int],
    levels: Sequence[float],
    threshold: float,
    failure: float | None,
) -> Row:
    """What was found on a split: in words, by stages, by groups of faces, and by thresholds."""
    limit, faces = datamodule.dataset.threshold, datamodule.annotations(split)
    subsets = {subset: np.array([subset in f.subsets for f in faces]) for subset in datamodule.subsets(split)}
    chosen = exits.outcome(stages, threshold, macs, limit)
    numbered = [{"stage": i + 1, "macs": cost, **exits.of_stage(stages, i, limit)} for i, cost in enumerate(macs)]
    flag = exits.of_flag(*exits.of_last(stages, threshold, limit), failure)

    def outcomes(of: np.ndarray, levels: Sequence[float]) -> list[Row]:
        return [exits.outcome(stages.of(of), level, macs, limit) for level in levels]

    return {
        "findings": [*pages.findings(stages, chosen, macs), pages.flag_found(flag, failure, limit)],
        "stages": [row | {"stopped": share} for row, share in zip(numbered, chosen["stopped"], strict=True)],
        "flag": flag,
        "groups": [
            {"group": name, "faces": int(of.sum()), **row, "nme_all": 100 * float(stages.nme[-1, of].mean())}
            for name, of in (subsets | _quarters(stages, faces, datamodule.dataset.markup.flip)).items()
            for row in (outcomes(of, [threshold]) if of.any() else ())
        ],
        "curves": {subset: outcomes(of, levels) for subset, of in subsets.items()},
        "all_alike": {subset: (100 * stages.nme[:, of].mean(1)).tolist() for subset, of in subsets.items()},
    }


def _quarters(stages: Stages, faces: Sequence[Annotation], flip: Sequence[int]) -> dict[str, np.ndarray]:
    """Which faces are seen from the front and which are turned, which are easy and which hard."""
    turn = np.array([exits.asymmetry(face.keypoints, face.visible, flip) for face in faces])
    (frontal, turned), (easy, hard) = exits.quarters(turn), exits.quarters(stages.nme[0])
    return {"frontal": frontal, "turned": turned, "easy": easy, "hard": hard}


def _warn(found: Row, share: float | None) -> None:
    """Says where `val`'s faces, alike as they are to the network, allow nothing near to what is wanted."""
    if abs(found["reached_stages"] - found["wanted_stages"]) > 0.05:
        log.warning("stages=%g: nearest on val is %.2f", found["wanted_stages"], found["reached_stages"])
    flag = found["splits"]["val"]["flag"]
    reached = flag["flagged"] / flag["faces"]
    if share is not None and abs(reached - share) > 0.02:
        log.warning("failures=%g: nearest on val is %.3f; a face that stops early is none", share, reached)


def _leave(run: Path, found: Row) -> None:
    """Writes the numbers, the page and the figure, and prints what was found."""
    write_json(run / "early_exit.json", found)
    said = [f"`{split}`: {line}" for split, of in found["splits"].items() for line in of["findings"]]
    tables = [pages.stage_table(found), pages.group_table(found)]
    body = ["# Early exit", pages.EXPLAINED, pages.chosen(found), *said, *map(markdown, tables)]
    write_text(run / "early_exit.md", "\n\n".join(body) + "\n\n![NME against MACs](early_exit.png)\n")
    figure = pages.curve_figure(found)
    for suffix, form in {".png": plots.png, ".svg": plots.svg}.items():
        with atomic(run / f"early_exit{suffix}") as temporary:
            temporary.write_bytes(form(figure))
    for table in tables:
        Console().print(terminal(table))
    console = Console(soft_wrap=True)
    console.print("\n\n".join([pages.chosen(found), *said]), markup=False, highlight=False)
    console.print(f"report: {run / 'early_exit.md'}\nwith early exit: checkpoint={run / 'calibrated.safetensors'}")


def _check(config: DictConfig, checkpoint: Checkpoint) -> tuple[float, float | None]:
    """The wanted mean number of stages, and the share of faces to flag.

    Raises:
        KeyposError: if the checkpoint is no cascade, or the settings are impossible.
    """
    if checkpoint.config["codec"]["_target_"] != "keyposs.codecs.Cascade":
        method = checkpoint.config["codec"]["_target_"].rpartition(".")[2]
        raise KeyposError(checkpoint.file, f"is no cascade but {method}", "give one that codec=cascade has trained")
    count = len(checkpoint.config["head"]["levels"])
    if count == 1:
        raise KeyposError(checkpoint.file, "has one stage, so that none can be left out", "train with more head.levels")
    wanted, share = config.stages, config.failures
    if not _is_number(wanted) or not 1 <= wanted <= count:
        cause = f"is no mean of stages: each face runs at least 1, and at most all {count}"
        raise KeyposError(f"stages={wanted}", cause, f"give a number from 1 to {count}")
    if share is not None and not (_is_number(share) and 0 <= share < 1):
        cause = "is no share of faces to report as not found"
        raise KeyposError(f"failures={share}", cause, "give one from 0 up to 1, or null to tell it from val's failures")
    return float(wanted), None if share is None else float(share)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@command("early_exit")
def main(config: DictConfig) -> None:
    """Calibrates a checkpoint into a directory of its own."""
    early_exit(config, load(config.checkpoint))


if __name__ == "__main__":
    main()
