import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keyposs.data import Wflw
from keyposs.data.formats.wflw_lists import match, read_list
from keyposs.errors import KeyposError
from keyposs.types import Annotation

fuzz = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
LISTS = "list_98pt_rect_attr_train_test"


def field():
    odd = st.sampled_from(["nan", "-inf", "1e999", "1e308", "-0", "left", "1_0", "٣", "\ufeff", "\0", "0x10"])
    return st.one_of(st.floats(-1e4, 1e4).map(repr), st.integers().map(str), odd)


@st.composite
def lines(draw, numbers):
    """A line whose numbers repeat a few drawn ones, with some fields changed, and seldom too many or too few."""
    few = draw(st.lists(st.floats(-1e4, 1e4).map(repr), min_size=1, max_size=7))
    fields = [few[i % len(few)] for i in range(196)] + ["0"] * (numbers - 196)
    for _ in range(draw(st.integers(0, 2))):
        fields[draw(st.integers(0, numbers - 1))] = draw(field())
    fields = fields[: draw(st.sampled_from([numbers, numbers, numbers, numbers - 1, 3]))]
    return " ".join([*fields, draw(st.one_of(st.just("a/b c.jpg"), st.text(max_size=5)))])


def lists(numbers):
    return st.lists(st.one_of(lines(numbers), st.text(max_size=8)), max_size=3).map("\n".join)


def write(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", errors="surrogatepass"))


@fuzz
@given(rect_attr=lists(206), blur=lists(196), points=lists(196))
def test_any_lists_give_faces_or_our_error(tmp_path, rect_attr, blur, points):
    write(tmp_path / LISTS / "list_98pt_rect_attr_test.txt", rect_attr)
    write(tmp_path / LISTS / "list_98pt_rect_attr_train.txt", rect_attr)
    write(tmp_path / "list_98pt_test/list_98pt_test_blur.txt", blur)
    write(tmp_path / "list_98pt_test/list_98pt_test_makeup.txt", points)
    check(Wflw(tmp_path), "test")
    for split in ("train", "val", "test"):
        check(Wflw(tmp_path, bad_faces="skip"), split)


@fuzz
@given(points=lists(196), data=st.binary(max_size=40))
def test_any_points_alone_give_faces_or_our_error(tmp_path, points, data):
    write(tmp_path / "list_98pt_test/list_98pt_test.txt", points)
    write(tmp_path / "list_98pt_test/list_98pt_test_blur.txt", data)
    check(Wflw(tmp_path, norm="box"), "test")


def check(dataset, split):
    with np.errstate(all="ignore"):
        try:
            faces = dataset.annotations(split)
        except KeyposError:
            return
    for face in faces:
        assert isinstance(face, Annotation)
        assert face.keypoints.shape == (98, 2)
        assert np.isfinite(face.keypoints).all()
        assert np.isfinite(face.norm)
        assert face.norm > 0


def test_good_lines_are_read_beside_bad_ones(tmp_path):
    points = np.arange(196.0).reshape(-1, 2)
    line = " ".join(map(str, [*points.ravel(), 1, 2, 3, 4, 1, 0, 0, 1, 0, 0, "a b.jpg"]))
    path = tmp_path / "list.txt"
    path.write_text(f"\n{line}\n1 2\n")
    (face,), (error,) = read_list(path, rect_attr=True)
    np.testing.assert_array_equal(face.keypoints, points)
    np.testing.assert_array_equal(face.face_box, [1, 2, 3, 4])
    assert (face.source, face.number, face.photo) == (f"{path}:2", 2, "a b.jpg")
    assert face.attributes == ("pose", "make-up")
    assert "list.txt:3: holds 2 fields, not 207" in str(error)


@pytest.mark.parametrize(("shift", "found"), [(0.0, True), (0.5, True), (-0.99, True), (1.0, False)])
def test_a_face_is_known_by_all_of_its_points(tmp_path, shift, found):
    points = np.arange(196.0)
    write(tmp_path / "test.txt", " ".join(map(str, [*points, "a.jpg"])))
    write(tmp_path / "list_98pt_test_blur.txt", " ".join(map(str, [*points[:-1], points[-1] + shift, "a.jpg"])))
    faces, _ = read_list(tmp_path / "test.txt", rect_attr=False)
    subsets, errors = match(faces, tmp_path)
    assert subsets == ({1: {"blur"}} if found else {})
    assert len(errors) == (not found)
