"""How far the page's landmarks are from Python's on the same faces in the same boxes: cropping and network.

    python web/tests/parity.py keyposs-16 keyposs-8 keyposs-4
    python web/tests/parity.py keyposs-8 --300w $KEYPOSS_DATA/300w

The first on rendered faces, the second on the test photos of 300-W, as their files are. `make web-build` first.
"""

import argparse
import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from keyposs.data import Ibug300W, Synthetic
from keyposs.networks import open_network, read_faces
from keyposs.types import Annotation

WEB = Path(__file__).parents[1]
FACES = 200
ZOOMS = (1.0, 0.4, 1.6, 0.7, 2.5)
"""Of rendered faces; at the last one a crop averages blocks of pixels."""

NOISE = 30
"""Its standard deviation, of 0..255, in every second rendered face."""


class Shot(NamedTuple):
    """A face for both to read."""

    file: Path
    photo: np.ndarray
    box: np.ndarray


def rendered(folder: Path, count: int = FACES) -> list[Shot]:
    """Rendered faces of several sizes, every second one in noise, written to a folder."""
    generator = np.random.default_rng(0)
    shots = []
    for i, face in enumerate(Synthetic(test=count).annotations("test")):
        zoom = ZOOMS[i % len(ZOOMS)]
        photo = cv2.resize(face.read(), None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
        if i % 2:
            noisy = photo + generator.normal(0, NOISE, photo.shape)
            photo = noisy.clip(0, 255).astype(np.uint8)
        file = folder / f"{i}.png"
        cv2.imwrite(str(file), photo[..., ::-1])
        shots.append(Shot(file, photo, off(zoom * (face.box + 0.5) - 0.5, generator)))
    return shots


def photographed(root: Path, count: int = FACES) -> list[Shot]:
    """The first test faces of 300-W."""
    generator = np.random.default_rng(0)
    faces: Sequence[Annotation] = Ibug300W(root=root).annotations("test")[:count]
    return [Shot(face.file, face.read(), off(face.box, generator)) for face in faces if face.file]


def off(box: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The box moved along both axes, and enlarged or reduced, by up to a fifth of its side."""
    x, y, grown = generator.uniform(-0.2, 0.2, 3)
    centre, side = (box[:2] + box[2:]) / 2, np.ptp(box.reshape(2, 2), axis=0).max()
    centre = centre + np.array([x, y]) * side
    half = (box[2:] - box[:2]) / 2 * (1 + grown)
    return np.concatenate([centre - half, centre + half])


def apart(networks: Sequence[str], shots: Sequence[Shot]) -> dict[str, np.ndarray]:
    """For each network the distance of the page's points from Python's, (n, k), in pixels of the pictures."""
    with tempfile.TemporaryDirectory() as folder:
        wanted, found = Path(folder, "wanted.json"), Path(folder, "found.json")
        told = [{"file": str(shot.file), "box": shot.box.tolist()} for shot in shots]
        wanted.write_text(json.dumps({"networks": list(networks), "shots": told}))
        drive = ["node", "tests/parity.mjs", str(WEB / "dist"), str(wanted), str(found)]
        subprocess.run(drive, cwd=WEB, check=True)
        page = json.loads(found.read_text())
    distances = {}
    for name in networks:
        network = open_network(name, "cpu")
        reads = read_faces(network, [(shot.photo, shot.box[None]) for shot in shots])
        here = np.concatenate([read.points for read in reads])
        distances[name] = np.linalg.norm(np.reshape(page[name], here.shape) - here, axis=-1)
    return distances


def main() -> None:
    """Prints the largest and the mean difference of each network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+", metavar="NETWORK")
    parser.add_argument("--300w", dest="root", type=Path, help="folder of 300-W, in place of rendered faces")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        shots = photographed(chosen.root) if chosen.root else rendered(Path(folder))
        for name, distances in apart(chosen.networks, shots).items():
            most, mean = distances.max(), distances.mean()
            print(f"{name}: {len(distances)} faces, at most {most:.2g}, on average {mean:.2g} pixels")


if __name__ == "__main__":
    main()
