import pickle

import numpy as np
import pytest

from keyposs.data.rendering.scene import SIZE
from keyposs.data.synthetic import Synthetic
from keyposs.errors import KeyposError
from keyposs.markup import MARKUP_68


@pytest.fixture(scope="module")
def dataset():
    return Synthetic(train=150, val=12, test=12)


@pytest.fixture(scope="module")
def faces(dataset):
    return dataset.annotations("train")


def test_sizes_and_names(dataset, faces):
    assert [len(dataset.annotations(s)) for s in ("train", "val", "test")] == [150, 12, 12]
    assert faces[12].name == faces[12].photo == "synthetic/train/00012"
    assert faces[0].subsets == ("all",)
    assert len({face.name for face in faces}) == 150
    assert dataset.markup is MARKUP_68
    assert dataset.threshold == 0.10


def test_splits_share_no_face(dataset):
    shapes = {face.keypoints.tobytes() for s in ("train", "val", "test") for face in dataset.annotations(s)}
    assert len(shapes) == 174


def test_a_longer_split_begins_with_the_shorter_one(faces):
    for face, same in zip(faces, Synthetic(train=5).annotations("train"), strict=False):
        assert np.array_equal(face.keypoints, same.keypoints)


def test_the_seed_changes_the_faces(faces):
    assert not np.allclose(faces[0].keypoints, Synthetic(train=1, seed=1).annotations("train")[0].keypoints)


def test_annotations_lie_in_the_photo(faces):
    for face in faces:
        assert face.keypoints.shape == (68, 2)
        assert np.isfinite(face.keypoints).all()
        assert face.keypoints.min() > 0
        assert face.keypoints.max() < SIZE - 1
        assert face.visible.all()
        assert np.array_equal(face.box, [*face.keypoints.min(0), *face.keypoints.max(0)])
        assert face.norm == pytest.approx(np.linalg.norm(face.keypoints[36] - face.keypoints[45]))
        assert 40 < face.norm < 160


def test_the_crop_keeps_context_from_the_photo(faces):
    """The training crop is 1.25 x the landmarks' box: it must not look past the photo."""
    for face in faces:
        centre, side = (face.box[:2] + face.box[2:]) / 2, 1.25 * (face.box[2:] - face.box[:2]).max()
        assert (centre - side / 2).min() > 0
        assert (centre + side / 2).max() < SIZE - 1


def test_the_mean_face_is_its_own_mirror_image(faces):
    shapes = np.stack([(f.keypoints - f.keypoints[[36, 45]].mean(0)) / f.norm for f in faces])
    mean = shapes.mean(0)
    mirrored = mean[list(MARKUP_68.flip)] * [-1, 1]
    # 150 faces whose features move by some tenths of the eye distance: a standard error of about 0.025
    assert np.abs(mean - mirrored).max() < 0.1


def test_faces_are_in_anatomical_order(faces):
    for face in faces:
        angle = np.arctan2(*(face.keypoints[45] - face.keypoints[36])[::-1])
        x, y = (face.keypoints @ [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]).T
        assert (np.diff(x[:17]) > -0.06 * face.norm).all()
        assert y[19] < y[37] <= y[41] + 0.02 * face.norm
        assert y[41] < y[33] < y[51] < y[57] < y[8]
        assert (np.diff(x[[36, 39, 42, 45]]) > 0).all()


def test_faces_vary(faces):
    aligned = np.stack([(f.keypoints - f.keypoints.mean(0)) / f.norm for f in faces])
    assert aligned.std(0).mean() > 0.08
    assert 0.08 < np.mean([face.occluded.any() for face in faces]) < 0.3
    assert not all(face.occluded.all() for face in faces)


def test_read_survives_pickling_and_paints_the_same(faces):
    face = faces[0]
    photo, again = face.read(), pickle.loads(pickle.dumps(face.read))()
    assert photo.dtype == np.uint8
    assert photo.shape == (SIZE, SIZE, 3)
    assert np.array_equal(photo, again)


@pytest.mark.parametrize("norm", ["inter-pupil", "box", "diagonal"])
def test_other_norms(norm):
    face = Synthetic(train=1, norm=norm).annotations("train")[0]
    assert face.norm == pytest.approx(MARKUP_68.norm(norm, face.keypoints, face.visible, face.box))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train": -1}, r"data.train=-1: is negative"),
        ({"test": -5}, r"data.test=-5: is negative"),
        ({"seed": -1}, r"data.seed=-1: is negative"),
        ({"norm": "pupil"}, r"data.norm=pupil: is unknown.*inter-ocular"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(KeyposError, match=message):
        Synthetic(**settings)


def test_unknown_split(dataset):
    with pytest.raises(KeyposError, match=r"split=dev: is unknown.*train, val, test"):
        dataset.annotations("dev")
