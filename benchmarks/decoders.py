"""Time every decoder at every heatmap size against one `heatmaps.sum()` over the same memory.

python benchmarks/decoders.py --threads 2
python benchmarks/decoders.py --device cuda --compile

With `--compile` the two decoders of the paper are timed once more as one compiled pass each, by `torch.compile`.
The numpy loop reads one keypoint after another, as published code does: it is timed on a part of them and
scaled to all. Busy cores change the ratios; run it on an idle machine.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

import keyposs.decoders
from keyposs.decoders import multilateration

LOOPED = 400  # keypoints that the numpy loop is timed on
HEADLINE = ("multilateration", "pseudorange")


def distance_maps(faces: int, points: int, size: int, sigma: float = 2.0) -> tuple[Tensor, Tensor]:
    """Exact maps in float32, and the points they hold, in cells."""
    generator = torch.Generator().manual_seed(size)
    truth = torch.rand(faces, points, 2, generator=generator) * size - 0.5
    axis = torch.arange(size)
    x, y = torch.exp(-((axis - truth[..., None]) ** 2) / (2 * sigma**2)).unbind(-2)
    return y[..., :, None] * x[..., None, :], truth


def loop(heatmaps: np.ndarray, sigma: float = 2.0) -> np.ndarray:
    """The paper's decoder, a keypoint at a time: all 2 x 2 windows within 2 cells of the peak compete."""
    h, w = heatmaps.shape[1:]
    read = np.empty((len(heatmaps), 2))
    for n, heatmap in enumerate(heatmaps):
        py, px = np.unravel_index(np.argmax(heatmap), heatmap.shape)
        best, corner = -np.inf, (0, 0)
        for y in range(max(py - 2, 0), min(py + 1, h - 2) + 1):
            for x in range(max(px - 2, 0), min(px + 1, w - 2) + 1):
                total = heatmap[y : y + 2, x : x + 2].sum()
                if total > best:
                    best, corner = total, (x, y)
        anchors = np.array([(corner[0] + j, corner[1] + i) for i in range(2) for j in range(2)], dtype=float)
        squared = np.array([-2 * sigma**2 * np.log(max(heatmap[int(y), int(x)], 1e-9)) for x, y in anchors])
        norms = (anchors**2).sum(1)
        X = anchors[-1] - anchors[:-1]
        Y = (squared[:-1] - squared[-1] + norms[-1] - norms[:-1]) / 2
        read[n] = np.linalg.inv(X.T @ X) @ X.T @ Y
    return read


def milliseconds(run: Callable[[], object], device: str, budget: float = 1.0) -> float:
    """Median time of a call: three to warm up, then as many as fit into `budget` seconds, 5 to 200."""
    for _ in range(3):
        run()
    times: list[float] = []
    while len(times) < 5 or (sum(times) < 1e3 * budget and len(times) < 200):
        times.append(_once_on_cuda(run) if device == "cuda" else _once(run))
    return statistics.median(times)


def _once(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - start)


def _once_on_cuda(run: Callable[[], object]) -> float:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    run()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end))


def check(heatmaps: Tensor, truth: Tensor) -> None:
    """What is timed is right: solvers find the points, and the numpy loop agrees with its decoder."""
    for name in ("multilateration", "pseudorange", "gauss_newton"):
        points, _ = getattr(keyposs.decoders, name)(heatmaps)
        assert (points.cpu() - truth).abs().max() < 1e-3, name
    some = heatmaps.flatten(0, 1)[:LOOPED]
    np.testing.assert_allclose(loop(some.cpu().numpy()), multilateration(some)[0].cpu(), atol=1e-3)


def compiled(name: str, heatmaps: Tensor) -> Callable[[], object]:
    """A decoder in one graph, made for maps of this shape, and checked against the eager one."""
    torch.compiler.reset()
    decoder = getattr(keyposs.decoders, name)
    run = partial(torch.compile(decoder, fullgraph=True, dynamic=False), heatmaps)
    torch.testing.assert_close(run()[0], decoder(heatmaps)[0], atol=1e-3, rtol=0)
    return run


def measure(size: int, faces: int, points: int, device: str, compile_too: bool) -> dict[str, float]:
    """Milliseconds of `sum`, of each decoder and of the loop, on the same maps."""
    heatmaps, truth = distance_maps(faces, points, size)
    heatmaps = heatmaps.to(device)
    check(heatmaps[:4], truth[:4])
    runs: dict[str, Callable[[], object]] = {"sum": heatmaps.sum}
    runs |= {name: partial(getattr(keyposs.decoders, name), heatmaps) for name in keyposs.decoders.__all__}
    if compile_too:
        runs |= {f"{name}, compiled": compiled(name, heatmaps) for name in HEADLINE}
    times = {name: milliseconds(run, device) for name, run in runs.items()}
    times["sum"] = (times["sum"] + milliseconds(heatmaps.sum, device)) / 2  # before and after the decoders
    some = heatmaps.flatten(0, 1)[:LOOPED].cpu().numpy()
    times["numpy loop"] = _once(partial(loop, some)) * faces * points / len(some)
    return times


def print_table(table: dict[int, dict[str, float]]) -> None:
    print(f"{'ms (x sum)':<26}" + "".join(f"{f'{size}x{size}':>18}" for size in table))
    for name in next(iter(table.values())):
        row = (f"{times[name]:.3f} ({times[name] / times['sum']:.1f})" for times in table.values())
        print(f"{name:<26}" + "".join(f"{cell:>18}" for cell in row))
    for name in HEADLINE:
        gains = (f"{times['numpy loop'] / times[name]:.0f}x" for times in table.values())
        print(f"{'loop / ' + name:<31}" + "".join(f"{gain:>18}" for gain in gains)[5:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=2, help="of the CPU, for torch")
    parser.add_argument("--faces", type=int, default=64)
    parser.add_argument("--points", type=int, default=98, help="landmarks of a face")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 32, 16, 8, 4], help="sides of the maps")
    parser.add_argument("--compile", action="store_true", help="time compiled decoders too")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch finds no GPU here")
    if min(options.sizes) < 4:
        parser.error("--sizes: the windows of the decoders need maps of 4 cells or more")
    torch.set_num_threads(options.threads)
    where = torch.cuda.get_device_name() if options.device == "cuda" else f"CPU, {options.threads} threads"
    print(f"{options.faces} x {options.points} maps, float32, torch {torch.__version__}, {where}; medians")
    with torch.inference_mode():
        table = {n: measure(n, options.faces, options.points, options.device, options.compile) for n in options.sizes}
    print_table(table)
    print(f"The numpy loop ran on the host over {LOOPED} keypoints and is scaled to all.")


if __name__ == "__main__":
    main()
