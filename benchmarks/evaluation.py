"""Measure what reading the maps with every decoder costs beside the network's forward pass, in time and in memory.

python benchmarks/evaluation.py
python benchmarks/evaluation.py --sizes 64 8 --batch-size 32

HRNet-W18 on 256 x 256 pixels, exact maps of random points. In each of `--repeats` rounds all is timed once, in turns,
and divided by the forward pass of the same round; medians are printed. `all` is `codec.decode`, as `keyposs.evaluate`
calls it. Memory is the most that torch's allocator holds for a reading at once, its results included, over the size of
the maps that it is given.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler tells of each start

import torch
from torch.profiler import ProfilerActivity, profile

import keyposs.decoders
from keyposs.codecs import DistanceMap
from keyposs.grid import Grid
from keyposs.models import ConvHead, HRNet, Landmarker

IMAGE = 256
TIME, MEMORY = 0.10, 1.5
"""What all decoders may take at size 64: of the forward pass, and of the maps beside those that they read."""


def milliseconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - start)


def times(runs: dict[str, Callable[[], object]], repeats: int) -> dict[str, tuple[float, float]]:
    """Median milliseconds of each run, and its median share of the first one's time in the same round."""
    for run in runs.values():
        run()
    rounds = [{name: milliseconds(run) for name, run in runs.items()} for _ in range(repeats)]
    first = next(iter(runs))
    return {
        name: (statistics.median(r[name] for r in rounds), statistics.median(r[name] / r[first] for r in rounds))
        for name in runs
    }


def peak_bytes(run: Callable[[], object]) -> int:
    """The most that torch's CPU allocator held at once for a call, beyond what was there before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        run()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "trace.json")
        watched.export_chrome_trace(str(file))
        events = json.loads(file.read_text())["traceEvents"]
    held = peak = 0
    for event in sorted((e for e in events if e["name"] == "[memory]"), key=lambda e: e["ts"]):
        held += event["args"]["Bytes"]
        peak = max(peak, held)
    return peak


def measure(size: int, faces: int, points: int, repeats: int) -> dict[str, dict[str, Any]]:
    """For each reading: milliseconds, share of the forward pass, and memory in units of the maps."""
    decoders = {name: getattr(keyposs.decoders, name) for name in keyposs.decoders.__all__}
    codec = DistanceMap(Grid(IMAGE, size), decoders)
    net = Landmarker(HRNet("hrnet_w18", size, IMAGE), ConvHead, points).eval()
    generator = torch.Generator().manual_seed(size)
    image = torch.randint(256, (faces, 3, IMAGE, IMAGE), dtype=torch.uint8, generator=generator)
    maps = codec.encode(IMAGE * torch.rand(faces, points, 2, generator=generator))
    readings = {name: partial(decoder, maps) for name, decoder in decoders.items()}
    readings["all"] = partial(codec.decode, maps)
    timed = times({"forward": partial(net, image), **readings}, repeats)
    memory = {name: peak_bytes(reading) / maps.nbytes for name, reading in readings.items()}
    return {name: {"ms": ms, "share": share, "memory": memory.get(name)} for name, (ms, share) in timed.items()}


def print_table(table: dict[int, dict[str, dict[str, Any]]]) -> None:
    print(f"{'ms (% of forward, memory)':<27}" + "".join(f"{f'{size}x{size}':>26}" for size in table))
    for name in next(iter(table.values())):
        print(f"{name:<27}" + "".join(f"{cell(of_size[name]):>26}" for of_size in table.values()))


def cell(measured: dict[str, Any]) -> str:
    """One reading at one size."""
    ms, share, memory = measured["ms"], measured["share"], measured["memory"]
    return f"{ms:.2f}" if memory is None else f"{ms:.2f} ({100 * share:.1f} %, {memory:.2f}x)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=8, help="faces")
    parser.add_argument("--points", type=int, default=68, help="landmarks of a face")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 32, 16, 8, 4], help="sides of the maps")
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{options.batch_size} x {options.points} maps, float32, torch {torch.__version__}, CPU, 1 thread; medians")
    with torch.inference_mode():
        table = {size: measure(size, options.batch_size, options.points, options.repeats) for size in options.sizes}
    print_table(table)
    if 64 in table:
        print(f"64x64, wanted: at most {100 * TIME:.0f} % and {MEMORY}x")


if __name__ == "__main__":
    main()
