"""When faces stop: against loops, brute force, scipy, and faces turned in space."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import spearmanr

from keyposs.reports import exit_pages as pages
from keyposs.reports import exits
from keyposs.reports.exits import Stages

errors = st.floats(0, 2, width=32) | st.sampled_from([0.0, 0.25, 0.5])  # the latter make ties
estimates = st.integers(1, 4).flatmap(
    lambda t: st.integers(1, 12).flatmap(lambda n: arrays(np.float64, (t, n), elements=errors))
)
WITH_NAN = st.floats(0, 2) | st.just(float("nan"))

HAND = Stages(  # five faces, three stages
    estimates=np.array([[0.1, 0.4, 0.2, 0.9, 0.5], [0.5, 0.1, 0.3, 0.8, 0.5], [0.1, 0.1, 0.1, 0.7, 0.6]]),
    errors=np.array([[0.2, 0.5, 0.3, 1.0, 0.4], [0.2, 0.2, 0.2, 0.9, 0.4], [0.1, 0.2, 0.2, 0.8, 0.4]]),
    nme=np.array([[0.10, 0.30, 0.20, 0.60, 0.3], [0.09, 0.20, 0.10, 0.50, 0.3], [0.08, 0.10, 0.10, 0.40, 0.3]]),
)
MACS = [10, 22, 30]


@given(arrays(np.float64, (3, 8), elements=WITH_NAN), st.floats(0, 2))
def test_a_face_runs_until_an_estimate_is_below_the_threshold(values: np.ndarray, threshold: float) -> None:
    for face, last in enumerate(exits.ran(values, threshold)):
        done = [i + 1 for i in range(3) if values[i, face] < threshold]
        assert last == min([*done, 3])
        assert np.array_equal(
            exits.at(values, exits.ran(values, threshold))[face], values[last - 1, face], equal_nan=True
        )


@given(estimates)
def test_thresholds_are_all_ways_to_stop(values: np.ndarray) -> None:
    levels = exits.thresholds(values)
    means = exits.mean_stages(values, levels)
    assert np.allclose(means, [exits.ran(values, level).mean() for level in levels])
    assert (np.diff(levels) > 0).all()
    assert (np.diff(means) <= 0).all()
    assert means[0] == len(values)
    assert means[-1] == 1
    own = np.unique(values)
    for level in own[np.append(True, np.diff(own) > 2 * exits.APART)]:  # just above each estimate
        assert any(np.array_equal(exits.ran(values, level + exits.APART), exits.ran(values, other)) for other in levels)


@given(estimates, st.floats(0, 1))
def test_the_threshold_for_a_mean_number_of_stages_is_the_nearest(values: np.ndarray, share: float) -> None:
    wanted = 1 + share * (len(values) - 1)
    found = exits.threshold_for(values, wanted)
    off = {level: abs(exits.ran(values, level).mean() - wanted) for level in exits.thresholds(values)}
    assert off[found] == pytest.approx(min(off.values()), abs=1e-8)
    assert exits.ran(values, exits.threshold_for(values, len(values))).tolist() == [len(values)] * values.shape[1]
    assert exits.ran(values, exits.threshold_for(values, 1)).tolist() == [1] * values.shape[1]


def test_without_ties_the_wanted_mean_is_met_as_nearly_as_one_face_allows() -> None:
    """At a threshold a face adds one stage, or the two that are left."""
    values = np.random.default_rng(0).random((3, 500))
    for wanted in np.linspace(1, 3, 50):
        assert abs(exits.ran(values, exits.threshold_for(values, wanted)).mean() - wanted) <= 1 / 500 + 1e-9


def test_of_two_as_near_the_one_of_more_stages_is_taken() -> None:
    values = np.array([[0.1, 0.3], [0.5, 0.5]])  # 2, 1.5 or 1 stages
    assert exits.mean_stages(values, exits.thresholds(values)).tolist() == [2.0, 1.5, 1.0]
    assert exits.ran(values, exits.threshold_for(values, 1.75)).mean() == 2
    assert exits.ran(values, exits.threshold_for(values, 1.25)).mean() == 1.5


def test_faces_that_think_alike_stop_together() -> None:
    values = np.array([[0.3, 0.3, 0.3 + exits.APART / 2], [0.9, 0.9, 0.9]])
    assert exits.mean_stages(values, exits.thresholds(values)).tolist() == [2.0, 1.0]


def test_an_estimate_that_is_no_number_stops_no_face() -> None:
    nothing = np.full((3, 2), np.nan)
    assert exits.thresholds(nothing).tolist() == [0]
    assert exits.ran(nothing, 1e9).tolist() == [3, 3]
    one = np.array([[np.nan, 0.2], [0.1, 0.1], [0.0, 0.0]])
    assert exits.mean_stages(one, exits.thresholds(one)).tolist() == [3.0, 2.0, 1.5]


def test_the_outcome_by_hand() -> None:
    """At 0.25 faces 1 and 3 stop after the first stage, face 2 after the second, 4 and 5 run all."""
    found = exits.outcome(HAND, 0.25, MACS, limit=0.25)
    assert found["stopped"] == [0.4, 0.2, 0.4]
    assert found["stages"] == pytest.approx(2.0)
    assert found["macs"] == pytest.approx((10 + 22 + 10 + 30 + 30) / 5)
    assert found["nme"] == pytest.approx(100 * (0.10 + 0.20 + 0.20 + 0.40 + 0.3) / 5)
    assert found["fr"] == pytest.approx(40)
    assert found["nme_by_lot"] == pytest.approx(0.4 * 30 + 0.2 * 23.8 + 0.4 * 19.6)


def test_the_ends_of_a_curve_are_all_stages_and_one() -> None:
    levels = exits.sweep(HAND.estimates, also=0.25)
    rows = [exits.outcome(HAND, level, MACS, 0.25) for level in levels]
    assert 0.25 in levels
    assert levels == sorted(set(levels))
    assert (rows[0]["stages"], rows[0]["macs"], rows[0]["nme"]) == pytest.approx((3, 30, 100 * HAND.nme[2].mean()))
    assert (rows[-1]["stages"], rows[-1]["macs"], rows[-1]["nme"]) == pytest.approx((1, 10, 100 * HAND.nme[0].mean()))
    for one, other in pairwise(rows):
        assert one["macs"] >= other["macs"]
    for row in (rows[0], rows[-1]):
        assert row["nme_by_lot"] == pytest.approx(row["nme"])


def test_a_flag_by_hand() -> None:
    values, failed = np.array([0.1, 0.2, 0.3, 0.4]), np.array([False, False, True, True])
    assert exits.flag_for(values, failed, 0.0) == pytest.approx(0.25)
    told = exits.of_flag(values, failed, 0.25)
    assert told == {"faces": 4, "flagged": 2, "failures": 2, "caught": 2, "auroc": 1.0}
    assert exits.flag_for(values, ~failed, 0.0) is None  # the estimates tell the contrary
    assert exits.flag_for(values, np.zeros(4, bool), 0.0) is None
    assert exits.flag_for(values, np.ones(4, bool), 0.0) is None
    assert exits.of_flag(values, failed, None)["flagged"] == 0


def test_why_there_is_no_flag() -> None:
    values, failed = np.array([0.1, 0.2, 0.3, 0.4]), np.array([True, True, False, False])
    assert exits.why_no_flag(values, np.zeros(4, bool), 0.0) == "none is a failure"
    assert exits.why_no_flag(values, np.ones(4, bool), 0.0) == "all are failures"
    assert exits.why_no_flag(values, failed, 0.5) == "all stop early"
    assert exits.why_no_flag(values, failed, 0.0) == "the failures' estimates are no higher than the others'"


@given(st.floats(10, 30))
def test_faces_that_are_not_chosen_cost_as_much(cost: float) -> None:
    """The mix costs what is asked, and is as right as its parts."""
    of_costs = exits.alike(np.array(MACS, float)[:, None] + np.zeros((3, 2)), MACS, cost)
    assert of_costs == pytest.approx(cost)
    for macs, nme in zip(MACS, HAND.nme, strict=True):
        assert exits.alike(HAND.nme, MACS, macs) == pytest.approx(nme)


@given(arrays(np.float64, 9, elements=errors), arrays(bool, 9), st.sampled_from([0.0, 0.3, 5.0]))
def test_a_flag_tells_failures_as_well_as_any(values: np.ndarray, failed: np.ndarray, threshold: float) -> None:
    """As any that reports no face which stopped early."""
    found = exits.flag_for(values, failed, threshold)

    def told(level: float) -> float:
        return float((values[failed] > level).mean() - (values[~failed] > level).mean())

    best = 0 if failed.all() or not failed.any() else max(map(told, [threshold, *values[values >= threshold]]))
    assert (found is None) if best < 1e-9 else told(found) == pytest.approx(best, abs=1e-8)
    assert found is None or found >= threshold


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.99])
def test_a_flag_for_a_share_of_the_faces(share: float) -> None:
    values = np.random.default_rng(0).random(200)
    level = exits.flag_for(values, values > 0.5, 0.0, share)
    assert (values > level).mean() == pytest.approx(share, abs=0.005)


@pytest.mark.parametrize("share", [None, 0.5])
def test_no_face_that_stopped_early_is_reported(share: float | None) -> None:
    values, failed = np.array([0.1, 0.2, 0.3, 0.4, 0.5]), np.array([False, False, True, True, True])
    level = exits.flag_for(values, failed, 0.35, share)
    assert level == pytest.approx(0.35)
    assert exits.flag_for(values, failed, 9.0) is None


@given(arrays(np.float64, 7, elements=errors), arrays(np.float64, 7, elements=errors), arrays(bool, 7))
def test_ranks(a: np.ndarray, b: np.ndarray, positive: np.ndarray) -> None:
    if len(set(a)) == 1 or len(set(b)) == 1:
        assert exits.spearman(a, b) is None
    else:
        assert exits.spearman(a, b) == pytest.approx(float(spearmanr(a, b).statistic), abs=1e-9)
    pairs = [(x > y) + 0.5 * (x == y) for x in a[positive] for y in a[~positive]]
    assert exits.auroc(a, positive) == (pytest.approx(np.mean(pairs)) if pairs else None)


FLIP = (1, 0, 3, 2, 4)
HEAD = np.array([[-1, -1, 0.6], [1, -1, 0.6], [-0.6, 1, 0.8], [0.6, 1, 0.8], [0, 0, 1.4]])
"""A face in space: eyes, corners of the mouth, tip of the nose, which stands out."""


def seen(yaw: float, *, roll: float = 0.0, size: float = 50.0) -> np.ndarray:
    """The head turned to a side, then in the picture."""
    c, s = np.cos(yaw), np.sin(yaw)
    x, y = HEAD[:, 0] * c + HEAD[:, 2] * s, HEAD[:, 1]
    turned = (x + 1j * y) * size * np.exp(1j * roll) + (100 + 70j)
    return np.stack((turned.real, turned.imag), -1)


@given(st.floats(-3, 3), st.floats(1, 1000))
def test_a_face_from_the_front_is_its_mirror_image(roll: float, size: float) -> None:
    assert exits.asymmetry(seen(0, roll=roll, size=size), np.ones(5, bool), FLIP) < 1e-6


def test_asymmetry_grows_as_a_face_turns() -> None:
    turns = np.radians([0, 5, 15, 30, 45, 60])
    for side in (-1, 1):
        found = [exits.asymmetry(seen(side * yaw, roll=0.4), np.ones(5, bool), FLIP) for yaw in turns]
        assert (np.diff(found) > 0.02).all()
        assert 0 <= found[0] < found[-1] <= 1


def test_a_point_whose_partner_is_not_annotated_does_not_count() -> None:
    face, visible = seen(0), np.array([True, True, True, False, True])
    face[[2, 3]] = 999.0, -999.0
    assert exits.asymmetry(face, visible, FLIP) < 1e-6
    assert np.isnan(exits.asymmetry(face, np.array([True, True, False, False, False]), FLIP))


def test_quarters() -> None:
    low, high = exits.quarters(np.array([4.0, np.nan, 1, 2, 3, 5, 6, 7, 8]))
    assert low.nonzero()[0].tolist() == [2, 3]
    assert high.nonzero()[0].tolist() == [7, 8]
    assert not np.any(exits.quarters(np.full(3, np.nan)))


def test_the_words_by_hand() -> None:
    """Each face of 100 copies of the same five counts alike, so that intervals are narrow."""
    many, macs = Stages(*(np.tile(values, 100) for values in HAND)), [1_000_000 * cost for cost in MACS]
    said = list(pages.findings(many, exits.outcome(many, 0.25, macs, 0.25), macs))
    assert said[0].startswith("All 3 stages take the NME from 30.00 % after the first to 19.60 %: -10.40 [-11.")
    assert said[1].startswith(
        "With early exit a face runs 2.00 of 3 stages in the mean and 20.4 of 30.0 MMACs, 68 %. Its NME"
    )
    assert "is 24.00 %; from that of all stages that is +4.40 [+" in said[1]
    assert said[1].endswith(" points, worse.")
    mixed = 30 + (20.4 - 10) / (22 - 10) * (23.8 - 30)  # of the first stage and the second
    assert f"(all faces run as many stages, some by lot one more), the NME would be {mixed:.2f} %" in said[2]
    assert said[2].endswith(" points.")
    assert "drawn by lot, the NME would be 24.60 %; from that to stopping by the estimate it is -0.60 [" in said[3]


def test_what_the_faces_do_not_tell_is_said() -> None:
    same = np.array([5.0, 6.0, 7.0])
    assert pages.change(same, same) == "0.00 [0.00, 0.00] points, no change that these faces tell"
    assert pages.change(same, same - [0.1, -0.1, 0.0]).endswith("no change that these faces tell")
    assert pages.change(same, same + 1) == "+1.00 [+1.00, +1.00] points, worse"


def test_the_words_of_a_flag() -> None:
    values, failed = np.array([0.1, 0.2, 0.3, 0.4]), np.array([False, False, True, True])
    assert pages.flag_found(exits.of_flag(values, failed, 0.25), 0.25, 0.08) == (
        "2 of 4 faces are failures (NME above 8 %). 2 faces are reported as not found, 2 of the failures among them. "
        "Of a failure and another face, the failure's estimate is the higher in 100.0 % of the pairs."
    )
    none = exits.of_flag(values, np.zeros(4, bool), None)
    assert pages.flag_found(none, None, 0.08) == "0 of 4 faces are failures (NME above 8 %)."
