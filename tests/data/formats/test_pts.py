import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from keyposs.data.formats.pts import read_points
from keyposs.errors import KeyposError
from writers import write_points

fuzz = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
POINTS = np.array([[10.25, -3.5], [0.0, 1e4], [7.0, 8.125]])  # they may lie off the photo
TEXT = "version: 1\nn_points:  3\n{\n11.25 -2.5\n1.0 10001.0\n8.0 9.125\n}\n"


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.replace("\n", "\r").encode(),
        b"\xef\xbb\xbf" + TEXT.encode(),
        b"\xef\xbb\xbf11.25 -2.5\r\n1 10001\r\n8 9.125",
        TEXT.replace(" ", "\t ").replace("\n", "\n\n").encode(),
        TEXT.replace("\n{", " {").rstrip("}\n").encode(),
        TEXT.encode() + "}\nby José".encode("latin-1"),
    ],
    ids=["unix", "windows", "old mac", "mark", "mark without header", "tabs and gaps", "no end", "latin"],
)
def test_text_of_every_system_gives_the_same_points(tmp_path, data):
    path = tmp_path / "é ü 1.pts"
    path.write_bytes(data)
    np.testing.assert_array_equal(read_points(path, 3), POINTS)


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("nan 3", "a point that is not two finite numbers"),
        ("-inf 3", "a point that is not two finite numbers"),
        ("1e999 3", "a point that is not two finite numbers"),
        ("3", "a point that is not two finite numbers"),
        ("3 4 5", "a point that is not two finite numbers"),
        ("3,4 5,6", "something else than numbers"),
        ("\0\0", "something else than numbers"),
        ("", "2 points, not 3"),
        ("1 2\n1 2", "4 points, not 3"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, cause):
    path = tmp_path / "a.pts"
    path.write_text(TEXT.replace("1.0 10001.0", line))
    with pytest.raises(KeyposError, match=rf"a\.pts: holds {cause}.*fetch the file again"):
        read_points(path, 3)


def test_a_file_that_cannot_be_read(tmp_path):
    (tmp_path / "a.pts").mkdir()
    with pytest.raises(KeyposError, match=r"a\.pts: cannot be read \(.+\)\. Remedy"):
        read_points(tmp_path / "a.pts", 3)


def parse(path, count):
    """The points, or None if the file was refused."""
    try:
        points = read_points(path, count)
    except KeyposError:
        return None
    assert points.shape == (count, 2)
    assert np.isfinite(points).all()
    return points


numbers = st.one_of(st.floats(width=32).map(repr), st.integers().map(str), st.sampled_from(["", "{", "}", "1_0", "٣"]))
lines = st.one_of(st.lists(numbers, max_size=3).map(" ".join), st.text(max_size=8), st.just("n_points: 2"))


@fuzz
@given(text=st.lists(lines, max_size=6).map("\n".join))
@example(text="{\n1 2\n3 4")
def test_any_text_gives_points_or_our_error(tmp_path, text):
    path = tmp_path / "a.pts"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    parse(path, 2)


@fuzz
@given(data=st.binary(max_size=60))
def test_any_bytes_give_points_or_our_error(tmp_path, data):
    path = tmp_path / "a.pts"
    path.write_bytes(data)
    parse(path, 1)


@fuzz
@given(cut=st.integers(0, len(TEXT)))
def test_a_file_cut_short_gives_no_wrong_number_of_points(tmp_path, cut):
    path = tmp_path / "a.pts"
    path.write_text(TEXT[:cut])
    points = parse(path, 3)
    if cut < TEXT.rindex("8.0"):
        assert points is None
    if cut >= TEXT.index("\n}"):
        np.testing.assert_array_equal(points, POINTS)


@fuzz
@given(points=st.lists(st.tuples(*[st.floats(-1e5, 1e5)] * 2), min_size=1, max_size=5), header=st.booleans())
def test_what_was_written_is_read(tmp_path, points, header):
    write_points(tmp_path / "a.pts", np.array(points), header=header)
    np.testing.assert_allclose(read_points(tmp_path / "a.pts", len(points)), points, atol=1e-6)
