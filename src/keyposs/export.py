"""`python -m keyposs.export checkpoint=... format=onnx`: network and decoder as one file, to be run without torch."""

import json
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.console import Console
from torch import Tensor

import keyposs
from keyposs import int8
from keyposs.checkpoint import MODEL_KEYS, Checkpoint, adopt, load
from keyposs.config import command
from keyposs.data import FaceDataModule
from keyposs.environment import milliseconds
from keyposs.errors import KeyposError
from keyposs.files import atomic, readable
from keyposs.graph import Graph, PhotoGraph, differences, open_graph, samples, scenes, write
from keyposs.predict import build
from keyposs.runtime import check_packages, open_exported

FORMATS = ("onnx",)

INPUTS = {
    "crop": "RGB, uint8, 0..255; the graph normalises",
    "photo": "RGB, uint8, 0..255; the graph cuts and normalises",
}
"""Of `input=`, and what a file says of it."""

TOLERANCE = 1e-3
"""Pixels of the crop, and what else `differences` gives, that a file may be away from torch."""


def export(config: DictConfig, checkpoint: Checkpoint) -> Path:
    """Writes a trained network with one reading, runs the file, and keeps it if it finds the points that torch finds.

    In 8-bit integers it finds others, and is kept if they are about as good.

    Returns:
        The file.

    Raises:
        KeyposError: if the format is unknown, the file cannot lie where it shall, a package is missing, the config
            does not fit the checkpoint, the method has no maps to write, or the points differ; in integers also if
            there are no faces to calibrate on, or their points are worse.
    """
    file = target(config)
    check_packages(f"format={config.format}")
    config = adopt(config, checkpoint)
    faces = data_of(config, checkpoint) if config.int8 else None
    if config.head.get("exit") == "compact":
        config.head.exit = "mask"  # the same points; which faces go on cannot be a graph's shape
    graph, cases, reading = graph_of(config, checkpoint)
    facts = metadata(config, checkpoint, reading)
    with atomic(file) as temporary:
        write(graph, cases[-1], graph.outputs, facts, temporary, graph.inputs)
        written = open_graph(temporary)
        apart = differences(graph, written, cases)
        check(file, apart)  # what is refused here never takes the place of an earlier file
        found = None if faces is None else to_int8(file, temporary, facts, faces, config.worse)
        times = {name: _time(run, cases[0]) for name, run in (("onnxruntime", open_graph(temporary)), ("torch", graph))}
    _sum_up(file, reading, apart, times, found)
    return file


def graph_of(config: DictConfig, checkpoint: Checkpoint) -> tuple[Graph | PhotoGraph, Sequence[Sequence[Tensor]], str]:
    """The module to be written, what it is tried on, one face first and then several, and its reading.

    Raises:
        KeyposError: if `build` objects, or the method has no maps to write.
    """
    module, reading = build(config, checkpoint)
    faces = samples(config.image_size, config.padding)
    graph = Graph(module, reading, faces, config.maps).eval()
    if config.input == "photo":
        return PhotoGraph(graph, config.image_size, config.padding).eval(), scenes(faces), reading
    return graph, [(faces[:1],), (faces[1:],)], reading


def data_of(config: DictConfig, checkpoint: Checkpoint) -> FaceDataModule:
    """The faces that integers are calibrated and tried on.

    Raises:
        KeyposError: if none are given, or their landmarks are others.
    """
    if config.data is None:
        remedy = "add the data that the network was trained on, such as data=300w data.root=FOLDER"
        raise KeyposError("int8=true", "needs faces: train to calibrate on, val to see what it costs", remedy)
    datamodule: FaceDataModule = instantiate(config.datamodule)
    if datamodule.dataset.markup != checkpoint.markup:
        cause = f"marks {datamodule.dataset.markup.name}, the network finds {checkpoint.markup.name}"
        raise KeyposError(f"data={datamodule.dataset.name}", cause, "give data of the network's own landmarks")
    return datamodule


def to_int8(file: Path, written: Path, facts: dict[str, str], faces: FaceDataModule, worse: float) -> int8.Cost:
    """Puts integers in the place of a written graph.

    Returns:
        What they cost.

    Raises:
        KeyposError: if that is more than `worse`, see `int8.check_cost`, or a face is bad.
    """
    with atomic(written) as quantized:
        before = open_exported(written)
        crops = int8.calibrate(faces)
        facts = {**facts, "precision": "int8"}
        int8.quantize(written, lambda: int8.calls(before.inputs, crops, faces.padding), facts, quantized)
        found = int8.cost(before.run, open_exported(quantized).run, before.inputs, faces)
        int8.check_cost(file, found, worse)
    return found


def target(config: DictConfig) -> Path:
    """The file to be written.

    Raises:
        KeyposError: if the format or the input is unknown, the file's name is of another format, or its folder is not
            there or is not to be written to.
    """
    if config.input not in INPUTS:
        raise KeyposError(f"input={config.input}", "is unknown", f"choose from {', '.join(INPUTS)}")
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


def metadata(config: DictConfig, checkpoint: Checkpoint, reading: str) -> dict[str, str]:
    """What a file says of itself: all that whoever cuts crops for it, or draws its points, has to know."""
    return {
        "keyposs": keyposs.__version__,
        "image_size": str(config.image_size),
        "padding": str(config.padding),
        "input": INPUTS[config.input],
        "unit": f"pixels of the {config.input}; pixel i has its centre at i",
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
def _time(run: Callable[..., Any], face: Sequence[Tensor]) -> float:
    return milliseconds(partial(run, *face), face[0].device, repeats=10)


def _sum_up(file: Path, reading: str, apart: dict[str, float], times: dict[str, float], cost: int8.Cost | None) -> None:
    console = Console(soft_wrap=True)
    of_others = "".join(f", {name} {value:.1g}" for name, value in apart.items() if name != "points")
    for line in (
        f"{readable(str(file))}: {file.stat().st_size / 1e6:.1f} MB, points read by {reading}",
        f"largest difference from torch: points {apart['points']:.1g} pixels{of_others}",
        *(() if cost is None else (_said(cost),)),
        f"one face: {', '.join(f'{ms:.1f} ms in {name}' for name, ms in times.items())}",
    ):
        console.print(line, markup=False, highlight=False)


def _said(cost: int8.Cost) -> str:
    nme = f"NME {cost.after:.2f} on {cost.faces} faces of val, {cost.before:.2f} in float32"
    return f"in 8-bit integers: {nme}; points move by {cost.mean:.2f} pixels, {cost.largest:.2f} at most"


@command("export")
def main(config: DictConfig) -> None:
    """Writes a checkpoint as one graph into a directory of its own."""
    export(config, load(config.checkpoint))


if __name__ == "__main__":
    main()
