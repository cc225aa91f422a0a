from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyposs.augment import Augment
from keyposs.data.module import FaceCrops
from keyposs.errors import KeyposError
from keyposs.pictures import canvas_of, check_on, cut, find_pictures, overlay_names, read_boxes, whole_box
from keyposs.types import Annotation


def write_boxes(file: Path, *rows: str, header: str = "file,x0,y0,x1,y1") -> Path:
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return file


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(("width", "height"), [(50, 50), (80, 30), (30, 81), (1, 1)])
def test_the_padded_crop_of_a_whole_picture_is_the_picture_made_square(width: int, height: int) -> None:
    photo, side = noise(height, width), max(width, height)
    crop, matrix = cut(photo, whole_box(width, height, 1.25), image_size=side, padding=1.25)
    left, top = (side - width) / 2, (side - height) / 2
    np.testing.assert_allclose(matrix, [[1, 0, -left], [0, 1, -top]], atol=1e-9)
    if (side - width) % 2 == (side - height) % 2 == 0:
        left, top = int(left), int(top)
        np.testing.assert_array_equal(crop[top : top + height, left : left + width], photo)
        assert crop.sum() == photo.sum()


@pytest.mark.parametrize("side", [40.0, 300.0])  # enlarged, and averaged over blocks
def test_a_crop_is_that_of_an_evaluation(side: float) -> None:
    photo, box = noise(400, 500), np.array([70.3, 20.1, 70.3 + side, 15.0 + side])
    nothing = np.zeros(3, dtype=bool)
    face = Annotation("a", "a", None, ("all",), np.zeros((3, 2)), nothing, nothing, box, None, 1.0, lambda: photo)
    faces = FaceCrops([face], image_size=64, padding=1.25, augment=Augment(64), flip=[0, 1, 2])
    crop, matrix = cut(photo, box, image_size=64, padding=1.25)
    np.testing.assert_array_equal(crop, faces[0, None].image.permute(1, 2, 0).numpy())
    np.testing.assert_allclose(matrix, faces[0, None].crop_to_image.numpy(), atol=1e-4)


def test_a_folder_is_read_with_its_subfolders_but_not_what_is_hidden_or_an_output(tmp_path: Path) -> None:
    wanted = ["a.jpg", "B.PNG", "sub/deep/ü.webp"]
    others = [".a.jpg", "a.txt", ".git/a.png", "outputs/now/.hydra/c.yaml", "outputs/now/overlays/a.png"]
    for name in wanted + others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert {file.relative_to(tmp_path).as_posix() for file in find_pictures(tmp_path)} == set(wanted)


def test_boxes_may_be_named_in_three_ways_and_a_picture_may_have_many(tmp_path: Path) -> None:
    folder, beside = tmp_path / "photos", tmp_path / "lists"
    for file in (folder / "a b,c.jpg", beside / "ö.jpg"):
        file.parent.mkdir()
        file.touch()
    rows = ['"a b,c.jpg",1,2,3,4,x', "ö.jpg,-5.5,0,1e2,7,y", f'"{folder}/a b,c.jpg",0,0,1,1,z']
    file = write_boxes(beside / "boxes.csv", *rows, header="\ufefffile, x0, y0, x1, y1, remark")
    boxes = read_boxes(file, folder)
    assert {path: found.tolist() for path, found in boxes.items()} == {
        folder / "a b,c.jpg": [[1, 2, 3, 4], [0, 0, 1, 1]],
        beside / "ö.jpg": [[-5.5, 0, 100, 7]],
    }


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("b.jpg,0,0,1,1", r"boxes.csv, line 3: names 'b.jpg', which is not there\. Remedy: give a path relative to"),
        (",0,0,1,1", "line 3: names '', which is not there"),
        ("a.jpg,0,0,1", r"line 3: a box of \['0', '0', '1', None\] is not four numbers"),
        ("a.jpg,0,0,1,wide", r"'wide'\] is not four numbers\. Remedy: write x0,y0,x1,y1 in pixels"),
        ("a.jpg,0,0,1,nan", "is not finite"),
        ("a.jpg,0,-inf,1,1", "is not finite"),
        ("a.jpg,10,10,5,20", "has no area.*two corners, x0 < x1 and y0 < y1, not a size"),
        ("a.jpg,10,10,15,10", "has no area"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: str, message: str) -> None:
    (tmp_path / "a.jpg").touch()
    with pytest.raises(KeyposError, match=message):
        read_boxes(write_boxes(tmp_path / "boxes.csv", "a.jpg,0,0,1,1", row), tmp_path)


def test_a_bad_file_of_boxes_is_named(tmp_path: Path) -> None:
    file = tmp_path / "boxes.csv"
    with pytest.raises(KeyposError, match=r"boxes\.csv: the file of boxes is missing"):
        read_boxes(file, tmp_path)
    with pytest.raises(KeyposError, match=r"holds no boxes.*leave boxes= out"):
        read_boxes(write_boxes(file), tmp_path)
    with pytest.raises(KeyposError, match=r"lacks the columns file, y1.*first line be file,x0,y0,x1,y1"):
        read_boxes(write_boxes(file, header="name,x0,y0,x1"), tmp_path)
    file.write_bytes("file,x0,y0,x1,y1\nä.jpg,0,0,1,1".encode("latin-1"))
    with pytest.raises(KeyposError, match="is no CSV in UTF-8"):
        read_boxes(file, tmp_path)
    file.write_text("")
    with pytest.raises(KeyposError, match="lacks the columns file, x0, y0, x1, y1"):
        read_boxes(file, tmp_path)


@pytest.mark.parametrize("box", [[60, 0, 90, 20], [0, -50, 20, -1], [-1e7, -1e7, 1e7, 1e7]])
def test_a_box_that_is_not_on_its_picture_is_an_error(tmp_path: Path, box: list[float]) -> None:
    with pytest.raises(
        KeyposError, match=r"a\.png: the box .* is not on its 50 x 30 pixels\. Remedy: .* upright picture"
    ):
        check_on(noise(30, 50), np.array([box], dtype=float), tmp_path / "a.png")


@pytest.mark.parametrize(
    ("size", "canvas"), [((50, 30), (480, 288)), ((600, 20), (600, 20)), ((3200, 2), (1600, 1)), ((2000, 1), (1600, 1))]
)
def test_an_overlay_is_enlarged_kept_or_reduced(size: tuple[int, int], canvas: tuple[int, int]) -> None:
    drawn, zoom = canvas_of(noise(*size[::-1]))
    assert drawn.shape[1::-1] == canvas
    np.testing.assert_allclose(zoom, np.divide(canvas, size))


@given(st.lists(st.from_regex(r"\A(a|b)?/?(a|A|é)(\.(png|jpg|PNG)){1,3}\Z"), unique_by=str.lower))
def test_no_overlay_takes_the_place_of_another(names: list[str]) -> None:
    overlays = overlay_names(names)
    assert list(overlays) == names
    assert len({overlay.lower() for overlay in overlays.values()}) == len(names)
    assert all(Path(overlays[name]).parent == Path(name).parent for name in names)
