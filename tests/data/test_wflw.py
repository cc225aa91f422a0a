import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from keyposs.data import Wflw
from keyposs.errors import KeyposError
from keyposs.markup import Markup
from writers import write_wflw, write_wflw_subsets

real = pytest.mark.skipif("KEYPOSS_DATA" not in os.environ, reason="KEYPOSS_DATA is not set")
LISTS = "WFLW_annotations/list_98pt_rect_attr_train_test"
POINTS = "WFLW_annotations/list_98pt_test"


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
    elif kind == "nan":
        lines[1] = " ".join(["nan", *fields[1:]])
    elif kind == "flag":
        lines[1] = " ".join([*fields[:200], "2", *fields[201:]])
    else:
        lines[1] = " ".join(["7"] * 196 + fields[196:])
    path.write_text("\n".join(lines))


CAUSES = {
    "missing photo": r"test 0\.png: the photo is missing",
    "fields": r"test\.txt:2: holds (text among its numbers|20\d fields)",
    "short": r"test\.txt:2: holds 150 fields, not 207",
    "text": r"test\.txt:2: holds text among its numbers",
    "nan": r"test\.txt:2: its landmarks are not finite",
    "flag": r"test\.txt:2: holds a flag that is neither 0 nor 1",
    "equal": r"test\.txt:2: its landmarks coincide",
}


@pytest.mark.parametrize("kind", CAUSES)
def test_bad_face_stops_or_is_skipped_and_counted(tmp_path, caplog, kind):
    write_wflw(tmp_path)
    spoil(tmp_path, kind)
    with pytest.raises(KeyposError, match=CAUSES[kind] + ".*Remedy"):
        Wflw(tmp_path).annotations("test")
    assert len(Wflw(tmp_path, bad_faces="skip").annotations("test")) == 3
    assert "skipped 1 bad face of 4" in caplog.messages


def test_all_bad_is_an_error_that_does_not_advise_what_is_set(tmp_path):
    write_wflw(tmp_path, test=2)
    path = tmp_path / LISTS / "list_98pt_rect_attr_test.txt"
    edit(path, lambda lines: [" ".join(["7"] * 196 + line.split(" ")[196:]) for line in lines])
    with pytest.raises(
        KeyposError, match=r"coincide.* \(and 1 more bad face\)\. Remedy: mend or remove the annotation\.$"
    ):
        Wflw(tmp_path, bad_faces="skip").annotations("test")
    with pytest.raises(KeyposError, match=r"Remedy: mend or remove the annotation, or set data\.bad_faces=skip\.$"):
        Wflw(tmp_path).annotations("test")


def test_settings_that_are_known_but_not_here(tmp_path, monkeypatch):
    with pytest.raises(KeyposError, match=r"data\.root: is not given"):
        Wflw(None)
    monkeypatch.setattr(Wflw, "markup", Markup("five", (), ((0, 1),), size=5))
    with pytest.raises(
        KeyposError, match=r"norm=inter-ocular: is not for markup five, .*: choose one of box, diagonal"
    ):
        Wflw(tmp_path)
    with pytest.raises(KeyposError, match=r"norm=ears: is unknown\. Remedy: choose one of box, diagonal"):
        Wflw(tmp_path, norm="ears")


def test_each_split_is_read_once(tmp_path, monkeypatch):
    write_wflw(tmp_path)
    data = Wflw(tmp_path)
    before = {split: data.annotations(split) for split in ("train", "val", "test")}
    monkeypatch.setattr(Wflw, "sources", None)
    for split, faces in before.items():
        assert data.annotations(split) is faces


def test_root_without_lists(tmp_path):
    with pytest.raises(KeyposError, match=r"holds no WFLW_annotations.*data\.root"):
        Wflw(tmp_path).annotations("test")


def subsets(root, **settings):
    return [face.subsets for face in Wflw(root, **settings).annotations("test")]


def edit(path, change):
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")


def clear_flags(lines):
    return [" ".join([*line.split(" ")[:200], *"000000", line.split(" ", 206)[206]]) for line in lines]


