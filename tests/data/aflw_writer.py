"""AFLW-19 in little, in its official layout."""

from pathlib import Path

import cv2
import numpy as np
from scipy.io import savemat

from writers import SHAPE, draw_dots, draw_points

FILE = "AFLWinfo_release.mat"


def write_aflw(root: Path, faces: int = 16, *, photos: str = "data/flickr") -> dict[str, np.ndarray]:
    """Writes so many faces, two on a photo, of which 20000 in 24386 train. Returns their points by name.

    Of every third face one point is out of sight. Face boxes are 60 wide and 80 high.
    """
    rng = np.random.default_rng(2)
    points = np.stack([draw_points(rng, 19) for _ in range(faces)])
    names = [f"{(0, 2, 3)[i // 2 % 3]}/image{i // 2:05d}.jpg" for i in range(faces)]
    for name in sorted(set(names)):
        path = root / photos / name
        path.parent.mkdir(parents=True, exist_ok=True)
        dots = points[[i for i in range(faces) if names[i] == name]].reshape(-1, 2)
        cv2.imwrite(str(path), draw_dots(dots, SHAPE), [cv2.IMWRITE_JPEG_QUALITY, 100])
    savemat(root / FILE, make_table(points, names, order=rng.permutation(faces)), do_compression=True)
    return {f"{name}#{i + 1}": points[i] for i, name in enumerate(names)}


def make_table(points: np.ndarray, names: list[str], *, order: np.ndarray) -> dict[str, np.ndarray]:
    """The official variables, all numbers as double."""
    faces = len(points)
    left, top = points.mean(1).T - [[30], [40]]
    mask = np.ones((faces, 19))
    mask[np.arange(0, faces, 3), np.arange(0, faces, 3) % 19] = 0
    cells = np.empty((faces, 1), dtype=object)
    cells[:, 0] = names
    return {
        "bbox": np.stack([left, left + 60, top, top + 80], axis=1),
        "data": np.concatenate([points[..., 0], points[..., 1]], axis=1),
        "mask_new": mask,
        "nameList": cells,
        "ra": order[None] + 1.0,
    }
