"""`python -m keyposs.evaluate checkpoint=...`: every decoder's error on a dataset, and a report."""

import time
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from keyposs import report, results
from keyposs.callbacks import DecoderMetrics
from keyposs.checkpoint import Checkpoint, adopt, load, restore
from keyposs.config import command
from keyposs.errors import KeyposError
from keyposs.models import efficiency
from keyposs.module import LandmarkModule


def evaluate(config: DictConfig, checkpoint: Checkpoint, **facts: Any) -> list[dict[str, Any]]:
    """Reads `val` and `test` once with the checkpoint's weights, and leaves results and report in the run directory.

    Args:
        config: with the checkpoint's network, see `adopt`.
        checkpoint: the weights.
        facts: further entries of `run.json`.

    Returns:
        The rows of `results.json`.

    Raises:
        KeyposError: if the data has neither split, or marks other landmarks than the checkpoint.
    """
    datamodule = instantiate(config.datamodule)
    if datamodule.dataset.markup != checkpoint.markup:
        raise KeyposError(
            checkpoint.file,
            f"finds {checkpoint.markup.size} points ({checkpoint.markup.name}), "
            f"but data={datamodule.dataset.name} has {datamodule.dataset.markup.size}",
            "evaluate it on data of its own scheme",
        )
    splits = [split for split in ("val", "test") if datamodule.annotations(split)]
    if not splits:
        raise KeyposError(f"data={datamodule.dataset.name}", "has neither val nor test faces", "check data.root")
    module = restore(LandmarkModule.from_config(config, checkpoint.markup), checkpoint)
    callbacks = instantiate(config.callbacks)
    metrics: DecoderMetrics = callbacks["metrics"]
    trainer = instantiate(config.trainer, callbacks=list(callbacks.values()), logger=False)
    start = time.perf_counter()
    for split in splits:
        (trainer.validate if split == "val" else trainer.test)(module, datamodule=datamodule, verbose=False)
    rows = [row for split in splits for row in metrics.rows[split]]
    if trainer.is_global_zero:
        run = Path(config.run_dir)
        facts = {
            **results.environment(),
            **efficiency(module.landmarker, image_size=config.image_size),
            "latency_ms": results.latency(module.landmarker, config.image_size),
            "evaluation_seconds": round(time.perf_counter() - start, 1),
            "checkpoint": str(checkpoint.file),
            **facts,
            "config": OmegaConf.to_container(config, resolve=True),
        }
        results.write(run, rows, [row for split in splits for row in metrics.predictions[split]], facts)
        Console().print(report.results_table(rows))
        Console().print(f"report: {report.write_report(run)}")
    return rows


@command("evaluate")
def main(config: DictConfig) -> None:
    """Evaluates a checkpoint into a directory of its own."""
    checkpoint = load(config.checkpoint)
    evaluate(adopt(config, checkpoint), checkpoint)


if __name__ == "__main__":
    main()
