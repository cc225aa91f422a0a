"""Small data sets in the official layouts; each landmark is a bright dot, so that pixels can be checked."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from scipy.io import savemat

PARTS = {"afw": 6, "helen/trainset": 8, "lfpw/trainset": 6, "helen/testset": 3, "lfpw/testset": 2, "ibug": 2}
PRIVATE = {"300W/01_Indoor": 3, "300W/02_Outdoor": 2}
WFLW_SUBSETS = ("largepose", "expression", "illumination", "makeup", "occlusion", "blur")
SHAPE = (120, 150)


def write_300w(
    root: Path, parts: Mapping[str, int] = PARTS, *, suffix: str = ".png", header: bool = True
) -> dict[str, np.ndarray]:
    """Writes so many faces per part. Returns their 0-based points by name, like `afw/100_1`."""
    rng, faces = np.random.default_rng(0), {}
    for part, count in parts.items():
        for i in range(count):
            stem = name_300w(part, i)
            faces[f"{part}/{stem}"] = points = draw_points(rng, 68)
            path = root / part / stem
            path.parent.mkdir(parents=True, exist_ok=True)
            write_points(path.with_suffix(".pts"), points, header=header)
            cv2.imwrite(str(path.with_suffix(suffix)), draw_dots(points))
    return faces


def name_300w(part: str, i: int) -> str:
    if part in PRIVATE:
        return f"{part.rpartition('_')[2].lower()}_{i + 1:03d}"
    numbered = not part.startswith("lfpw") and part != "ibug"  # two faces of each photo
    return f"{100 + i // 2}_{i % 2 + 1}" if numbered else f"image_{i + 1:04d}"


def write_boxes(
    root: Path, faces: Mapping[str, np.ndarray], *, folder: str = "Bounding Boxes", suffix: str = ".jpg"
) -> dict[str, np.ndarray]:
    """Writes the MATLAB files of the faces of `write_300w`. Returns the detector's boxes by name, 0-based."""
    rng, boxes = np.random.default_rng(2), {}
    cells: dict[str, list[dict[str, object]]] = {}
    for name, points in faces.items():
        part, _, stem = name.rpartition("/")
        if part in PRIVATE:
            continue
        tight = np.concatenate([points.min(0), points.max(0)])
        boxes[name] = (tight + rng.uniform(-5, 5, 4)).round(2)
        entry = {"imgName": stem + suffix, "bb_detector": boxes[name] + 1, "bb_ground_truth": tight + 1}
        cells.setdefault(part.replace("/", "_"), []).append(entry)
    for part, entries in cells.items():
        save_boxes(root / folder / f"bounding_boxes_{part}.mat", entries)
    return boxes


def save_boxes(path: Path, entries: Sequence[Mapping[str, object]], *, variable: str = "bounding_boxes") -> None:
    """One MATLAB v5 file: a row of cells, in each a 1x1 struct."""
    cells = np.empty((1, len(entries)), dtype=object)
    cells[0, :] = entries
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {variable: cells}, do_compression=True, oned_as="row")


def write_points(path: Path, points: np.ndarray, *, header: bool = True) -> None:
    lines = "\n".join(f"{x:.6f} {y:.6f}" for x, y in points + 1)
    path.write_text(f"version: 1\nn_points:  {len(points)}\n{{\n{lines}\n}}\n" if header else lines + "\n")


def write_wflw(root: Path, *, train: int = 12, test: int = 4) -> dict[str, np.ndarray]:
    """Writes the lists and photos; the flags of test face `i` are the bits of `i`. Returns points by name."""
    rng, faces = np.random.default_rng(1), {}
    folder = root / "WFLW_annotations" / "list_98pt_rect_attr_train_test"
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in {"train": train, "test": test}.items():
        lines = []
        for i in range(count):
            photo = f"{i % 2}--Event/{split} {i // 2}.png"  # its name holds a space
            points = faces[f"{split}/{photo}#{i + 1}"] = draw_points(rng, 98)
            box = [0, 0, *SHAPE[::-1]]
            flags = [i >> bit & 1 for bit in range(6)]
            lines.append(" ".join(map(str, [*points.ravel().round(6), *box, *flags, photo])))
            path = root / "WFLW_images" / photo
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), draw_dots(points))
        (folder / f"list_98pt_rect_attr_{split}.txt").write_text("\n".join(lines) + "\n")
    return faces


def write_wflw_subsets(root: Path) -> None:
    """Adds the lists of points alone that say of each test face of `write_wflw` what its flags say."""
    source = root / "WFLW_annotations" / "list_98pt_rect_attr_train_test" / "list_98pt_rect_attr_test.txt"
    folder = root / "WFLW_annotations" / "list_98pt_test"
    folder.mkdir()
    lists: dict[str, list[str]] = {f"_{name}": [] for name in WFLW_SUBSETS} | {"": []}
    for line in source.read_text().splitlines():
        fields = line.split(" ", 206)
        for name, flag in zip(lists, [*fields[200:206], "1"], strict=True):
            lists[name] += [" ".join([*fields[:196], fields[206]])] * int(flag)
    for name, lines in lists.items():
        (folder / f"list_98pt_test{name}.txt").write_text("".join(f"{line}\n" for line in lines))


def draw_points(rng: np.random.Generator, count: int) -> np.ndarray:
    return (rng.uniform(0.25, 0.75, (count, 2)) * SHAPE[::-1]).round(6)


def draw_dots(points: np.ndarray, shape: tuple[int, int] = SHAPE, sigma: float = 2.0) -> np.ndarray:
    """Gaussian dots on black, in BGR: pixel `i` has its centre at coordinate `i`."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    dots = [np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * sigma**2)) for px, py in points]
    return np.repeat(np.rint(255 * np.max(dots, axis=0)).astype(np.uint8)[..., None], 3, axis=2)


def centroid(image: np.ndarray) -> np.ndarray:
    """The centre of mass of an image's brightness, (x, y)."""
    weights = image[..., 0].astype(np.float64)
    y, x = np.mgrid[: weights.shape[0], : weights.shape[1]]
    return np.array([(weights * x).sum(), (weights * y).sum()]) / weights.sum()
