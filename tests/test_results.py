import csv

from keyposs import results


def test_a_face_whose_name_is_no_utf8_costs_no_predictions(tmp_path):
    face = {"name": "Zo\udceb_1", "split": "test", "subsets": "all", "decoder": "dark", "norm": 50.0, "nme": 0.05}
    results.write(tmp_path, [], [face | {"points": [1.0, 2.0]}], {}, {})
    with (tmp_path / "predictions.csv").open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row == {
        **{"name": "Zo\ufffd_1", "split": "test", "subsets": "all", "decoder": "dark"},
        **{"norm": "50.0000", "nme": "5.0000", "x0": "1.000", "y0": "2.000"},
    }
