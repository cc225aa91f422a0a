"""Figure 7: which pictures stand where, what their captions say, and what is refused."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from keyposs import viz

PATH = Path(__file__).parents[2] / "scripts" / "figure7_resolutions.py"
figure7 = SimpleNamespace(**runpy.run_path(str(PATH)))
QUIET = ("datamodule.workers=0",)


@pytest.fixture
def sheets(monkeypatch):
    """The captions and columns of every sheet that is drawn."""
    drawn, draw = [], viz.sheet

    def watched(images, *, columns, captions, **options):
        drawn.append((columns, list(captions)))
        return draw(images, columns=columns, captions=captions, **options)

    monkeypatch.setattr(viz, "sheet", watched)
    return drawn


def test_rows_are_decoders_and_columns_are_sizes(untrained, tmp_path, sheets):
    runs, out = [untrained("heatmap_size=4"), untrained()], tmp_path / "figure"
    figure7.main([*runs, *QUIET, "--faces", "2", "--decoders", "one_hot,multilateration", "--out", str(out)])
    first, second, (columns, names) = sheets
    for of_face in (first, second):
        assert of_face[0] == 2
        assert [caption.rsplit("  ", 1)[0] for caption in of_face[1]] == [
            f"{decoder}  {size}" for decoder in ("one_hot", "multilateration") for size in ("8x8", "4x4")
        ]
    assert first != second
    assert columns == 2
    assert len(names) == 2
    files = sorted(file.relative_to(out).as_posix() for file in out.rglob("*.png"))
    assert files == sorted(["faces.png", *(f"{name}.png" for name in names)])
    sheet, both = (cv2.imread(str(out / file)) for file in (f"{names[0]}.png", "faces.png"))
    assert sheet.shape[0] > 2 * viz.SMALLEST
    assert sheet.shape[1] > 2 * viz.SMALLEST
    assert both.shape[1] > sheet.shape[1]  # two, of half the side


def test_captions_are_errors_of_the_points_that_are_drawn(untrained, tmp_path, sheets):
    """A network that draws the truth: no error by multilateration, that of rounding by one_hot; no blue line."""
    (run,) = figure7.open_runs([untrained()], QUIET, "val")
    run = figure7.read_by(run, ["multilateration", "one_hot"])
    keypoints = torch.stack([run.datamodule.face("val", i).keypoints for i in (1, 3)])
    run = run._replace(landmarker=lambda _: run.codec.encode(keypoints))
    exact, rounded = [], []
    for sheet in figure7.sheets([run], "val", [1, 3]):
        half = sheet.shape[0] // 2
        blue = [(np.abs(part.astype(int) - viz.ERROR).max(-1) < 12).sum() for part in (sheet[:half], sheet[half:])]
        assert blue[0] < 5 < 100 < blue[1]
    for _, captions in sheets:
        exact.append(captions[0])
        rounded.append(float(captions[1].split()[-2]))
    assert exact == ["multilateration  8x8  0.00 %"] * 2
    assert min(rounded) > 5


def test_faces_are_evenly_spread_or_named():
    names = ["a", "b", "c", "d", "e"]
    assert figure7.choose(names, [], 3) == [0, 2, 4]
    assert figure7.choose(names, [], 9) == [0, 1, 2, 3, 4]
    assert figure7.choose(names, ["d", "a"], 4) == [3, 0]


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (["--names", "nobody"], "--names nobody: is no face of the split. Remedy: its names are like "),
        (["--decoders", "one_hot,drak"], "--decoders drak: is unknown. Remedy: choose from centroid, dark, "),
        (["nowhere"], "nowhere: does not exist"),
    ],
)
def test_mistakes_are_said_plainly(untrained, tmp_path, arguments, cause, refused):
    with refused(cause):
        figure7.main([untrained(), *QUIET, *arguments, "--out", str(tmp_path / "figure")])
    assert not (tmp_path / "figure").exists()


def test_runs_that_do_not_compare_are_refused(untrained, refused):
    mistakes = {
        "has maps of 8 cells, as .* has. Remedy: give one of them": untrained("codec.unbiased=false"),
        "compare runs on the same data": untrained("heatmap_size=4", "data.val=3"),
    }
    for cause, other in mistakes.items():
        with refused(cause):
            figure7.main([untrained(), other, *QUIET])


def test_a_decoder_that_cannot_read_such_small_maps(untrained, refused):
    with refused("decoder.pseudorange: cannot read maps of heatmap_size=2"):
        figure7.main([untrained("heatmap_size=2", "decoder=[one_hot]", "monitor=one_hot"), *QUIET])


def test_no_face_is_no_figure(capsys):
    with pytest.raises(SystemExit):
        figure7.main(["run", "--faces", "0"])
    assert "--faces 0 is not a number of at least 1" in capsys.readouterr().err
