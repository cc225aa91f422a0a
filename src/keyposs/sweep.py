"""Sweeps (`-m`): a folder for each job, named after what it varies; done jobs are skipped, broken ones go on."""

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities import rank_zero_only
from rich.console import Console

from keyposs import checkpoint, errors, report, resume
from keyposs.errors import KeyposError
from keyposs.files import write_text
from keyposs.results import FAILURE

UNNAMED = (
    *("hydra", "resume", "logger", "callbacks.pictures", "data.root"),
    *("datamodule.cache", "datamodule.workers", "trainer.accelerator", "trainer.devices"),
)
"""What does not tell jobs apart, unless the sweep varies it: where and how they run, not what they train."""

LONGEST = 120
"""Characters of a job's folder; many file systems end at 255 bytes."""

APART = "KEYPOSS_JOB"
"""In the environment of a process that does one job of a sweep on its own."""


def run_name(overrides: Sequence[str], sweep_dir: str | Path) -> str:
    """The folder of a job: its heatmap size and what the sweep varies, without what Hydra's grammar chokes on.

    Where nothing varies, or Hydra has not written down what does, all overrides are named.

    Args:
        overrides: of the job.
        sweep_dir: of the sweep, where Hydra keeps `multirun.yaml`.

    >>> run_name(["heatmap_size=8", "data=300w", "data.root=/photos", "decoder=[dark,one_hot]"], "nowhere")
    'data-300w__decoder-dark+one_hot__heatmap_size-8'
    """
    swept = _swept(Path(sweep_dir) / "multirun.yaml")
    ordered = sorted(overrides, key=_key)
    telling = [override for override in ordered if _key(override) in swept or not _unnamed(override)]
    named = [override for override in telling if _key(override) in {*swept, "heatmap_size"}] if swept else telling
    name = "__".join(_clean(override) for override in named) or "default"
    if len(name) <= LONGEST and all(map(_is_plain, named)):
        return name
    told_apart = hashlib.sha256("\n".join(named).encode()).hexdigest()[:8]
    return f"{name[: LONGEST - 9]}-{told_apart}"


def _swept(file: Path) -> set[str]:
    """The keys that a sweep varies, by its `multirun.yaml`."""
    given = list(OmegaConf.load(file).hydra.overrides.task) if file.exists() else []
    return {_key(str(o.input_line)) for o in OverridesParser.create().parse_overrides(given) if o.is_sweep_override()}


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def _unnamed(override: str) -> bool:
    return any(_key(override) == known or _key(override).startswith(f"{known}.") for known in UNNAMED)


def _clean(override: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.+]+", "-", override.lstrip("+~").replace(",", "+")).strip("-")


def _is_plain(override: str) -> bool:
    """Whether cleaning an override keeps all that it says: else different ones might have one name."""
    word = r"[A-Za-z0-9.]+([_-][A-Za-z0-9.]+)*"
    return re.fullmatch(rf"[A-Za-z0-9_.]+=({word}|\[{word}(,{word})+\])", override.lstrip("+~")) is not None


def sweep_of(run_dir: str | Path) -> str | None:
    """The name of the sweep that a run belongs to, by which dashboards group it; None for a run on its own.

    >>> sweep_of("outputs/2026-11-25/10-00-00") is None
    True
    """
    folder = Path(run_dir).absolute().parent
    if not (folder / "multirun.yaml").exists():
        return None
    _, _, below = folder.as_posix().rpartition("/sweeps/")
    return below.replace("/", "-") if "/sweeps/" in folder.as_posix() else folder.name


def job_of(run_dir: str | Path) -> str | None:
    """The name of a run within its sweep; None for a run on its own."""
    return None if sweep_of(run_dir) is None else Path(run_dir).name


def sweeping() -> bool:
    """Whether this process goes through a sweep."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def is_job() -> bool:
    """Whether what this process does is a job of a sweep, whose folder may hold some of its work."""
    return sweeping() or APART in os.environ


def job(work: Callable[[DictConfig], Any], config: DictConfig) -> Any:
    """Does a job so that, if it fails, the others still get their turn: the failure is printed, and kept in its folder.

    Raises:
        KeyposError: under torchrun, whose processes would each go through the sweep.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        remedy = "start -m with trainer=ddp or a launcher instead, or a torchrun for each run"
        raise KeyposError("torchrun", "would run each job of a sweep in every process", remedy)
    note, apart = Path(config.run_dir) / FAILURE, False
    try:
        apart = _starts_processes(config)
        done = run_apart(config) if apart else work(config)
    except Exception as error:
        mistake = errors.cause(error)
        text = f"keyposs: {mistake}" if mistake else traceback.format_exc()
        if rank_zero_only.rank == 0:
            write_text(note, text)
            if not apart:  # else its process has said so
                print(text, file=sys.stderr)
        return None
    if rank_zero_only.rank == 0:
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
    if differing := _differences(OmegaConf.load(run / "config.yaml"), config):
        cause = f"holds a run of other settings ({'; '.join(differing)})"
        raise KeyposError(run, cause, "choose another hydra.sweep.dir")
    return (run / "results.json").is_file()


