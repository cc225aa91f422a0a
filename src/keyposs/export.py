"""`python -m keyposs.export checkpoint=... format=onnx`: network and decoder as one file, to be run without torch."""

import json
import os
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from rich.console import Console

import keyposs
from keyposs.checkpoint import MODEL_KEYS, Checkpoint, adopt, load
from keyposs.config import command
from keyposs.environment import milliseconds
from keyposs.errors import KeyposError
from keyposs.files import atomic, readable
from keyposs.graph import Graph, differences, open_graph, samples, write
from keyposs.predict import build

FORMATS = ("onnx",)

NEEDED = ("onnx", "onnxruntime", "onnxscript")
"""Packages of the extra `[export]`."""

TOLERANCE = 1e-3
"""Pixels of the crop, and what else `differences` gives, that a file may be away from torch."""


def export(config: DictConfig, checkpoint: Checkpoint) -> Path:
    """Writes a trained network with one reading, runs the file, and keeps it if it finds the points that torch finds.

    Returns:
        The file.

    Raises:
        KeyposError: if the format is unknown, the file cannot lie where it shall, a package is missing, the config
            does not fit the checkpoint, the method has no maps to write, or the points differ.
    """
    file = target(config)
    check_packages()
    config = adopt(config, checkpoint)
    if config.head.get("exit") == "compact":
        config.head.exit = "mask"  # the same points; which faces go on cannot be a graph's shape
    module, reading = build(config, checkpoint)
    faces = samples(config.image_size, config.padding)
    graph = Graph(module, reading, faces, config.maps).eval()
    with atomic(file) as temporary:
        write(graph, faces[:2], graph.outputs, metadata(config, checkpoint, reading), temporary)
        written = open_graph(temporary)
        apart = differences(graph, written, faces)
        check(file, apart)  # what is refused here never takes the place of an earlier file
    times = {name: _time(run, faces[:1]) for name, run in (("onnxruntime", written), ("torch", graph))}
    _sum_up(file, reading, apart, times)
    return file


def target(config: DictConfig) -> Path:
    """The file to be written.

    Raises:
        KeyposError: if the format is unknown, the file's name is of another one, or its folder is not there or is not
            to be written to.
    """
    if config.format not in FORMATS:
        raise KeyposError(f"format={config.format}", "is unknown", f"choose from {', '.join(FORMATS)}")
    suffix = f".{config.format}"
    if config.file is None:
        return Path(config.run_dir) / f"model{suffix}"
    file = Path(str(config.file)).expanduser()
    if file.suffix != suffix:
        raise KeyposError(f"file={file}", f"does not end in {suffix}", f"call it {file.stem or 'model'}{suffix}")
    if not file.parent.is_dir():
        raise KeyposError(f"file={file}", f"there is no folder {file.parent}", "make it, or choose another")
    if file.is_dir() or not os.access(file.parent, os.W_OK):
        raise KeyposError(f"file={file}", "cannot be written", "choose a file in a folder of your own")
    return file


def check_packages() -> None:
    """Refuses to go on without a package that is needed.

    Raises:
        KeyposError: naming all that are missing.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise KeyposError("format=onnx", f"needs {', '.join(missing)}", 'pip install "keyposs[export]"')


def metadata(config: DictConfig, checkpoint: Checkpoint, reading: str) -> dict[str, str]:
    """What a file says of itself: all that whoever cuts crops for it, or draws its points, has to know."""
    return {
        "keyposs": keyposs.__version__,
        "image_size": str(config.image_size),
        "padding": str(config.padding),
        "input": "RGB, uint8, 0..255; the graph normalises",
        "unit": "pixels of the crop; pixel i has its centre at i",
        "decoder": reading,
        "norm": checkpoint.config.get("data", {}).get("norm", ""),
        "markup": json.dumps(checkpoint.markup.to_dict()),
        "config": json.dumps({key: checkpoint.config[key] for key in MODEL_KEYS}),
    }


def check(file: Path, apart: dict[str, float]) -> None:
    """Refuses a file that reads faces otherwise than torch; NaN is otherwise too.

    Raises:
        KeyposError: if a difference is above `TOLERANCE`.
    """
    for name, difference in apart.items():
        if not difference <= TOLERANCE:
            cause = f"was not written: its {name} are up to {difference:.2g} away from torch's, above {TOLERANCE:g}"
            raise KeyposError(file, cause, "choose another reading with decoder= or monitor=, or another onnxruntime")


@torch.no_grad()
def _time(run: Any, face: torch.Tensor) -> float:
    return milliseconds(partial(run, face), face.device, repeats=10)


def _sum_up(file: Path, reading: str, apart: dict[str, float], times: dict[str, float]) -> None:
    console = Console(soft_wrap=True)
    of_others = "".join(f", {name} {value:.1g}" for name, value in apart.items() if name != "points")
    for line in (
        f"{readable(str(file))}: {file.stat().st_size / 1e6:.1f} MB, points read by {reading}",
        f"largest difference from torch: points {apart['points']:.1g} pixels{of_others}",
        f"one face: {', '.join(f'{ms:.1f} ms in {name}' for name, ms in times.items())}",
    ):
        console.print(line, markup=False, highlight=False)


@command("export")
def main(config: DictConfig) -> None:
    """Writes a checkpoint as one graph into a directory of its own."""
    export(config, load(config.checkpoint))


if __name__ == "__main__":
    main()
