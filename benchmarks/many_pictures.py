"""`keyposs predict` on many small pictures: speed and memory over the run, and what two interruptions lose.

python benchmarks/many_pictures.py --count 10000

Pictures are rendered faces of 64 to 128 pixels, a few of them cut short. One run goes through; another is ended by
SIGINT after a quarter and by SIGKILL after half, and gone on with each time. Memory and the processor's time, which
other work on the machine does not change as it changes the clock's, are read from /proc (Linux).
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from keyposs.data import Synthetic

DISTINCT, BROKEN, EVERY = 200, 1000, 0.2
"""Faces that differ; of how many pictures one is cut short; seconds between samples."""


class Sample(NamedTuple):
    """A moment of a run."""

    seconds: float
    done: int  # pictures
    memory: float  # MiB
    worked: float  # seconds of the processor


def make_pictures(folder: Path, count: int) -> None:
    """Writes the pictures into subfolders of a thousand."""
    sizes = np.random.default_rng(0).integers(64, 129, DISTINCT).tolist()
    codes = []
    for face, size in zip(Synthetic(test=DISTINCT).annotations("test"), sizes, strict=True):
        x0, y0, x1, y1 = np.rint(face.box + np.array([-20, -20, 20, 20])).clip(0).astype(int)
        small = cv2.resize(face.read()[y0:y1, x0:x1, ::-1], (size, size), interpolation=cv2.INTER_AREA)
        codes.append(cv2.imencode(".jpg", small)[1].tobytes())
    for i in range(count):
        file = folder / f"{i // 1000:03}" / f"{i:06}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        code = codes[i % DISTINCT]
        file.write_bytes(code[: len(code) // 2] if i % BROKEN == BROKEN // 2 else code)


def run(folder: Path, out: Path, network: str, *, end: int | None = None, by: int = signal.SIGKILL) -> list[Sample]:
    """Runs the command, to its end or until so many pictures are done, and watches it."""
    words = ["predict", folder, "--out", out, "--network", network, "--boxes", "whole", "--no-overlays"]
    command = [sys.executable, "-m", "keyposs.cli", *map(str, words), "--device", "cpu"]
    start, samples = time.perf_counter(), []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        for done in _lines(out / "faces.jsonl", process):
            samples.append(Sample(time.perf_counter() - start, done, *_spent(process.pid)))
            if end is not None and done >= end:
                process.send_signal(by)
                end = None
    return samples


def _lines(file: Path, process: subprocess.Popen[bytes]) -> Iterator[int]:
    """How many pictures a journal holds, now and again, until the process ends."""
    count = at = 0
    while process.poll() is None:
        time.sleep(EVERY)
        if file.exists():
            with file.open("rb") as lines:
                lines.seek(at)
                new = lines.read()
            count, at = count + new.count(b"\n"), at + len(new)
        yield max(count - 1, 0)


def _spent(process: int) -> tuple[float, float]:
    """Memory in MiB and seconds of the processor; none where the process has just ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return 0.0, 0.0
    ticks = int(fields[11]) + int(fields[12])
    return int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 2**20, ticks / os.sysconf("SC_CLK_TCK")


def entries(out: Path) -> list[dict[str, Any]]:
    """What a journal says of pictures."""
    with (out / "faces.jsonl").open(encoding="utf-8") as lines:
        next(lines)
        return [json.loads(line) for line in lines]


def differences(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> str:
    """What of the one the other lacks, has twice, or has otherwise."""
    first, second = ({entry["file"]: entry for entry in given} for given in (one, other))
    same = [name for name in first.keys() & second.keys() if "faces" in first[name] and "faces" in second[name]]
    points = [[face["points"] for name in sorted(same) for face in of[name]["faces"]] for of in (first, second)]
    apart = np.abs(np.array(points[0]) - np.array(points[1])).max()
    broken = [sum("error" in entry for entry in of.values()) for of in (first, second)]
    return (
        f"lost {len(first.keys() - second.keys())}, twice {len(other) - len(second)}, broken {broken[0]} and "
        f"{broken[1]}, largest difference of a coordinate {apart:.4f} pixels"
    )


def table(samples: list[Sample]) -> Iterator[str]:
    """A line for each quarter of the pictures, and one for what follows."""
    total = samples[-1].done
    yield "| pictures | ms of the processor a picture | pictures a second | memory at most, MiB |"
    yield "|---|---:|---:|---:|"
    for quarter in range(4):
        low, high = total * quarter // 4, total * (quarter + 1) // 4
        part = [sample for sample in samples if low <= sample.done <= high and sample.done]
        inside = [sample for sample in part if sample.done < total] or part
        count = max(inside[-1].done - inside[0].done, 1)
        speed = count / max(inside[-1].seconds - inside[0].seconds, 1e-9)
        cost = 1000 * (inside[-1].worked - inside[0].worked) / count
        yield f"| {low + 1}-{high} | {cost:.1f} | {speed:.1f} | {max(sample.memory for sample in inside):.0f} |"
    rest = [sample for sample in samples if sample.done == total and sample.worked]
    cost = 1000 * (rest[-1].worked - rest[0].worked) / total
    yield f"| tables of all | {cost:.1f} | | {max(sample.memory for sample in rest):.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--network", default="keyposs-8")
    chosen = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, its children too
    with tempfile.TemporaryDirectory() as temporary:
        folder, whole, cut = (Path(temporary) / name for name in ("pictures", "whole", "cut"))
        make_pictures(folder, chosen.count)
        samples = run(folder, whole, chosen.network)
        print("\n".join(table(samples)), f"\nin all {samples[-1].seconds:.0f} s", flush=True)
        for part, by in ((4, signal.SIGINT), (2, signal.SIGKILL)):
            stopped = run(folder, cut, chosen.network, end=chosen.count // part, by=by)
            print(f"{by.name} after {stopped[-1].done} pictures", flush=True)
        run(folder, cut, chosen.network)
        print(differences(entries(whole), entries(cut)))
        for name in ("faces.csv", "coco.json"):
            print(
                f"{name}: {(whole / name).stat().st_size / 2**20:.0f} and {(cut / name).stat().st_size / 2**20:.0f} MiB"
            )


if __name__ == "__main__":
    main()
