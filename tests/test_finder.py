"""From pictures of every kind to landmarks, on rendered faces."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import keyposs
from keyposs.data import Synthetic
from keyposs.data.photo import read_photo
from keyposs.detectors import detector
from keyposs.errors import KeyposError
from keyposs.finder import Finder, as_boxes, closer
from keyposs.found import as_photo
from keyposs.networks import Marked, Network, Read
from keyposs.types import Annotation


@pytest.fixture(scope="module")
def finder() -> Finder:
    return keyposs.load("keyposs-8", device="cpu", batch_size=4)


@pytest.fixture(scope="module")
def faces() -> list[Annotation]:
    return Synthetic(test=6).annotations("test")


def error(points: np.ndarray, face: Annotation) -> float:
    return float(np.linalg.norm(points - face.keypoints, axis=-1).mean() / face.norm)


def test_a_picture_may_come_in_many_ways(finder: Finder, faces: list[Annotation], tmp_path: Path) -> None:
    photo, box = faces[0].read(), faces[0].box[None]
    Image.fromarray(photo).save(tmp_path / "a.png")
    tensor = torch.from_numpy(photo.transpose(2, 0, 1).copy())
    ways = [tmp_path / "a.png", str(tmp_path / "a.png"), photo, Image.fromarray(photo), tensor, tensor / 255]
    found = finder(ways, boxes=[box] * len(ways))
    for other in found:
        np.testing.assert_allclose(other.points, found[0].points, atol=1e-6)
        assert (other.size, len(other)) == ((photo.shape[1], photo.shape[0]), 1)
    assert error(found[0].points[0], faces[0]) < 0.08
    single = finder(photo, boxes=box.tolist())
    np.testing.assert_allclose(single.points, found[0].points, atol=0.02)


def test_many_pictures_are_read_as_each_alone(finder: Finder, faces: list[Annotation]) -> None:
    photos = [face.read() for face in faces]
    boxes = [face.box[None] for face in faces[:4]] + [np.concatenate([faces[4].box[None]] * 5), np.empty((0, 4))]
    together = finder(photos, boxes=boxes)
    assert [len(found) for found in together] == [1, 1, 1, 1, 5, 0]
    for photo, box, found in zip(photos, boxes, together, strict=True):
        alone = finder(photo, boxes=box)
        for name in ("points", "scores", "covariances"):
            np.testing.assert_allclose(getattr(found, name), getattr(alone, name), atol=0.02)


def test_faces_are_looked_for_where_no_box_is_given(finder: Finder, faces: list[Annotation]) -> None:
    found = finder(faces[1].read())
    assert len(found) == 1
    assert error(found.points[0], faces[1]) < 0.08


def test_a_second_pass_mends_a_sloppy_box(finder: Finder, faces: list[Annotation]) -> None:
    photos, exact = [face.read() for face in faces], [face.box[None] for face in faces]
    off = [box + 0.2 * np.tile((box[:, 2:] - box[:, :2]) * [[1, -1]], 2) for box in exact]
    once = Finder(finder.network, finder.detect, passes=1)
    errors = {
        name: np.mean([error(found.points[0], face) for found, face in zip(read(photos, b), faces, strict=True)])
        for name, read, b in (("exact", finder, exact), ("once", once, off), ("twice", finder, off))
    }
    assert errors["twice"] - errors["exact"] < 0.5 * (errors["once"] - errors["exact"])


def test_a_box_does_not_follow_points_that_fly_apart() -> None:
    boxes = np.array([[0.0, 0, 100, 100], [0, 0, 100, 100], [0, 0, 100, 100]])
    points = np.array([[[10.0, 10], [80, 90]], [[0, 0], [900, 10]], [[50, 50], [51, 51]]])
    expected = [[10, 10, 80, 90], boxes[1], boxes[2]]
    np.testing.assert_array_equal(closer(boxes, Read(points, np.ones((3, 2)), None)), expected)


def test_what_is_found_can_be_drawn_and_written(finder: Finder, faces: list[Annotation], tmp_path: Path) -> None:
    photo = faces[0].read()
    found = finder(photo, boxes=faces[0].box[None])
    drawn = found.draw()
    x, y = (found.points[0, 30] + 0.5) * drawn.shape[1] / photo.shape[1] - 0.5
    red, green, blue = drawn[round(y), round(x)].astype(int)
    assert red - max(green, blue) > 100
    found.save(tmp_path / "drawn.png")
    np.testing.assert_array_equal(read_photo(tmp_path / "drawn.png"), drawn)
    told = json.loads(found.to_json(tmp_path / "faces.json"))
    assert told == json.loads((tmp_path / "faces.json").read_text())
    assert (told["width"], told["height"]) == found.size
    np.testing.assert_allclose(told["faces"][0]["points"], found.points[0], atol=1e-3)
    np.testing.assert_allclose(told["faces"][0]["covariances"], found.covariances[0], atol=1e-4)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((4, 4, 3)),
        np.zeros((4, 4, 2), dtype=np.uint8),
        np.zeros((0, 4, 3), dtype=np.uint8),
        torch.zeros(4, 4, 3, dtype=torch.uint8),
        torch.full((3, 4, 4), 7.0),
        torch.full((3, 4, 4), float("nan")),
        torch.zeros(3, 4, 4, dtype=torch.int64),
    ],
    ids=str,
)
def test_what_is_no_picture_is_refused(picture: object) -> None:
    with pytest.raises(KeyposError, match=r"is no picture\. Remedy: give RGB"):
        as_photo(picture)  # type: ignore[arg-type]


def test_grey_is_a_picture() -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    np.testing.assert_array_equal(as_photo(grey), np.repeat(grey[:, :, None], 3, axis=2))


@pytest.mark.parametrize("boxes", [[[0, 0, 5]], [[5, 0, 0, 5]], [[0, 0, np.nan, 5]], "box", [[0, 0, 0, 5]], 7])
def test_what_are_no_boxes_is_refused(boxes: object) -> None:
    with pytest.raises(KeyposError, match="boxes: are not n times x0 < x1, y0 < y1"):
        as_boxes(boxes)


def test_mistakes_are_said_plainly(finder: Finder, tmp_path: Path) -> None:
    photo = np.zeros((8, 8, 3), dtype=np.uint8)
    with pytest.raises(KeyposError, match="1 lists of boxes were given for 2 pictures"):
        finder([photo, photo], boxes=[[[0, 0, 1, 1]]])
    with pytest.raises(KeyposError, match=r"gone\.png: the photo is missing"):
        finder(tmp_path / "gone.png")
    with pytest.raises(KeyposError, match="passes=0: is less than one"):
        keyposs.load("keyposs-8", passes=0)
    with pytest.raises(KeyposError, match=r"boxes=haar: is unknown\. Remedy: give scan, whole, a \.csv"):
        keyposs.load("keyposs-8", boxes="haar")
    with pytest.raises(KeyposError, match=r"gone\.onnx: is not there\. Remedy: give the path of a YuNet model"):
        keyposs.load("keyposs-8", boxes=str(tmp_path / "gone.onnx"))
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(KeyposError, match=r"text\.onnx: is no YuNet model"):
        keyposs.load("keyposs-8", boxes=str(tmp_path / "text.onnx"))


def test_no_more_photos_are_held_than_fill_a_batch(finder: Finder, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []

    def read(photos: list[Marked]) -> list[Read]:
        held.append(len(photos))
        return Finder.read(finder, photos)

    monkeypatch.setattr(finder, "read", read)
    given = ((np.zeros((20, 20, 3), dtype=np.uint8), [[1, 1, 18, 18]]) for _ in range(10))
    assert len(list(finder.stream(given))) == 10
    assert held == [4, 4, 2]


def test_a_network_without_covariances_finds_faces_too(finder: Finder, faces: list[Annotation]) -> None:
    blind: Network = finder.network._replace(run=lambda crops: finder.network.run(crops)[:2])
    found = Finder(blind, detector("scan", blind.padding))(faces[0].read())
    assert (len(found), found.covariances) == (1, None)
    assert error(found.points[0], faces[0]) < 0.08


def test_one_face_fills_a_picture() -> None:
    box = detector("whole", padding=1.25)(np.zeros((50, 100, 3), dtype=np.uint8))
    assert box.tolist() == [[9.5, 4.5, 89.5, 44.5]]
