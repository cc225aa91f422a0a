"""`python -m keyposs.train [overrides]`: from photos and landmark files to a table of decoders and a report."""

import time
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities import rank_zero_only
from rich.console import Console

from keyposs import checkpoint, dashboards, environment, loggers, report, resume, sweep
from keyposs.config import command
from keyposs.data import FaceDataModule
from keyposs.distributed import from_rank_zero, locked
from keyposs.errors import KeyposError
from keyposs.evaluate import evaluate
from keyposs.files import write_text
from keyposs.module import LandmarkModule
from keyposs.trainer import build_trainer

READING = ("metrics", "pictures", "progress")
"""The callbacks that have a part in evaluation."""


def train(config: DictConfig, last: Path | None = None) -> list[dict[str, Any]]:
    """Trains in `config.run_dir` and evaluates the best checkpoint there.

    Args:
        config: composed from `conf/train.yaml`.
        last: the checkpoint to go on from.

    Returns:
        The rows of `results.json`.

    Raises:
        KeyposError: for what would spoil or lose work, before any is done.
    """
    start, run = time.perf_counter(), Path(config.run_dir)
    if last is None and (run / checkpoint.FOLDER / "last.ckpt").exists():  # else it did not finish an epoch
        raise KeyposError(run, "holds a run already", f"go on with it, resume={run}, or choose another hydra.run.dir")
    resume.anchor(config)
    pl.seed_everything(config.seed, workers=True, verbose=False)
    datamodule = instantiate(config.datamodule)
    for split in ("train", "val", "test"):
        datamodule.annotations(split)  # a bad face of any split stops the run here, not after the last epoch
    module = LandmarkModule.from_config(config, datamodule.dataset.markup)
    module.landmarker.begin_at(datamodule.mean_face())
    if last is not None or config.checkpoint is not None:
        saved = checkpoint.load(last or config.checkpoint)
        checkpoint.adopt(config, saved)
        checkpoint.restore(module, saved)
    with locked(run), loggers.opened(config) as opened:
        trainer = build_trainer(config, instantiate(config.callbacks).values(), opened)
        if last is not None:
            resume.replay(opened, run / "metrics.csv", last, epochs=config.trainer.max_epochs)
        if trainer.is_global_zero:
            begin(config, trainer.strategy.root_device)
            loggers.start(opened, config)
        fit(trainer, module, datamodule, last)
        seconds = round(time.perf_counter() - start, 1)
        rows = finish(config, datamodule, epochs=trainer.current_epoch, seconds=seconds, resumed=last is not None)
        if trainer.is_global_zero:
            dashboards.publish(opened, run, trainer.global_step)
    return rows


def begin(config: DictConfig, device: torch.device) -> None:
    """Writes down what is trained and in what, and removes what would say that the run is finished."""
    run = Path(config.run_dir)
    for half in (run / checkpoint.FOLDER).glob(".*.ckpt"):  # of a process that was killed
        half.unlink()
    (run / "results.json").unlink(missing_ok=True)
    environment.record(run, device)
    write_text(run / "config.yaml", OmegaConf.to_yaml(config))


def keep_best(run: Path) -> checkpoint.Checkpoint:
    """The best checkpoint of a run, whose weights are kept as safetensors too."""
    best = checkpoint.load(run)
    checkpoint.save_safetensors(best, best.file.with_suffix(".safetensors"))
    return best


def fit(trainer: pl.Trainer, module: LandmarkModule, datamodule: FaceDataModule, last: Path | None) -> None:
    """Trains; after Ctrl-C it says how to go on."""
    try:
        trainer.fit(module, datamodule=datamodule, ckpt_path=last)
    except SystemExit:  # how Lightning ends after Ctrl-C
        run = Path(module.config["run_dir"])
        if (run / checkpoint.FOLDER / "last.ckpt").exists():
            Console(soft_wrap=True).print(f"interrupted; go on with: python -m keyposs.train resume={run}")
        raise


def finish(config: DictConfig, datamodule: FaceDataModule, **facts: Any) -> list[dict[str, Any]]:
    """Evaluates a trained run's best checkpoint."""
    best = from_rank_zero(partial(keep_best, Path(config.run_dir)))  # other hosts need not see its disk
    config = checkpoint.adopt(config, best)
    config.callbacks = {key: value for key, value in config.callbacks.items() if key in READING}
    return evaluate(config, best, datamodule, **facts)


@command("train")
def main(config: DictConfig) -> float | None:
    """Starts a run, or goes on with one; of a sweep's jobs, those that are done are left alone.

    Returns:
        The val NME by which the checkpoint was picked, for sweepers that search.
    """
    if config.resume is not None:
        last = checkpoint.find(config.resume, "last.ckpt")
        rows = train(resume.recompose(config, HydraConfig.get().overrides.task), last)
    elif not sweep.is_job():
        rows = train(config)
    else:
        rows = sweep_job(config)
    return next((row["nme"] for row in rows if (row["split"], row["decoder"]) == ("val", config.monitor)), None)


def sweep_job(config: DictConfig) -> list[dict[str, Any]]:
    """Whatever is left to do of a sweep's job."""
    resume.anchor(config)
    if not sweep.finished(config):
        return train(config, sweep.last_checkpoint(config))
    if rank_zero_only.rank == 0:
        print(f"done already: {config.run_dir}")
    return report.read_results(Path(config.run_dir))


if __name__ == "__main__":
    main()
