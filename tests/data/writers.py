"""Small data sets in the official layouts; each landmark is a bright dot, so that pixels can be checked."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

PARTS = {"afw": 6, "helen/trainset": 8, "lfpw/trainset": 6, "helen/testset": 3, "lfpw/testset": 2, "ibug": 2}
SHAPE = (120, 150)


def write_300w(
    root: Path, parts: Mapping[str, int] = PARTS, *, suffix: str = ".png", header: bool = True
) -> dict[str, np.ndarray]:
    """Writes so many faces per part. Returns their 0-based points by name, like `afw/100_1`."""
    rng, faces = np.random.default_rng(0), {}
    for part, count in parts.items():
        for i in range(count):
            numbered = not part.startswith("lfpw") and part != "ibug"  # two faces of each photo
            stem = f"{100 + i // 2}_{i % 2 + 1}" if numbered else f"image_{i + 1:04d}"
            faces[f"{part}/{stem}"] = points = draw_points(rng, 68)
            path = root / part / stem
            path.parent.mkdir(parents=True, exist_ok=True)
            write_points(path.with_suffix(".pts"), points, header=header)
            cv2.imwrite(str(path.with_suffix(suffix)), draw_dots(points))
    return faces


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
            points = faces[f"{photo}#{i + 1}"] = draw_points(rng, 98)
            box = [0, 0, *SHAPE[::-1]]
            flags = [i >> bit & 1 for bit in range(6)]
            lines.append(" ".join(map(str, [*points.ravel().round(6), *box, *flags, photo])))
            path = root / "WFLW_images" / photo
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), draw_dots(points))
        (folder / f"list_98pt_rect_attr_{split}.txt").write_text("\n".join(lines) + "\n")
    return faces


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
