import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from keyposs.errors import KeyposError
from keyposs.grid import Grid


@given(
    st.sampled_from([64, 32, 16, 8, 4, 7]),
    st.lists(st.floats(-500, 500, width=32), min_size=2, max_size=2),
)
def test_cells_and_pixels_undo_each_other(size: int, pixel: list[float]) -> None:
    grid = Grid(image_size=256, heatmap_size=size)
    point = torch.tensor(pixel, dtype=torch.float64)
    assert torch.allclose(grid.to_pixels(grid.to_cells(point)), point, atol=1e-9)


@pytest.mark.parametrize("size", [64, 32, 16, 8, 4])
def test_a_cell_is_centred_on_the_mean_of_its_pixels(size: int) -> None:
    grid = Grid(image_size=256, heatmap_size=size)
    pixels = torch.arange(256.0).view(size, -1).mean(1)
    assert torch.allclose(grid.to_pixels(torch.arange(size)[:, None].expand(-1, 2).float())[:, 0], pixels)


@pytest.mark.parametrize("size", [0, 257])
def test_a_map_must_fit_the_crop(size: int) -> None:
    with pytest.raises(KeyposError, match=f"heatmap_size={size}: does not fit"):
        Grid(image_size=256, heatmap_size=size)
