"""What every dataset owes, whatever its files."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from every_writer import EXTRA, WRITERS
from keyposs.augment import Augment
from keyposs.config import CONF
from keyposs.crop import apply, canonical_matrix, invert
from keyposs.data import CocoJson, FaceDataModule, Ibug300W, Wflw
from keyposs.data.cache import canonical_crop
from keyposs.markup import Markup
from keyposs.metrics import to_image
from keyposs.types import Annotation
from quick import FEW_FACES

NAMES = sorted(file.stem for file in (CONF / "data").glob("*.yaml"))
real = pytest.mark.skipif("KEYPOSS_DATA" not in os.environ, reason="KEYPOSS_DATA is not set")


@pytest.fixture(params=NAMES)
def dataset(request: pytest.FixtureRequest, composed: Callable[..., DictConfig], tmp_path: Path) -> Any:
    """Small data in the official layout, behind a link, in a folder whose name is no plain word."""
    name = request.param
    if name not in WRITERS:
        return instantiate(composed(f"data={name}", *FEW_FACES).data)
    there, root = tmp_path / "Zoë's data", tmp_path / "linked data"
    WRITERS[name](there)
    root.symlink_to(there)
    data = composed(f"data={name}", "data.root=.", *EXTRA.get(name, [])).data
    data.root = str(root)
    return instantiate(data)


def test_crop_augment_and_back(dataset: Any) -> None:
    augment = Augment(64, rotation=30, scale=(0.75, 1.25), shift=0.1, flip=0.5, colour=1)
    data = FaceDataModule(dataset, augment=augment, image_size=64, batch_size=4, workers=0)
    data.setup("fit")
    faces = {face.name: face for split in ("train", "val") for face in data.annotations(split)}
    assert len(faces) > 4
    mirrored = 0
    for batch in (*data.train_dataloader(), *data.val_dataloader()):
        there = to_image(batch.crop_to_image, batch.keypoints).numpy()
        for i, name in enumerate(batch.name):
            face, flipped = faces[name], bool(np.linalg.det(batch.crop_to_image[i, :, :2]) < 0)
            order = list(dataset.markup.flip) if flipped else slice(None)
            seen = face.visible[order]
            np.testing.assert_allclose(there[i][seen], face.keypoints[order][seen], atol=1e-3)
            np.testing.assert_array_equal(batch.visible[i], seen)
            np.testing.assert_array_equal(batch.occluded[i], face.occluded[order])
            mirrored += flipped
    assert mirrored


def test_flip_twice_is_nothing(dataset: Any) -> None:
    face, mirror = dataset.annotations("train")[0], Augment(64, flip=1)
    frame = {"image_size": 64, "padding": 1.25}
    points = apply(canonical_matrix(face.box, **frame), face.keypoints)
    crop = canonical_crop(face, **frame)
    once = mirror(crop, points, face.visible, face.occluded, flip=dataset.markup.flip, seed=0)
    wide = np.pad(once.image, ((16, 16), (16, 16), (0, 0)))
    twice = mirror(wide, once.keypoints + 16, once.visible, once.occluded, flip=dataset.markup.flip, seed=0)
    np.testing.assert_allclose(twice.keypoints, points - 16, atol=1e-9)
    np.testing.assert_array_equal(twice.image, crop[16:-16, 16:-16])
    np.testing.assert_array_equal(twice.visible, face.visible)
    np.testing.assert_array_equal(twice.occluded, face.occluded)
    np.testing.assert_allclose(apply(invert(once.matrix), once.keypoints)[list(dataset.markup.flip)], points)


def test_a_dataset_says_what_it_is(dataset: Any) -> None:
    assert dataset.norm in dataset.markup.norms
    assert 0 < dataset.threshold <= 0.1
    for split in ("train", "val", "test"):
        faces = dataset.annotations(split)
        assert len({face.name for face in faces}) == len(faces)
        for face in faces:
            assert face.keypoints.shape == (dataset.markup.size, 2)
            assert face.norm > 0
            assert face.read().dtype == np.uint8
    photos = [{face.photo for face in dataset.annotations(split)} for split in ("train", "val")]
    assert not photos[0] & photos[1]


def read_real(name: str) -> tuple[Markup, list[Annotation]]:
    root = Path(os.environ["KEYPOSS_DATA"])
    if name == "300w":
        dataset: Any = Ibug300W(root / "300w")
    elif name == "wflw":
        dataset = Wflw(root / "wflw_annotations_only")
    else:
        named = {
            "aflw": "19",
            "cofw": "29",
            "lapa": OmegaConf.to_container(OmegaConf.load(CONF / "data/lapa.yaml").markup),
        }
        dataset = CocoJson(root / "samples" / name, markup=named[name], test=f"test_{name}.json")
    return dataset.markup, dataset.annotations("test")


@real
@pytest.mark.parametrize("name", ["300w", "wflw", "aflw", "cofw", "lapa"])
def test_a_mirrored_mean_face_keeps_left_on_the_left(name: str) -> None:
    markup, faces = read_real(name)
    crops = [apply(canonical_matrix(f.box, image_size=256, padding=1.25), f.keypoints) for f in faces]
    mean = np.mean(crops, axis=0)
    mirrored = np.array([383, 0]) + (mean * [-1, 1])[list(markup.flip)]
    pairs = np.array([pair if mean[pair[0], 0] < mean[pair[1], 0] else pair[::-1] for pair in markup.mirrored])
    assert (pairs == np.array(markup.mirrored)).mean() > 0.7  # lower lips run from left to right
    right, left = (list(side) for side in markup.inter_pupil or ())
    for shape in (mean, mirrored):
        assert (shape[pairs[:, 0], 0] < shape[pairs[:, 1], 0]).all()
        assert shape[right, 0].mean() < shape[left, 0].mean()
    if len(faces) > 100:  # the mean of many faces is nearly its own mirror image
        apart = mean - mirrored
        assert np.linalg.norm(apart - apart.mean(0), axis=1).max() < 10
