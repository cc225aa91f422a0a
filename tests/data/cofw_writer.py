"""COFW in little, in its official layout: MATLAB 7.3, that is HDF5 after 512 bytes of MATLAB's own."""

from pathlib import Path

import h5py
import numpy as np

from writers import draw_dots, draw_points

BOX = (20.0, 10.0, 90.0, 100.0)
"""x, y, width, height; 1-based."""


def write_cofw(root: Path, *, train: int = 12, test: int = 4, color: bool = True) -> dict[str, np.ndarray]:
    """Writes so many faces; every third image is grey. Returns 0-based points by name, like `lfpw/0001`.

    Of face `i` the points below `i` are occluded. All images differ in size.
    """
    rng, faces = np.random.default_rng(3), {}
    root.mkdir(parents=True, exist_ok=True)
    for split, count in {"train": train, "test": test}.items():
        points = np.stack([draw_points(rng, 29) for _ in range(count)]) if count else np.zeros((0, 29, 2))
        images = [draw_dots(face, (120 + i, 150 + i)) for i, face in enumerate(points)]
        images = [image if color and i % 3 else image[..., 0] for i, image in enumerate(images)]
        occluded = np.arange(29) < np.arange(count)[:, None]
        path = root / f"COFW_{split}{'_color' if color else ''}.mat"
        write_file(path, images, points + 1, occluded, suffix="Tr" if split == "train" else "T")
        part = "lfpw" if split == "train" else "test"
        faces.update({f"{part}/{i + 1:04d}": face for i, face in enumerate(points)})
    return faces


def write_file(
    path: Path,
    images: list[np.ndarray],
    points: np.ndarray,
    occluded: np.ndarray,
    *,
    suffix: str,
    boxes: np.ndarray | None = None,
) -> None:
    """Images are (h, w) or (h, w, 3), points (n, 29, 2) and 1-based; MATLAB writes all of them transposed."""
    boxes = np.tile(BOX, (len(points), 1)) if boxes is None else boxes
    phis = np.concatenate([points[..., 0], points[..., 1], occluded], axis=1)
    with h5py.File(path, "w", userblock_size=512) as file:
        cells = file.create_group("#refs#")
        references = file.create_dataset(f"Is{suffix}", (1, len(images)), dtype=h5py.ref_dtype)
        references.attrs["MATLAB_class"] = np.bytes_("cell")
        for i, image in enumerate(images):
            cell = cells.create_dataset(f"c{i}", data=image.T, compression="gzip", compression_opts=3)
            cell.attrs["MATLAB_class"] = np.bytes_("uint8")
            references[0, i] = cell.ref
        for name, values in {f"phis{suffix}": phis, f"bboxes{suffix}": boxes}.items():
            file.create_dataset(name, data=values.T.astype(np.float64)).attrs["MATLAB_class"] = np.bytes_("double")
    with path.open("r+b") as file:
        title = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Sep 30 12:00:00 2013 HDF5 schema 1.00 ."
        file.write(title.ljust(116) + bytes(8) + b"\x00\x02IM")
