"""However many processes share out the faces: each counts once, in order, and the sums are the plain means."""

import numpy as np
import pytest

from measured import THRESHOLD, agree, error, measure_all, subsets
from ranks import on_ranks

MOST = 7


@pytest.mark.parametrize("world", [1, 2, 3])
def test_any_number_of_ranks_measures_the_plain_mean(world: int) -> None:
    for of_rank in on_ranks(world, measure_all, MOST):
        for faces, (rows, predictions) in enumerate(of_rank):
            assert [(row["name"], row["decoder"]) for row in predictions] == [
                (f"face {(7 * face) % 11}", decoder) for face in range(faces) for decoder in ("near", "far")
            ]
            expected = {
                (subset, decoder): factor * np.array([error(face) for face in range(faces) if subset in subsets(face)])
                for subset in ("full", "common", "challenging")
                for decoder, factor in (("near", 1), ("far", 2))
            }
            assert {(row["subset"], row["decoder"]) for row in rows} == {key for key in expected if expected[key].size}
            for row in rows:
                errors = expected[row["subset"], row["decoder"]]
                assert row["faces"] == len(errors)
                assert row["nme"] == pytest.approx(100 * errors.mean(), abs=1e-4)
                assert row["fr"] == pytest.approx(100 * (errors > THRESHOLD).mean(), abs=1e-4)
                assert row["auc"] == pytest.approx(np.maximum(0, 1 - errors / THRESHOLD).mean(), abs=1e-6)


def test_ranks_agree_on_what_rank_0_knows_and_on_its_mistakes() -> None:
    one, other = on_ranks(2, agree)
    assert one == other
    known, missing, full, odd = one
    assert (known, missing) == ("from 0", "best.ckpt: is missing. Remedy: train.")
    assert "no space is left" in full
    assert "rank 0: failed (ValueError('odd'))" in odd