def _differences(saved: Any, config: DictConfig) -> list[str]:
    """What would be trained differently, such as `optim.lr: 0.002, not 0.001`."""
    free = [key for key in resume.CHANGEABLE if key != "trainer.max_epochs"]
    saved.box = resume.follow_data(saved.box, saved.data)
    for key in ("run_dir", *(key for key in free if key[-1] != ".")):  # others follow: what is stored interpolates
        if (value := OmegaConf.select(config, key)) is not None:
            OmegaConf.update(saved, key, value, force_add=True)
    old, new = (_flat(OmegaConf.to_container(side, resolve=True)) for side in (saved, config))
    keys = [key for key in dict.fromkeys([*old, *new]) if not key.startswith(tuple(free))]
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


def last_checkpoint(config: DictConfig) -> Path | None:
    """What a broken job goes on from."""
    file = Path(config.run_dir) / checkpoint.FOLDER / "last.ckpt"
    return file if file.is_file() else None


def _starts_processes(config: DictConfig) -> bool:
    """Whether Lightning would start the ranks of a job by running the command again, and so the whole sweep."""
    asked = config.get("trainer")
    if asked is None:  # a command without ranks
        return False
    options = {key: asked[key] for key in ("accelerator", "devices", "num_nodes") if key in asked}
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = pl.Trainer(**options, **quiet, strategy=instantiate(asked.get("strategy")) or "auto")
    if trainer.world_size == 1:
        return False
    return not trainer.strategy.cluster_environment.creates_processes_externally  # type: ignore[attr-defined]


def run_apart(config: DictConfig) -> None:
    """Does a job in a process of its own, as a run like any other, whose ranks know nothing of the sweep.

    Raises:
        KeyposError: if it fails, with what the process has said.
    """
    hydra = HydraConfig.get()
    command = [sys.executable, "-m", f"keyposs.{hydra.job.config_name}", *hydra.overrides.task]
    folders = [source.path for source in hydra.runtime.config_sources if source.provider == "command-line"]
    command += [f'hydra.run.dir="{config.run_dir}"', *(word for path in folders for word in ("--config-dir", path))]
    with subprocess.Popen(command, env={**os.environ, APART: "1"}, stderr=subprocess.PIPE, text=True) as process:
        said = _watch(process)
    if process.returncode:
        if said:
            raise KeyposError(said)
        raise KeyposError(config.run_dir, f"its process ended with status {process.returncode}", "see what it printed")


def _watch(process: "subprocess.Popen[str]") -> str:
    """Passes on what a process says until it ends, and its end if this one is ended. Returns its last mistake."""
    said = ""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        for line in process.stderr or ():
            sys.stderr.write(line)
            said = line.strip().removeprefix("keyposs: ") if line.startswith("keyposs: ") else said
    except KeyboardInterrupt:  # it got that signal too, and keeps its work
        process.wait()
        sys.exit(130)
    except SystemExit:
        process.terminate()
        raise
    finally:
        process.wait()
        signal.signal(signal.SIGTERM, before)
    return said


class Summary(Callback):
    """At the end of a sweep: one report of its runs, and which jobs failed; then the command's status is 1."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Hydra calls it once, where the sweep is started."""
        self.started = time.time()

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Hydra calls it there once more."""
        folder = Path(config.hydra.sweep.dir)
        notes = [note for note in sorted(folder.glob(f"*/{FAILURE}")) if note.stat().st_mtime >= self.started - 1]
        for note in notes:
            if (note.parent / "results.json").exists():  # it was refused, and what it holds is well
                note.unlink()
        if any(folder.glob("*/results.json")):
            try:
                written = report.write_report(report.find_runs(folder), folder)
                Console(soft_wrap=True).print(f"report: {written}", markup=False)
            except KeyposError as error:
                print(f"keyposs: {error}", file=sys.stderr)
        if notes:
            failed = ", ".join(note.parent.name for note in notes)
            said = f"{len(notes)} of the sweep's jobs failed: {failed}; the same command tries them again"
            print(f"keyposs: {said}", file=sys.stderr)
            sys.exit(1)
