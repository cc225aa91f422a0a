import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from coco_writer import coco, draw, triples, write_coco_json, write_cvat, write_json
from keyposs.config import CONF
from keyposs.data import CocoJson, Wflw
from keyposs.errors import KeyposError
from keyposs.markup import MARKUP_68
from writers import draw_points

real = pytest.mark.skipif("KEYPOSS_DATA" not in os.environ, reason="KEYPOSS_DATA is not set")
OWN = {"name": "own", "size": 8, "mirrored": ["0-3:7-4"], "inter_ocular": [0, 7]}
POINTS = [draw_points(np.random.default_rng(i), 8) for i in range(4)]


def load(root, split="test", **arguments):
    return {face.name: face for face in open_data(root, **arguments).annotations(split)}


def open_data(root, **arguments):
    return CocoJson(root, **{"markup": OWN, "test": "test.json"} | arguments)


def write(root: Path, edit=lambda content: None) -> dict[str, Any]:
    """Writes four faces of 8 points in two photos, as edited."""
    content = coco("a ", POINTS)
    draw(root, content, POINTS)
    edit(content)
    write_json(root / "test.json", content)
    return content


def brightness(face):
    x, y = face.keypoints.round().astype(int).T
    return face.read()[y, x].min()


@pytest.mark.parametrize("images", ["", "my photos/größe"])
def test_points_lie_on_their_pixels(tmp_path, images):
    truth = write_coco_json(tmp_path / "ein Bild ü", images=images)
    arguments = {"markup": 68, "train": "train.json", "images": images}
    found = {
        name: f for s in ("train", "val", "test") for name, f in load(tmp_path / "ein Bild ü", s, **arguments).items()
    }
    assert found.keys() == truth.keys()
    for name, face in found.items():
        np.testing.assert_allclose(face.keypoints, truth[name], atol=1e-9)
        assert brightness(face) > 220
        assert face.visible.all()
        assert not face.occluded.any()
        assert face.subsets == ("all",)
        assert face.norm == pytest.approx(np.linalg.norm(truth[name][36] - truth[name][45]))
        np.testing.assert_allclose(face.face_box - face.box, [-10, -10, 10, 10])


def test_val_is_cut_by_photo_where_it_has_no_file(tmp_path):
    write_coco_json(tmp_path)
    train, val = (load(tmp_path, split, markup=68, train="train.json") for split in ("train", "val"))
    assert len(train) + len(val) == 12
    assert val
    assert not {face.photo for face in train.values()} & {face.photo for face in val.values()}


def test_val_has_a_file_of_its_own(tmp_path):
    write_coco_json(tmp_path)
    files = {"markup": 68, "train": "train.json", "val": "test.json", "test": None}
    assert [len(load(tmp_path, split, **files)) for split in ("train", "val", "test")] == [12, 4, 0]


def test_0_1_2_tell_what_is_hidden(tmp_path):
    def edit(content):
        content["annotations"][0]["keypoints"][2::3] = [0, 1, 2, 2.0, 1, 2, 2, 2]

    write(tmp_path, edit)
    face, other, *_ = load(tmp_path, norm="box").values()
    assert face.visible.tolist() == [False] + [True] * 7
    assert face.occluded.tolist() == [False, True, False, False, True, False, False, False]
    assert other.occluded.all()
    np.testing.assert_array_equal(face.keypoints[0], 0)
    np.testing.assert_allclose(face.keypoints[1:], POINTS[0][1:])


def test_0_and_1_alone_tell_nothing_of_what_is_hidden(tmp_path):
    write(tmp_path, lambda content: content["annotations"][0]["keypoints"].__setitem__(2, 0))
    faces = load(tmp_path, norm="box").values()
    assert [face.visible.sum() for face in faces] == [7, 8, 8, 8]
    assert not any(face.occluded.any() for face in faces)


