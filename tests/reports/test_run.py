import json

import numpy as np
import pytest

from fake_run import fake_run
from keyposs.errors import KeyposError
from keyposs.reports.run import read_run

DECODERS = ("one_hot", "multilateration")


@pytest.fixture
def run(tmp_path):
    return fake_run(tmp_path / "run", decoders=DECODERS)


def change(path, **fields):
    """Sets fields of the first row; None removes one."""
    rows = json.loads(path.read_text())
    rows[0] = {key: value for key, value in (rows[0] | fields).items() if value != "gone"}
    path.write_text(json.dumps(rows))


def test_a_run_holds_the_errors_of_its_files(run):
    found = read_run(run)
    assert found.decoder == "multilateration"
    assert list(found.readings) == ["val", "test"]
    read = found.readings["test"]
    assert read.names[:2] == ("test/face 000", "test/face 001")
    assert read.points.shape == (12, 68, 2)
    (row,) = [r for r in found.rows if (r["split"], r["subset"], r["decoder"]) == ("test", "full", "one_hot")]
    assert read.nme["one_hot"].mean() == pytest.approx(row["nme"], abs=1e-3)


def test_the_best_decoder_stands_for_a_run_whose_monitor_was_not_read(run):
    facts = json.loads((run / "run.json").read_text())
    facts["config"]["monitor"] = "dark"
    (run / "run.json").write_text(json.dumps(facts))
    assert read_run(run).decoder == "multilateration"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"flip_test": "gone"},
            r"is from another version of keyposs \(0\.1\.0\): row 0 lacks flip_test\. Remedy: .*evaluate",
        ),
        ({"nme": None}, "row 0 has None for nme"),
        ({"nme": "6.1"}, "row 0 has '6.1' for nme"),
        ({"decoder": 3}, "row 0 has 3 for decoder"),
    ],
)
def test_rows_that_are_not_results_are_refused(run, fields, message):
    change(run / "results.json", **fields)
    with pytest.raises(KeyposError, match=message):
        read_run(run)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("results.json", '[{"nme": 6.', r"results\.json: is not JSON \(.*char"),
        ("results.json", "[]", r"results\.json: holds no list of rows"),
        ("results.json", '{"nme": 6}', r"results\.json: holds no list of rows"),
        ("run.json", "{", r"run\.json: is not JSON.*evaluate checkpoint="),
        ("run.json", "[]", r"run\.json: holds no facts"),
        ("predictions.csv", "", r"predictions\.csv: has no column name, split"),
        ("predictions.csv", "name,split\n", r"predictions\.csv: has no column subsets, decoder, norm, nme"),
        ("predictions.csv", "name,split,subsets,decoder,norm,nme\na,val\n", r"line 2 has 2 cells, not 6"),
        ("predictions.csv", "name,split,subsets,decoder,norm,nme\na,val,all,dark,1,x\n", r"has 'x' for a number"),
    ],
)
def test_a_broken_file_is_named(run, name, text, message):
    (run / name).write_text(text)
    with pytest.raises(KeyposError, match=message):
        read_run(run)


def test_predictions_of_other_faces_than_the_results_are_refused(run):
    path = run / "predictions.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "test/face 004" not in line))
    with pytest.raises(KeyposError, match=r"has 7 faces of test common by one_hot, but results\.json counts 8"):
        read_run(run)
    path.write_text("".join(line for line in lines if "test/face 004,test,common|full,one_hot" not in line))
    with pytest.raises(KeyposError, match="has other faces for one_hot than for multilateration"):
        read_run(run)
    path.write_text("".join([*lines, lines[-1]]))
    with pytest.raises(KeyposError, match="has test/face 011 twice for multilateration"):
        read_run(run)


def test_a_face_without_a_reading_is_a_nan_of_its_decoder_alone(run):
    path = run / "predictions.csv"
    lines = path.read_text().splitlines(keepends=True)
    i = next(i for i, line in enumerate(lines) if line.startswith("test/face 003,test,common|full,one_hot"))
    cells = lines[i].split(",")
    lines[i] = ",".join([*cells[:5], "nan", *cells[6:]])
    path.write_text("".join(lines))
    nme = read_run(run).readings["test"].nme
    assert np.isnan(nme["one_hot"]).sum() == 1
    assert np.isfinite(nme["multilateration"]).all()
