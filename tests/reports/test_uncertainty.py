"""Told against true errors, on normal draws of known spread."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from keyposs.reports import uncertainty
from keyposs.reports.uncertainty import Told, agreement, kept

FACES, POINTS = 4000, 20


def drawn(times: float = 1.0) -> Told:
    """Errors by covariances of any direction and size; told are `times` the standard deviations."""
    random = np.random.default_rng(0)
    roots = random.normal(size=(FACES, POINTS, 2, 2)) * random.uniform(0.2, 5, (FACES, 1, 1, 1))
    errors = (roots @ random.normal(size=(FACES, POINTS, 2, 1)))[..., 0]
    covariances = times**2 * roots @ roots.swapaxes(-1, -2)
    covered = random.random((FACES, POINTS)) < 0.2
    then = covariances * np.where(covered, 4, 1)[..., None, None]
    scores = random.random((FACES, POINTS))
    return Told(errors, covariances, scores, np.ones((FACES, POINTS), bool), np.full(FACES, 40.0), covered, then)


@pytest.mark.parametrize("times", [0.5, 1.0, 2.0])
def test_normal_errors_of_known_spread(times: float) -> None:
    found = agreement(drawn(times), limit=0.1)
    assert found["faces"] == FACES
    assert found["RMS z"] == pytest.approx(1 / times, rel=0.02)
    for p in (50, 90):  # within a radius r of a normal distribution in the plane lie 1 - exp(-r^2 / 2)
        assert found[f"in {p} %, %"] == pytest.approx(100 * (1 - (1 - p / 100) ** (times**2)), abs=1)
    assert 0.5 < found["Spearman, points"] < found["Spearman, faces"] < 1
    assert 0.9 < found["AUROC, failures"] <= 1
    assert 0.55 < found["AUROC, covered"] < 1
    assert found["NME without the worst 10 %"] < found["NME"]
    assert list(found) == list(uncertainty.FORMATS)


def test_points_that_are_not_annotated_do_not_count() -> None:
    told = drawn()
    told.visible[:, 7:] = False
    short = told._replace(**{f: getattr(told, f)[:, :7] for f in Told._fields if f != "norm"})
    found, alone = agreement(told, 0.1), agreement(short, 0.1)
    assert found == pytest.approx(alone)
    off, spread = np.hypot(*short.errors.T).T, np.sqrt(np.trace(short.covariances, axis1=2, axis2=3))
    assert found["Spearman, points"] == pytest.approx(spearmanr(off.ravel(), spread.ravel()).statistic)
    assert found["NME"] == pytest.approx(100 * (off / 40).mean())


def test_who_refuses_by_the_error_itself_keeps_the_smallest() -> None:
    errors = np.random.default_rng(0).random(1000)
    refused = np.array([0.0, 0.1, 0.9, 0.999])
    expected = [np.sort(errors)[:n].mean() for n in (1000, 900, 100, 1)]
    np.testing.assert_allclose(kept(errors, errors, refused), expected)


def test_who_refuses_by_lot_gains_nothing() -> None:
    random = np.random.default_rng(0)
    assert kept(random.random(100000), random.random(100000), np.array([0.5]))[0] == pytest.approx(0.5, abs=0.01)


def test_the_figure_has_a_panel_for_points_and_one_for_faces() -> None:
    figure = uncertainty.refusal_figure({"a run": drawn()})
    assert [ax.get_title() for ax in figure.axes] == ["a run: points", "a run: faces"]
    for ax in figure.axes:
        by = {line.get_label(): line.get_ydata() for line in ax.get_lines()}
        assert by["by covariance"][50] < by["by score"][50]
        assert (by["by error"] <= by["by covariance"] + 1e-9).all()
