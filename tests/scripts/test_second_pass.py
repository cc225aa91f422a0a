"""How boxes are put off, and the command."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np

PATH = Path(__file__).parents[2] / "scripts" / "second_pass.py"
second_pass = SimpleNamespace(**runpy.run_path(str(PATH)))


def test_boxes_are_off_by_no_more_than_asked():
    boxes = np.array([[0.0, 0, 100, 60]] * 500)
    moved = second_pass.off(boxes, 0.2)
    centres, sides = (moved[:, :2] + moved[:, 2:]) / 2, moved[:, 2:] - moved[:, :2]
    assert 15 < np.abs(centres - [50, 30]).max() <= 20
    assert 0.8 <= (sides / [100, 60]).min() < 0.85
    np.testing.assert_allclose(sides[:, 0] / 100, sides[:, 1] / 60)
    np.testing.assert_array_equal(second_pass.off(boxes, 0.0), boxes)


def test_the_command(capsys):
    second_pass.main(["keyposs-4", "data.val=6", "datamodule.workers=0"])
    said = capsys.readouterr().out
    assert "keyposs-4: NME in % of inter-ocular, synthetic val" in " ".join(said.split())
    once, twice, _ = (float(word) for word in next(line for line in said.splitlines() if "20%" in line).split()[1:])
    assert twice < once
