import json
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader

from cofw_writer import BOX, write_cofw, write_file
from keyposs.data import Cofw, cofw
from keyposs.errors import KeyposError

real = pytest.mark.skipif("KEYPOSS_DATA" not in os.environ, reason="KEYPOSS_DATA is not set")
TRAIN, TEST = "COFW_train_color.mat", "COFW_test_color.mat"


def load(root, *splits, **settings):
    data = Cofw(root, **settings)
    return [face for split in splits or ("train", "val", "test") for face in data.annotations(split)]


@pytest.mark.parametrize("color", [True, False])
@pytest.mark.parametrize("folder", [".", "COFW_color", "COFW"])
def test_points_lie_on_their_pixels(tmp_path, color, folder):
    truth = write_cofw(tmp_path / folder, color=color)
    faces = load(tmp_path)
    assert {face.name for face in faces} == truth.keys()
    for face in faces:
        np.testing.assert_allclose(face.keypoints, truth[face.name], atol=1e-6)
        image, i = face.read(), int(face.name[-4:]) - 1
        assert image.shape == (120 + i, 150 + i, 3)
        x, y = face.keypoints.round().astype(int).T
        assert image[y, x].min() > 230
        np.testing.assert_allclose(face.box, [*face.keypoints.min(0), *face.keypoints.max(0)])


def test_colours_keep_their_order_and_grey_is_repeated(tmp_path):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, shape, dtype=np.uint8) for shape in ((40, 31, 3), (35, 50))]
    points, none = rng.uniform(1, 30, (2, 29, 2)), np.zeros((2, 29))
    write_file(tmp_path / TEST, images, points, none, suffix="T")
    colour, grey = (face.read() for face in load(tmp_path, "test"))
    np.testing.assert_array_equal(colour, images[0])
    np.testing.assert_array_equal(grey, np.stack([images[1]] * 3, axis=2))
    assert colour.flags.c_contiguous
    assert grey.flags.c_contiguous


def test_hidden_points_are_occluded_and_count(tmp_path):
    write_cofw(tmp_path)
    for face in load(tmp_path):
        assert face.visible.all()
        np.testing.assert_array_equal(face.occluded, np.arange(29) < int(face.name[-4:]) - 1)


def test_first_pixel_is_0_of_points_and_box(tmp_path):
    write_cofw(tmp_path)
    for face in load(tmp_path):
        np.testing.assert_array_equal(face.face_box, [BOX[0] - 1, BOX[1] - 1, BOX[0] + BOX[2] - 1, BOX[1] + BOX[3] - 1])


@pytest.mark.parametrize(("norm", "pair"), [("inter-ocular", (8, 9)), ("inter-pupil", (16, 17))])
def test_norms_between_points(tmp_path, norm, pair):
    truth = write_cofw(tmp_path)
    for face in load(tmp_path, norm=norm):
        assert face.norm == pytest.approx(np.linalg.norm(np.subtract(*truth[face.name][list(pair)])))


@pytest.mark.parametrize("norm", ["box", "diagonal"])
def test_norms_of_the_landmarks(tmp_path, norm):
    truth = write_cofw(tmp_path)
    for face in load(tmp_path, norm=norm):
        width, height = np.ptp(truth[face.name], axis=0)
        assert face.norm == pytest.approx(np.sqrt(width * height) if norm == "box" else np.hypot(width, height))


def test_splits(tmp_path):
    write_cofw(tmp_path)
    train, val, test = (load(tmp_path, split) for split in ("train", "val", "test"))
    assert (len(train) + len(val), len(val), len(test)) == (12, 1, 4)
    assert not {face.name for face in train} & {face.name for face in val}
    assert {face.subsets for face in train + val + test} == {("all",)}


def test_official_counts(tmp_path):
    """The whole index, all faces with one image."""
    write_cofw(tmp_path, train=1, test=1)
    for name, suffix, count in ((TRAIN, "Tr", 1345), (TEST, "T", 507)):
        with h5py.File(tmp_path / name, "r+") as file:
            for variable in (f"Is{suffix}", f"phis{suffix}", f"bboxes{suffix}"):
                column = file[variable][()]
                del file[variable]
                values = np.repeat(column, count, axis=1)
                file.create_dataset(variable, data=values, dtype=h5py.ref_dtype if values.dtype == object else None)
    data = Cofw(tmp_path)
    train, val, test = (data.annotations(split) for split in ("train", "val", "test"))
    parts = [face.name.partition("/")[0] for face in train + val]
    assert len(train + val) == data.official["train"]
    assert {part: parts.count(part) for part in parts} == {part: data.official[part] for part in ("lfpw", "cofw")}
    assert [face.name.partition("/")[0] for face in val].count("lfpw") == 84  # a tenth of each part
    assert len(val) == 134
    assert len(test) == data.official["test"]
    assert len({face.name for face in train + val + test}) == 1345 + 507


