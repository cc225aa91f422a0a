import csv
import json
import re

import cv2
import numpy as np
import pytest

from keyposs import report
from keyposs.errors import KeyposError

DECODERS = ("one_hot", "multilateration")


def results():
    return [
        {
            **{
                "data": "300w",
                "split": split,
                "subset": subset,
                "heatmap_size": 16,
                "method": "distance_map",
            },
            **{"encoding": "unbiased", "decoder": decoder, "nme": 8.0 - 2 * i, "fr": 30.0, "auc": 0.2},
            **{"threshold": 0.08, "norm": "inter-ocular", "faces": faces, "seed": 0},
        }
        for split, subset, faces in (("val", "all", 3), ("test", "common", 5))
        for i, decoder in enumerate(DECODERS)
    ]


def write_csv(path, head, lines):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([head, *lines])


@pytest.fixture
def run(tmp_path):
    """A finished run in the files' documented layout."""
    path = tmp_path / "300w_16"
    (path / "pictures").mkdir(parents=True)
    (path / "results.json").write_text(json.dumps(results()))
    facts = {
        "version": "0.1.0",
        "commit": "abc1234",
        "parameters": 9660000,
        "macs": 299000000,
        "seconds": 3723.0,
    }
    facts |= {
        "hardware": "2 CPU threads",
        "command": "python -m keyposs.train data=300w",
        "latency_ms": 12.34,
    }
    (path / "run.json").write_text(json.dumps(facts | {"config": {"seed": 0}}))
    faces = [
        [f"lfpw/{split}{i}", split, "common", decoder, 100.0, 2.0 * (i + 1), 3.5, 4.5]
        for split, count in (("val", 3), ("test", 5))
        for i in range(count)
        for decoder in DECODERS
    ]
    head = ["name", "split", "subsets", "decoder", "norm", "nme", "x0", "y0"]
    write_csv(path / "predictions.csv", head, faces)
    lines = [[0, 1, 4.0, "", ""], [0, 2, 2.0, "", ""], [0, 2, "", 20.0, 15.0], [1, 4, 1.0, "", ""]]
    lines += [["1.0", 4, "", 10.0, 7.5]]
    head = ["epoch", "step", "train/loss", "val/nme/one_hot", "val/nme/multilateration"]
    write_csv(path / "metrics.csv", head, lines)
    for name in ("overlays_val", "distance_maps_test", "faces"):
        cv2.imwrite(str(path / "pictures" / f"{name}.png"), np.zeros((8, 8, 3), np.uint8))
    return path


def links(text):
    return re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)


def test_the_report_tells_the_run_and_every_link_leads_to_a_picture(run):
    path = report.write_report(run)
    assert path == run / "report.md"
    text = path.read_text("utf-8")
    assert text.startswith("# 300w at heatmap size 16\n")
    for fact in (
        "9.66 M",
        "0.299 G",
        "1:02:03",
        "abc1234",
        "2 CPU threads",
        "`python -m keyposs.train data=300w`",
    ):
        assert fact in text
    assert "- latency: 12.3 ms a face\n" in text
    assert "epochs" not in text
    assert "test common: 5 faces" in text
    assert "val all: 3 faces" in text
    assert set(links(text)) == {
        *("plots/ced.png", "plots/training.png"),
        *("pictures/overlays_val.png", "pictures/distance_maps_test.png", "pictures/faces.png"),
    }
    for link in links(text):
        assert cv2.imread(str(run / link)) is not None
    assert text.index("## Overlays val\n\nGround truth in green") > text.index("## Faces\n")
    assert "## Distance maps test\n\nThe predicted distance map" in text


def drawn(monkeypatch, run, name):
    """The arguments with which the report draws a figure."""
    seen = []
    real = getattr(report.plots, name)
    monkeypatch.setattr(report.plots, name, lambda *args, **kw: seen.append((args, kw)) or real(*args, **kw))
    report.write_report(run)
    ((args, kw),) = seen
    return args, kw


def test_the_ced_takes_each_test_face_once(monkeypatch, run):
    (errors,), kw = drawn(monkeypatch, run, "ced_figure")
    assert list(errors) == list(DECODERS)
    for of_faces in errors.values():
        np.testing.assert_allclose(of_faces, [0.02, 0.04, 0.06, 0.08, 0.10])
    assert kw == {"threshold": 0.08, "norm": "inter-ocular", "title": "300w test, 5 faces"}


def test_training_curves_are_means_per_epoch(monkeypatch, run):
    (loss, errors), _ = drawn(monkeypatch, run, "training_figure")
    assert loss == {1: 3.0, 2: 1.0}
    assert errors == {"one_hot": {1: 20.0, 2: 10.0}, "multilateration": {1: 15.0, 2: 7.5}}


@pytest.mark.parametrize(
    ("missing", "gone"),
    [
        ("metrics.csv", "## Training"),
        ("predictions.csv", "## Cumulative error"),
        ("run.json", "abc1234"),
        ("pictures", "## Overlays"),
    ],
)
def test_what_is_missing_leaves_its_section_out(run, missing, gone):
    assert gone in report.write_report(run).read_text()
    (run / missing).rename(run / "elsewhere")
    text = report.write_report(run).read_text()
    assert gone not in text
    assert "## Results on test" in text


def test_an_unfinished_run_is_an_error_that_says_how_to_finish(run):
    (run / "results.json").unlink()
    with pytest.raises(KeyposError, match=r"results\.json: is missing: the run has not finished.*resume=.*300w_16"):
        report.write_report(run)
    assert not (run / "report.md").exists()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("results.json", '[{"nme": 6.', r"results\.json: is not JSON \(.*char"),
        ("results.json", "[]", r"results\.json: holds no list of rows"),
        ("results.json", '{"nme": 6}', r"results\.json: holds no list of rows"),
        ("results.json", '[{"nme": 6, "fr": 1}]', r"results\.json: row 0 lacks auc, data, decoder"),
        ("run.json", "{", r"run\.json: is not JSON.*resume="),
        ("predictions.csv", "name,split\n", r"predictions\.csv: has no column decoder, nme.*resume="),
        ("metrics.csv", "", r"metrics\.csv: has no column epoch"),
    ],
)
def test_a_broken_file_is_named_and_the_old_report_stays(run, name, text, message):
    report.write_report(run)
    old = (run / "report.md").read_text()
    (run / name).write_text(text)
    with pytest.raises(KeyposError, match=message):
        report.write_report(run)
    assert (run / "report.md").read_text() == old


def test_the_command_prints_the_table_and_the_report(run, capsys):
    report.main([str(run)])
    printed = capsys.readouterr().out
    assert "multilateration" in printed
    assert "6.00" in printed
    assert str(run / "report.md") in printed


def test_the_command_says_what_is_wrong(tmp_path):
    with pytest.raises(SystemExit, match=r"results\.json: is missing"):
        report.main([str(tmp_path)])
