import json
import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat, savemat

from aflw_writer import FILE, make_table, write_aflw
from keyposs.data import Aflw
from keyposs.errors import KeyposError

real = pytest.mark.skipif("KEYPOSS_DATA" not in os.environ, reason="KEYPOSS_DATA is not set")
NAMES = ["bbox", "data", "mask_new", "nameList", "ra"]


def load(root, *splits, **settings):
    data = Aflw(root, **settings)
    return [face for split in splits or ("train", "val", "test") for face in data.annotations(split)]


def row(face):
    return int(face.name.rpartition("#")[2]) - 1


@pytest.mark.parametrize("photos", ["data/flickr", "aflw/data/flickr", "flickr", "images", "."])
def test_points_lie_on_their_pixels(tmp_path, photos):
    truth = write_aflw(tmp_path, photos=photos)
    faces = load(tmp_path, hidden="count")
    assert {face.name for face in faces} == truth.keys()
    for face in faces:
        np.testing.assert_allclose(face.keypoints, truth[face.name], atol=1e-6)
        x, y = face.keypoints.round().astype(int).T
        assert face.read()[y, x].min() > 230
        x, y = truth[face.name].mean(0)
        np.testing.assert_allclose(face.face_box, [x - 30, y - 40, x + 30, y + 40])


def test_splits_follow_the_order_of_the_file(tmp_path):
    write_aflw(tmp_path)
    order = loadmat(tmp_path / FILE)["ra"].ravel().astype(int) - 1
    train, val, test = (load(tmp_path, split) for split in ("train", "val", "test"))
    assert [row(face) for face in test] == order[13:].tolist()
    assert sorted(map(row, train + val)) == sorted(order[:13])
    assert val
    assert not {face.photo for face in train} & {face.photo for face in val}


def test_points_out_of_sight_are_ignored_or_counted(tmp_path):
    write_aflw(tmp_path)
    for face in load(tmp_path):
        hidden = np.arange(19) == (row(face) % 19 if row(face) % 3 == 0 else -1)
        np.testing.assert_array_equal(face.visible, ~hidden)
        assert not face.occluded.any()
    for face in load(tmp_path, hidden="count"):
        hidden = np.arange(19) == (row(face) % 19 if row(face) % 3 == 0 else -1)
        assert face.visible.all()
        np.testing.assert_array_equal(face.occluded, hidden)


def test_a_point_without_coordinates_is_never_counted(tmp_path):
    write_aflw(tmp_path)
    change(tmp_path, "data", lambda data: data.__setitem__((3, 19 + 3), np.nan))  # row 3 hides point 3
    face = next(face for face in load(tmp_path, hidden="count") if row(face) == 3)
    np.testing.assert_array_equal(face.visible, np.arange(19) != 3)
    assert not face.occluded.any()


def test_a_face_of_one_visible_point_is_bad(tmp_path):
    write_aflw(tmp_path)
    row_of = row(load(tmp_path, "test")[0])
    change(tmp_path, "mask_new", lambda mask: mask.__setitem__((row_of, slice(1, None)), 0))
    change(tmp_path, "mask_new", lambda mask: mask.__setitem__((row_of, 0), 1))
    with pytest.raises(KeyposError, match=rf"{FILE}:{row_of + 1}: its landmarks coincide.*skip"):
        load(tmp_path, "test")
    assert len(load(tmp_path, "test", bad_faces="skip")) == 2


def test_subsets(tmp_path):
    write_aflw(tmp_path)
    for face in load(tmp_path, "test"):
        assert face.subsets == (("all",) if row(face) % 3 == 0 else ("all", "frontal"))
    assert {face.subsets for face in load(tmp_path, "train", "val")} == {("all",)}