def test_colour_is_preferred_and_a_split_may_be_missing(tmp_path, caplog):
    write_cofw(tmp_path, color=False)
    write_cofw(tmp_path)
    (tmp_path / TRAIN).unlink()
    assert load(tmp_path, "test")[0].file == tmp_path / TEST
    assert load(tmp_path, "train")[0].file == tmp_path / "COFW_train.mat"
    (tmp_path / "COFW_train.mat").unlink()
    assert load(tmp_path, "train") == []
    assert "the file of the split train is not there" in caplog.text


class Images(list):
    def __getitem__(self, index):
        return super().__getitem__(index).read()


def test_images_are_read_by_threads_and_workers(tmp_path):
    write_cofw(tmp_path)
    faces = load(tmp_path)
    images = [face.read() for face in faces]
    with ThreadPoolExecutor(4) as pool:
        for a, b in zip(pool.map(lambda face: face.read(), faces * 3), images * 3, strict=True):
            np.testing.assert_array_equal(a, b)
    loader = DataLoader(Images(faces), batch_size=None, num_workers=2, collate_fn=lambda image: image)
    for a, b in zip(loader, images, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(faces[0].read))(), images[0])


def spoil(root, kind):
    with h5py.File(root / TEST, "r+") as file:
        cell = file[file["IsT"][0, 1]].name
        if kind == "nowhere":
            file["IsT"][0, 1] = h5py.Reference()
        elif kind == "group":
            file["IsT"][0, 1] = file["#refs#"].ref
        elif kind == "nan":
            file["phisT"][3, 1] = np.nan
        elif kind == "equal":
            file["phisT"][:, 1] = 3
        else:
            del file[cell]
            shape, dtype = {"four": ((4, 9, 9), "u1"), "empty": ((2,), "u8"), "float": ((3, 9, 9), "f4")}[kind]
            file["IsT"][0, 1] = file.create_dataset(cell, shape, dtype=dtype).ref


CAUSES = {
    "nowhere": "the reference to its image leads nowhere",
    "group": "the reference to its image leads nowhere",
    "four": r"its image is uint8 of shape \(4, 9, 9\), not grey or RGB bytes",
    "empty": r"its image is uint64 of shape \(2,\), not grey or RGB bytes",
    "float": r"its image is float32 of shape \(3, 9, 9\), not grey or RGB bytes",
    "nan": "its landmarks are not finite",
    "equal": "its landmarks coincide",
}


@pytest.mark.parametrize("kind", CAUSES)
def test_bad_face_stops_or_is_skipped_and_counted(tmp_path, caplog, kind):
    write_cofw(tmp_path)
    spoil(tmp_path, kind)
    with pytest.raises(KeyposError, match=rf"{TEST}:2: {CAUSES[kind]}.*Remedy.*skip"):
        load(tmp_path, "test")
    assert [face.name for face in load(tmp_path, "test", bad_faces="skip")] == ["test/0001", "test/0003", "test/0004"]
    assert "skipped 1 bad face of 4" in caplog.messages


def test_skipping_decodes_every_image(tmp_path, monkeypatch):
    def read(path, split, index):
        if index == 1:
            raise KeyposError(path, "its image is broken", "fetch it again")
        return np.zeros((9, 9, 3), np.uint8)

    write_cofw(tmp_path)
    monkeypatch.setattr(cofw, "read_image", read)
    assert len(load(tmp_path, "test")) == 4
    assert [face.name for face in load(tmp_path, "test", bad_faces="skip")] == ["test/0001", "test/0003", "test/0004"]


def test_an_image_that_breaks_later_says_which(tmp_path):
    write_cofw(tmp_path)
    face = load(tmp_path, "test")[1]
    spoil(tmp_path, "nowhere")
    with pytest.raises(KeyposError, match=rf"{TEST}:2: .*reference to its image leads nowhere.*Remedy"):
        face.read()
    (tmp_path / TEST).unlink()
    with pytest.raises(KeyposError, match=rf"{TEST}:2: cannot be read as a MATLAB 7.3 file.*No such file"):
        face.read()


def test_points_may_lie_off_the_image(tmp_path):
    write_cofw(tmp_path)
    with h5py.File(tmp_path / TEST, "r+") as file:
        file["phisT"][[0, 29], 1] = [-7.5, 999]
    np.testing.assert_array_equal(load(tmp_path, "test")[1].keypoints[0], [-8.5, 998])


def test_variables_that_do_not_fit(tmp_path):
    write_cofw(tmp_path)
    changes = {
        "phisT": (np.zeros((58, 4)), r"phisT is float64 of shape \(58, 4\), not numbers of \(87, 4\)"),
        "bboxesT": (np.zeros((4, 3)), r"bboxesT is float64 of shape \(4, 3\), not numbers of \(4, 4\)"),
        "IsT": (np.zeros((1, 4)), "IsT is no cell array of images"),
    }
    for name, (values, cause) in changes.items():
        write_cofw(tmp_path)
        with h5py.File(tmp_path / TEST, "r+") as file:
            del file[name]
        with pytest.raises(KeyposError, match=rf"{TEST}: holds no variable {name}\. Remedy: fetch"):
            load(tmp_path, "test")
        with h5py.File(tmp_path / TEST, "r+") as file:
            file[name] = values
        with pytest.raises(KeyposError, match=rf"{TEST}: {cause}"):
            load(tmp_path, "test", bad_faces="skip")


