"""Told against true errors: normal draws of known spread, and the command on networks with random weights."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import spearmanr

PATH = Path(__file__).parents[2] / "scripts" / "uncertainty.py"
uncertainty = SimpleNamespace(**runpy.run_path(str(PATH)))

QUIET = ("datamodule.workers=0",)
FACES, POINTS = 4000, 20


def drawn(told=1.0):
    """Errors by covariances of any direction and size, and `told` times the standard deviations."""
    random = np.random.default_rng(0)
    roots = random.normal(size=(FACES, POINTS, 2, 2)) * random.uniform(0.2, 5, (FACES, 1, 1, 1))
    errors = (roots @ random.normal(size=(FACES, POINTS, 2, 1)))[..., 0]
    return errors, told**2 * roots @ roots.swapaxes(-1, -2), np.ones((FACES, POINTS), bool), np.full(FACES, 40.0)


@pytest.mark.parametrize("told", [0.5, 1.0, 2.0])
def test_normal_errors_of_known_spread(told):
    found = uncertainty.agreement(*drawn(told), limit=0.1)
    assert found["faces"] == FACES
    assert found["RMS z"] == pytest.approx(1 / told, rel=0.02)
    assert found["inside, %"] == pytest.approx(100 * (1 - np.exp(-2 * told**2)), abs=1)
    assert 0.5 < found["Spearman, points"] < found["Spearman, faces"] < 1
    assert 0.9 < found["AUROC"] <= 1


def test_points_that_are_not_annotated_do_not_count():
    errors, covariances, visible, norm = drawn()
    visible[:, 7:] = False
    found = uncertainty.agreement(errors, covariances, visible, norm, 0.1)
    kept = uncertainty.agreement(errors[:, :7], covariances[:, :7], visible[:, :7], norm, 0.1)
    assert found == pytest.approx(kept)
    off, spread = np.hypot(*errors[:, :7].T).T, np.sqrt(np.trace(covariances[:, :7], axis1=2, axis2=3))
    assert found["Spearman, points"] == pytest.approx(spearmanr(off.ravel(), spread.ravel()).statistic)
    assert found["NME"] == pytest.approx(100 * (off / 40).mean())


def test_the_command(untrained, capsys):
    run = untrained("codec=coordinates", "head.dim=64")
    uncertainty.main([run, *QUIET, "--split", "test"])
    said = capsys.readouterr().out.replace("\n", " ")
    assert "Uncertainties on test" in said
    assert all(name in said for name in uncertainty.FORMATS)


def test_a_method_that_tells_none_is_refused(untrained, refused):
    with refused("tells no covariances of its points. Remedy: give a run of a method that does"):
        uncertainty.main([untrained(), *QUIET])


def test_mistakes_are_said_plainly(untrained, refused):
    with refused("holds no faces for the split 'val'"):
        uncertainty.main([untrained("codec=coordinates", "head.dim=64"), *QUIET, "data.val=0"])
