"""Table 6 against the paper's printed figures, and against mmcv's counts of the paper's code."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

PATH = Path(__file__).parents[2] / "scripts" / "table6_efficiency.py"
table6 = SimpleNamespace(**runpy.run_path(str(PATH)))

MMCV = {
    64: (4.7541e9, 9_736_256),
    32: (1.1885e9, 9_736_256),
    16: (0.3030e9, 9_736_256),
    8: (0.0666e9, 9_664_688),
    4: (0.0268e9, 9_644_456),
}
"""`get_model_complexity_info` run on the paper's code; parameters without the layers that its head never calls."""


@pytest.fixture(scope="module")
def rows():
    return table6.measure(keypoints=98)


@pytest.mark.parametrize("heatmap_size", MMCV)
def test_the_papers_way_of_counting_gives_the_papers_table(rows, heatmap_size):
    row = rows[heatmap_size]
    flops, parameters = MMCV[heatmap_size]
    assert row.paper_macs == pytest.approx(flops, abs=0.5e5)  # its last printed digit
    assert row.paper_parameters == parameters
    printed = (round(row.paper_macs / 1e9, 2), round(row.paper_parameters / 1e6, 2))
    assert printed == table6.PRINTED[heatmap_size]


@pytest.mark.parametrize(
    ("heatmap_size", "macs", "millions"),
    [(64, 4.694e9, 9.66), (32, 1.173e9, 9.66), (16, 0.299e9, 9.66), (8, 0.0651e9, 2.83), (4, 0.0259e9, 0.66)],
)
def test_ours_counts_what_runs(rows, heatmap_size, macs, millions):
    assert rows[heatmap_size].macs == pytest.approx(macs, rel=5e-3)
    assert round(rows[heatmap_size].parameters / 1e6, 2) == millions


def test_the_command_prints_a_row_per_size(rows, monkeypatch, capsys):
    monkeypatch.setitem(table6.main.__globals__, "measure", lambda **_: rows)
    table6.main([])
    printed = capsys.readouterr().out
    assert [line.split("|")[1].strip() for line in printed.splitlines() if "9.7" in line] == ["64", "32", "16"]
    assert "98 points" in printed
    assert "9.64" in printed


def test_other_points_and_images_stand_beside_no_printed_figure(capsys):
    table6.main(["--keypoints", "68", "--image-size", "64"])
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    rows = {line[0]: line[1:] for line in lines if line and line[0].isdigit()}
    assert list(rows) == ["16", "8", "4", "2", "1"]
    # the published code with 68 points and 256 pixels: 4.7208 G, of which a sixteenth
    assert float(rows["16"][2]) == pytest.approx(4.7208 / 16, abs=1e-4)
    assert rows["16"][4:] == ["-", "-"]


def test_an_image_that_stems_do_not_divide_is_refused(capsys):
    with pytest.raises(SystemExit):
        table6.main(["--image-size", "100"])
    assert "--image-size 100 is no multiple of 64" in capsys.readouterr().err
