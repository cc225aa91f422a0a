import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from keyposs.reports import statistics
from keyposs.reports.statistics import bootstrap, holm, interval, paired_p

ERRORS = np.random.default_rng(0).lognormal(1, 0.5, (60, 3))


def test_the_interval_is_that_of_scipy():
    means = bootstrap(ERRORS)
    for column in range(3):
        found = interval(means[:, column])
        theirs = scipy.stats.bootstrap(
            (ERRORS[:, column],), np.mean, n_resamples=20_000, method="percentile", random_state=1
        ).confidence_interval
        np.testing.assert_allclose(found, theirs, atol=0.02 * ERRORS[:, column].std())


def test_resampled_means_have_the_mean_and_the_standard_error_of_the_mean():
    means = bootstrap(ERRORS)
    np.testing.assert_allclose(means.mean(0), ERRORS.mean(0), atol=0.01)
    np.testing.assert_allclose(means.std(0), ERRORS.std(0) / np.sqrt(60), rtol=0.03)


def test_intervals_of_normal_samples_cover_the_truth_as_often_as_they_say():
    samples = np.random.default_rng(2).normal(5, 1, (50, 400))
    means = bootstrap(samples, 1000)
    low, high = np.array([interval(column) for column in means.T]).T
    assert 0.90 < np.mean((low <= 5) & (high >= 5)) < 0.98


def test_columns_share_their_resamples():
    means = bootstrap(np.stack([ERRORS[:, 0], ERRORS[:, 0] + 2], axis=1))
    np.testing.assert_allclose(means[:, 1] - means[:, 0], 2)


def test_many_faces_are_resampled_in_parts(monkeypatch):
    monkeypatch.setattr(statistics, "CELLS", 500)
    means = bootstrap(ERRORS, 1003)
    assert means.shape == (1003, 3)
    np.testing.assert_allclose(means.std(0), ERRORS.std(0) / np.sqrt(60), rtol=0.1)
    assert paired_p(ERRORS[:, :1] - ERRORS[:, 1:2], 1003) == pytest.approx(
        paired_p(ERRORS[:, :1] - ERRORS[:, 1:2]), abs=0.05
    )


def test_everything_is_the_same_each_time():
    np.testing.assert_array_equal(bootstrap(ERRORS), bootstrap(ERRORS))
    np.testing.assert_array_equal(paired_p(ERRORS - 3), paired_p(ERRORS - 3))


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.2, 0.4])
def test_p_is_that_of_scipy(shift):
    differences = np.random.default_rng(3).normal(shift, 1, 80)
    theirs = scipy.stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=20_000, random_state=1
    ).pvalue
    assert paired_p(differences[:, None])[0] == pytest.approx(theirs, abs=0.015)


@given(st.lists(st.integers(-8, 8), min_size=1, max_size=8))
def test_p_is_the_share_of_all_flips(differences):
    differences = np.array(differences, dtype=float)
    sums = [abs(np.dot(signs, differences)) for signs in itertools.product((-1, 1), repeat=len(differences))]
    exact = np.mean(np.array(sums) >= abs(differences.sum()) - 1e-9)
    assert paired_p(differences[:, None])[0] == pytest.approx(exact, abs=0.03)


def test_equal_readings_are_not_told_apart():
    assert paired_p(np.zeros((30, 1)))[0] == 1
    means = bootstrap(np.stack([ERRORS[:, 0]] * 2, axis=1))
    assert interval(means[:, 0] - means[:, 1]) == (0, 0)


def test_one_face_tells_nothing_and_the_least_p_is_that_of_the_data_alone():
    assert paired_p(np.ones((1, 1)))[0] == 1
    assert paired_p(np.ones((100, 1)))[0] == pytest.approx(1 / 10_001)


def test_a_nan_stays_in_its_column():
    errors = ERRORS.copy()
    errors[3, 1] = np.nan
    means = bootstrap(errors)
    np.testing.assert_array_equal(means[:, [0, 2]], bootstrap(ERRORS)[:, [0, 2]])
    assert np.isnan(interval(means[:, 1])).all()
    p = paired_p(errors - 3)
    assert np.isnan(p[1])
    np.testing.assert_array_equal(p[[0, 2]], paired_p(ERRORS - 3)[[0, 2]])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_the_definition(p):
    p = np.array(p)
    adjusted = holm(p)
    for i, value in enumerate(p):
        smaller = p[p <= value]
        steps = [(len(p) - rank) * at for rank, at in enumerate(np.sort(p)) if at <= value]
        assert adjusted[i] == pytest.approx(min(1, max(steps)))
        assert len(smaller) == len(steps)
    assert (adjusted >= p).all()
