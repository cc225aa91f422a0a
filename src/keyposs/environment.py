"""What a run ran in: commit, command, hardware, libraries."""

import json
import platform
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

import keyposs
from keyposs.files import write_json
from keyposs.models.efficiency import unknown


def record(run: Path, device: torch.device) -> None:
    """Adds to a run's `environment.json` what it is now started, or resumed, in: also each installed package."""
    file = run / "environment.json"
    starts = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    packages = {distribution.name: distribution.version for distribution in distributions() if distribution.name}
    now = {"started": datetime.now().astimezone().isoformat(timespec="seconds"), **environment(device)}
    write_json(file, [*starts, {**now, "packages": dict(sorted(packages.items()))}])


def environment(device: torch.device) -> dict[str, Any]:
    """What runs: version, commit, command, the device and its host, and library versions."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "version": keyposs.__version__,
        "commit": _commit(),
        "command": _command(),
        "hardware": f"{name}, {torch.get_num_threads()} CPU threads",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _command() -> str:
    """What starts this run on its own, also where it is a job of a sweep, on whatever launcher."""
    name, words = Path(sys.argv[0]).stem, sys.argv[1:]
    if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
        name, words = HydraConfig.get().job.config_name, list(HydraConfig.get().overrides.task)
    return shlex.join(["python", "-m", f"keyposs.{name}", *words])


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _commit() -> str | None:
    """The commit of the checkout that this package runs from, with "+" where it was changed; None in a wheel."""
    here = Path(__file__).parent
    if not (here.parents[1] / ".git").exists():
        return None
    try:
        said = [
            subprocess.run(["git", *command], cwd=here, capture_output=True, text=True, check=True).stdout.strip()
            for command in (
                ["rev-parse", "--short", "HEAD"],
                ["status", "--porcelain", "--untracked-files=no"],
            )
        ]
    except (OSError, subprocess.CalledProcessError):
        return None
    return said[0] + ("+" if said[1] else "")


@torch.inference_mode()
def latency(model: torch.nn.Module, image_size: int, repeats: int = 10) -> float:
    """Median milliseconds of one face through the whole network, whatever it gives, on the device where it is."""
    first = next(model.parameters())
    image, device = unknown(image_size, first), first.device
    training = model.training
    model.eval()
    median = milliseconds(partial(model, image), device, repeats=repeats)
    model.train(training)
    return round(median, 2)


def milliseconds(run: Callable[[], object], device: torch.device, *, repeats: int, seconds: float = 0.0) -> float:
    """Median milliseconds of a call, after three that do not count.

    Args:
        run: what is timed, until the device has done all of it.
        device: that it keeps busy.
        repeats: how often it is timed at least.
        seconds: how long it is timed at least.
    """
    for _ in range(3):
        run()
    _wait_for(device)
    times: list[float] = []
    first = time.perf_counter()
    while len(times) < repeats or time.perf_counter() - first < seconds:
        start = time.perf_counter()
        run()
        _wait_for(device)
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def _wait_for(device: torch.device) -> None:
    """A GPU works on while Python goes on."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
