"""Agreement with independent implementations: numpy's and scipy's solvers, loops as the field writes them."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.optimize import least_squares

from keyposs.decoders import dark, gauss_newton, multilateration, popos, pseudorange, two_hot, uncertainty

SIGMA = 2.0


@pytest.fixture(scope="module", params=[(16, 16), (8, 11), (4, 4)], ids=str)
def noisy(request, distance_maps, anywhere):
    """Maps of any amplitude under smooth noise, peaks on borders among them."""
    h, w = request.param
    rng = np.random.default_rng(h)
    maps = distance_maps(anywhere(40, h, w), h, w).numpy() * rng.uniform(0.5, 1.2, (40, 1, 1))
    return maps * np.exp(gaussian_filter(rng.normal(0, 0.3, maps.shape), (0, 1, 1)))


def peak_of(h):
    y, x = np.unravel_index(h.argmax(), h.shape)
    return int(x), int(y)


def window_of(h, k):
    """Anchors and responses of the first best window that holds the peak, by trying all of them."""
    px, py = peak_of(h)
    best, cells = -np.inf, None
    for y in range(h.shape[0] - k + 1):
        for x in range(h.shape[1] - k + 1):
            holds = x <= px < x + k and y <= py < y + k
            if holds and h[y : y + k, x : x + k].sum() > best + 1e-12:
                best = h[y : y + k, x : x + k].sum()
                cells = [(x + j, y + i) for i in range(k) for j in range(k)]
    return np.array(cells, float), np.array([h[y, x] for x, y in np.array(cells)])


def differences(a, p):
    """The paper's eqs. 10-13: the linear system that subtracting the last anchor's equation leaves."""
    d2 = -2 * SIGMA**2 * np.log(p)
    return a[-1] - a[:-1], (d2[:-1] - d2[-1] + (a[-1] ** 2).sum() - (a[:-1] ** 2).sum(-1)) / 2


def points_of(decoder, maps, **options):
    return decoder(torch.from_numpy(maps), sigma=SIGMA, **options)[0].numpy()


@pytest.mark.parametrize("kernel", [2, 3, 4])
def test_multilateration_is_lstsq_against_the_last_anchor(noisy, kernel):
    expected = [np.linalg.lstsq(*differences(*window_of(h, kernel)), rcond=None)[0] for h in noisy]
    np.testing.assert_allclose(points_of(multilateration, noisy, kernel=kernel), expected, atol=1e-9)


@pytest.mark.parametrize("kernel", [2, 3, 4])
def test_pseudorange_is_weighted_lstsq_with_the_amplitude_free(noisy, kernel):
    expected = []
    for h in noisy:
        a, p = window_of(h, kernel)
        A = np.column_stack([2 * a, np.ones(len(a))])
        y = (a**2).sum(-1) + 2 * SIGMA**2 * np.log(p)
        expected.append(np.linalg.lstsq(p[:, None] * A, p * y, rcond=None)[0][:2])
    np.testing.assert_allclose(points_of(pseudorange, noisy, kernel=kernel), expected, atol=1e-9)


def test_multilateration_is_what_scipy_finds(noisy):
    for h, point in zip(noisy, points_of(multilateration, noisy), strict=True):
        a, p = window_of(h, 2)
        d2 = -2 * SIGMA**2 * np.log(p)

        def residuals(x, a=a, d2=d2):
            difference = ((a - x) ** 2).sum(-1) - d2
            return difference[:-1] - difference[-1]

        found = least_squares(residuals, peak_of(h), xtol=1e-14, ftol=1e-14, gtol=1e-14).x
        np.testing.assert_allclose(point, found, atol=1e-6)


def test_gauss_newton_is_where_scipy_goes_from_the_same_cell(distance_maps, anywhere):
    points = anywhere(60, 16, 16)
    noise = gaussian_filter(np.random.default_rng(0).normal(0, 0.02, (60, 16, 16)), (0, 1, 1))
    maps = distance_maps(points, 16, 16).numpy() + noise
    for h, point in zip(maps, points_of(gauss_newton, maps, anchors=20), strict=True):
        largest = np.argsort(h, axis=None)[-20:]
        a = np.stack([largest % 16, largest // 16], -1)
        d2 = -2 * SIGMA**2 * np.log(h.flat[largest])

        def residuals(x, a=a, d2=d2):
            return ((a - x) ** 2).sum(-1) - d2

        found = least_squares(residuals, peak_of(h), method="lm", xtol=1e-12, ftol=1e-12)
        assert (residuals(point) ** 2).sum() <= 2 * found.cost * (1 + 1e-6)
        np.testing.assert_allclose(point, found.x, atol=1e-5)


def popos_loop(h, start, anchors, side, candidates):
    """The search as the paper's released code writes it, for one map, around any start."""
    order = np.argsort(-h, axis=None, kind="stable")[:anchors]
    cells = [(k % h.shape[1], k // h.shape[1]) for k in order]
    ranges = [math.sqrt(-2 * SIGMA**2 * math.log(min(max(h.flat[k], 1e-9), 1))) for k in order]
    best, found = np.inf, None
    for y in np.linspace(start[1] - side / 2, start[1] + side / 2, candidates):
        for x in np.linspace(start[0] - side / 2, start[0] + side / 2, candidates):
            error = sum(abs(math.hypot(x - a, y - b) - d) for (a, b), d in zip(cells, ranges, strict=True))
            if error < best - 1e-12:
                best, found = error, (x, y)
    return found


@pytest.mark.parametrize(
    ("size", "search"), [(64, (30, 8, 16)), (32, (10, 8, 32)), (16, (20, 4, 32)), (8, (15, 3, 48)), (4, (10, 2, 64))]
)
def test_popos_is_the_released_search(size, search, distance_maps, anywhere):
    rng = np.random.default_rng(size)
    maps = distance_maps(anywhere(12, size, size), size, size).numpy() * rng.uniform(0.5, 1.2, (12, 1, 1))
    maps = maps + gaussian_filter(rng.normal(0, 0.05, maps.shape), (0, 1, 1))
    starts = points_of(multilateration, maps)
    expected = [popos_loop(h, start, *search) for h, start in zip(maps, starts, strict=True)]
    np.testing.assert_allclose(points_of(popos, maps), expected, atol=1e-9)


def dark_loop(h):
    """mmpose 0.29's `_gaussian_blur` and `_taylor` for one map, written again with an explicit blur."""
    taps = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 2.0**2))
    taps /= taps.sum()
    blurred = np.apply_along_axis(np.convolve, 0, np.pad(h, 5), taps, "valid")
    blurred = np.apply_along_axis(np.convolve, 1, blurred, taps, "valid")
    log = np.log(np.maximum(blurred * h.max() / blurred.max(), 1e-10))
    x, y = peak_of(h)
    if not (1 < x < h.shape[1] - 2 and 1 < y < h.shape[0] - 2):
        return np.array([x, y], float)
    dx = 0.5 * (log[y, x + 1] - log[y, x - 1])
    dy = 0.5 * (log[y + 1, x] - log[y - 1, x])
    dxx = 0.25 * (log[y, x + 2] - 2 * log[y, x] + log[y, x - 2])
    dyy = 0.25 * (log[y + 2, x] - 2 * log[y, x] + log[y - 2, x])
    dxy = 0.25 * (log[y + 1, x + 1] - log[y - 1, x + 1] - log[y + 1, x - 1] + log[y - 1, x - 1])
    return np.array([x, y]) - np.linalg.solve([[dxx, dxy], [dxy, dyy]], [dx, dy])


