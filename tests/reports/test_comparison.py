import csv

import numpy as np
import pytest

from fake_run import fake_run
from keyposs.errors import KeyposError
from keyposs.reports.comparison import compare, differing
from keyposs.reports.run import read_run

DECODERS = ("one_hot", "multilateration")


@pytest.fixture
def runs(tmp_path):
    """`runs(a={...}, b={...})`: runs of these names and settings, read."""

    def write(**settings):
        return [
            read_run(fake_run(tmp_path / name, **{"decoders": DECODERS} | given)) for name, given in settings.items()
        ]

    return write


def labels(runs):
    return [(setting.label, setting.size, len(setting.runs)) for setting in compare(runs).settings]


def test_one_run_needs_no_label(runs):
    assert labels(runs(a={})) == [("", 16, 1)]


def test_encodings_and_flip_tests_are_told_apart_by_their_words_and_sizes_descend(runs):
    found = labels(
        runs(
            a={"size": 8, "encoding": "biased"},
            b={"size": 16, "encoding": "biased"},
            c={"size": 8},
            d={"size": 8, "flip_test": True},
        )
    )
    assert found == [
        ("biased, no flip test", 16, 1),
        ("biased, no flip test", 8, 1),
        ("unbiased, no flip test", 8, 1),
        ("unbiased, flip test", 8, 1),
    ]


def test_seeds_of_one_setting_are_averaged_face_by_face(runs):
    found = runs(a={"seed": 1}, b={"seed": 2})
    (setting,) = compare(found).settings
    assert len(setting.runs) == 2
    both = [run.readings["test"].nme["one_hot"] for run in found]
    np.testing.assert_allclose(setting.errors("test", "full")["one_hot"], np.mean(both, axis=0))
    inside = ["common" in subsets for subsets in found[0].readings["test"].subsets]
    np.testing.assert_allclose(setting.errors("test", "common")["one_hot"], np.mean(both, axis=0)[inside])
    assert setting.value("test", "full", "one_hot", "nme") == pytest.approx(np.mean(both), abs=1e-3)


def test_a_config_that_differs_names_the_part_that_does(runs):
    loss = {"loss": {"_target_": "keyposs.losses.AdaptiveWing", "omega": 14}}
    assert labels(runs(a={}, b={"config": loss})) == [("loss=MSELoss", 16, 1), ("loss=AdaptiveWing", 16, 1)]
    assert labels(runs(c={"size": 8}, d={"size": 8, "config": {"optim": {"lr": 0.1}}})) == [
        ("optim.lr=none", 8, 1),
        ("optim.lr=0.1", 8, 1),
    ]


def test_the_same_run_twice_and_runs_of_much_else_are_called_by_their_folders(runs):
    assert labels(runs(once={}, twice={})) == [("once", 16, 1), ("twice", 16, 1)]
    other = {f"key{i}": i for i in range(5)}
    assert labels(runs(this={"size": 8}, that={"size": 8, "config": other})) == [("this", 8, 1), ("that", 8, 1)]


def test_checkpoints_are_not_taken_for_seeds_of_one_training(runs):
    found = runs(a={"seed": 1, "config": {"checkpoint": "x.ckpt"}}, b={"seed": 2, "config": {"checkpoint": "y.ckpt"}})
    assert labels(found) == [("a", 16, 1), ("b", 16, 1)]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"data": "wflw"}, r"/a and .*/b: cannot be compared: data 300w and wflw. Remedy: make a report of each"),
        ({"norm": "box"}, "cannot be compared: norm inter-ocular and box"),
        ({"threshold": 0.1}, r"cannot be compared: threshold 0\.08 and 0\.1"),
        ({"faces": 15}, r"cannot be compared: their test challenging has other faces \(4 and 5\)"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_both_values(runs, other, message):
    with pytest.raises(KeyposError, match=message):
        compare(runs(a={}, b=other))


def test_as_many_faces_of_other_names_are_other_faces(tmp_path):
    a, b = (fake_run(tmp_path / name, decoders=DECODERS) for name in "ab")
    for name in ("predictions.csv", "keypoints.csv"):
        (b / name).write_text((b / name).read_text().replace("face 003", "face 903"))
    with pytest.raises(KeyposError, match=r"their test .* has other faces"):
        compare([read_run(a), read_run(b)])


def test_paths_in_the_runs_folder_are_no_difference(runs, tmp_path):
    found = runs(a={"seed": 1, "config": {"x": f"{tmp_path}/a/x"}}, b={"seed": 2, "config": {"x": f"{tmp_path}/b/x"}})
    assert len(compare(found).settings) == 1


def test_settings_of_another_part_go_without_saying():
    assert differing([{"a": "1"}, {"a": "1"}]) == []
    assert differing([{"a": "1"}, {}]) == ["a"]


def test_a_face_is_written_once_per_decoder(tmp_path):
    with (fake_run(tmp_path / "run", decoders=DECODERS) / "predictions.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 2 * (12 + 6)
