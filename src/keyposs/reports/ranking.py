"""How well one order of things agrees with another."""

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata


def spearman(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> float | None:
    """The correlation of ranks (Spearman 1904); None where one of the two is constant.

    >>> spearman(np.array([1.0, 2.0, 3.0]), np.array([1.0, 10.0, 100.0]))
    1.0
    """
    ranks = rankdata(a), rankdata(b)
    return None if any(np.ptp(r) == 0 for r in ranks) else round(float(np.corrcoef(*ranks)[0, 1]), 12)


def auroc(scores: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]) -> float | None:
    """How likely a positive's score is above a negative's, equal ones counting half; None where one kind is missing.

    >>> auroc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True]))
    0.75
    """
    n = int(positive.sum())
    if n in (0, len(positive)):
        return None
    return float((rankdata(scores)[positive].sum() - n * (n + 1) / 2) / (n * (len(positive) - n)))