def test_what_is_no_face_is_left_out(tmp_path, caplog):
    def edit(content):
        faces = content["annotations"]
        faces[0]["iscrowd"] = 1
        faces[1]["keypoints"][2::3] = [0] * 8
        faces[2].pop("keypoints")

    write(tmp_path, edit)
    with caplog.at_level("INFO"):
        assert list(load(tmp_path)) == ["a 000002.png#103"]
    assert "1 faces of 4 annotations" in caplog.text


@pytest.mark.parametrize(
    "names",
    [
        MARKUP_68.names,
        [name.replace(" ", "_").upper() for name in MARKUP_68.names],
        [str(i) for i in range(68)],
        [str(i + 1) for i in range(68)],
    ],
    ids=["names", "NAMES", "from 0", "from 1"],
)
def test_cvat_lists_points_in_another_order(tmp_path, names):
    rng = np.random.default_rng(0)
    truth = write_cvat(tmp_path, [draw_points(rng, 68) for _ in range(3)], names)
    json_file = "annotations/person_keypoints_default.json"
    found = load(tmp_path, markup=68, test=json_file, images="images/default", offset=-0.5)
    assert found.keys() == truth.keys()
    for name, face in found.items():
        np.testing.assert_allclose(face.keypoints, truth[name], atol=1e-9)
        np.testing.assert_allclose(face.face_box - face.box, [-10.5, -10.5, 9.5, 9.5])
        assert brightness(face) > 220


@pytest.mark.parametrize("names", [[], [f"p{i}" for i in range(8)], ["point"] * 8, list(range(17))])
def test_names_that_tell_nothing_keep_the_order(tmp_path, names):
    write(tmp_path, lambda content: content["categories"][0].update(keypoints=names))
    for face, truth in zip(load(tmp_path).values(), POINTS, strict=True):
        np.testing.assert_allclose(face.keypoints, truth)


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (["1", "2", "3", "4", "5", "6", "7", "9"], "'8'"),
        (["0", "1", "2", "3", "3", "5", "6", "7"], "'4'"),
        (["point 0", "point 1", "nose", *(f"point {i}" for i in range(3, 8))], "'point 2'"),
    ],
)
def test_names_that_tell_only_some_points(tmp_path, names, missing):
    write(tmp_path, lambda content: content["categories"][0].update(keypoints=names))
    with pytest.raises(KeyposError, match=rf"only some of the points: {missing} is not among them"):
        load(tmp_path)


def test_categories_of_two_orders(tmp_path):
    def edit(content):
        content["categories"] = [{"keypoints": [str(i) for i in run]} for run in (range(8), range(8, 0, -1))]

    write(tmp_path, edit)
    with pytest.raises(KeyposError, match=r"categories order their points differently"):
        load(tmp_path)


@pytest.mark.parametrize("prefix", ["/data/upload/1/", "images\\", "C:\\me\\", "../../media/upload/4/", "sub/"])
def test_a_photo_is_found_without_the_folders_of_its_name(tmp_path, prefix):
    def edit(content):
        for image in content["images"]:
            image["file_name"] = prefix + image["file_name"]

    write(tmp_path, edit)
    (tmp_path / "sub").mkdir()
    (tmp_path / "test.json").rename(tmp_path / "sub/test.json")
    assert all(brightness(face) > 220 for face in load(tmp_path, test="sub/test.json").values())


def test_a_photo_beside_the_json(tmp_path):
    write(tmp_path / "set")
    assert len(load(tmp_path, test="set/test.json", images="nowhere")) == 4


def test_a_symlinked_root(tmp_path):
    write(tmp_path / "there")
    (tmp_path / "here").symlink_to("there", target_is_directory=True)
    assert all(brightness(face) > 220 for face in load(tmp_path / "here").values())


def test_a_byte_order_mark(tmp_path):
    write(tmp_path)
    path = tmp_path / "test.json"
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert len(load(tmp_path)) == 4