def round_points(lines):
    return [
        " ".join([str(round(float(x))) for x in line.split(" ")[:196]] + line.split(" ", 196)[196:]) for line in lines
    ]


def test_subset_lists_say_what_the_flags_say(tmp_path):
    write_wflw(tmp_path, train=0, test=33)
    before = subsets(tmp_path)
    write_wflw_subsets(tmp_path)
    assert subsets(tmp_path) == before
    edit(tmp_path / LISTS / "list_98pt_rect_attr_test.txt", clear_flags)
    assert subsets(tmp_path) == before
    assert before[31:] == [("all", "pose", "expression", "illumination", "make-up", "occlusion"), ("all", "blur")]


@pytest.mark.parametrize("rounded", [LISTS + "/list_98pt_rect_attr_test.txt", POINTS + "/list_98pt_test_blur.txt"])
def test_subset_lists_match_rounded_points(tmp_path, rounded):
    write_wflw(tmp_path, train=0, test=33)
    write_wflw_subsets(tmp_path)
    before = subsets(tmp_path)
    edit(tmp_path / LISTS / "list_98pt_rect_attr_test.txt", clear_flags)
    edit(tmp_path / rounded, round_points)
    assert subsets(tmp_path) == before


def test_flags_and_subset_lists_are_united(tmp_path):
    write_wflw(tmp_path, train=0, test=2)
    write_wflw_subsets(tmp_path)
    assert subsets(tmp_path) == [("all",), ("all", "pose")]
    shutil.copy(tmp_path / POINTS / "list_98pt_test.txt", tmp_path / POINTS / "list_98pt_test_blur.txt")
    (tmp_path / POINTS / "list_98pt_test_largepose.txt").unlink()
    assert subsets(tmp_path) == [("all", "blur"), ("all", "pose", "blur")]


def test_the_test_list_of_points_alone(tmp_path, caplog):
    write_wflw(tmp_path, train=0, test=8)
    write_wflw_subsets(tmp_path)
    whole = Wflw(tmp_path).annotations("test")
    shutil.rmtree(tmp_path / LISTS)
    data = Wflw(tmp_path)
    faces = data.annotations("test")
    assert [(face.name, face.subsets) for face in faces] == [(face.name, face.subsets) for face in whole]
    assert {face.face_box for face in faces} == {None}
    np.testing.assert_array_equal([face.keypoints for face in faces], [face.keypoints for face in whole])
    assert data.annotations("train") == []
    assert "the list of the split train is not there" in caplog.text


def test_a_subset_line_of_another_face_is_an_error(tmp_path, caplog):
    write_wflw(tmp_path, train=0, test=4)
    write_wflw_subsets(tmp_path)
    path = tmp_path / POINTS / "list_98pt_test_largepose.txt"
    edit(path, lambda lines: [" ".join([f"{float(lines[0].split()[0]) + 2}", lines[0].split(" ", 1)[1]]), *lines[1:]])
    with pytest.raises(KeyposError, match=r"largepose\.txt:1: names a face of .*test 0\.png that is not in the test"):
        subsets(tmp_path)
    assert len(subsets(tmp_path, bad_faces="skip")) == 4
    assert "skipped 1 bad face of 5" in caplog.messages


def test_subset_lines_of_other_photos_are_counted(tmp_path, caplog):
    write_wflw(tmp_path, train=0, test=8)
    write_wflw_subsets(tmp_path)
    edit(tmp_path / LISTS / "list_98pt_rect_attr_test.txt", lambda lines: lines[:2])
    assert subsets(tmp_path) == [("all",), ("all", "pose")]
    assert "largepose.txt names 3 faces of photos not in the list" in caplog.text


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("1 2 3 photo.png", "holds 4 fields, not 197"),
        (" ".join(["x"] * 196) + " photo.png", "holds text among its numbers"),
    ],
)
def test_a_broken_subset_line_is_an_error(tmp_path, line, cause):
    write_wflw(tmp_path, train=0, test=4)
    write_wflw_subsets(tmp_path)
    edit(tmp_path / POINTS / "list_98pt_test_blur.txt", lambda lines: [*lines, "", line])
    with pytest.raises(KeyposError, match=rf"list_98pt_test_blur\.txt:2: {cause}"):
        subsets(tmp_path)
    assert len(subsets(tmp_path, bad_faces="skip")) == 4


