"""What the faces of a split say about settings and decoders: intervals, paired differences and their p."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keyposs.reports import statistics
from keyposs.reports.comparison import Comparison

SURE = 0.05
"""A p below this tells two readings apart."""

RANGES = "In brackets, 95 % intervals over the faces (bootstrap, 10 000 resamples)."
TEST = "p by a paired sign-flip test of 10 000 flips, corrected by Holm"
"""For the captions of tables."""

Key = tuple[int, str]
"""A reading: the number of the setting, and the decoder."""


class Difference(NamedTuple):
    """How much larger one NME is than another on the same faces, in percent of the norm."""

    mean: float
    interval: tuple[float, float]
    p: float  # corrected over its family

    @property
    def tied(self) -> bool:
        """Whether the faces do not tell it from 0."""
        return self.p >= SURE


class Evidence:
    """The errors of every setting and decoder on the same faces, with one bootstrap for them all.

    Args:
        comparison: of runs; those without predictions bring no errors.
        split: whose faces.
        subset: of it.
    """

    def __init__(self, comparison: Comparison, split: str, subset: str) -> None:
        found = {
            (i, decoder): errors
            for i, setting in enumerate(comparison.settings)
            for decoder, errors in setting.errors(split, subset).items()
        }
        self.columns: dict[Key, int] = {key: column for column, key in enumerate(found)}
        faces = len(next(iter(found.values()), ()))
        self.errors = np.stack([*found.values()], axis=1) if faces > 1 else np.zeros((0, 0))  # one face has no spread
        self.means = statistics.bootstrap(self.errors) if self.known else self.errors

    @property
    def known(self) -> bool:
        """Whether there are errors of at least two faces."""
        return len(self.errors) > 0

    def interval(self, key: Key) -> tuple[float, float] | None:
        """Of an NME; None where the faces' errors are not known."""
        if not self.known or key not in self.columns:
            return None
        return statistics.interval(self.means[:, self.columns[key]])

    def differences(self, pairs: Sequence[tuple[Key, Key]]) -> list[Difference | None]:
        """The first minus the second of each pair; the pairs are one family of tests (Holm)."""
        known = [i for i, pair in enumerate(pairs) if self.known and all(key in self.columns for key in pair)]
        found: list[Difference | None] = [None] * len(pairs)
        if known:
            a, b = ([self.columns[pairs[i][side]] for i in known] for side in (0, 1))
            of_faces, of_resamples = self.errors[:, a] - self.errors[:, b], self.means[:, a] - self.means[:, b]
            p = statistics.holm(statistics.paired_p(of_faces))
            for column, i in enumerate(known):
                interval = statistics.interval(of_resamples[:, column])
                found[i] = Difference(float(of_faces[:, column].mean()), interval, float(p[column]))
        return found