@pytest.mark.parametrize(
    ("norm", "length"), [("box", np.sqrt(4800)), ("diagonal", 100.0), ("inter-ocular", None), ("inter-pupil", None)]
)
def test_norms(tmp_path, norm, length):
    truth = write_aflw(tmp_path)
    pair = {"inter-ocular": (6, 11), "inter-pupil": (7, 10)}.get(norm)
    for face in load(tmp_path, norm=norm, hidden="count"):
        points = truth[face.name]
        assert face.norm == pytest.approx(np.linalg.norm(points[pair[0]] - points[pair[1]]) if pair else length)


def test_box_is_the_default_norm(tmp_path):
    write_aflw(tmp_path)
    np.testing.assert_allclose([face.norm for face in load(tmp_path)], np.sqrt(4800))


def test_official_counts(tmp_path):
    """The whole index, without photos."""
    rng = np.random.default_rng(4)
    names = [f"0/image{i:05d}.jpg" for i in range(24386)]
    order = rng.permutation(24386)
    table = make_table(rng.uniform(0, 100, (24386, 19, 2)), names, order=order)
    table["mask_new"][:, 0] = 0
    table["mask_new"][order[20000:21314]] = 1
    table["mask_new"][order[:50]] = 1  # in sight too, but to train
    (tmp_path / "data/flickr/0").mkdir(parents=True)
    savemat(tmp_path / FILE, table)
    data = Aflw(tmp_path)
    train, test = data.sources("train"), data.sources("test")
    assert data.sources("val") == []
    assert (len(train), len(test)) == (data.official["train"], data.official["test"])
    assert sorted(source.args[2] for source in [*train, *test]) == list(range(24386))
    faces = [source() for source in test]
    assert [row(face) for face in faces] == order[20000:].tolist()
    assert sum("frontal" in face.subsets for face in faces) == data.official["frontal"]
    assert {source().subsets for source in train[:100]} == {("all",)}


def change(root, name, edit):
    """Edits a variable of the file in place, or puts another one there; `None` from `edit` keeps it."""
    table = {key: value for key, value in loadmat(root / FILE).items() if key in NAMES}
    edited = edit(table[name])
    table[name] = table[name] if edited is None else edited
    savemat(root / FILE, table)


def text(array):
    cells = array.copy()
    cells[5, 0] = np.array([["not a photo"]])
    return cells


BAD_FACES = {
    "nan": ("data", lambda v: v.__setitem__((5, 4), np.nan), r"mat:6: its landmarks are not finite"),
    "nothing": ("mask_new", lambda v: v.__setitem__(5, 0), r"mat:6: it has no annotated landmark"),
    "no box": ("bbox", lambda v: v.__setitem__((5, 1), v[5, 0]), r"mat:6: its face box has no area"),
    "nan box": ("bbox", lambda v: v.__setitem__((5, 1), np.nan), r"mat:6: its face box has no area"),
    "name": ("nameList", text, r"mat:6: names no photo like 0/image00002\.jpg \('not a photo'\)"),
    "empty name": ("nameList", lambda v: v.__setitem__((5, 0), np.zeros((0, 0))), r"mat:6: names no photo"),
    "number": ("nameList", lambda v: v.__setitem__((5, 0), np.eye(3)), r"mat:6: names no photo"),
}


@pytest.mark.parametrize("kind", BAD_FACES)
def test_bad_face_stops_or_is_skipped_and_counted(tmp_path, caplog, kind):
    write_aflw(tmp_path)
    name, edit, cause = BAD_FACES[kind]
    change(tmp_path, "ra", lambda _: np.arange(1.0, 17)[None])
    change(tmp_path, name, edit)
    with pytest.raises(KeyposError, match=cause + ".*Remedy"):
        load(tmp_path, "train")
    assert len(load(tmp_path, "train", "val", bad_faces="skip")) == 12
    assert "skipped 1 bad face of 13" in caplog.messages