def test_dark_is_mmposes(noisy):
    np.testing.assert_allclose(points_of(dark, noisy), [dark_loop(h) for h in noisy], atol=1e-9)


def test_two_hot_is_the_mended_equation_6(noisy):
    for h, point in zip(noisy, points_of(two_hot, noisy), strict=True):
        order = np.argsort(-h, axis=None)[:2]
        m, s = np.stack([order % h.shape[1], order // h.shape[1]], -1)
        np.testing.assert_allclose(point, m + 0.25 * (s - m) / np.linalg.norm(s - m), atol=1e-12)


class TestWindow:
    def test_ties_go_to_the_first_window(self):
        maps = torch.zeros(5, 5)
        maps[1:4, 1:4] = torch.tensor([[0.7, 0.8, 0.6], [0.8, 1.0, 0.8], [0.6, 0.8, 0.7]])
        a, p = window_of(maps.double().numpy(), 2)
        assert a[0].tolist() == [1, 1]  # the window at (2, 2) has the same sum and would read lower right
        expected = np.linalg.lstsq(*differences(a, p), rcond=None)[0]
        np.testing.assert_allclose(multilateration(maps)[0], expected, atol=1e-5)

    def test_last_row_and_column_take_part(self):
        across = torch.arange(4.0)
        maps = torch.exp(-((across - 3) ** 2 + (across[:, None] - 3) ** 2) / 8)
        maps[3, 3] = 0.99
        maps[:3, :3] = 0.9  # a window inside that the reference would have to take
        a, p = window_of(maps.double().numpy(), 2)
        assert a[-1].tolist() == [3, 3]
        expected = np.linalg.lstsq(*differences(a, p), rcond=None)[0]
        np.testing.assert_allclose(multilateration(maps.double())[0], expected, atol=1e-9)

    @pytest.mark.parametrize("kernel", [-1, 0, 1, 5])
    @pytest.mark.parametrize("decoder", [multilateration, pseudorange, uncertainty])
    def test_a_kernel_that_does_not_fit_is_refused(self, decoder, kernel):
        with pytest.raises(ValueError, match=rf"kernel={kernel} .* map of 6x4 cells"):
            decoder(torch.rand(2, 4, 6), kernel=kernel)

    @pytest.mark.parametrize("anchors", [0, 2, 25])
    def test_more_anchors_than_cells_are_refused(self, anchors):
        with pytest.raises(ValueError, match=rf"anchors={anchors} .* 24 cells of a 6x4 map"):
            gauss_newton(torch.rand(2, 4, 6), anchors=anchors)

    def test_low_cells_cannot_throw_the_point_far(self):
        maps = torch.full((16, 16), -0.1)
        maps[7, 7] = 1.0
        # the lowest anchor counts as 2 ((2.5 + 1)^2 - 2.5^2) = 12 cells^2 further: Y <= 5.5, and x <= 11/3
        assert (multilateration(maps)[0] - 7).norm() < 5.3
        torch.testing.assert_close(pseudorange(maps)[0], torch.tensor([7.0, 7.0]))


class TestUncertainty:
    NOISE = 0.01
    TRIALS = 20000

    @pytest.fixture(scope="class")
    def trials(self, distance_maps):
        exact = 0.9 * distance_maps(torch.tensor([5.3, 6.1]), 12, 12)
        generator = torch.Generator().manual_seed(0)
        noise = self.NOISE * torch.randn(self.TRIALS, 12, 12, generator=generator, dtype=torch.float64)
        return exact, exact + noise

    def test_matches_the_scatter_of_many_trials(self, trials):
        exact, maps = trials
        scatter = pseudorange(maps, kernel=4)[0].T.cov()
        stated = uncertainty(exact, kernel=4, noise=self.NOISE)
        torch.testing.assert_close(stated, scatter, rtol=0.1, atol=0.05 * scatter.diagonal().mean().item())

    def test_estimates_the_noise_from_what_the_fit_leaves(self, trials):
        exact, maps = trials
        stated = uncertainty(maps, kernel=4).mean(0)
        known = uncertainty(exact, kernel=4, noise=self.NOISE)
        torch.testing.assert_close(stated, known, rtol=0.1, atol=0.1 * known[0, 0].item())

    def test_is_0_on_an_exact_map_and_grows_as_the_peak_falls(self, trials):
        exact, _ = trials
        assert uncertainty(exact).abs().max() < 1e-12
        low, high = uncertainty(0.5 * exact, noise=0.02), uncertainty(exact, noise=0.02)
        torch.testing.assert_close(low, 4 * high)

    @pytest.mark.parametrize("value", [0.0, math.nan, -1.0])
    def test_an_unread_map_is_as_sure_as_a_point_anywhere_in_it(self, value):
        expected = torch.diag(torch.tensor([64 / 12, 36 / 12])).expand(3, 2, 2)
        torch.testing.assert_close(uncertainty(torch.full((3, 6, 8), value)), expected)

    def test_is_positive_semidefinite_on_noise(self):
        covariances = uncertainty(torch.rand(500, 8, 8, dtype=torch.float64))
        assert torch.linalg.eigvalsh(covariances).min() > -1e-9
