import logging
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from keyposs.data import Ibug300W
from keyposs.errors import KeyposError
from writers import PARTS, PRIVATE, save_boxes, write_300w, write_boxes, write_points

real = pytest.mark.skipif("KEYPOSS_DATA" not in os.environ, reason="KEYPOSS_DATA is not set")


def load(root, split, **settings):
    return {face.name: face for face in Ibug300W(root, **settings).annotations(split)}


def brightness(face, points):
    image = face.read()
    x, y = points.round().astype(int).T
    return image[y, x].min()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPG", ".jpeg", ".PNG"])
@pytest.mark.parametrize("header", [True, False])
def test_points_lie_on_their_pixels(tmp_path, suffix, header):
    truth = write_300w(tmp_path, {"afw": 2, "ibug": 1}, suffix=suffix, header=header)
    found = load(tmp_path, "train") | load(tmp_path, "val") | load(tmp_path, "test")
    assert found.keys() == truth.keys()
    for name, face in found.items():
        np.testing.assert_allclose(face.keypoints, truth[name], atol=1e-6)
        assert brightness(face, face.keypoints) > 220
        assert face.visible.all()
        assert not face.occluded.any()
        np.testing.assert_array_equal(face.box, [*face.keypoints.min(0), *face.keypoints.max(0)])
        assert face.norm == pytest.approx(np.linalg.norm(truth[name][36] - truth[name][45]))


def test_splits_and_subsets(tmp_path):
    write_300w(tmp_path)
    train, val, test = (load(tmp_path, split) for split in ("train", "val", "test"))
    assert len(train) + len(val) == 20
    assert {name.rpartition("/")[0] for name in val} == {"afw", "helen/trainset", "lfpw/trainset"}
    assert not {f.photo for f in train.values()} & {f.photo for f in val.values()}
    subsets = {face.subsets for face in (train | val).values()}
    assert subsets == {("all",)}
    assert Counter(face.subsets for face in test.values()) == {
        ("common", "full"): 5,
        ("challenging", "full"): 2,
    }


def test_faces_of_a_photo_share_it_but_lfpw_numbers_photos(tmp_path):
    write_300w(tmp_path, {"afw": 2, "lfpw/trainset": 2})
    found = load(tmp_path, "train") | load(tmp_path, "val")
    assert found["afw/100_1"].photo == found["afw/100_2"].photo == "afw/100"
    assert found["lfpw/trainset/image_0001"].photo == "lfpw/trainset/image_0001"


def test_full_only_where_both_halves_are(tmp_path):
    write_300w(tmp_path, {"lfpw/testset": 3})
    assert {face.subsets for face in load(tmp_path, "test").values()} == {("common",)}
    assert load(tmp_path, "train") == load(tmp_path, "val") == {}


def test_report_says_what_was_found(tmp_path, caplog):
    write_300w(tmp_path, {"afw": 2, "helen/trainset": 4})
    with caplog.at_level(logging.INFO):
        load(tmp_path, "train")
    lines = [line.split() for line in caplog.messages]
    assert ["afw", "2", "of", "337"] in lines
    assert ["helen/trainset", "4", "of", "2000"] in lines
    assert ["lfpw/trainset", "none", "of", "811"] in lines


@pytest.mark.parametrize("norm", ["box", "diagonal"])
def test_norm_is_as_asked(tmp_path, norm):
    write_300w(tmp_path, {"ibug": 1})
    points = np.random.default_rng(0).uniform(32, 44, (68, 2))
    points[:2] = [[30, 30], [90, 45]]
    write_points(tmp_path / "ibug/image_0001.pts", points)
    value = {"box": 30.0, "diagonal": np.hypot(60, 15)}[norm]
    assert load(tmp_path, "test", norm=norm)["ibug/image_0001"].norm == pytest.approx(value)


def spoil(root: Path, kind: str) -> None:
    points, photo = root / "afw/100_1.pts", root / "afw/100_1.jpg"
    lines = points.read_text().splitlines()
    if kind == "missing photo":
        photo.unlink()
    elif kind == "truncated photo":
        photo.write_bytes(photo.read_bytes()[:-200])
    elif kind == "photo is text":
        photo.write_text("hello")
    elif kind == "equal":
        write_points(points, np.full((68, 2), 50.0))
    else:
        changed = {
            "67 points": lines[:3] + lines[4:],
            "text": [*lines[:3], "left eye", *lines[4:]],
            "empty": [],
            "no points": [*lines[:3], "}"],
            "three numbers": [*lines[:3], "1 2 3", *lines[4:]],
            "nan": [*lines[:3], "nan 3", *lines[4:]],
        }
        points.write_text("\n".join(changed[kind]))


