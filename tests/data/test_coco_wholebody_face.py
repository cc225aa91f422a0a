import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from coco_writer import write_coco_wholebody, write_json
from keyposs.data import CocoWholebodyFace
from keyposs.errors import KeyposError

real = pytest.mark.skipif("KEYPOSS_DATA" not in os.environ, reason="KEYPOSS_DATA is not set")
VAL = "annotations/coco_wholebody_val_v1.0.json"


def load(root, split="test", **arguments):
    return {face.name: face for face in CocoWholebodyFace(root, **arguments).annotations(split)}


def edit(root, change):
    content = json.loads((root / VAL).read_text())
    change(content)
    write_json(root / VAL, content)


def test_points_lie_on_their_pixels(tmp_path):
    truth = write_coco_wholebody(tmp_path)
    train, val, test = (load(tmp_path, split) for split in ("train", "val", "test"))
    assert (len(train) + len(val), len(test)) == (12, 4)
    assert val
    assert not {face.photo for face in train.values()} & {face.photo for face in val.values()}
    found = train | val | test
    assert found.keys() == truth.keys()
    for name, face in found.items():
        np.testing.assert_allclose(face.keypoints, truth[name], atol=1e-9)
        x, y = face.keypoints.round().astype(int).T
        assert face.read()[y, x].min() > 220
        assert face.visible.all()
        assert not face.occluded.any()
        assert face.norm == pytest.approx(np.linalg.norm(truth[name][36] - truth[name][45]))
        np.testing.assert_allclose(face.face_box - face.box, [-10, -10, 10, 10])


def test_photos_of_the_splits_have_the_same_names(tmp_path):
    write_coco_wholebody(tmp_path)
    shutil.copy(tmp_path / "train2017/000000000001.png", tmp_path / "val2017")
    assert {face.file.parent.name for face in load(tmp_path, "train").values()} == {"train2017"}


def test_who_counts(tmp_path, caplog):
    def change(content):
        crowd, invalid, unseen, *_ = content["annotations"]
        crowd["iscrowd"] = 1
        invalid["face_valid"] = False
        unseen["face_kpts"][2::3] = [0.0] * 68

    write_coco_wholebody(tmp_path)
    edit(tmp_path, change)
    with caplog.at_level("INFO"):
        assert list(load(tmp_path)) == ["000001000002.png#103"]
    assert "1 faces of 7 annotations" in caplog.text


def test_points_without_visibility_are_not_annotated_and_it_may_be_a_fraction(tmp_path):
    write_coco_wholebody(tmp_path)
    edit(tmp_path, lambda content: content["annotations"][0]["face_kpts"].__setitem__(slice(2, 9, 3), [0.0, 0.4, 1]))
    face = load(tmp_path)["000001000001.png#100"]
    assert face.visible.tolist() == [False] + [True] * 67
    assert not face.occluded.any()


def test_json_in_the_root_itself(tmp_path):
    write_coco_wholebody(tmp_path)
    (tmp_path / VAL).rename(tmp_path / Path(VAL).name)
    assert len(load(tmp_path)) == 4


def test_one_json_may_be_missing(tmp_path, caplog):
    write_coco_wholebody(tmp_path)
    (tmp_path / "annotations/coco_wholebody_train_v1.0.json").unlink()
    assert load(tmp_path, "train") == load(tmp_path, "val") == {}
    assert "the json of the split train is not there" in caplog.text
    assert len(load(tmp_path)) == 4


def test_annotations_without_any_photo(tmp_path):
    write_coco_wholebody(tmp_path)
    for folder in ("train2017", "val2017"):
        shutil.rmtree(tmp_path / folder)
    assert not CocoWholebodyFace(tmp_path).photos
    faces = load(tmp_path)
    assert len(faces) == 4
    with pytest.raises(KeyposError, match=r"val2017/000001000001\.png: the photo is missing"):
        faces["000001000001.png#100"].read()


@pytest.mark.parametrize("missing", ["train", "test"])
def test_a_missing_half_of_the_photos_is_an_error(tmp_path, missing):
    write_coco_wholebody(tmp_path)
    shutil.rmtree(tmp_path / {"train": "train2017", "test": "val2017"}[missing])
    data = CocoWholebodyFace(tmp_path)
    assert data.annotations("test" if missing == "train" else "train")
    assert data.photos
    with pytest.raises(KeyposError, match=r"\.png: the photo is missing.* more bad faces"):
        data.annotations(missing)


def test_one_missing_photo_is_an_error(tmp_path):
    write_coco_wholebody(tmp_path)
    (tmp_path / "val2017/000001000001.png").unlink()
    with pytest.raises(KeyposError, match=r"000001000001\.png: the photo is missing: it is not in .*val2017"):
        load(tmp_path)
    assert len(load(tmp_path, bad_faces="skip")) == 2


def test_a_photo_of_another_size(tmp_path):
    write_coco_wholebody(tmp_path)
    edit(tmp_path, lambda content: content["images"][0].update(width=640))
    with pytest.raises(KeyposError, match=r"150 x 120 pixels, but was annotated with 640 x 120"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "cause"),
    [
        ("face_kpts", [1.0] * 201, "holds 67 face_kpts, not the 68"),
        ("face_kpts", "none", "its face_kpts are not a list of numbers"),
        ("face_box", [1, 2], "its face_box is not four numbers"),
        ("image_id", 5, "its image 5 is not among the file's images"),
    ],
)
def test_bad_face_stops_or_is_skipped_and_counted(tmp_path, caplog, key, value, cause):
    write_coco_wholebody(tmp_path)
    edit(tmp_path, lambda content: content["annotations"][1].update({key: value}))
    with pytest.raises(KeyposError, match=rf"val_v1\.0\.json annotation 101: {cause}.*Remedy"):
        load(tmp_path)
    assert [name[-3:] for name in load(tmp_path, bad_faces="skip")] == ["100", "102", "103"]
    assert "skipped 1 bad face of 4" in caplog.messages


def test_a_json_cut_in_half(tmp_path):
    write_coco_wholebody(tmp_path)
    path = tmp_path / VAL
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(KeyposError, match=r"val_v1\.0\.json: is no JSON, it is broken or cut short"):
        load(tmp_path)


def test_root_without_any_json(tmp_path):
    with pytest.raises(KeyposError, match=r"holds neither annotations/coco_wholebody_train.*data\.root"):
        load(tmp_path)


def test_a_file_without_faces(tmp_path):
    write_coco_wholebody(tmp_path, test=0)
    with pytest.raises(KeyposError, match=r"none of its 3 annotations is a face with face_kpts"):
        load(tmp_path)


@real
def test_real_sample():
    root = Path(os.environ["KEYPOSS_DATA"], "samples/coco")
    faces = load(root, test="test_coco_wholebody.json").values()
    assert [face.name for face in faces] == [
        "000000000785.jpg#442619",
        "000000040083.jpg#198196",
        "000000040083.jpg#230195",
        "000000197388.jpg#437295",
    ]
    assert [face.norm for face in faces] == pytest.approx([17.236, 13.642, 14.627, 5.873], abs=1e-3)
    for face in faces:
        h, w, _ = face.read().shape
        assert (face.box[:2] > 0).all()
        assert (face.box[2:] < [w, h]).all()
        assert np.abs(face.face_box - face.box).max() < 5
