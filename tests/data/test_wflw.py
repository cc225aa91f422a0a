import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from keyposs.data import Wflw
from keyposs.errors import KeyposError
from writers import write_wflw

real = pytest.mark.skipif("KEYPOSS_DATA" not in os.environ, reason="KEYPOSS_DATA is not set")
LISTS = "WFLW_annotations/list_98pt_rect_attr_train_test"


def test_points_lie_on_their_pixels(tmp_path):
    truth = write_wflw(tmp_path, train=0)
    faces = Wflw(tmp_path).annotations("test")
    assert [face.name for face in faces] == list(truth)
    for face in faces[1::2]:  # of the two faces of a photo the last one is on it
        np.testing.assert_allclose(face.keypoints, truth[face.name], atol=1e-6)
        x, y = face.keypoints.round().astype(int).T
        assert face.read()[y, x].min() > 220
        assert face.norm == pytest.approx(np.linalg.norm(truth[face.name][60] - truth[face.name][72]))
        np.testing.assert_array_equal(face.box, [*face.keypoints.min(0), *face.keypoints.max(0)])


def test_flags_name_subsets(tmp_path):
    write_wflw(tmp_path, test=8)
    subsets = [face.subsets for face in Wflw(tmp_path).annotations("test")]
    assert subsets[0] == ("all",)
    assert subsets[5] == ("all", "pose", "illumination")
    assert subsets[7] == ("all", "pose", "expression", "illumination")


def test_val_is_cut_by_photo(tmp_path):
    write_wflw(tmp_path)
    train, val = (Wflw(tmp_path).annotations(split) for split in ("train", "val"))
    assert len(train) + len(val) == 12
    assert val
    assert not {face.photo for face in train} & {face.photo for face in val}
    assert {face.subsets for face in train + val} == {("all",)}


def test_lists_alone_are_enough_for_annotations(tmp_path):
    write_wflw(tmp_path)
    shutil.rmtree(tmp_path / "WFLW_images")
    (tmp_path / LISTS).rename(tmp_path / "list_98pt_rect_attr_train_test")
    faces = Wflw(tmp_path).annotations("test")
    assert len(faces) == 4
    with pytest.raises(KeyposError, match="the photo is missing"):
        faces[0].read()


def test_one_list_may_be_missing(tmp_path, caplog):
    write_wflw(tmp_path)
    (tmp_path / LISTS / "list_98pt_rect_attr_train.txt").unlink()
    data = Wflw(tmp_path)
    assert data.annotations("train") == data.annotations("val") == []
    assert "the list of the split train is not there" in caplog.text
    assert len(data.annotations("test")) == 4


def spoil(root, kind):
    path = root / LISTS / "list_98pt_rect_attr_test.txt"
    lines = path.read_text().splitlines()
    fields = lines[1].split(" ")
    if kind == "missing photo":
        (root / "WFLW_images/0--Event/test 0.png").unlink()
    elif kind == "fields":
        lines[1] = " ".join(fields[2:])
    elif kind == "short":
        lines[1] = " ".join(fields[:150])
    elif kind == "text":
        lines[1] = " ".join(["left", *fields[1:]])
    else:
        lines[1] = " ".join(["7"] * 196 + fields[196:])
    path.write_text("\n".join(lines))


CAUSES = {
    "missing photo": r"test 0\.png: the photo is missing",
    "fields": r"test\.txt:2: holds (text among its numbers|20\d fields)",
    "short": r"test\.txt:2: holds 150 fields, not 207",
    "text": r"test\.txt:2: holds text among its numbers",
    "equal": r"test\.txt:2: its landmarks coincide",
}


@pytest.mark.parametrize("kind", CAUSES)
def test_bad_face_stops_or_is_skipped_and_counted(tmp_path, caplog, kind):
    write_wflw(tmp_path)
    spoil(tmp_path, kind)
    with pytest.raises(KeyposError, match=CAUSES[kind] + ".*Remedy"):
        Wflw(tmp_path).annotations("test")
    assert len(Wflw(tmp_path, bad_faces="skip").annotations("test")) == 3
    assert "skipped 1 bad faces of 4" in caplog.messages


def test_root_without_lists(tmp_path):
    with pytest.raises(KeyposError, match=r"holds no WFLW_annotations.*data\.root"):
        Wflw(tmp_path).annotations("test")


@real
def test_real_lists():
    data = Wflw(Path(os.environ["KEYPOSS_DATA"], "wflw_annotations_only"))
    train, val, test = (data.annotations(split) for split in ("train", "val", "test"))
    assert (len(train) + len(val), len(test)) == (7500, 2500)
    assert not {face.photo for face in train} & {face.photo for face in val}
    assert len(val) == 779


@real
def test_real_photos():
    faces = Wflw(Path(os.environ["KEYPOSS_DATA"], "wflw_mini")).annotations("test")
    assert len(faces) == 4
    for face in faces:
        h, w, _ = face.read().shape
        assert (face.box[:2] > 0).all()
        assert (face.box[2:] < [w, h]).all()
