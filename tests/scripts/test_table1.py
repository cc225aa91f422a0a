"""Table 1 against the geometry of a cell, and against published figures where WFLW's landmarks are there."""

import csv
import math
import os
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

PATH = Path(__file__).parents[2] / "scripts" / "table1_quantization_error.py"
table1 = SimpleNamespace(**runpy.run_path(str(PATH)))

ONE_HOT = (math.sqrt(2) + math.asinh(1)) / 6  # mean distance of a point in a unit square from its centre
FACES = ("data=synthetic", "data.test=60")
READERS = "decoder=[one_hot,quarter,multilateration]"


@pytest.fixture(autouse=True)
def _one_thread():
    """On busy cores the threads of these many small operations wait for each other: up to thirty times as long."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def run(out: Path, *arguments: str) -> dict[tuple[str, int], dict[str, float]]:
    """What the command writes, by decoder and size."""
    table1.main([*arguments, "--out", str(out)])
    with out.open() as file:
        return {
            (row["decoder"], int(row["heatmap_size"])): {key: float(row[key]) for key in ("nme", "cells")}
            for row in csv.DictReader(file)
        }


def test_rounding_costs_what_geometry_says_and_multilateration_nothing(tmp_path):
    measured = run(tmp_path / "table.csv", *FACES, READERS, "--sizes", "64,32,16")
    for size in (64, 32, 16):
        assert measured["one_hot", size]["cells"] == pytest.approx(ONE_HOT, rel=0.02)
        assert measured["quarter", size]["cells"] == pytest.approx(ONE_HOT / 2, rel=0.03)
        assert measured["multilateration", size]["cells"] < 1e-3
        assert measured["multilateration", size]["nme"] < 1e-2  # percent


def test_rows_of_a_decoder_double_from_size_to_size(tmp_path):
    measured = run(tmp_path / "table.csv", *FACES, READERS, "--sizes", "64,32")
    assert measured["one_hot", 32]["nme"] / measured["one_hot", 64]["nme"] == pytest.approx(2, rel=0.04)


def test_a_wider_crop_costs_in_proportion(tmp_path):
    tight = run(tmp_path / "a.csv", *FACES, READERS, "--sizes", "32")
    wide = run(tmp_path / "b.csv", *FACES, READERS, "--sizes", "32", "padding=2.5")
    ratio = wide["one_hot", 32]["nme"] / tight["one_hot", 32]["nme"]
    assert ratio == pytest.approx(2, rel=0.05)


def test_biased_maps_lose_the_position_for_every_decoder(tmp_path):
    measured = run(tmp_path / "table.csv", *FACES, READERS, "--sizes", "16", "codec.unbiased=false")
    for decoder in ("one_hot", "quarter", "multilateration"):
        assert measured[decoder, 16]["cells"] == pytest.approx(ONE_HOT, rel=0.02)


def test_the_published_border_guard_ruins_quarter_on_small_maps_only(tmp_path):
    measured = run(tmp_path / "table.csv", *FACES, READERS, "--sizes", "64,4", "--as-published")
    assert measured["quarter_published", 64] == pytest.approx(measured["quarter", 64])
    assert measured["quarter_published", 4]["cells"] > 1.2 * measured["quarter", 4]["cells"]


def test_markdown_holds_both_measures(tmp_path, capsys):
    out = tmp_path / "table.md"
    table1.main([*FACES, "decoder=[multilateration]", "--sizes", "8,4", "--out", str(out)])
    text = out.read_text()
    assert "NME in % of inter-ocular; synthetic test, 60 faces, unbiased, crop / norm" in text
    assert "mean error in cells" in text
    assert text.count("| decoder | 8 | 4 |") == 2
    assert "| multilateration | 0.000 | 0.000 |" in text
    assert "NME in % of inter-ocular" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (["data=synthetic", "data.test=0"], "has no test faces.*Remedy"),
        (["data=wflw", "data.root=nowhere"], "nowhere: holds no WFLW_annotations.*Remedy"),
        (
            ["data=synthetic", "data.test=2", "decoder.multilateration.kernel=5", "--sizes", "4"],
            "decoder.multilateration",
        ),
    ],
    ids=["no faces", "no root", "kernel"],
)
def test_mistakes_are_said_plainly(arguments, cause, refused):
    with refused(cause):
        table1.main(arguments)


def test_a_file_of_another_kind_is_refused_before_any_work(capsys):
    with pytest.raises(SystemExit):
        table1.main([*FACES, "--out", "table.txt"])
    assert "'table.txt' ends neither in .md nor in .csv" in capsys.readouterr().err


@pytest.mark.skipif("KEYPOSS_DATA" not in os.environ, reason="KEYPOSS_DATA is not set")
def test_published_figures_of_wflw(tmp_path):
    root = Path(os.environ["KEYPOSS_DATA"], "wflw_annotations_only")
    few = "decoder=[one_hot,multilateration]"
    measured = run(tmp_path / "table.csv", "data=wflw", f"data.root={root}", few)
    expected = {64: 1.39, 32: 2.77, 16: 5.56, 8: 11.54, 4: 21.47}
    for size, nme in expected.items():
        assert measured["one_hot", size]["nme"] == pytest.approx(nme, rel=0.01)
        assert measured["multilateration", size]["nme"] < 1e-3  # percent
