"""Faces found by certainty alone, on rendered faces whose places are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyposs.data import Synthetic
from keyposs.errors import KeyposError
from keyposs.networks import Network, Read, nothing, open_network
from keyposs.scan import LEAST, SURE, apart, doubt, overlap, scan, windows


@pytest.fixture(scope="module")
def network() -> Network:
    return open_network("keyposs-4", "cpu")


def test_faces_are_found_where_they_are_and_nowhere_else(network: Network) -> None:
    """Two rendered faces on noise: their boxes, and no other."""
    faces = Synthetic(test=2).annotations("test")
    photo = np.random.default_rng(0).integers(90, 160, (220, 420, 3), dtype=np.uint8)
    truth = []
    for face, (left, top) in zip(faces, ((12, 8), (236, 30)), strict=True):
        painted, (x0, y0, x1, y1) = face.read(), face.box
        low = np.maximum(np.floor([x0 - 20, y0 - 40]), 0).astype(int)
        cutting = painted[low[1] : int(y1) + 15, low[0] : int(x1) + 20][:180, :180]
        photo[top : top + cutting.shape[0], left : left + cutting.shape[1]] = cutting
        truth.append(face.box + np.tile([left - low[0], top - low[1]], 2))
    found = scan(network, photo)
    assert len(found) == 2
    for box in truth:
        assert max(overlap(box, other) for other in found) > 0.7


def test_where_there_is_no_face_none_is_found(network: Network) -> None:
    assert len(scan(network, np.full((64, 80, 3), 128, dtype=np.uint8))) == 0
    assert scan(network, np.zeros((3, 500, 3), dtype=np.uint8)).shape == (0, 4)


@given(st.integers(1, 700), st.integers(1, 700))
def test_windows_cover_the_photo_and_are_squares(width: int, height: int) -> None:
    boxes = windows(width, height)
    if min(width, height) < 1.25 * LEAST:
        assert boxes.shape == (0, 4)
        return
    sides = boxes[:, 2:] - boxes[:, :2]
    np.testing.assert_allclose(sides[:, 0], sides[:, 1])
    assert sides.min() > LEAST - 1e-9
    largest = boxes[sides[:, 0] > sides.max() - 1e-9]
    np.testing.assert_allclose(largest[:, :2].min(0), -0.5, atol=1e-9)
    np.testing.assert_allclose(largest[:, 2:].max(0), (width - 0.5, height - 0.5), atol=1e-9)


def test_doubt_is_the_deviation_over_the_size_of_the_face() -> None:
    points = np.array([[[0.0, 0], [40, 10]], [[0, 0], [80, 10]]])
    covariances = np.tile(np.diag([4.0, 1.0]), (2, 2, 1, 1))
    np.testing.assert_allclose(doubt(Read(points, np.ones((2, 2)), covariances)), np.sqrt(2) / np.array([40, 80]))
    assert doubt(nothing(5)).shape == (0,)
    with pytest.raises(KeyposError, match="tells no covariances, and so finds no faces"):
        doubt(Read(points, np.ones((2, 2)), None))


def test_of_two_that_overlap_the_surer_is_kept() -> None:
    boxes = np.array([[0.0, 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30], [0, 0, 10, 9]])
    assert apart(boxes, np.array([0.02, 0.01, 0.03, 0.025])) == [1, 2]
    assert SURE < 0.035
