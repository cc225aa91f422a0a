"""Sweeps (`-m`): a folder for each job, named after what it sets; done jobs are skipped, broken ones go on."""

import hashlib
import os
import re
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from keyposs import checkpoint, errors, report, resume
from keyposs.errors import KeyposError
from keyposs.files import write_text

UNNAMED = (
    *("hydra", "resume", "logger", "callbacks.pictures", "data.root"),
    *("datamodule.cache", "datamodule.workers", "trainer.accelerator", "trainer.devices"),
)
"""What does not tell jobs of a sweep apart: where and how they run, not what they train."""

LONGEST = 120
"""Characters of a job's folder; many file systems end at 255 bytes."""

FAILURE = "failure.txt"
"""Why a job failed, in its folder."""


def run_name(overrides: Sequence[str], sweep_dir: str | Path) -> str:
    """The folder of a job: its heatmap size and what the sweep varies, without what Hydra's grammar chokes on.

    Where nothing varies, or Hydra has not written down what does, all overrides are named.

    Args:
        overrides: of the job.
        sweep_dir: of the sweep, where Hydra keeps `multirun.yaml`.

    >>> run_name(["heatmap_size=8", "data=300w", "data.root=/photos", "decoder=[dark,one_hot]"], "nowhere")
    'data-300w__decoder-dark-one_hot__heatmap_size-8'
    """
    file = Path(sweep_dir) / "multirun.yaml"
    given = OverridesParser.create().parse_overrides(
        list(OmegaConf.load(file).hydra.overrides.task) if file.exists() else []
    )
    fixed = {_key(str(override.input_line)) for override in given if not override.is_sweep_override()} - {
        "heatmap_size"
    }
    telling = sorted((override for override in overrides if not _unnamed(override)), key=_key)
    varied = [override for override in telling if _key(override) not in fixed] or telling
    name = "__".join(re.sub(r"[^A-Za-z0-9_.]+", "-", override).strip("-") for override in varied) or "default"
    if len(name) <= LONGEST:
        return name
    return f"{name[: LONGEST - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def _unnamed(override: str) -> bool:
    return any(_key(override) == known or _key(override).startswith(f"{known}.") for known in UNNAMED)


def sweep_of(run_dir: str | Path) -> str | None:
    """The name of the sweep that a run belongs to, by which dashboards group it; None for a run on its own.

    >>> sweep_of("outputs/2026-11-25/10-00-00") is None
    True
    """
    folder = Path(run_dir).absolute().parent
    if not (folder / "multirun.yaml").exists():
        return None
    _, _, below = folder.as_posix().rpartition("/sweeps/")
    return below.replace("/", "-") if below and "/sweeps/" in folder.as_posix() else folder.name


def job_of(run_dir: str | Path) -> str | None:
    """The name of a run within its sweep; None for a run on its own."""
    return None if sweep_of(run_dir) is None else Path(run_dir).name


def sweeping() -> bool:
    """Whether this is a job of a sweep."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def job(work: Callable[[DictConfig], Any], config: DictConfig) -> Any:
    """Does a job so that, if it fails, the others still get their turn: the failure is printed, and kept in its folder.

    Raises:
        KeyposError: under torchrun, whose processes would each go through the sweep.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        remedy = "start -m with trainer=ddp or a launcher instead, or a torchrun for each run"
        raise KeyposError("torchrun", "would run each job of a sweep in every process", remedy)
    note = Path(config.run_dir) / FAILURE
    try:
        done = work(config)
    except Exception as error:
        mistake = errors.cause(error)
        text = f"keyposs: {mistake}" if mistake else traceback.format_exc()
        print(text, file=sys.stderr)
        write_text(note, text)
        return None
    note.unlink(missing_ok=True)
    return done


def finished(config: DictConfig) -> bool:
    """Whether a job's folder holds its finished run.

    Raises:
        KeyposError: if it holds a run of other settings, finished or not.
    """
    run = Path(config.run_dir)
    if not (run / "config.yaml").is_file():
        return False
    saved = OmegaConf.load(run / "config.yaml")
    saved.run_dir = config.run_dir
    if differing := _differences(saved, config):
        cause = f"holds a run of other settings ({'; '.join(differing)})"
        raise KeyposError(run, cause, "choose another hydra.sweep.dir")
    return (run / "results.json").is_file()


def _differences(saved: Any, config: DictConfig) -> list[str]:
    """What would be trained differently, such as `optim.lr: 0.002, not 0.001`."""
    old, new = (_flat(OmegaConf.to_container(side, resolve=True)) for side in (saved, config))
    free = tuple(key for key in resume.CHANGEABLE if key != "trainer.max_epochs")
    keys = [key for key in dict.fromkeys([*old, *new]) if not key.startswith(free)]
    return [f"{key}: {old.get(key)}, not {new.get(key)}" for key in keys if old.get(key) != new.get(key)]


def _flat(values: Any, path: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys."""
    if not isinstance(values, Mapping):
        return {path: values}
    return {
        key: leaf
        for name, value in values.items()
        for key, leaf in _flat(value, f"{path}.{name}" if path else str(name)).items()
    }


def starts_processes(config: DictConfig) -> bool:
    """Whether Lightning would start the ranks of this job by running the command again, and so the whole sweep."""
    one = config.trainer.get("devices") in (1, "1", [0])
    return config.trainer.get("strategy") is not None and not one and "SLURM_NTASKS" not in os.environ


def run_apart(config: DictConfig) -> None:
    """Does a job of `keyposs.train` in a process of its own, as a run like any other.

    Raises:
        KeyposError: if it fails; the process has said why.
    """
    hydra = HydraConfig.get()
    overrides = list(hydra.overrides.task)
    if (last := last_checkpoint(config)) is not None:
        overrides = [f"resume={last.parents[1]}", *(o for o in overrides if o.startswith(resume.CHANGEABLE))]
    folders = [s.path for s in hydra.runtime.config_sources if s.provider == "command-line"]
    command = [sys.executable, "-m", "keyposs.train", *overrides, f"hydra.run.dir={config.run_dir}"]
    with subprocess.Popen([*command, *(word for folder in folders for word in ("--config-dir", folder))]) as process:
        try:
            code = process.wait()
        except KeyboardInterrupt:  # it got that signal too, and keeps its work
            process.wait()
            raise
    if code:
        raise KeyposError(config.run_dir, f"the job ended with status {code}", "see what it printed")


def last_checkpoint(config: DictConfig) -> Path | None:
    """What a broken job goes on from."""
    file = Path(config.run_dir) / checkpoint.FOLDER / "last.ckpt"
    return file if file.is_file() else None


class Summary(Callback):
    """At the end of a sweep: one report of its runs, and which jobs failed; then the command's status is 1."""

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Hydra calls it once, where the sweep was started."""
        folder, console = Path(config.hydra.sweep.dir), Console(soft_wrap=True)
        if any(folder.glob("*/results.json")):
            with_mistake = None
            try:
                console.print(f"report: {report.write_report(report.find_runs(folder), folder)}")
            except KeyposError as error:
                with_mistake = error
            if with_mistake:
                print(f"keyposs: {with_mistake}", file=sys.stderr)
        failed = sorted(note.parent.name for note in folder.glob(f"*/{FAILURE}"))
        if failed:
            said = f"{len(failed)} of the sweep's jobs failed: {', '.join(failed)}; the same command tries them again"
            print(f"keyposs: {said}", file=sys.stderr)
            sys.exit(1)
