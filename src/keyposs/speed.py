"""`python -m keyposs.speed RUN`: milliseconds, faces a second and memory, from a face's crop to its points.

The network is the run's best, on images of noise; of the decoders of a map only the one that `monitor` names is timed.
With `flip_test=true` the network runs twice, as it did in the run's evaluation. Prints JSON.
"""

import argparse
import itertools
import json
import os
import resource
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from keyposs.checkpoint import adopt, find, load, read_once, restore
from keyposs.config import plain_mistakes
from keyposs.environment import environment, milliseconds
from keyposs.errors import KeyposError
from keyposs.module import LandmarkModule
from keyposs.networks import choose_device

BATCHES = (1, 32)
REPEATS, SECONDS = 5, 6.0
"""Of each batch size, at least so many runs and so long."""

GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "16384"}
"""glibc then returns freed memory at once: what is resident is what is in use."""

STATUS, FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
"""Where Linux tells a process its peak, and where this is set back to what is resident now."""


def measure(path: str, batches: Sequence[int] = BATCHES, device: str = "cpu") -> dict[str, Any]:
    """What reading costs in batches of some sizes.

    Args:
        path: a run directory or a checkpoint.
        batches: their sizes, in faces.
        device: its name, such as `cpu` or `cuda`.

    Returns:
        `reading`, what names the machine (see `environment`), and `batches`: of each size `batch`, `ms` (median, of a
        batch), `ms_per_face`, `fps` (faces a second) and `memory_mb` (see `memory`).

    Raises:
        KeyposError: if the checkpoint cannot be read, or this machine has no such device.
    """
    module = open_module(path, device)
    with torch.inference_mode():
        times = [
            milliseconds(reading(module, batch), module.device, repeats=REPEATS, seconds=SECONDS) for batch in batches
        ]
    costs = [
        {"batch": batch, "ms": round(ms, 3), "ms_per_face": round(ms / batch, 3), "fps": round(1000 * batch / ms, 2)}
        for batch, ms in zip(batches, times, strict=True)
    ]
    for cost, megabytes in zip(costs, _memory_apart(path, batches, device), strict=True):
        cost["memory_mb"] = megabytes
    return {"reading": module.config["monitor"], **environment(module.device), "batches": costs}


def open_module(path: str, device: str) -> LandmarkModule:
    """A trained network, read as its checkpoint was picked; with all its stages, since noise is no face to stop at."""
    checkpoint = load(find(path, "best.safetensors", "best.ckpt", "last.ckpt"))  # the first holds nothing else
    config = adopt(OmegaConf.create(checkpoint.config), checkpoint)
    if "exit" in config.head:
        config.head.exit = "none"
    module = restore(LandmarkModule.from_config(read_once(config), checkpoint.markup), checkpoint)
    return module.to(choose_device(device)).eval()


def reading(module: LandmarkModule, batch: int) -> Callable[[], Any]:
    """What reads so many faces, always the same."""
    generator, size = torch.Generator().manual_seed(0), module.config["image_size"]
    image = torch.randint(256, (batch, 3, size, size), dtype=torch.uint8, generator=generator).to(module.device)

    def read() -> Any:
        output = module(image)
        if module.flip_test:
            output = module.codec.average(output, module(image.flip(-1)), module.markup.flip)
        return module.codec.decode(output)

    return read


@torch.inference_mode()
def memory(module: LandmarkModule, batch: int) -> float:
    """The network's weights, and the most that reading a batch takes beside them, in MB of 10^6 bytes.

    On a GPU by torch's allocator; on a CPU by the peak of the process's resident memory, with what libraries hold for
    a convolution, in a process that does nothing else and gives back what it frees.
    """
    tensors = itertools.chain(module.landmarker.parameters(), module.landmarker.buffers())
    weights = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    return round((weights + growth(reading(module, batch), module.device)) / 1e6, 1)


def growth(run: Callable[[], object], device: torch.device) -> int:
    """Bytes that a call holds at its peak beyond what is held before; made once before, so that its code is loaded."""
    run()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with suppress(OSError):  # elsewhere the peak so far stands, and hides a lower one
            FORGET.write_text("5")
    before = peak_of(device)  # what is held now
    run()
    return peak_of(device) - before


def peak_of(device: torch.device) -> int:
    """Bytes that a GPU's allocator held at most, or that were resident in this process.

    `getrusage` alone would not do on Linux: it begins with the peak of the process that started this one.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    lines = STATUS.read_text().splitlines() if STATUS.exists() else []
    kilobytes = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    if kilobytes:
        return 1024 * kilobytes[0]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _memory_apart(path: str, batches: Sequence[int], device: str) -> list[float]:
    """`memory` of each batch size, in a process that does nothing else."""
    sizes = sorted(batches)  # where a peak cannot be forgotten, the larger batch is the later
    command = ["--memory", "--device", device, "--batch", *map(str, sizes)]
    found = dict(zip(sizes, run_apart(path, *command, **GIVE_BACK), strict=True))
    return [found[batch] for batch in batches]


def run_apart(path: str, *options: str, **variables: str) -> Any:
    """What `python -m keyposs.speed` prints for a run, in a process of its own with more environment variables.

    Raises:
        KeyposError: if it fails.
    """
    command = [sys.executable, "-m", "keyposs.speed", path, *options]
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1].removeprefix("keyposs: ")
        cause = f"its speed cannot be measured ({said.partition('. Remedy: ')[0]})"
        raise KeyposError(path, cause, f"try {shlex.join(['python', *command[1:]])}")
    return json.loads(done.stdout.splitlines()[-1])


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints what was measured as one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m keyposs.speed", description=__doc__)
    parser.add_argument("run", help="a run directory, or a checkpoint")
    parser.add_argument("--batch", type=_count, nargs="+", action="extend", help="faces in a batch (1 32)")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, mps, or auto")
    parser.add_argument("--memory", action="store_true", help="print the MB of each batch size alone")
    given = parser.parse_args(arguments)
    batches = given.batch or BATCHES
    with plain_mistakes():
        if given.memory:
            module = open_module(given.run, given.device)
            print(json.dumps([memory(module, batch) for batch in batches]))
        else:
            print(json.dumps(measure(given.run, batches, given.device)))


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


if __name__ == "__main__":
    main()