@pytest.mark.parametrize("data", [b"", b"hello", "half"])
def test_files_that_are_not_whole(tmp_path, data):
    write_cofw(tmp_path)
    path = tmp_path / TEST
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if data == "half" else data)
    with pytest.raises(KeyposError, match=rf"{TEST}: cannot be read as a MATLAB 7\.3 file.*Remedy: fetch"):
        load(tmp_path, "test")


def test_roots_without_the_files(tmp_path):
    with pytest.raises(KeyposError, match="nowhere: the folder is missing"):
        load(tmp_path / "nowhere")
    with pytest.raises(KeyposError, match=rf"no {TRAIN} or {TEST}, nor does its COFW_color.*folder that holds them"):
        load(tmp_path)
    write_cofw(tmp_path / "faces")
    (tmp_path / "faces/images").mkdir()
    for root in (tmp_path, tmp_path / "faces/images"):
        with pytest.raises(KeyposError, match=rf"set data\.root={tmp_path / 'faces'}\."):
            load(root)


def test_unicode_spaces_and_links_in_the_path(tmp_path):
    write_cofw(tmp_path / "Gesichter ü 顔")
    (tmp_path / "link").symlink_to(tmp_path / "Gesichter ü 顔")
    for root in ("Gesichter ü 顔", "link"):
        assert [face.read().shape[2] for face in load(tmp_path / root, "test")] == [3] * 4


CHANGES = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4)


@settings(max_examples=100, deadline=None)
@given(CHANGES, st.none() | st.integers(0, 10**6))
def test_damaged_bytes_give_faces_or_one_error(tmp_path_factory, changes, cut):
    root = tmp_path_factory.getbasetemp() / "damaged"
    if not root.is_dir():
        write_cofw(root, train=0)
        (root / TEST).rename(root / "whole")
    data = bytearray((root / "whole").read_bytes())
    for place, value in changes:
        data[place % len(data)] = value
    (root / TEST).write_bytes(data if cut is None else data[: cut % len(data)])
    consume(root)


NUMBERS = [np.full((4, 4), np.inf), np.full((87, 4), np.nan), np.full((87, 4), -9e300), np.full((4, 4), -1.0)]
OTHERS = [np.zeros((0, 0)), np.zeros(3), np.ones((87, 4), "u1"), np.full((87, 4), 1j), "text", 7.0]
VALUES = st.sampled_from([*NUMBERS, *OTHERS])


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.sampled_from(["IsT", "phisT", "bboxesT", "#refs#/c1"]), st.none() | VALUES, min_size=1))
def test_replaced_variables_give_faces_or_one_error(tmp_path_factory, changes):
    root = tmp_path_factory.getbasetemp() / "replaced"
    write_cofw(root, train=0)
    with h5py.File(root / TEST, "r+") as file:
        for name, value in changes.items():
            del file[name]
            if value is not None:
                file[name] = value
    consume(root)


def consume(root):
    try:
        good, errors = Cofw(root).gather("test")
    except KeyposError as error:
        assert TEST in error.subject  # noqa: PT017
        return
    assert len(good) + len(errors) == 4
    for face in good:
        assert np.isfinite(face.norm)
        assert face.norm > 0
        try:
            assert face.read().shape[2] == 3
        except KeyposError as error:
            assert f"{TEST}:{int(face.name[-4:])}" in error.subject  # noqa: PT017


@real
def test_samples_read_as_mmpose_reads_them(tmp_path):
    """An official file from mmpose's json of two faces, whose points are 0-based and whose boxes are still 1-based."""
    samples = Path(os.environ["KEYPOSS_DATA"], "samples/cofw")
    plain = json.loads((samples / "test_cofw.json").read_text())
    images = [np.asarray(Image.open(samples / image["file_name"]).convert("RGB")) for image in plain["images"]]
    numbers = np.array([face["keypoints"] for face in plain["annotations"]]).reshape(-1, 29, 3)
    points, occluded = numbers[..., :2], numbers[..., 2] == 1
    boxes = np.array([face["bbox"] for face in plain["annotations"]])
    write_file(tmp_path / TEST, images, points + 1, occluded, suffix="T", boxes=boxes)
    for i, face in enumerate(load(tmp_path, "test")):
        np.testing.assert_allclose(face.keypoints, points[i], atol=1e-9)
        np.testing.assert_array_equal(face.occluded, occluded[i])
        np.testing.assert_array_equal(face.read(), images[i])
        x, y, width, height = boxes[i] - [1, 1, 0, 0]
        np.testing.assert_array_equal(face.face_box, [x, y, x + width, y + height])
        inside = (face.keypoints >= face.face_box[:2]) & (face.keypoints <= face.face_box[2:])
        assert inside.all(1).mean() > 0.8
        assert face.norm == pytest.approx(np.linalg.norm(points[i, 8] - points[i, 9]))