CAUSES = {
    "missing photo": r"100_1\.jpg: the photo is missing",
    "truncated photo": r"100_1\.jpg: cannot be read as an image",
    "photo is text": r"100_1\.jpg: cannot be read as an image",
    "equal": r"100_1\.pts: its landmarks coincide",
    "67 points": r"100_1\.pts: holds 67 points, not 68",
    "text": r"100_1\.pts: holds something else than numbers",
    "empty": r"100_1\.pts: holds no points",
    "no points": r"100_1\.pts: holds no points",
    "three numbers": r"100_1\.pts: holds a point that is not two finite numbers",
    "nan": r"100_1\.pts: holds a point that is not two finite numbers",
}


@pytest.mark.parametrize("kind", CAUSES)
def test_bad_face_stops_or_is_skipped_and_counted(tmp_path, caplog, kind):
    write_300w(tmp_path, {"afw": 6}, suffix=".jpg")
    spoil(tmp_path, kind)
    with pytest.raises(KeyposError, match=CAUSES[kind] + ".*Remedy"):
        load(tmp_path, "train")
    data = Ibug300W(tmp_path, bad_faces="skip")
    found = [face.name for split in ("train", "val") for face in data.annotations(split)]
    assert sorted(found) == ["afw/100_2", "afw/101_1", "afw/101_2", "afw/102_1", "afw/102_2"]
    assert "skipped 1 bad face of 6" in caplog.messages
    assert any("100_1" in message for message in caplog.messages)


def test_nothing_but_bad_faces_is_an_error(tmp_path):
    write_300w(tmp_path, {"afw": 1}, suffix=".jpg")
    spoil(tmp_path, "missing photo")
    with pytest.raises(KeyposError, match="the photo is missing"):
        load(tmp_path, "train", bad_faces="skip")


def test_missing_root(tmp_path):
    with pytest.raises(KeyposError, match=r"nowhere: the folder is missing.*data\.root"):
        load(tmp_path / "nowhere", "train")


def test_root_without_parts_says_what_is_expected(tmp_path):
    with pytest.raises(KeyposError, match=r"none of the official folders afw, helen/trainset.*holds them"):
        load(tmp_path, "train")


@pytest.mark.parametrize("root", [".", "300w/afw", "300w/lfpw", "300w/lfpw/testset"])
def test_root_too_high_or_too_low_is_put_right(tmp_path, root):
    write_300w(tmp_path / "300w", {"afw": 2, "lfpw/testset": 1})
    with pytest.raises(KeyposError, match=rf"set data\.root={tmp_path / '300w'}\."):
        load(tmp_path / root, "train")


@pytest.mark.parametrize("setting", [{"norm": "ears"}, {"bad_faces": "ignore"}])
def test_unknown_setting(tmp_path, setting):
    with pytest.raises(KeyposError, match=r"is unknown\. Remedy: choose one of"):
        Ibug300W(tmp_path, **setting)


def test_unknown_split(tmp_path):
    write_300w(tmp_path, {"afw": 2})
    with pytest.raises(KeyposError, match="split=validation: is unknown"):
        load(tmp_path, "validation")


def test_private_test(tmp_path):
    truth = write_300w(tmp_path, PARTS | PRIVATE)
    found = load(tmp_path, "test")
    assert Counter(face.subsets for face in found.values()) == {
        ("common", "full"): 5,
        ("challenging", "full"): 2,
        ("indoor", "private"): 3,
        ("outdoor", "private"): 2,
    }
    face = found["300W/01_Indoor/indoor_001"]
    assert face.file == tmp_path / "300W/01_Indoor/indoor_001.png"
    assert len({face.photo for face in found.values() if "private" in face.subsets}) == 5
    np.testing.assert_allclose(face.keypoints, truth["300W/01_Indoor/indoor_001"], atol=1e-6)
    assert brightness(face, face.keypoints) > 220


@pytest.mark.parametrize("parts", [PRIVATE, PARTS | PRIVATE])
def test_private_folders_may_lie_in_the_root(tmp_path, parts):
    write_300w(tmp_path, parts)
    names = list(load(tmp_path, "test"))
    for folder in ("01_Indoor", "02_Outdoor"):
        (tmp_path / "300W" / folder).rename(tmp_path / folder)
    assert list(load(tmp_path, "test")) == names


def test_private_only_where_both_halves_are(tmp_path):
    write_300w(tmp_path, {"300W/02_Outdoor": 2})
    assert {face.subsets for face in load(tmp_path, "test").values()} == {("outdoor",)}


def test_root_above_a_whole_set_is_put_right(tmp_path):
    write_300w(tmp_path / "300W", {"afw": 2, "ibug": 1, **{name[5:]: 1 for name in PRIVATE}})
    with pytest.raises(KeyposError, match=rf"set data\.root={tmp_path / '300W'}\."):
        load(tmp_path, "test")


def test_private_test_leaves_train_and_val_alone(tmp_path):
    write_300w(tmp_path)
    before = [list(load(tmp_path, split)) for split in ("train", "val")]
    write_300w(tmp_path, PRIVATE)
    assert [list(load(tmp_path, split)) for split in ("train", "val")] == before


