import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchanged import exchanged
from keyposs.checks.likeness import ASYMMETRY, sides
from keyposs.checks.shape import deviations, mean_shape, symmetry
from keyposs.data import Synthetic
from keyposs.markup import MARKUP_68, MARKUPS, Markup

SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    return np.stack([face.keypoints for face in Synthetic(train=40).annotations("train")])


def symmetric(markup: Markup, rng: np.random.Generator) -> np.ndarray:
    """A random shape that is its own mirror image, as complex numbers."""
    shape = rng.normal(size=markup.size) + 1j * rng.normal(size=markup.size)
    return (shape - shape[list(markup.flip)].conj()) / 2


def similar(shape: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """Copies of a shape at any place, size and turn, as points."""
    factor = rng.uniform(0.1, 100, number) * np.exp(2j * np.pi * rng.uniform(size=number))
    moved = factor[:, None] * shape + rng.normal(size=(number, 1)) * 1000 + 500j * rng.normal(size=(number, 1))
    return np.stack([moved.real, moved.imag], -1)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, name=st.sampled_from(sorted(MARKUPS)), number=st.integers(1, 6))
def test_a_symmetric_shape_has_no_residual_under_any_similarity(seed: int, name: str, number: int) -> None:
    rng = np.random.default_rng(seed)
    shape = mean_shape(similar(symmetric(MARKUPS[name], rng), number, rng))
    assert np.abs(symmetry(shape, MARKUPS[name].flip).residual).max() < 1e-9
    assert deviations(shape).max() < 1e-9


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, number=st.integers(12, 30))
def test_points_may_be_missing(seed: int, number: int) -> None:
    rng = np.random.default_rng(seed)
    points = similar(symmetric(MARKUP_68, rng), number, rng)
    points[rng.uniform(size=points.shape[:2]) < 0.3] = np.nan
    points[1:, 5] = np.nan
    shape = mean_shape(points)
    assert np.nanmax(symmetry(shape, MARKUP_68.flip).residual) < 1e-9


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, number=st.integers(0, 4), fill=st.sampled_from([0.0, 7.5, np.nan]))
def test_nothing_that_stands_in_the_data_is_an_exception(seed: int, number: int, fill: float) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(number, 68, 2))
    points[rng.uniform(size=number) < 0.5] = fill
    shape = mean_shape(points)
    mirror = symmetry(shape, MARKUP_68.flip)
    assert mirror.residual.shape == mirror.sure.shape == (68,)
    assert deviations(shape).shape == (number,)


def test_the_true_flip_is_symmetric(faces: np.ndarray) -> None:
    assert symmetry(mean_shape(faces), MARKUP_68.flip).sure.max() < ASYMMETRY / 2


@pytest.mark.parametrize(("a", "b"), [(61, 62), (37, 38), (36, 37), (31, 32), (48, 60), (7, 6), (0, 1), (33, 34)])
def test_two_entries_that_are_exchanged_are_found(faces: np.ndarray, a: int, b: int) -> None:
    flip = exchanged(MARKUP_68, a, b).flip
    mirror = symmetry(mean_shape(faces), flip)
    wrong = set(np.flatnonzero(mirror.sure > ASYMMETRY))
    assert {a, b} & wrong
    assert wrong <= {a, b, MARKUP_68.flip[a], MARKUP_68.flip[b]}


def test_faces_that_all_look_aside_are_not_symmetric(faces: np.ndarray) -> None:
    slanted = faces[:12] + 0.2 * (faces[:12] - faces[:12].mean(1, keepdims=True))[..., :1] ** 2 / 100
    assert symmetry(mean_shape(slanted), MARKUP_68.flip).residual.max() > ASYMMETRY


def test_left_lies_on_the_left(faces: np.ndarray) -> None:
    assert sides(MARKUP_68, mean_shape(faces)) == []
    mirrored = faces * [-1, 1]
    assert {"right eye", "right brow", "inter-ocular", "inter-pupil"} <= set(sides(MARKUP_68, mean_shape(mirrored)))
    assert symmetry(mean_shape(mirrored), MARKUP_68.flip).sure.max() < ASYMMETRY  # only the names are wrong


def test_a_face_in_another_order_is_far_from_the_mean(faces: np.ndarray) -> None:
    faces = faces.copy()
    faces[3] = faces[3, list(MARKUP_68.flip)]
    faces[5, 30] += 5000
    far = deviations(mean_shape(faces))
    assert set(np.argsort(-far)[:2]) == {3, 5}
    assert far[[3, 5]].min() > 0.25 > np.delete(far, [3, 5]).max()


def test_the_mean_is_upright(faces: np.ndarray) -> None:
    upright = mean_shape(faces).mean
    eyes = upright[45] - upright[36]
    assert abs(np.angle(eyes)) < np.radians(5)
    assert upright[8].imag > upright[27].imag  # the chin is below the nose
