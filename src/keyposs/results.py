"""The three files that a finished run leaves; every table and plot reads these and no log."""

import csv
import platform
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

import keyposs
from keyposs.files import atomic, readable, write_json


def write(
    run: Path,
    rows: Sequence[Mapping[str, Any]],
    predictions: Sequence[Mapping[str, Any]],
    facts: Mapping[str, Any],
) -> None:
    """Writes `results.json`, `run.json` and `predictions.csv` into a run directory, each atomically.

    Args:
        run: the directory.
        rows: see DecoderMetrics.
        predictions: each face once per decoder; `nme` is a fraction (written in percent, like that of the rows),
            `points` are x0, y0, x1, ... in pixels of the photo.
        facts: see `environment`; with parameters, macs, latency and config.
    """
    write_json(run / "results.json", list(rows))
    write_json(run / "run.json", dict(facts))
    with (
        atomic(run / "predictions.csv") as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        names = ["name", "split", "subsets", "decoder", "norm", "nme"]
        points = len(predictions[0]["points"]) // 2 if predictions else 0
        writer.writerow([*names, *(f"{axis}{i}" for i in range(points) for axis in "xy")])
        for row in predictions:
            measures = (
                f"{row['norm']:.4f}",
                f"{100 * row['nme']:.4f}",
                *(f"{value:.3f}" for value in row["points"]),
            )
            writer.writerow([*(readable(row[name]) for name in names[:4]), *measures])


def environment(device: torch.device) -> dict[str, Any]:
    """What ran: version, commit, command, the device and its host, and library versions."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "version": keyposs.__version__,
        "commit": _commit(),
        "command": shlex.join(["python", "-m", f"keyposs.{Path(sys.argv[0]).stem}", *sys.argv[1:]]),
        "hardware": f"{name}, {torch.get_num_threads()} CPU threads",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


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
    """Median milliseconds of one face through the network, on the device where it is."""
    device = next(model.parameters()).device
    image = torch.zeros(1, 3, image_size, image_size, device=device)
    training = model.training
    model.eval()
    times = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        model(image).sum().item()  # waits for the device
        times.append(1000 * (time.perf_counter() - start))
    model.train(training)
    return round(statistics.median(times[2:]), 2)