@pytest.mark.parametrize("name", [f"{LISTS}/list_98pt_rect_attr_test.txt", f"{POINTS}/list_98pt_test_makeup.txt"])
def test_a_list_that_cannot_be_read(tmp_path, name):
    write_wflw(tmp_path)
    write_wflw_subsets(tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    with pytest.raises(KeyposError, match=rf"{Path(name).name}: cannot be read \(.+\)\. Remedy"):
        subsets(tmp_path)


@pytest.mark.parametrize("end", ["\r\n", "\n\n", "  \n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_and_byte_order_mark(tmp_path, end, mark):
    truth = write_wflw(tmp_path, train=0, test=4)
    path = tmp_path / LISTS / "list_98pt_rect_attr_test.txt"
    path.write_bytes(mark + path.read_text().replace("\n", end).encode())
    faces = Wflw(tmp_path).annotations("test")
    assert len(faces) == 4
    for face, points in zip(faces, truth.values(), strict=True):
        np.testing.assert_allclose(face.keypoints, points, atol=1e-6)
        assert face.file.is_file()


def test_root_may_be_a_link_with_spaces_and_accents(tmp_path):
    write_wflw(tmp_path / "disk", train=0)
    path = tmp_path / "disk" / LISTS / "list_98pt_rect_attr_test.txt"
    path.write_text(path.read_text(encoding="utf-8").replace("0--Event/test 0", "0--Event/日本 é 0"), encoding="utf-8")
    images = tmp_path / "disk/WFLW_images/0--Event"
    (images / "test 0.png").rename(images / "日本 é 0.png")
    root = tmp_path / "Gesichter für ü 顔"
    root.symlink_to(tmp_path / "disk", target_is_directory=True)
    face = Wflw(root).annotations("test")[0]
    assert face.name == "test/0--Event/日本 é 0.png#1"
    assert face.read().any()


def test_points_off_the_photo_are_kept(tmp_path):
    write_wflw(tmp_path, train=0)

    def move(lines):
        return [" ".join(["-12.5", "-3.25", *lines[0].split(" ")[2:]]), *lines[1:]]

    edit(tmp_path / LISTS / "list_98pt_rect_attr_test.txt", move)
    face = Wflw(tmp_path).annotations("test")[0]
    np.testing.assert_array_equal(face.keypoints[0], [-12.5, -3.25])
    np.testing.assert_array_equal(face.box[:2], [-12.5, -3.25])
    np.testing.assert_array_equal(face.face_box, [0, 0, 150, 120])


@real
def test_real_lists():
    data = Wflw(Path(os.environ["KEYPOSS_DATA"], "wflw_annotations_only"))
    train, val, test = (data.annotations(split) for split in ("train", "val", "test"))
    assert (len(train) + len(val), len(test)) == (7500, 2500)
    assert not {face.photo for face in train} & {face.photo for face in val}
    assert len(val) == 779
    assert (data.official["train"], data.official["test"]) == (7500, 2500)
    assert {face.subsets for face in test} == {("all",)}  # its flags are unknown, and written as 0
    assert all(face.face_box is not None for face in train + val + test)


@real
def test_real_photos():
    faces = Wflw(Path(os.environ["KEYPOSS_DATA"], "wflw_mini")).annotations("test")
    assert len(faces) == 4
    for face in faces:
        h, w, _ = face.read().shape
        assert (face.box[:2] > 0).all()
        assert (face.box[2:] < [w, h]).all()
        assert (face.face_box[:2] < face.box[2:]).all()
        assert (face.face_box[2:] > face.box[:2]).all()