def test_a_missing_photo_and_a_broken_one(tmp_path, caplog):
    write_aflw(tmp_path)
    change(tmp_path, "ra", lambda _: np.arange(1.0, 17)[None])
    photo = tmp_path / "data/flickr/2/image00001.jpg"
    whole = photo.read_bytes()
    for data, cause in ((whole[:-100], "cannot be read as an image"), (None, "the photo is missing")):
        photo.unlink() if data is None else photo.write_bytes(data)
        with pytest.raises(KeyposError, match=rf"image00001\.jpg: {cause}.*and 1 more bad face"):
            load(tmp_path, "train")
        assert len(load(tmp_path, "train", "val", bad_faces="skip")) == 11
        assert "skipped 2 bad faces of 13" in caplog.messages


def test_points_may_lie_off_the_photo(tmp_path):
    write_aflw(tmp_path)
    change(tmp_path, "data", lambda data: data.__setitem__((5, [0, 19]), [-7.5, 999]))
    face = next(face for face in load(tmp_path) if row(face) == 5)
    np.testing.assert_array_equal(face.keypoints[0], [-7.5, 999])


BAD_FILES = {
    "bbox": ("bbox", lambda v: v[:, :3], r"bbox is float64 of shape \(16, 3\), not numbers of \(16, 4\)"),
    "rows": ("data", lambda v: v[:-1], r"data is float64 of shape \(15, 38\), not numbers of \(16, 38\)"),
    "mask": ("mask_new", lambda v: np.full((16, 19), "x"), r"mask_new is .* not numbers of \(16, 19\)"),
    "names": ("nameList", lambda v: v[:4], "nameList has 4 names for 16 faces"),
    "order": ("ra", lambda v: v - 1, "ra is no order of the faces"),
    "twice": ("ra", lambda v: v.__setitem__((0, 0), v[0, 1]), "ra is no order of the faces"),
    "nan": ("ra", lambda v: v.__setitem__((0, 0), np.nan), "ra is no order of the faces"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_variables_that_do_not_fit(tmp_path, kind):
    write_aflw(tmp_path)
    name, edit, cause = BAD_FILES[kind]
    change(tmp_path, name, edit)
    with pytest.raises(KeyposError, match=rf"AFLWinfo_release\.mat: {cause}. Remedy: fetch AFLWinfo"):
        load(tmp_path, bad_faces="skip")


def test_whole_numbers_of_any_type_will_do(tmp_path):
    truth = write_aflw(tmp_path)
    change(tmp_path, "ra", lambda v: v.T.astype(np.uint16))
    change(tmp_path, "mask_new", lambda v: v.astype(bool))
    faces = load(tmp_path)
    assert {face.name for face in faces} == truth.keys()
    assert sum(not face.visible.all() for face in faces) == 6


@pytest.mark.parametrize("data", [b"", b"hello", "half"])
def test_files_that_are_not_whole(tmp_path, data):
    write_aflw(tmp_path)
    path = tmp_path / FILE
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if data == "half" else data)
    with pytest.raises(KeyposError, match=rf"{FILE}: is no whole MATLAB file.*Remedy: fetch"):
        load(tmp_path)


def test_a_missing_variable(tmp_path):
    write_aflw(tmp_path)
    table = loadmat(tmp_path / FILE)
    savemat(tmp_path / FILE, {name: table[name] for name in NAMES[:3]})
    with pytest.raises(KeyposError, match="holds no variable nameList, ra"):
        load(tmp_path)


@pytest.mark.parametrize("root", [".", "aflw/data"])
def test_root_too_high_or_too_low_is_put_right(tmp_path, root):
    write_aflw(tmp_path / "aflw")
    with pytest.raises(KeyposError, match=rf"holds no {FILE}\. Remedy: set data\.root={tmp_path / 'aflw'}\."):
        load(tmp_path / root)


def test_roots_without_the_files(tmp_path):
    with pytest.raises(KeyposError, match=rf"nowhere: the folder is missing.*holds {FILE}"):
        load(tmp_path / "nowhere")
    with pytest.raises(KeyposError, match=rf"holds no {FILE}. Remedy: set data.root to the folder that holds"):
        load(tmp_path)
    write_aflw(tmp_path)
    shutil.rmtree(tmp_path / "data")
    with pytest.raises(KeyposError, match=r"no folders of photos; looked for data/flickr/\{0,2,3\}, aflw/data"):
        load(tmp_path)


def test_unicode_spaces_and_links_in_the_path(tmp_path):
    write_aflw(tmp_path / "Gesichter ü 顔")
    (tmp_path / "link").symlink_to(tmp_path / "Gesichter ü 顔")
    for root in ("Gesichter ü 顔", "link"):
        faces = load(tmp_path / root)
        assert len(faces) == 16
        assert faces[0].read().shape == (120, 150, 3)


def test_unknown_setting(tmp_path):
    with pytest.raises(KeyposError, match=r"data\.hidden=maybe: is unknown\. Remedy: choose one of ignore, count"):
        Aflw(tmp_path, hidden="maybe")


EDITS = st.one_of(
    st.just(lambda v: None),
    st.just(lambda v: v[:0]),
    st.just(lambda v: v[..., :-1]),
    st.just(lambda v: v.T),
    st.just(lambda v: v.ravel()),
    st.just(lambda v: np.full(v.shape, "x")),
    st.just(lambda v: np.full(v.shape, 1j)),
    st.sampled_from([np.nan, np.inf, -np.inf, -1, 0, 1e300]).map(
        lambda bad: lambda v: np.where(np.arange(v.size).reshape(v.shape) % 7 == 3, bad, v)
    ),
    st.sampled_from(["u1", "i2", "f4"]).map(
        lambda kind: lambda v: v if v.dtype == object else np.nan_to_num(v).astype(kind)
    ),
)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(NAMES), EDITS, st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=2))
def test_a_fuzzed_file_gives_faces_or_one_error(tmp_path_factory, name, edit, flips):
    root = tmp_path_factory.getbasetemp() / "fuzzed"
    if not (root / "whole").is_file():
        write_aflw(root)
        (root / FILE).rename(root / "whole")
    shutil.copy(root / "whole", root / FILE)
    change(root, name, edit)
    data = bytearray((root / FILE).read_bytes())
    for place, value in flips:
        data[place % len(data)] = value
    (root / FILE).write_bytes(data)
    try:
        good, errors = Aflw(root).gather("train")
    except KeyposError as error:
        assert str(root) in error.subject  # noqa: PT017
    else:
        assert all(np.isfinite(face.norm) and face.norm > 0 for face in good)
        assert len(good) + len(errors) <= 16


