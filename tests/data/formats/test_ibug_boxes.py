import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from keyposs.data.formats.ibug_boxes import find_boxes, read_boxes
from keyposs.errors import KeyposError
from writers import save_boxes

fuzz = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def entry(name, box=(1.0, 2.0, 11.5, 22.0)):
    return {"imgName": name, "bb_detector": np.array(box), "bb_ground_truth": np.array([3.0, 4, 5, 6])}


def test_boxes_are_the_detectors_and_zero_based(tmp_path):
    path = tmp_path / "b.mat"
    save_boxes(path, [entry("image_003_1.jpg"), entry("image_092 _01.jpg", [5, 6, 7, 8]), entry("Ä b.PNG")])
    boxes = read_boxes(path)
    assert list(boxes) == ["image_003_1", "image_092_01", "äb"]
    np.testing.assert_array_equal(boxes["image_003_1"], [0, 1, 10.5, 21])
    np.testing.assert_array_equal(boxes["image_092_01"], [4, 5, 6, 7])


def test_integers_and_a_detector_that_found_nothing(tmp_path):
    path = tmp_path / "b.mat"
    save_boxes(path, [entry("a.jpg", []), entry("b.jpg", np.array([1, 2, 3, 4], dtype=np.uint8))])
    boxes = read_boxes(path)
    assert list(boxes) == ["b"]
    np.testing.assert_array_equal(boxes["b"], [0, 1, 2, 3])


@pytest.mark.parametrize("place", ["Bounding Boxes", "Bounding_Boxes", "bounding_boxes", "BoundingBoxes"])
def test_folder_names(tmp_path, place):
    path = tmp_path / place / "bounding_boxes_helen_trainset.mat"
    save_boxes(path, [entry("a.jpg")])
    assert find_boxes(tmp_path, "helen/trainset") == path
    assert find_boxes(tmp_path, "helen/testset") is None


@pytest.mark.parametrize("size", [0, 3, 5])
def test_a_box_has_four_numbers(tmp_path, size):
    save_boxes(tmp_path / "b.mat", [entry("a.jpg", range(size))])
    if size:
        with pytest.raises(KeyposError, match=rf"b\.mat: holds something else than boxes .*a box of {size} numbers"):
            read_boxes(tmp_path / "b.mat")
    else:
        assert read_boxes(tmp_path / "b.mat") == {}


def test_without_its_variable(tmp_path):
    save_boxes(tmp_path / "b.mat", [entry("a.jpg")], variable="boxes")
    with pytest.raises(KeyposError, match=r"b\.mat: holds no variable bounding_boxes.*remove it"):
        read_boxes(tmp_path / "b.mat")


@pytest.mark.parametrize("value", [np.eye(3), "text", {"imgName": "a.jpg"}, np.array([[]])])
def test_with_another_kind_of_variable(tmp_path, value):
    savemat(tmp_path / "b.mat", {"bounding_boxes": value})
    if np.size(value):
        with pytest.raises(KeyposError, match=r"b\.mat: holds something else than boxes"):
            read_boxes(tmp_path / "b.mat")
    else:
        assert read_boxes(tmp_path / "b.mat") == {}


def test_cut_in_half(tmp_path):
    whole = matlab(tmp_path)
    (tmp_path / "b.mat").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(KeyposError, match=r"b\.mat: is no whole MATLAB file.*fetch the file again"):
        read_boxes(tmp_path / "b.mat")


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"MATLAB 5.0 MAT-file" + b" " * 200, b"\x89HDF\r\n\x1a\n" + b"\0" * 512]
)
def test_another_kind_of_file(tmp_path, data):
    (tmp_path / "b.mat").write_bytes(data)
    with pytest.raises(KeyposError, match=r"b\.mat: (is no whole MATLAB file|holds no variable)"):
        read_boxes(tmp_path / "b.mat")


def test_a_folder_in_its_place(tmp_path):
    (tmp_path / "b.mat").mkdir()
    with pytest.raises(KeyposError, match=r"b\.mat: cannot be read"):
        read_boxes(tmp_path / "b.mat")


def matlab(tmp_path, *, plain=False):
    cells = np.empty((1, 3), dtype=object)
    cells[0, :] = [entry(f"{i}.jpg") for i in range(3)]
    savemat(tmp_path / "whole.mat", {"bounding_boxes": cells}, do_compression=not plain)
    return (tmp_path / "whole.mat").read_bytes()


def attempt(path):
    """The boxes, or None if the file was refused."""
    try:
        boxes = read_boxes(path)
    except KeyposError:
        return None
    assert all(box.shape == (4,) and box.dtype == np.float64 for box in boxes.values())
    return boxes


@fuzz
@given(data=st.data(), plain=st.booleans())
def test_changed_bytes_give_boxes_or_our_error(tmp_path, data, plain):
    content = bytearray(matlab(tmp_path, plain=plain))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "b.mat").write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
    attempt(tmp_path / "b.mat")
