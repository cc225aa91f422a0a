"""Measure what codec and metrics add to a training step: targets, loss, and the decoding of a validation.

python benchmarks/training_step.py
python benchmarks/training_step.py --device cuda --batch-size 64

Each round times, in turns, the floor (network forward, backward from a gradient that is given, optimiser) and the
same with a codec's loss: targets drawn, loss taken, gradient found. Reported are medians over rounds of the ratio to
the floor of the same round. A validation's part is what loss, decoding and metrics take beside a forward pass.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from keyposs.codecs import Codec, DistanceMap
from keyposs.decoders import multilateration, pseudorange
from keyposs.grid import Grid
from keyposs.losses import mse
from keyposs.losses.end_to_end import EndToEnd
from keyposs.metrics import nme_per_face
from keyposs.models import ConvHead, HRNet, Landmarker, Slim
from keyposs.types import Truth

IMAGE = 256
WANTED = 0.05
"""What codec and metrics may add."""


def codecs(size: int) -> dict[str, tuple[Codec, str]]:
    """A codec and the backbone that it is trained with, by the name of the recipe."""
    grid, sigma = Grid(IMAGE, size), size / 4
    windows = {"multilateration": multilateration, "pseudorange": pseudorange}
    cells = {"pseudorange": partial(pseudorange, sigma=sigma, kernel=None)}
    return {
        "keyposs": (DistanceMap(grid, windows, loss=mse), "hrnet"),
        "keyposs_plus": (DistanceMap(grid, cells, sigma=sigma, loss=EndToEnd(sigma=sigma), activation="exp"), "slim"),
    }


def network(backbone: str, size: int, points: int) -> Landmarker:
    body = HRNet("hrnet_w18", size, IMAGE) if backbone == "hrnet" else Slim(size, IMAGE)
    return Landmarker(body, ConvHead, points)


def steps(net: Landmarker, codec: Codec, image: Tensor, truth: Truth) -> dict[str, Callable[[], object]]:
    """A training step without and with its codec; a reading without and with decoding and metrics."""
    optimizer = torch.optim.AdamW([*net.parameters(), *codec.parameters()], 1e-4)

    def train(of: Callable[[Tensor], Tensor] | None) -> None:
        output = net(image)
        if of is None:
            output.backward(torch.ones_like(output))
        else:
            of(output).backward()
        optimizer.step()
        optimizer.zero_grad()

    @torch.no_grad()
    def read(measured: bool) -> None:
        output = net(image)
        if measured:
            codec.loss(output, truth)
            for points, _ in codec.decode(output).values():
                nme_per_face(points, *truth)

    return {
        "step, floor": partial(train, None),
        "step": partial(train, partial(codec.loss, truth=truth)),
        "reading, floor": partial(read, False),
        "reading": partial(read, True),
    }


def seconds(run: Callable[[], object], device: str) -> float:
    start = time.perf_counter()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(runs: dict[str, Callable[[], object]], repeats: int, device: str) -> dict[str, float]:
    """Median milliseconds of the two floors, and median shares that the other two add to them in the same round."""
    for run in runs.values():
        run()
    rounds = [{name: seconds(run, device) for name, run in runs.items()} for _ in range(repeats)]
    found = {}
    for name in ("step", "reading"):
        found[f"{name}, floor"] = 1e3 * statistics.median(r[f"{name}, floor"] for r in rounds)
        found[name] = statistics.median(r[name] / r[f"{name}, floor"] - 1 for r in rounds)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--batch-size", type=int, default=32, help="faces")
    parser.add_argument("--points", type=int, default=68, help="landmarks of a face")
    parser.add_argument("--sizes", type=int, nargs="+", default=[16, 8, 4], help="sides of the maps")
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch finds no GPU here")
    torch.set_num_threads(1)
    where = torch.cuda.get_device_name() if options.device == "cuda" else "CPU, 1 thread"
    print(
        f"{options.batch_size} faces of {options.points} points, float32, torch {torch.__version__}, {where}; medians"
    )
    print(f"{'':<23}{'step, floor':>16}{'codec adds':>12}{'reading, floor':>16}{'codec, metrics':>16}")
    for size in options.sizes:
        generator = torch.Generator().manual_seed(size)
        image = torch.randint(256, (options.batch_size, 3, IMAGE, IMAGE), dtype=torch.uint8, generator=generator)
        points = IMAGE * torch.rand(options.batch_size, options.points, 2, generator=generator)
        truth = Truth(points, torch.ones(points.shape[:2], dtype=torch.bool), torch.full((len(points),), 80.0))
        truth = Truth(*(value.to(options.device) for value in truth))
        for name, (codec, backbone) in codecs(size).items():
            net = network(backbone, size, options.points).to(options.device)
            runs = steps(net, codec.to(options.device), image.to(options.device), truth)
            found = measure(runs, options.repeats, options.device)
            shares = (
                f"{100 * found['step']:>10.1f} %{found['reading, floor']:>13.1f} ms{100 * found['reading']:>14.1f} %"
            )
            print(f"{f'{name} {size}x{size}':<23}{found['step, floor']:>13.1f} ms{shares}", flush=True)
    print(f"wanted: at most {100 * WANTED:.0f} % of a step")


if __name__ == "__main__":
    main()
