"""Errors on exact maps, where they are known: 0 for the solvers, closed forms for the roundings."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import dblquad

import keyposs.decoders
from keyposs.decoders import gauss_newton, multilateration, one_hot, popos, pseudorange, quarter, two_hot
from keyposs.decoders.popos import SEARCHES

SIZES = (64, 32, 16, 8, 4)
SOLVERS = (multilateration, pseudorange, gauss_newton)
EQUAL_WEIGHTS = partial(pseudorange, weighted=False)
ALL_CELLS = partial(pseudorange, kernel=None)
AMPLITUDE_FREE = (multilateration, pseudorange, EQUAL_WEIGHTS, ALL_CELLS)


def error(decoder, maps, points, **options):
    return (decoder(maps, **options)[0].double() - points).norm(dim=-1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("decoder", SOLVERS)
def test_solvers_are_exact_anywhere_in_the_map(decoder, size, distance_maps, anywhere):
    points = anywhere(500, size, size)
    assert error(decoder, distance_maps(points, size, size).float(), points).max() < 1e-3


@pytest.mark.parametrize("decoder", AMPLITUDE_FREE)
@pytest.mark.parametrize(("h", "w"), [(8, 8), (4, 4), (12, 5)])
@pytest.mark.parametrize("sigma", [1.0, 1.5, 3.0])
def test_windows_of_every_side_are_exact(decoder, h, w, sigma, distance_maps, anywhere):
    points = anywhere(200, h, w)
    maps = distance_maps(points, h, w, sigma).float()
    for kernel in range(2, min(h, w) + 1):
        assert error(decoder, maps, points, sigma=sigma, kernel=kernel).max() < 1e-3


@pytest.mark.parametrize("decoder", AMPLITUDE_FREE)
def test_points_a_sigma_off_the_map_are_still_exact(decoder, distance_maps):
    off = torch.linspace(-2.5, 9.5, 25, dtype=torch.float64)
    points = torch.cartesian_prod(off, off)
    assert error(decoder, distance_maps(points, 8, 8).float(), points).max() < 1e-3


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("decoder", AMPLITUDE_FREE)
def test_amplitude_cancels(decoder, size, distance_maps, anywhere):
    points = anywhere(500, size, size)
    maps = distance_maps(points, size, size).float()
    for amplitude in (0.3, 0.8, 1.1, 1.5):
        assert error(decoder, amplitude * maps, points).max() < 1e-3


@pytest.mark.parametrize("weighted", [True, False])
def test_pseudorange_is_the_least_squares_of_its_docstring(weighted):
    """A 4 x 4 map is one window: numpy solves `2 a . x + b = |a|^2 - d^2` with its rows weighted."""
    maps = 0.2 + 0.8 * torch.rand(50, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y, x = np.mgrid[:4, :4].reshape(2, 16)
    design = np.stack([2 * x, 2 * y, np.ones(16)], -1)
    for cells, point in zip(maps.flatten(1).numpy(), pseudorange(maps, weighted=weighted)[0], strict=True):
        root = cells if weighted else np.ones(16)  # of the weights
        right = x**2 + y**2 + 8 * np.log(cells)
        expected = np.linalg.lstsq(root[:, None] * design, root * right, rcond=None)[0][:2]
        np.testing.assert_allclose(point, expected, atol=1e-6)


def test_gauss_newton_finds_the_minimum_to_the_precision_of_a_float(distance_maps):
    """On noisy maps, where costs alone tell points apart to 3e-4 cells only."""
    generator = torch.Generator().manual_seed(0)
    points = 2 + 12 * torch.rand(500, 2, generator=generator)
    maps = distance_maps(points, 16, 16).float() + 0.1 * torch.randn(500, 16, 16, generator=generator)
    assert (gauss_newton(maps)[0] - gauss_newton(maps.double())[0]).abs().max() < 1e-5


@pytest.mark.parametrize("size", SIZES)
def test_popos_is_as_exact_as_its_grid(size, distance_maps, anywhere):
    """Its start is exact, and the candidates around it lie half a step off on both axes."""
    points = anywhere(200, size, size)
    step = SEARCHES[size].side / (SEARCHES[size].candidates - 1)
    errors = error(popos, distance_maps(points, size, size).float(), points)
    assert errors.max() < 1.5 * step
    assert errors.mean() == pytest.approx(step / math.sqrt(2), rel=0.25)


@pytest.mark.parametrize("decoder", [gauss_newton, popos])
def test_amplitude_misleads_ranges_that_are_taken_as_true(decoder, distance_maps, anywhere):
    points = anywhere(500, 16, 16)
    assert error(decoder, 0.5 * distance_maps(points, 16, 16), points).mean() > 0.3


@pytest.mark.parametrize("encoded", [1.5, 2.5])
def test_a_wrong_sigma_scales_the_offset_from_the_window(encoded, distance_maps):
    points = torch.tensor([[7.7, 8.2]], dtype=torch.float64)
    got, _ = multilateration(distance_maps(points, 16, 16, encoded), sigma=2.0)
    middle = torch.tensor([[7.5, 8.5]])
    torch.testing.assert_close(got, middle + (points - middle) * (2.0 / encoded) ** 2)


# Mean distance of a uniform point in a cell from where each reading puts it.
ONE_HOT = (math.sqrt(2) + math.asinh(1)) / 6
QUARTER = ONE_HOT / 2
TWO_HOT = 8 * dblquad(lambda y, x: math.hypot(x - 0.25, y), 0, 0.5, 0, lambda x: x)[0]


def test_closed_forms_are_the_published_figures():
    assert pytest.approx((0.3826, 0.1913, 0.2233), abs=2e-4) == (ONE_HOT, QUARTER, TWO_HOT)


@pytest.mark.parametrize("size", SIZES[:-1])
@pytest.mark.parametrize(
    ("decoder", "expected"),
    [(one_hot, ONE_HOT), (quarter, QUARTER), (two_hot, TWO_HOT)],
    ids=["one_hot", "quarter", "two_hot"],
)
def test_rounding_costs_what_geometry_says(decoder, expected, size, distance_maps):
    generator = torch.Generator().manual_seed(size)
    cells = torch.randint(1, size - 1, (4000, 2), generator=generator)
    points = cells + torch.rand(4000, 2, generator=generator, dtype=torch.float64) - 0.5
    errors = torch.cat([error(decoder, distance_maps(p, size, size).float(), p) for p in points.split(500)])
    assert errors.mean() == pytest.approx(expected, abs=0.007)  # three standard errors


def test_quarter_refines_every_cell_with_two_neighbours():
    points = torch.tensor([[1.2, 0.2], [2.2, 1.2], [3.2, 2.9]], dtype=torch.float64)
    across, down = torch.arange(4), torch.arange(4)[:, None]
    maps = torch.stack([torch.exp(-((across - x) ** 2 + (down - y) ** 2) / 8) for x, y in points])
    assert quarter(maps)[0].tolist() == [[1.25, 0.0], [2.25, 1.25], [3.0, 3.0]]


def test_two_hot_moves_towards_the_second_maximum_however_far():
    maps = torch.zeros(9, 9)
    maps[2, 1], maps[6, 4] = 0.9, 0.7  # 3 to the right, 4 down
    torch.testing.assert_close(two_hot(maps)[0], torch.tensor([1 + 0.25 * 0.6, 2 + 0.25 * 0.8]))


def test_soft_argmax_is_the_peak_for_a_large_beta_and_the_centre_for_a_small_one(distance_maps):
    maps = distance_maps(torch.tensor([5.1, 2.2]), 8, 12)
    sharp, _ = keyposs.decoders.soft_argmax(maps, beta=1e4)
    flat, _ = keyposs.decoders.soft_argmax(maps, beta=1e-6)
    torch.testing.assert_close(sharp, torch.tensor([5.0, 2.0], dtype=torch.float64))
    torch.testing.assert_close(flat, torch.tensor([5.5, 3.5], dtype=torch.float64), rtol=0, atol=1e-4)


def test_soft_argmax_is_within_a_tenth_of_a_cell_inside(distance_maps):
    points = 6 + 4 * torch.rand(500, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    maps = distance_maps(points, 16, 16)
    assert error(keyposs.decoders.soft_argmax, maps, points).max() < 0.1
    torch.testing.assert_close(keyposs.decoders.soft_argmax(0.4 * maps)[0], keyposs.decoders.soft_argmax(maps)[0])


def test_centroid_is_exact_on_a_whole_gaussian_and_pulled_inwards_by_a_border(distance_maps):
    points = 15 + 2 * torch.rand(200, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert error(keyposs.decoders.centroid, distance_maps(points, 32, 32), points).max() < 1e-6
    cut, _ = keyposs.decoders.centroid(distance_maps(torch.tensor([[0.0, 16.0]]), 32, 32))
    # of a Gaussian from -1/2 on: sigma phi(a) / (1 - Phi(a)), a = -1/4
    assert cut[0, 0] == pytest.approx(2 * 0.38667 / 0.59871, abs=0.02)  # an integral; the map is a sum
    assert cut[0, 1] == pytest.approx(16, abs=1e-6)


EQUIVARIANT = ("centroid", "one_hot", "quarter", "dark", "soft_argmax", "pseudorange", "gauss_newton", "two_hot")


def smooth(seed, h=9, w=12):
    """A noisy blob whose cells all differ, so that no tie is broken by order."""
    generator = torch.Generator().manual_seed(seed)
    x, y = 3 + 5 * torch.rand(1, generator=generator), 3 + 2 * torch.rand(1, generator=generator)
    across, down = torch.arange(w), torch.arange(h)[:, None]
    blob = torch.exp(-((across - x) ** 2 + (down - y) ** 2) / 8)
    return (blob * (1 + 0.05 * torch.randn(h, w, generator=generator))).double()


@pytest.mark.parametrize("name", EQUIVARIANT)
@given(seed=st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_a_transposed_map_reads_as_the_transposed_point(name, seed):
    decoder, maps = getattr(keyposs.decoders, name), smooth(seed)
    torch.testing.assert_close(decoder(maps.mT)[0], decoder(maps)[0].flip(-1), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", EQUIVARIANT)
@given(seed=st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_a_mirrored_map_reads_as_the_mirrored_point(name, seed):
    decoder, maps = getattr(keyposs.decoders, name), smooth(seed)
    (x, y), (mirrored_x, mirrored_y) = decoder(maps)[0], decoder(maps.flip(-1))[0]
    torch.testing.assert_close((11 - mirrored_x, mirrored_y), (x, y), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["multilateration", *EQUIVARIANT])
@given(seed=st.integers(0, 10**6), dx=st.integers(0, 9), dy=st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_a_map_moved_by_whole_cells_reads_as_the_moved_point(name, seed, dx, dy):
    decoder = getattr(keyposs.decoders, name)
    # 12 cells of nothing on all sides, so that neither DARK's blur nor a border rule sees an edge
    maps = torch.nn.functional.pad(smooth(seed), (12, 12, 12, 12))
    moved = torch.roll(maps, (dy, dx), (0, 1))
    atol = 1e-4 if name == "soft_argmax" else 1e-5  # its flat background does not move along
    expected = decoder(maps)[0] + torch.tensor([dx, dy])
    torch.testing.assert_close(decoder(moved)[0], expected, rtol=0, atol=atol)