def test_points_may_lie_outside(tmp_path):
    write(tmp_path, lambda content: content["annotations"][0].update(keypoints=triples(POINTS[0] - 200, v=1)))
    face = load(tmp_path)["a 000001.png#100"]
    np.testing.assert_allclose(face.keypoints, POINTS[0] - 200)


def test_photos_that_were_turned_by_exif(tmp_path):
    write(tmp_path)
    for path in tmp_path.glob("*.png"):
        with Image.open(path) as image:
            exif = image.getexif()
            exif[0x0112] = 6  # stored turned to the left; upright after a quarter turn to the right
            image.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
    with pytest.raises(KeyposError, match=r"120 x 150 pixels, but was annotated with 150 x 120.*data\.exif=true"):
        load(tmp_path)
    assert all(brightness(face) > 220 for face in load(tmp_path, exif=True).values())


def edit_points(number, value):
    return lambda content: content["annotations"][1]["keypoints"].__setitem__(number, value)


def edit_face(**entries):
    return lambda content: content["annotations"][1].update(entries)


def edit_image(**entries):
    return lambda content: content["images"][0].update(entries)


BAD = {
    "unknown image": (edit_face(image_id=7), r"annotation 101: its image 7 is not among the file's images"),
    "image by a list": (edit_face(image_id=[1]), r"its image \[1\] is not among"),
    "nine points": (edit_face(keypoints=[1] * 27), r"annotation 101: holds 9 keypoints, not the 8 of its markup"),
    "25 numbers": (edit_face(keypoints=[1] * 25), r"are not a list of numbers x, y, visibility"),
    "pairs": (edit_face(keypoints=[[1, 2, 3]] * 8), r"are not a list of numbers"),
    "text": (edit_points(4, "left"), r"annotation 101: its keypoints are not a list of numbers"),
    "number as text": (edit_points(4, "3.5"), r"are not a list of numbers"),
    "null": (edit_points(4, None), r"are not a list of numbers"),
    "object": (edit_face(keypoints={"x": 1}), r"are not a list of numbers"),
    "NaN": (edit_points(4, math.nan), r"annotation 101: its landmarks are not finite"),
    "Infinity": (edit_points(4, math.inf), r"its landmarks are not finite"),
    "NaN visibility": (edit_points(5, math.nan), r"are not a list of numbers"),
    "huge": (edit_points(4, 10**400), r"are not a list of numbers"),
    "box": (edit_face(bbox=[1, 2, 3]), r"annotation 101: its bbox is not four numbers"),
    "box of text": (edit_face(bbox="1 2 3 4"), r"its bbox is not four numbers"),
    "equal": (edit_face(keypoints=[7, 7, 1] * 8), r"annotation 101: its landmarks coincide"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_face_stops_or_is_skipped_and_counted(tmp_path, caplog, kind):
    edit, cause = BAD[kind]
    write(tmp_path, edit)
    with pytest.raises(KeyposError, match=cause + ".*Remedy"):
        load(tmp_path)
    assert [name[-3:] for name in load(tmp_path, bad_faces="skip")] == ["100", "102", "103"]
    assert "skipped 1 bad face of 4" in caplog.messages


BAD_PHOTO = {
    "size": (edit_image(width=300, height=240), r"150 x 120 pixels, but was annotated with 300 x 240"),
    "size as text": (edit_image(width="150"), r"150 x 120 pixels, but was annotated with 150 x 120"),
    "missing": (edit_image(file_name="b.png"), r"b\.png: the photo is missing: it is not in .*put it there"),
    "nameless": (edit_image(file_name=None), r"annotation 100: its image 1 has no file_name"),
    "endless": (edit_image(file_name="a" * 5000), r"the photo is missing"),
    "null byte": (edit_image(file_name="a\0b.png"), r"the photo is missing"),
}


@pytest.mark.parametrize("kind", BAD_PHOTO)
def test_bad_photo_stops_or_its_faces_are_skipped(tmp_path, caplog, kind):
    edit, cause = BAD_PHOTO[kind]
    write(tmp_path, edit)
    with pytest.raises(KeyposError, match=cause):
        load(tmp_path)
    assert [name[-3:] for name in load(tmp_path, bad_faces="skip")] == ["102", "103"]
    assert "skipped 2 bad faces of 4" in caplog.messages


@pytest.mark.parametrize("keep", [-30, 20, 3, 0])
def test_a_photo_cut_short(tmp_path, keep):
    write(tmp_path)
    path = tmp_path / "a 000002.png"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(KeyposError, match=r"a 000002\.png: cannot be read as an image"):
        load(tmp_path)
    assert [name[-3:] for name in load(tmp_path, bad_faces="skip")] == ["100", "101"]


@pytest.mark.parametrize("image", [{}, {"width": None, "height": 0}])
def test_a_size_that_is_not_told(tmp_path, image):
    def edit(content):
        del content["images"][0]["width"]
        content["images"][0].update(image)

    write(tmp_path, edit)
    assert len(load(tmp_path)) == 4


def drop(key):
    return lambda content: content.pop(key)


def double(key):
    return lambda content: content[key].append(content[key][0])


def drop_points(content):
    for face in content["annotations"]:
        del face["keypoints"]


BAD_CONTENT = {
    "no images": (drop("images"), r"test\.json: has no list of images"),
    "no annotations": (drop("annotations"), r"test\.json: has no list of annotations"),
    "no keypoints": (drop_points, r"none of its 4 annotations is a face with keypoints"),
    "no faces": (lambda content: content["annotations"].clear(), r"none of its 0 annotations"),
    "an image twice": (double("images"), r"test\.json: two of its images have the id 1"),
    "a face twice": (double("annotations"), r"test\.json: two of its annotations have the id 100"),
    "no id": (lambda content: content["annotations"][2].pop("id"), r"number 2 of its annotations is no object with"),
    "id": (edit_image(id=1.5), r"number 0 of its images is no object with an id"),
    "a number": (lambda content: content["images"].insert(0, 7), r"number 0 of its images is no object"),
}


@pytest.mark.parametrize("kind", BAD_CONTENT)
def test_bad_content(tmp_path, kind):
    edit, cause = BAD_CONTENT[kind]
    write(tmp_path, edit)
    with pytest.raises(KeyposError, match=cause + ".*Remedy"):
        load(tmp_path, bad_faces="skip")


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (b"", "is no JSON, it is broken or cut short"),
        (b"faces", "is no JSON"),
        (b"\xff\xfe\x00", "is no JSON"),
        (b"[" * 200_000, "is no JSON"),
        (b"[]", "holds a list, not an object"),
        (b"3", "holds a int, not an object"),
    ],
)
def test_a_file_that_is_none(tmp_path, text, cause):
    (tmp_path / "test.json").write_bytes(text)
    with pytest.raises(KeyposError, match=rf"test\.json: {cause}"):
        load(tmp_path)


