"""Faces cut by tensor operations, beside those that OpenCV cuts."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from keyposs.crop_tensor import cut_all
from keyposs.pictures import cut

CROP = {"image_size": 64, "padding": 1.25}


def photo(width: int, height: int) -> np.ndarray:
    noise = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 1), None, 0, 255, cv2.NORM_MINMAX)


def apart(picture: np.ndarray, box: np.ndarray) -> np.ndarray:
    """By how many grey levels each pixel differs from OpenCV's."""
    crops, matrices = cut_all(torch.from_numpy(picture), torch.from_numpy(box)[None], **CROP)
    crop, matrix = cut(picture, box, **CROP)
    np.testing.assert_allclose(matrices[0].numpy(), matrix, rtol=1e-5, atol=1e-4)
    return np.abs(crops[0].permute(1, 2, 0).numpy().astype(int) - crop)


@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.tuples(st.floats(-0.5, 1.5), st.floats(-0.5, 1.5)),
    st.floats(2, 200),
    st.floats(0.3, 1),
)
def test_pixels_are_those_of_opencv(
    size: tuple[int, int], centre: tuple[float, float], side: float, flat: float
) -> None:
    middle, half = np.array(centre) * size, np.array([side, flat * side]) / 2
    found = apart(photo(*size), np.concatenate([middle - half, middle + half]))
    assert (found > 1).mean() < 0.05  # at a photo's far edges, blocks that reach out
    if 1.25 * side < 2 * 64:  # without blocks of several pixels
        assert found.max() <= 1


@pytest.mark.parametrize(
    "box", [[40.0, 30.0, 990.0, 870.0], [300.0, 200.0, 310.0, 212.0], [-900.0, -800.0, 400.0, 500.0]]
)
def test_large_photos(box: list[float]) -> None:
    found = apart(photo(1000, 900), np.array(box))
    assert found.mean() < 0.25  # the mean of a block is not rounded
    assert (found > 1).mean() < 0.02


def test_faces_of_one_photo_are_cut_as_each_alone() -> None:
    picture = torch.from_numpy(photo(300, 200))
    boxes = torch.tensor([[10.0, 20, 60, 70], [-20, 0, 150, 190], [100, 20, 299, 199]])
    together, matrices = cut_all(picture, boxes, **CROP)
    for i in range(3):
        alone, matrix = cut_all(picture, boxes[i : i + 1], **CROP)
        assert torch.equal(together[i], alone[0])
        assert torch.equal(matrices[i], matrix[0])
    none, _ = cut_all(picture, boxes[:0], **CROP)
    assert none.shape == (0, 3, 64, 64)


def test_a_white_photo_stays_white_where_its_sums_go_around() -> None:
    white = torch.full((2950, 2950, 3), 255, dtype=torch.uint8)  # sums up to 2.2e9
    crops, _ = cut_all(white, torch.tensor([[500.0, 500, 2900, 2900], [2800, 2800, 2850, 2850]]), **CROP)
    assert (crops[:, :, 16:48, 16:48] == 255).all()
