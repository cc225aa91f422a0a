"""Measure the input: faces per second through load, augment and collate, against two floors, and a worker's memory.

python benchmarks/data.py --root FOLDER_OF_300W
python benchmarks/data.py --workers 0 1 2 4

Without --root rendered faces are written as JPEGs to a temporary folder. The floors are what OpenCV alone needs for
the same photos on one core: to decode them, and to decode and warp each once to 256 x 256. All is timed in turns,
`--repeats` times; medians are printed. Busy cores change the ratios; run it on an idle machine.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from PIL import Image
from torch.utils.data import DataLoader

from keyposs.augment import Augment
from keyposs.config import CONF
from keyposs.crop import crop_matrix
from keyposs.data import FaceDataModule, Ibug300W, Synthetic
from keyposs.data.module import FaceCrops, _start_worker, collate
from keyposs.data.packed import PackedFaces
from keyposs.data.photo import read_photo
from keyposs.data.sampler import TrainSampler
from keyposs.results import _processor
from keyposs.types import Annotation, Faces

SIZE, PADDING = 256, 1.25


class Some:
    """Training faces from all parts of 300-W."""

    name, markup = "300w", Ibug300W.markup

    def __init__(self, root: Path, count: int) -> None:
        faces = Ibug300W(root).annotations("train")
        self.faces = faces[:: max(1, len(faces) // count)][:count]

    def annotations(self, split: str) -> list[Annotation]:
        return self.faces


class Written:
    """Rendered faces as JPEGs in a folder."""

    name, markup = "rendered", Synthetic.markup

    def __init__(self, folder: Path, count: int) -> None:
        self.faces = []
        for i, face in enumerate(Synthetic(train=count).annotations("train")):
            file = folder / f"{i}.jpg"
            Image.fromarray(face.read()).save(file, quality=92)
            self.faces.append(face._replace(file=file, read=partial(read_photo, file)))

    def annotations(self, split: str) -> list[Annotation]:
        return self.faces


def decode(faces: Iterable[Annotation], *, crop: bool) -> None:
    """The floors: OpenCV alone."""
    for face in faces:
        photo = cv2.imread(str(face.file))
        assert photo is not None, face.file
        if crop:
            cv2.warpAffine(photo, crop_matrix(face.box, size=SIZE, padding=PADDING), (SIZE, SIZE))


FLOORS = {"decode": partial(decode, crop=False), "decode + one warp": partial(decode, crop=True)}


def private() -> float:
    """Memory that this process shares with none, in MB; NaN where the system does not tell."""
    path = Path("/proc/self/smaps_rollup")
    lines = path.read_text().splitlines() if path.exists() else ["Private_: nan"]
    return sum(float(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def collate_and_measure(faces: Sequence[Faces]) -> tuple[Faces, float]:
    return collate(faces), private()


def module_of(dataset: object, augment: Augment, **settings: Any) -> FaceDataModule:
    data = FaceDataModule(dataset, augment=augment, image_size=SIZE, padding=PADDING, **settings)
    data.setup("fit")
    return data


def measuring_loader(crops: FaceCrops, batch_size: int) -> DataLoader[Any]:
    """One worker as the FaceDataModule starts it, which says what memory it takes."""
    return DataLoader(
        crops,
        sampler=TrainSampler(len(crops), 0),
        batch_size=batch_size,
        num_workers=1,
        collate_fn=collate_and_measure,
        persistent_workers=True,
        worker_init_fn=_start_worker,
    )


def read_through(loader: DataLoader[Any]) -> None:
    for _ in loader:
        pass


def in_turns(runs: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each run, one after the other and again; a first turn that warms up is not counted."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if turn:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(of_run) for name, of_run in times.items()}


def speed(dataset: "Written | Some", augment: Augment, options: argparse.Namespace, folder: Path) -> None:
    """Prints faces per second of everything, and their ratios to the floors."""
    faces = dataset.annotations("train")
    runs: dict[str, Callable[[], object]] = {name: partial(floor, faces) for name, floor in FLOORS.items()}
    counts = dict.fromkeys(runs, len(faces))
    for kind, cache in (("photos", None), ("cache", folder)):
        for workers in options.workers:
            data = module_of(dataset, augment, batch_size=options.batch_size, cache=cache, workers=workers)
            name, loader = f"{kind}, {workers} worker{'s' * (workers != 1)}", data.train_dataloader()
            runs[name], counts[name] = partial(read_through, loader), len(loader) * options.batch_size
    rates = {name: counts[name] / seconds for name, seconds in in_turns(runs, options.repeats).items()}
    print(f"| {len(faces)} faces | faces/s | " + " | ".join(f"of {name}" for name in FLOORS) + " |")
    print("| --- |" + " ---: |" * (1 + len(FLOORS)))
    for name, rate in rates.items():
        print(f"| {name} | {rate:.0f} | " + " | ".join(f"{100 * rate / rates[floor]:.0f} %" for floor in FLOORS) + " |")


def many(faces: Sequence[Annotation], count: int) -> Iterator[Annotation]:
    """The faces again and again, each an annotation of its own."""
    for i in range(count):
        face = faces[i % len(faces)]
        yield face._replace(name=f"{face.name}/{i}", keypoints=face.keypoints.copy(), box=face.box.copy())


def memory(crops: FaceCrops, counts: Sequence[int], batch_size: int, epochs: int) -> None:
    """Prints a worker's largest private memory in the first and the last epoch over so many faces."""
    print(f"| faces | packed, MB | a worker's own memory, MB: epoch 1 | epoch {epochs} |\n|" + " ---: |" * 4)
    faces = [crops.annotations[i] for i in range(min(len(crops), 100))]
    crops.augment, crops.image_size = Augment(32), 32  # small: what is measured is not the pictures
    for count in counts:
        crops.annotations, crops.cache = PackedFaces(many(faces, count)), Blank()  # type: ignore[assignment]
        loader = measuring_loader(crops, batch_size)
        peaks = [max(used for _, used in loader) for _ in range(epochs)]
        print(f"| {count} | {crops.annotations.nbytes / 1e6:.0f} | {peaks[0]:.1f} | {peaks[-1]:.1f} |", flush=True)


class Blank:
    """Canonical crops that are all black."""

    def __call__(self, index: int) -> np.ndarray:
        return np.zeros((48, 48, 3), dtype=np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="of 300-W; by default faces are rendered")
    parser.add_argument("--augment", default="strong", help="one of conf/augment")
    parser.add_argument("--faces", type=int, default=512)
    parser.add_argument("--workers", type=int, nargs="+", default=sorted({0, 1, 2, os.cpu_count() or 1}))
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--many", type=int, nargs="*", default=[2_000, 50_000], help="faces to measure memory with")
    parser.add_argument("--epochs", type=int, default=3, help="to measure memory over")
    options = parser.parse_args()
    cv2.setNumThreads(0)  # one core, as in a worker
    torch.set_num_threads(1)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        augment = instantiate(compose("train", [f"augment={options.augment}", f"image_size={SIZE}"]).augment)
    print(f"{SIZE} x {SIZE}, augment={options.augment}, {_processor()}, {os.cpu_count()} cores; medians\n")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        dataset = Written(folder, options.faces) if options.root is None else Some(options.root, options.faces)
        speed(dataset, augment, options, folder / "cache")
        print()
        crops = module_of(dataset, augment, batch_size=options.batch_size).train_dataloader().dataset
        memory(crops, options.many, options.batch_size, options.epochs)


if __name__ == "__main__":
    main()
