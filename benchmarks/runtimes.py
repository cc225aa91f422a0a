"""From a face's box to its points: torch, ONNX Runtime and 8-bit integers in one run, and how far they are apart.

    python benchmarks/runtimes.py keyposs-16 keyposs-8 keyposs-4 data=300w data.root=$KEYPOSS_DATA/300w

Points are those of `val` faces, read once in the dataset's boxes; the integers are calibrated on `train`. A face's time
is of a finder's whole call with the photo and its box at hand: cutting it out, reading it, and its points in the photo.

    python -m venv peer && peer/bin/pip install mediapipe==0.10.14
    python benchmarks/runtimes.py ... --mediapipe peer/bin/python

times MediaPipe's Face Mesh on the same photos, which finds the face itself: tracking, so that its detector rests, and
on single pictures.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from rich.console import Console

import keyposs
from keyposs.checkpoint import adopt, load
from keyposs.config import CONF, plain_mistakes
from keyposs.environment import milliseconds
from keyposs.export import export
from keyposs.finder import Finder
from keyposs.tables import Cell, Table, terminal
from keyposs.types import Annotation, Photo

FACES, BATCH = 200, 32
SECONDS = 4.0

PEER = """
import sys, time, json, numpy, mediapipe
photos = [numpy.load(file) for file in sys.argv[1:]]
for still in (False, True):
    mesh = mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=still, max_num_faces=1)
    times = []
    for photo in photos:
        for _ in range(5):
            start = time.perf_counter()
            mesh.process(photo)
            times.append(1e3 * (time.perf_counter() - start))
    print(json.dumps(float(numpy.median(times))))
"""

Asked = list[tuple[Photo, np.ndarray]]


def networks(name: str, overrides: Sequence[str], folder: Path) -> dict[str, str | Path]:
    """A trained network, and what it is exported to."""
    found: dict[str, str | Path] = {"torch": name}
    for kind, options in {"ONNX Runtime": [], "8-bit integers": ["int8=true", *overrides]}.items():
        file = folder / f"{Path(name).stem}-{len(found)}.onnx"
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = compose("export", [f"checkpoint={name}", f"file={file}", f"run_dir={folder}", *options])
        found[kind] = export(config, load(name))
    return found


def faces_of(overrides: Sequence[str], name: str, folder: Path) -> list[Annotation]:
    """The faces of `val`, and the boxes that they are read in."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("evaluate", [f"checkpoint={name}", f"run_dir={folder}", *overrides])
    return list(instantiate(adopt(config, load(name)).datamodule).annotations("val")[:FACES])


def opened(network: str | Path, threads: int) -> Finder:
    """A network that reads each face once, in the box that it is given."""
    torch.set_num_threads(threads)
    return keyposs.load(network, device="cpu", boxes="whole", passes=1, batch_size=BATCH)


def nme(points: np.ndarray, faces: Sequence[Annotation]) -> float:
    """In percent, over visible points."""
    apart = (np.linalg.norm(p - face.keypoints, axis=-1) for p, face in zip(points, faces, strict=True))
    errors = [of[face.visible].mean() / face.norm for of, face in zip(apart, faces, strict=True)]
    return 100 * float(np.mean(errors))


def times(finder: Finder, asked: Asked) -> list[float]:
    """Milliseconds of a call with one face, and of one with a batch of them."""
    return [
        milliseconds(lambda part=asked[:n]: list(finder.stream(part)), torch.device("cpu"), repeats=5, seconds=SECONDS)
        for n in (1, BATCH)
    ]


def rows(name: str, overrides: Sequence[str], folder: Path, threads: Sequence[int]) -> list[list[Cell]]:
    """A network's lines: how it is run, its error, how far its points are from torch's, and its times."""
    faces, found = faces_of(overrides, name, folder), []
    asked = [(face.read(), face.box[None]) for face in faces]
    first: np.ndarray | None = None
    for kind, network in networks(name, overrides, folder).items():
        points = np.concatenate([read.points for read in opened(network, max(threads)).stream(asked)])
        first = points if first is None else first
        apart = np.linalg.norm(points - first, axis=-1)
        costs = [ms for count in threads for ms in times(opened(network, count), asked)]
        errors = [Cell(nme(points, faces), ".2f"), Cell(float(apart.max()), ".4f"), Cell(float(apart.mean()), ".4f")]
        found.append([Cell(name), Cell(kind), *errors, *(Cell(ms, ".1f") for ms in costs)])
    return found


def peer(python: str, asked: Asked, folder: Path) -> list[float]:
    """MediaPipe's milliseconds a photo: tracking, and on single pictures."""
    files = []
    for i, (photo, _) in enumerate(asked[:30]):
        files.append(str(folder / f"{i}.npy"))
        np.save(files[-1], photo)
    done = subprocess.run([python, "-c", PEER, *files], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def main(arguments: Sequence[str]) -> None:
    """Measures the given networks and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="+", help="networks, then overrides of the data")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--mediapipe", metavar="PYTHON", help="of an environment with mediapipe")
    given = parser.parse_args(arguments)
    names, overrides = ([word for word in given.words if ("=" in word) == option] for option in (False, True))
    sizes = [f"{n} face{'s' * (n > 1)}, {t} thread{'s' * (t > 1)}" for t in given.threads for n in (1, BATCH)]
    columns = ["network", "run by", "NME", "most", "mean", *sizes]
    with plain_mistakes(), tempfile.TemporaryDirectory() as at:
        lines = [line for name in names for line in rows(name, overrides, Path(at), given.threads)]
        title = "val: NME in percent; pixels of the photo from torch; milliseconds"
        Console(width=160).print(terminal(Table("runtimes", title, columns, lines)))
        if given.mediapipe:
            asked = [(face.read(), face.box[None]) for face in faces_of(overrides, names[0], Path(at))]
            tracking, still = peer(given.mediapipe, asked, Path(at))
            print(f"MediaPipe Face Mesh: {tracking:.1f} ms a photo tracking, {still:.1f} ms on single pictures")


if __name__ == "__main__":
    main(sys.argv[1:])
