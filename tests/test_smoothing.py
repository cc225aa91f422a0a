"""The filter against its closed form and on noise; how jitter and lag are measured."""

import numpy as np
import pytest

from keyposs.smoothing import RANGE, OneEuro, jitter, lag

SECONDS = 1 / 30


def test_one_step_is_the_published_formula() -> None:
    filtered = OneEuro(slow=1.5, gain=8.0)
    first, second = np.array([[10.0, 20.0]]), np.array([[13.0, 24.0]])
    assert filtered(first, None, 50.0, SECONDS) is first
    a_speed = 1 / (1 + 30 / (2 * np.pi * 1.0))
    speed = a_speed * np.linalg.norm([3.0, 4.0]) / 50 * 30
    a = 1 / (1 + 30 / (2 * np.pi * (1.5 + 8 * speed)))
    np.testing.assert_allclose(filtered(second, None, 50.0, SECONDS), first + a * (second - first))


def test_still_points_lose_their_jitter_and_moving_ones_hardly_lag() -> None:
    generator, size = np.random.default_rng(0), 100.0
    still = generator.normal(0, 0.3, (90, 68, 2))
    t = np.arange(90) * SECONDS
    truth = np.stack([25 * np.sin(np.pi * t), 0 * t], -1)[:, None] + np.zeros((1, 68, 2))
    noise = truth + still
    filters = OneEuro(), OneEuro()
    calm = np.array([filters[0](points, None, size, SECONDS) for points in still])
    moved = np.array([filters[1](points, None, size, SECONDS) for points in noise])
    assert jitter(calm[30:], size) < 0.25 * jitter(still[30:], size)
    assert abs(lag(noise, truth)) < 0.05 < lag(moved, truth) < 0.7


def test_what_is_less_sure_follows_more_slowly() -> None:
    filtered = OneEuro()
    filtered(np.zeros((4, 2)), None, 1.0, SECONDS)
    deviations = np.array([1.0, 1.0, 2.0, 1000.0])
    steps = filtered(np.full((4, 2), 1e-6), deviations, 1.0, SECONDS)[:, 0] * 1e6
    assert steps[0] == steps[1] > steps[2] > steps[3]
    turns = 2 * np.pi * SECONDS / RANGE
    assert steps[3] == pytest.approx(turns / (1 + turns), rel=1e-2)


def test_a_frame_of_the_same_time_changes_nothing() -> None:
    filtered = OneEuro()
    first = filtered(np.ones((2, 2)), None, 1.0, 0.0)
    np.testing.assert_array_equal(filtered(np.zeros((2, 2)), None, 1.0, 0.0), first)


def test_jitter_is_the_mean_step_over_the_size() -> None:
    points = np.array([[[0.0, 0], [1, 1]], [[3, 4], [1, 1]], [[0, 0], [1, 1]]])
    assert jitter(points, 10.0) == pytest.approx(0.25)
