"""Angles against loops and complex numbers, and what rotary embedding is for: products see displacements alone."""

import cmath
import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from keyposs.models.rotary import BASE, SIDE, angles, centres, rotate, sincos

COORDINATES = st.floats(-0.5, 1.5)


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_angles_by_a_loop():
    point = torch.tensor([0.3, 0.8], dtype=torch.float64)
    expected = [SIDE * u * BASE ** (-2 * j / 8) for u in (0.3, 0.8) for j in range(4)]  # 8: half of a head of 16
    torch.testing.assert_close(angles(point, 4), torch.tensor(expected, dtype=torch.float64))


@given(COORDINATES, COORDINATES, st.integers(0, 99))
def test_a_turn_is_a_product_of_complex_numbers(x: float, y: float, seed: int) -> None:
    q = drawn(seed, 1, 1, 1, 16)
    turned = rotate(q, torch.tensor([[[x, y]]], dtype=torch.float64))[0, 0, 0]
    for j in range(8):
        angle = SIDE * (x if j < 4 else y) * BASE ** (-(j % 4) / 4)
        z = complex(q[0, 0, 0, j], q[0, 0, 0, j + 8]) * cmath.exp(1j * angle)
        assert math.isclose(turned[j], z.real, abs_tol=1e-9)
        assert math.isclose(turned[j + 8], z.imag, abs_tol=1e-9)


@given(COORDINATES, COORDINATES, COORDINATES, COORDINATES, st.integers(0, 99))
@settings(deadline=None)
def test_a_product_depends_on_the_displacement_alone_and_lengths_stay(
    x: float, y: float, dx: float, dy: float, seed: int
) -> None:
    q, k = drawn(seed, 1, 4, 5, 64), drawn(seed + 1, 1, 4, 5, 64)
    points = torch.rand(1, 5, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    points = points + torch.tensor([x, y], dtype=torch.float64)
    moved = points + torch.tensor([dx, dy], dtype=torch.float64)
    scores = rotate(q, points) @ rotate(k, points).mT
    torch.testing.assert_close(rotate(q, moved) @ rotate(k, moved).mT, scores, atol=1e-9, rtol=0)
    torch.testing.assert_close(rotate(q, points).norm(dim=-1), q.norm(dim=-1))


def test_a_product_does_depend_on_the_displacement_along_either_axis():
    q, k = drawn(0, 1, 1, 1, 64), drawn(1, 1, 1, 1, 64)
    here = torch.zeros(1, 1, 2, dtype=torch.float64)
    still = (q * k).sum()
    for step in ([0.1, 0.0], [0.0, 0.1]):
        there = here + torch.tensor(step, dtype=torch.float64)
        assert abs((rotate(q, here) * rotate(k, there)).sum() - still) > 0.1


def test_half_precision_is_turned_in_that_of_the_points():
    q, points = drawn(0, 1, 1, 7, 64), drawn(1, 1, 7, 2)
    half = rotate(q.bfloat16(), points.float())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.double(), rotate(q.bfloat16().double(), points), atol=0.02, rtol=0.01)


def test_an_embedding_has_sines_then_cosines():
    embedding = sincos(torch.tensor([[0.25, 0.75]]), 8)
    turned = torch.tensor([SIDE * 0.25, SIDE * 0.25 / BASE**0.5, SIDE * 0.75, SIDE * 0.75 / BASE**0.5])
    torch.testing.assert_close(embedding, torch.cat((turned.sin(), turned.cos()))[None])


def test_positions_of_cells_are_told_apart_at_any_size():
    for size in (1, 4, 16, 64):
        embedding = sincos(centres(size, size, torch.zeros(1)), 256)
        apart = torch.cdist(embedding, embedding) + torch.eye(size**2) * 9
        assert apart.min() > 0.5


def test_centres_row_by_row():
    expected = [[0.25, 1 / 6], [0.75, 1 / 6], [0.25, 0.5], [0.75, 0.5], [0.25, 5 / 6], [0.75, 5 / 6]]
    torch.testing.assert_close(centres(3, 2, torch.zeros(1)), torch.tensor(expected))