@real
def test_samples_read_as_mmpose_reads_them(tmp_path):
    """An official file from the numbers in mmpose's json of two faces: points, box and norm are the same."""
    samples = Path(os.environ["KEYPOSS_DATA"], "samples/aflw")
    plain = json.loads((samples / "test_aflw.json").read_text())
    faces = plain["annotations"]
    names = [f"0/{image['file_name']}" for image in plain["images"]]
    points = np.array([face["keypoints"] for face in faces]).reshape(-1, 19, 3)[..., :2]
    table = make_table(points, names, order=np.arange(2))
    side, centre = (np.array([face[key] for face in faces]) for key in ("box_size", "center"))
    low, high = centre - side[:, None] / 2, centre + side[:, None] / 2
    table["bbox"] = np.stack([low[:, 0], high[:, 0], low[:, 1], high[:, 1]], axis=1)
    savemat(tmp_path / FILE, table)
    (tmp_path / "data/flickr").mkdir(parents=True)
    (tmp_path / "data/flickr/0").symlink_to(samples)
    found = {face.photo: face for face in load(tmp_path, hidden="count")}
    assert Counter(found.keys()) == Counter(names)
    for name, image, json_face, expected in zip(names, plain["images"], faces, points, strict=True):
        face = found[name]
        np.testing.assert_allclose(face.keypoints, expected, atol=1e-6)
        assert face.norm == pytest.approx(json_face["box_size"])
        assert face.read().shape == (image["height"], image["width"], 3)
        assert (face.face_box[:2] < face.box[:2]).all()
        assert (face.face_box[2:] > face.box[2:]).any()
