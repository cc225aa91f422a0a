"""Time and test encoding and decoding beside mmpose's codecs, on the same points in the same run.

    python -m venv peers && peers/bin/pip install -e .
    peers/bin/pip install --no-deps mmpose mmengine mmcv-lite addict yapf termcolor xtcocotools json_tricks munkres
    peers/bin/python benchmarks/peers.py --threads 2

mmpose encodes and decodes a face at a time, in numpy; so it is timed. Both read their own exact maps of the same random
points, sigma 2; the error is of the points that come back, in pixels of the 256-pixel image. An environment of its own:
mmpose is no dependency of this project.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import torch

from keyposs.codecs import DistanceMap
from keyposs.decoders import dark, multilateration, pseudorange, quarter
from keyposs.grid import Grid

IMAGE, SIGMA = 256, 2.0
OURS = {decoder.__name__: decoder for decoder in (quarter, dark, multilateration, pseudorange)}
PEERS = {
    "quarter (mmpose)": ("MSRAHeatmap", {"unbiased": False}),
    "dark (mmpose)": ("MSRAHeatmap", {"unbiased": True}),
    "udp (mmpose)": ("UDPHeatmap", {}),
}
BORDER = 8.0  # pixels of the image that no point lies in


def milliseconds(run: Callable[[], object], repeats: int) -> float:
    """Median time of a call, after one to warm up."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def ours(points: torch.Tensor, size: int, repeats: int) -> dict[str, tuple[float, float, float]]:
    """Milliseconds to encode and to decode, and the mean error in pixels, of each decoder."""
    codec = DistanceMap(Grid(IMAGE, size), OURS, sigma=SIGMA)
    maps = codec.encode(points)
    encoding = milliseconds(lambda: codec.encode(points), repeats)
    found = {}
    for name, decoder in OURS.items():
        codec = DistanceMap(Grid(IMAGE, size), {name: decoder}, sigma=SIGMA)
        decoding = milliseconds(lambda codec=codec: codec.decode(maps), repeats)
        read, _ = codec.decode(maps)[name]
        found[name] = encoding, decoding, float(torch.linalg.vector_norm(read - points, dim=-1).mean())
    return found


def peers(points: np.ndarray, size: int, repeats: int) -> dict[str, tuple[float, float, float]]:
    """The same of mmpose's codecs, face after face."""
    import mmpose.codecs

    found = {}
    for name, (codec_name, options) in PEERS.items():
        codec = getattr(mmpose.codecs, codec_name)((IMAGE, IMAGE), (size, size), sigma=SIGMA, **options)

        def encode(codec=codec):
            return [codec.encode(face[None])["heatmaps"] for face in points]

        maps = encode()

        def decode(codec=codec, maps=maps):
            return [codec.decode(face)[0][0] for face in maps]

        error = np.linalg.norm(np.stack(decode()) - points, axis=-1).mean()
        found[name] = milliseconds(encode, repeats), milliseconds(decode, repeats), float(error)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="of the CPU, for torch")
    parser.add_argument("--faces", type=int, default=16)
    parser.add_argument("--points", type=int, default=98, help="landmarks of a face")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 16, 8], help="sides of the maps")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    if not find_spec("mmpose"):
        sys.exit("mmpose is not installed here: see --help for an environment that has it")
    torch.set_num_threads(options.threads)
    print(
        f"{options.faces} x {options.points} points, torch {torch.__version__}, CPU, {options.threads} threads; medians"
    )
    print(f"{'encode ms, decode ms, px':<26}" + "".join(f"{f'{size}x{size}':>26}" for size in options.sizes))
    table: dict[str, list[tuple[float, float, float]]] = {}
    for size in options.sizes:
        generator = np.random.default_rng(size)
        points = generator.uniform(BORDER, IMAGE - BORDER, (options.faces, options.points, 2)).astype(np.float32)
        with torch.inference_mode():
            measured = ours(torch.from_numpy(points), size, options.repeats)
        for name, figures in {**measured, **peers(points, size, options.repeats)}.items():
            table.setdefault(name, []).append(figures)
    for name, row in table.items():
        print(f"{name:<26}" + "".join(f"{f'{e:.2f}, {d:.2f}, {px:.2f}':>26}" for e, d, px in row))


if __name__ == "__main__":
    main()
