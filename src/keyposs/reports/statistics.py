"""How sure a mean over faces is: bootstrap intervals, paired sign-flip tests, and Holm's correction.

All columns of an error matrix share the same resamples and the same flips, so that differences between them are
paired. A NaN error makes the numbers of its own column NaN, and those of no other column.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

RESAMPLES = 10_000
CONFIDENCE = 0.95
CELLS = 4_000_000
"""Faces times resamples that are held at a time: 32 MB."""

SEED = 0


def bootstrap(errors: Float[np.ndarray, "n d"], resamples: int = RESAMPLES) -> Float[np.ndarray, "b d"]:
    """Means of each column over faces drawn with replacement; a row for each resample.

    The difference of two columns is the bootstrap of their paired difference.

    Args:
        errors: of n faces, by d readings.
        resamples: how many.
    """
    n = len(errors)
    rng = np.random.default_rng(SEED)
    means = []
    for size in _chunks(resamples, n):
        drawn = rng.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)
        means.append(counts.astype(np.float64) @ errors / n)
    return np.concatenate(means)


def interval(means: Float[np.ndarray, " b"]) -> tuple[float, float]:
    """The percentile interval of bootstrapped means (Efron and Tibshirani 1993, section 13.3); NaN where they are."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def paired_p(differences: Float[np.ndarray, "n m"], flips: int = RESAMPLES) -> Float[np.ndarray, " m"]:
    """Two-sided p of a mean difference, by flipping the signs of faces at random.

    If two readings are equally good, each face's difference is as likely to have the other sign. p is the share of
    flips whose mean is at least as far from 0, with the data itself as one of them: (1 + count) / (1 + flips).

    Args:
        differences: of n faces, in m comparisons.
        flips: how many.

    >>> paired_p(np.array([[1.0, 0.0], [1.0, 0.0]])).round(1)  # one flip of two gives +-2, the other 0
    array([0.5, 1. ])
    """
    n, m = differences.shape
    rng = np.random.default_rng(SEED)
    observed = np.abs(differences.sum(0))
    beyond = np.zeros(m)
    slack = 1e-12 * np.abs(differences).sum(0)  # equal sums in another order of adding
    for size in _chunks(flips, n):
        signs = 2.0 * rng.integers(2, size=(size, n)) - 1
        beyond += (np.abs(signs @ differences) >= observed - slack).sum(0)
    return np.where(np.isnan(observed), np.nan, (1 + beyond) / (1 + flips))


def holm(p: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """Adjusted p of a family of tests (Holm 1979): below a only if the family errs with probability a at most.

    A NaN is no test: it stays, and does not count.

    >>> holm(np.array([0.01, 0.04, np.nan, 0.03]))
    array([0.03, 0.06,  nan, 0.06])
    """
    adjusted = np.full(len(p), np.nan)
    order = np.argsort(p)[: np.isfinite(p).sum()]  # NaN comes last
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(factors * p[order]))
    return adjusted


def _chunks(total: int, n: int) -> Iterator[int]:
    """Sizes that add up to the total, each of so few that n faces times it fit `CELLS`."""
    size = max(1, CELLS // n)
    yield from (min(size, total - start) for start in range(0, total, size))