def test_a_json_cut_in_half(tmp_path):
    write(tmp_path)
    path = tmp_path / "test.json"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(KeyposError, match=r"test\.json: is no JSON, it is broken or cut short"):
        load(tmp_path)


def test_a_missing_json(tmp_path):
    with pytest.raises(KeyposError, match=r"test\.json: cannot be read \(No such file.*check data\.root"):
        load(tmp_path)
    with pytest.raises(KeyposError, match=r"cannot be read \(Is a directory"):
        load(tmp_path, test=".")


def test_nothing_given(tmp_path):
    with pytest.raises(KeyposError, match=r"data\.train: no json is given"):
        open_data(tmp_path, test=None)


def test_a_norm_that_the_markup_has_no_points_for(tmp_path):
    with pytest.raises(KeyposError, match=r"data\.norm=inter-pupil"):
        open_data(tmp_path, norm="inter-pupil")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("a 000001.png"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def places(content: Any) -> list[tuple[Any, Any]]:
    """Every list or object in a structure with each of its keys."""
    keys = list(content) if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else []
    return [place for key in keys for place in [(content, key), *places(content[key])]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("fuzz")
    write(path)
    return path


FUZZ = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def faces_or_error(folder: Path, text: str) -> None:
    (folder / "test.json").write_text(text, encoding="utf-8", errors="replace")
    try:
        faces = open_data(folder, norm="box").annotations("test")
    except KeyposError:
        return
    assert all(np.isfinite(face.keypoints).all() for face in faces)
    assert len({face.name for face in faces}) == len(faces) > 0


@FUZZ
@given(data=st.data())
def test_changed_content_gives_faces_or_an_error(folder, data):
    content = json.loads(json.dumps(coco("a ", POINTS)))
    for _ in range(data.draw(st.integers(1, 3))):
        parent, key = data.draw(st.sampled_from(places(content) or [({"": content}, "")]))
        change = data.draw(st.sampled_from(["drop", "retype", "nest", "double"]))
        if change == "drop":
            del parent[key]
        elif change == "double" and isinstance(parent, list):
            parent.insert(key, parent[key])
        else:
            parent[key] = [parent[key]] if change == "nest" else data.draw(JSON)
    faces_or_error(folder, json.dumps(content))


@FUZZ
@given(content=JSON)
def test_any_json_gives_an_error(folder, content):
    (folder / "test.json").write_text(json.dumps(content))
    with pytest.raises(KeyposError, match=r"test\.json"):
        load(folder)


@FUZZ
@given(start=st.integers(0, 4000), length=st.integers(0, 40), text=st.text(max_size=20))
def test_changed_text_gives_faces_or_an_error(folder, start, length, text):
    whole = json.dumps(coco("a ", POINTS))
    faces_or_error(folder, whole[:start] + text + whole[start + length :])


def lapa():
    return yaml.safe_load((CONF / "data/lapa.yaml").read_text())["markup"]


@real
@pytest.mark.parametrize(
    ("name", "markup", "norms"),
    [
        ("300w", 68, [290.58, 348.44]),
        ("wflw", 98, [50.13, 52.38, 63.65, 49.27]),
        ("aflw", 19, [173.78, 62.28]),
        ("cofw", 29, [77.17, 75.60]),
        ("lapa", None, [375.00, 92.76]),
    ],
)
def test_real_samples(name, markup, norms):
    root = Path(os.environ["KEYPOSS_DATA"], "samples", name)
    faces = load(root, markup=markup or lapa(), test=f"test_{name}.json").values()
    assert [face.norm for face in faces] == pytest.approx(norms, abs=0.01)
    for face in faces:
        h, w, _ = face.read().shape
        assert (face.box[:2] >= 0).all()
        assert ((face.box[2:] < [w, h]).all()) or name == "wflw"
        assert face.occluded.any() == (name == "cofw")


@real
def test_the_same_real_faces_as_wflw():
    data = Path(os.environ["KEYPOSS_DATA"])
    ours = list(load(data / "samples/wflw", markup=98, test="test_wflw.json").values())
    theirs = Wflw(data / "wflw_mini").annotations("test")
    assert len(ours) == len(theirs) == 4
    for face, other in zip(ours, theirs, strict=True):
        assert face.photo == Path(other.photo).name
        np.testing.assert_allclose(face.keypoints, other.keypoints, atol=0.01)
        np.testing.assert_array_equal(face.read(), other.read())


def test_names_that_tell_nothing_are_said(tmp_path, caplog):
    def rename(content):
        content["categories"][0]["keypoints"] = list("abcdefgh")

    write(tmp_path, rename)
    load(tmp_path)
    assert "its points' names (a, b, c, ...) are not those of the markup" in caplog.text


def test_an_offset_that_is_no_number(tmp_path):
    with pytest.raises(KeyposError, match=r"data\.offset=nan: is not a number"):
        open_data(tmp_path, offset=float("nan"))
