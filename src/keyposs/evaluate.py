"""`python -m keyposs.evaluate checkpoint=...`: every decoder's error on a dataset, and a report."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from keyposs import environment, gallery, report, results
from keyposs.callbacks import DecoderMetrics
from keyposs.checkpoint import Checkpoint, adopt, load, restore
from keyposs.codecs.converted import Converted
from keyposs.config import command
from keyposs.correspondence import KNOWN, Correspondence, correspondence
from keyposs.data import FaceDataModule
from keyposs.errors import KeyposError
from keyposs.models import efficiency
from keyposs.module import LandmarkModule
from keyposs.trainer import build_trainer


def evaluate(
    config: DictConfig, checkpoint: Checkpoint, datamodule: FaceDataModule, **facts: Any
) -> list[dict[str, Any]]:
    """Reads `val` and `test` once with the checkpoint's weights, and leaves results and report in `config.run_dir`.

    With `config.test` false it leaves `test` unread, for runs among which `val` is yet to choose.

    Args:
        config: with the checkpoint's network, see `adopt`.
        checkpoint: the weights.
        datamodule: the faces.
        facts: further entries of `run.json`.

    Returns:
        The rows of `results.json`.

    Raises:
        KeyposError: if the data has neither split, or marks landmarks that have no correspondence to the checkpoint's.
    """
    start = time.perf_counter()
    module = build(config, checkpoint, datamodule)
    wanted = ("val", "test") if config.test else ("val",)
    splits = [split for split in wanted if datamodule.annotations(split)]
    if not splits:
        raise KeyposError(f"data={datamodule.dataset.name}", f"has no {' or '.join(wanted)} faces", "check data.root")
    if isinstance(module.codec, Converted):
        facts["correspondence"] = str(module.codec.correspondence)
    callbacks = instantiate(config.callbacks)
    metrics: DecoderMetrics = callbacks["metrics"]
    trainer = build_trainer(config, callbacks.values(), logger=False)
    for split in splits:
        (trainer.validate if split == "val" else trainer.test)(module, datamodule=datamodule, verbose=False)
    if trainer.is_global_zero:
        landmarker = module.landmarker.to(trainer.strategy.root_device)  # Lightning has moved it away
        facts |= {
            **environment.environment(trainer.strategy.root_device),
            **efficiency(landmarker, image_size=config.image_size),
            "latency_ms": environment.latency(landmarker, config.image_size),
            "checkpoint": str(checkpoint.file.absolute()),  # wherever the report is read from
            "evaluation_seconds": round(time.perf_counter() - start, 1),
            "markup": datamodule.dataset.markup.to_dict(),
            "config": OmegaConf.to_container(config, resolve=True),
        }
        leave(config, metrics, datamodule, facts)
    return [row for of_split in metrics.rows.values() for row in of_split]


def leave(config: DictConfig, metrics: DecoderMetrics, datamodule: FaceDataModule, facts: Mapping[str, Any]) -> None:
    """Leaves what was measured in `config.run_dir`, as files, pictures and a report, and prints the table."""
    run = Path(config.run_dir)
    faces = OmegaConf.select(config, "callbacks.pictures.faces", default=0)
    for split, predictions in metrics.predictions.items():
        shown = [row for row in predictions if row["decoder"] == config.monitor]
        gallery.draw(datamodule, split, shown, faces, run / "pictures")
    rows, predictions = (
        [row for of_split in found.values() for row in of_split] for found in (metrics.rows, metrics.predictions)
    )
    results.write(run, rows, predictions, {split: datamodule.annotations(split) for split in metrics.rows}, facts)
    Console().print(report.results_table(rows))
    Console(soft_wrap=True).print(f"report: {report.write_report([run], run)}")


def build(config: DictConfig, checkpoint: Checkpoint, datamodule: FaceDataModule) -> LandmarkModule:
    """The network with its weights, whose points are converted where the data marks others.

    Raises:
        KeyposError: if there is no such conversion, or the parts of the config do not fit each other.
    """
    conversion = _conversion(checkpoint, datamodule)
    module = restore(LandmarkModule.from_config(config, checkpoint.markup), checkpoint)
    if conversion is not None:
        module.codec = Converted(module.codec, conversion)
    return module


def _conversion(checkpoint: Checkpoint, datamodule: FaceDataModule) -> Correspondence | None:
    """How the checkpoint's points become those of the data; None where they are the same."""
    ours, theirs = checkpoint.markup, datamodule.dataset.markup
    try:
        return None if ours == theirs else correspondence(ours, theirs)
    except KeyposError as error:
        raise KeyposError(
            checkpoint.file,
            f"finds {ours.size} points ({ours.name}), but data={datamodule.dataset.name} has {theirs.size}",
            f"evaluate it on data of its own scheme, or of one that it can be converted to: {KNOWN}",
        ) from error


@command("evaluate")
def main(config: DictConfig) -> None:
    """Evaluates a checkpoint into a directory of its own."""
    checkpoint = load(config.checkpoint)
    config = adopt(config, checkpoint)
    evaluate(config, checkpoint, instantiate(config.datamodule))


if __name__ == "__main__":
    main()
