import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyposs.crop import (
    apply,
    canonical_matrix,
    canonical_size,
    compose,
    crop_matrix,
    invert,
    warp,
)
from writers import centroid, draw_dots

sides = st.floats(5, 5000)
starts = st.floats(-1000, 5000)


def box_of(x, y, w, h):
    return np.array([x, y, x + w, y + h])


@given(starts, starts, sides, sides, st.integers(8, 512), st.floats(0.5, 3))
def test_crop_is_centred_on_the_box_and_as_large_as_asked(x, y, w, h, size, padding):
    matrix = crop_matrix(box_of(x, y, w, h), size=size, padding=padding)
    corners = apply(invert(matrix), np.array([[-0.5, -0.5], [size - 0.5, size - 0.5]]))
    assert corners.mean(0) == pytest.approx([x + w / 2, y + h / 2], rel=1e-9, abs=1e-6)
    assert corners[1] - corners[0] == pytest.approx([padding * max(w, h)] * 2, rel=1e-9)


@given(starts, starts, sides, sides, st.integers(8, 512), st.floats(0.5, 3))
def test_evaluation_crop_is_the_exact_centre_of_the_canonical_one(x, y, w, h, size, padding):
    box, margin = box_of(x, y, w, h), size // 4
    inner = crop_matrix(box, size=size, padding=padding)
    outer = canonical_matrix(box, image_size=size, padding=padding)
    assert canonical_size(size) == size + 2 * margin
    np.testing.assert_allclose(outer, inner + np.array([[0, 0, margin]]), rtol=1e-9, atol=1e-6)


def test_compose_is_one_after_the_other_and_invert_undoes():
    rng = np.random.default_rng(0)
    a, b, points = rng.normal(size=(2, 3)), rng.normal(size=(2, 3)), rng.normal(size=(5, 2))
    np.testing.assert_allclose(apply(compose(a, b), points), apply(a, apply(b, points)))
    np.testing.assert_allclose(apply(invert(a), apply(a, points)), points)


@pytest.mark.parametrize("scale", [0.11, 0.21, 0.26, 0.33, 0.49, 0.51, 0.8, 1.0, 1.7, 4.0])
def test_warp_moves_pixels_as_its_matrix_moves_points(scale):
    rng = np.random.default_rng(round(100 * scale))
    size, sigma = 96, 2.5 / scale if scale < 1 else 2.5
    for _ in range(5):
        target = rng.uniform(35, 60, 2)
        point = rng.uniform(10 * sigma, 12 * sigma, 2)
        photo = draw_dots(point[None], (round(22 * sigma), round(22 * sigma)), sigma)
        matrix = np.column_stack([np.eye(2) * scale, target - scale * point])
        crop = warp(photo, matrix, size)
        assert np.abs(centroid(crop) - target).max() < 0.02


def test_warp_does_not_alias():
    photo = (np.indices((800, 800)).sum(0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, 2)
    crop = warp(photo, np.array([[0.1, 0, 0], [0, 0.1, 0]]), 80)
    assert crop[2:-2, 2:-2].min() > 120
    assert crop[2:-2, 2:-2].max() < 135
    naive = cv2.warpAffine(photo, np.array([[0.1, 0, 0], [0, 0.1, 0]]), (80, 80))
    assert naive.max() == 0  # one pixel in a hundred is seen, and all those are black


@pytest.mark.parametrize("scale", [0.2, 1.0])
def test_outside_of_the_photo_is_black(scale):
    photo = np.full((50, 60, 3), 200, np.uint8)
    matrix = np.array([[scale, 0, 30], [0, scale, 30]])
    crop = warp(photo, matrix, 100)
    right, bottom = apply(matrix, np.array([60.0, 50.0])).round().astype(int)
    assert crop[32 : bottom - 2, 32 : right - 2].min() == 200
    assert crop[:28].max() == crop[:, :28].max() == crop[bottom + 2 :].max() == crop[:, right + 2 :].max() == 0
    nowhere = warp(photo, np.array([[scale, 0, 1000], [0, scale, -1000]]), 40)
    assert nowhere.max() == 0


def test_a_crop_far_larger_than_its_photo():
    """A landmark astray by a million pixels makes such a box; the photo is then less than a pixel."""
    photo = np.full((50, 60, 3), 200, np.uint8)
    crop = warp(photo, crop_matrix(np.array([0.0, 0, 1e6, 1e6]), size=64, padding=1.25), 64)
    assert crop.shape == (64, 64, 3)
    assert crop.astype(bool).sum() <= 4 * 3