def test_boxes_are_the_faces(tmp_path):
    faces = write_300w(tmp_path, PARTS | PRIVATE)
    boxes = write_boxes(tmp_path, faces)
    found = load(tmp_path, "train") | load(tmp_path, "val") | load(tmp_path, "test")
    for name, face in found.items():
        if "private" in face.subsets:
            assert face.face_box is None
        else:
            np.testing.assert_allclose(face.face_box, boxes[name], atol=1e-9)
        np.testing.assert_array_equal(face.box, [*face.keypoints.min(0), *face.keypoints.max(0)])


def test_faces_without_an_entry_or_file_have_no_box(tmp_path):
    faces = write_300w(tmp_path, {"afw": 3, "ibug": 2})
    boxes = write_boxes(tmp_path, {name: points for name, points in faces.items() if name.startswith("afw")})
    path = tmp_path / "Bounding Boxes/bounding_boxes_afw.mat"
    save_boxes(path, [{"imgName": "100_2.jpg", "bb_detector": [[2.0, 3, 9, 10]], "bb_ground_truth": [[1.0, 1, 2, 2]]}])
    found = load(tmp_path, "train") | load(tmp_path, "val")
    assert set(found) == set(boxes)
    np.testing.assert_array_equal(found["afw/100_2"].face_box, [1, 2, 8, 9])
    assert found["afw/100_1"].face_box is None
    assert {face.face_box for face in load(tmp_path, "test").values()} == {None}


def test_a_broken_file_of_boxes_is_named(tmp_path):
    write_boxes(tmp_path, write_300w(tmp_path, {"ibug": 2}))
    path = tmp_path / "Bounding Boxes/bounding_boxes_ibug.mat"
    path.write_bytes(path.read_bytes()[:150])
    with pytest.raises(KeyposError, match=r"bounding_boxes_ibug\.mat: is no whole MATLAB file.*Remedy"):
        load(tmp_path, "test")


def test_a_stray_space_in_a_name(tmp_path):
    (name, points), *_ = write_300w(tmp_path, {"ibug": 1}).items()
    boxes = write_boxes(tmp_path, {"ibug/image_092_01": points})
    for suffix in (".pts", ".png"):
        (tmp_path / f"{name}{suffix}").rename(tmp_path / f"ibug/image_092 _01{suffix}")
    np.testing.assert_allclose(load(tmp_path, "test")["ibug/image_092 _01"].face_box, boxes["ibug/image_092_01"])


def test_root_may_be_a_link_with_spaces_and_accents(tmp_path):
    faces = write_300w(tmp_path / "disk", {"afw": 2, "ibug": 1})
    boxes = write_boxes(tmp_path / "disk", faces)
    (tmp_path / "Gesichter für ü 顔").symlink_to(tmp_path / "disk", target_is_directory=True)
    root = tmp_path / "Gesichter für ü 顔"
    face = load(root, "test")["ibug/image_0001"]
    np.testing.assert_allclose(face.face_box, boxes["ibug/image_0001"])
    assert face.read().any()


def test_points_off_the_photo_are_kept(tmp_path):
    write_300w(tmp_path, {"ibug": 1})
    points = np.random.default_rng(0).uniform(-40, 200, (68, 2)).round(3)
    write_points(tmp_path / "ibug/image_0001.pts", points)
    np.testing.assert_allclose(load(tmp_path, "test")["ibug/image_0001"].keypoints, points, atol=1e-9)


def test_a_points_file_that_cannot_be_read(tmp_path):
    write_300w(tmp_path, {"ibug": 2})
    (tmp_path / "ibug/image_0001.pts").unlink()
    (tmp_path / "ibug/image_0001.pts").mkdir()
    with pytest.raises(KeyposError, match=r"image_0001\.pts: cannot be read"):
        load(tmp_path, "test")
    assert list(load(tmp_path, "test", bad_faces="skip")) == ["ibug/image_0002"]


def test_official_counts_add_up():
    official = Ibug300W.official
    assert official["train"] == sum(official[part] for part in ("afw", "helen/trainset", "lfpw/trainset")) == 3148
    assert official["common"] == official["helen/testset"] + official["lfpw/testset"] == 554
    assert official["full"] == official["common"] + official["challenging"] == 689
    assert official["challenging"] == official["ibug"] == 135
    assert official["private"] == official["indoor"] + official["outdoor"] == 600


@real
def test_real_faces():
    data = Ibug300W(Path(os.environ["KEYPOSS_DATA"], "300w"))
    train, val, test = (data.annotations(split) for split in ("train", "val", "test"))
    folders = Counter(face.name.rpartition("/")[0] for face in train + val)
    assert folders == {"afw": 337, "helen/trainset": 870, "lfpw/trainset": 805}
    assert len(val) == 208
    assert not {face.photo for face in train} & {face.photo for face in val}
    assert [face.subsets for face in test] == [("common",)] * 224
    for face in test[::16] + train[::150]:
        h, w, _ = face.read().shape
        inside = ((face.keypoints > -0.1 * w) & (face.keypoints < 1.1 * np.array([w, h]))).all(1)
        assert inside.mean() > 0.95
