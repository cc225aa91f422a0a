"""The pyramid against closed forms and a plain loop."""

import numpy as np
import pytest
import torch

from keyposs.errors import KeyposError
from keyposs.models import Patches
from keyposs.models.patches import halve, standardise


def test_the_centres_of_pixels_stay_where_they_are() -> None:
    """Of an image that holds its own x and y, each level's pixel `j` holds `(j + 0.5) 2^level - 0.5`."""
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(48.0), indexing="ij")
    level = torch.stack((x, y, x + y))[None]
    for power in (2, 4):
        level = halve(level)
        columns, rows = torch.arange(48 // power) + 0.5, torch.arange(64 // power) + 0.5
        inside = slice(2, -2)  # the border sees its own pixels again
        assert torch.allclose(level[0, 0, 3, inside], (columns * power - 0.5)[inside])
        assert torch.allclose(level[0, 1, inside, 3], (rows * power - 0.5)[inside])


def test_half_by_a_loop() -> None:
    image = np.random.default_rng(0).normal(size=(8, 10))
    padded, weights = np.pad(image, 1, mode="edge"), np.array([1, 3, 3, 1]) / 8
    expected = [[weights @ padded[2 * i : 2 * i + 4, 2 * j : 2 * j + 4] @ weights for j in range(5)] for i in range(4)]
    half = halve(torch.from_numpy(image)[None, None])
    assert np.allclose(half[0, 0].numpy(), expected)


def test_what_the_half_cannot_show_is_gone() -> None:
    """Stripes of a pixel have the mean alone; taking every second pixel would give one of the two colours."""
    stripes = (torch.arange(32.0) % 2).expand(1, 1, 32, 32)
    assert torch.allclose(halve(stripes)[..., 1:-1], torch.tensor(0.5))


def test_a_mirrored_image_has_the_mirrored_pyramid() -> None:
    image = torch.randn(2, 3, 32, 32)
    for level, mirrored in zip(Patches(32)(image), Patches(32)(image.flip(-1)), strict=True):
        assert torch.allclose(level.flip(-1), mirrored, atol=1e-5)


def test_light_and_contrast_do_not_matter() -> None:
    image = torch.rand(2, 3, 16, 16) * torch.tensor([1.0, 50.0])[:, None, None, None] + 7
    plain = standardise(image)
    assert torch.allclose(plain.mean((1, 2, 3)), torch.zeros(2), atol=1e-5)
    assert torch.allclose(plain.var((1, 2, 3), correction=0), torch.ones(2), atol=1e-3)
    assert torch.allclose(standardise(3 * image - 11), plain, atol=1e-3)


def test_an_image_of_one_colour_is_finite() -> None:
    for level in Patches(16)(torch.full((2, 3, 16, 16), 0.3)):
        assert level.abs().max() < 1e-3


def test_there_are_no_weights_and_no_maps() -> None:
    pyramid = Patches(64, levels=4)
    assert list(pyramid.state_dict()) == []
    assert (pyramid.channels, pyramid.heatmap_size) == ((3, 3, 3, 3), None)
    assert [x.shape[-1] for x in pyramid(torch.zeros(1, 3, 64, 64))] == [64, 32, 16, 8]


@pytest.mark.parametrize(
    ("size", "levels", "match"),
    [
        (142, 3, r"image_size=142: cannot be halved 2 times .*choose one that 4 divides, such as 144"),
        (2, 3, r"such as 4"),
        (64, 0, r"backbone.levels=0: leaves no image to look at"),
    ],
)
def test_impossible_sizes(size: int, levels: int, match: str) -> None:
    with pytest.raises(KeyposError, match=match):
        Patches(size, levels)
