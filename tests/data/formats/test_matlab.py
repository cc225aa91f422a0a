import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.io import loadmat, savemat

from keyposs.data.formats.matlab import read_matlab
from keyposs.errors import KeyposError

NUMBERS = st.sampled_from(["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]).flatmap(
    lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=2, max_dims=3, max_side=5))
)
TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF), min_size=1, max_size=9)


def cells(values: list) -> np.ndarray:
    array = np.empty((1, len(values)), dtype=object)
    for i, value in enumerate(values):
        array[0, i] = value
    return array


@settings(max_examples=40, deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=4), TEXTS, st.booleans())
def test_it_reads_what_scipy_writes_and_reads(tmp_path_factory, numbers, text, compressed):
    path = tmp_path_factory.mktemp("matlab") / "a.mat"
    struct = {"name": text, "box": numbers[0]}
    values = {"first": numbers[0], "text": text, "cell": cells([*numbers, text]), "struct": struct}
    savemat(path, {**values, "other": np.eye(2)}, do_compression=compressed)
    ours, theirs = read_matlab(path, list(values), remedy="none"), loadmat(path)
    assert ours.keys() == values.keys()
    same(ours["first"], theirs["first"])
    assert ours["text"].tolist() == [text] == theirs["text"].tolist()
    assert ours["cell"].shape == theirs["cell"].shape
    for a, b in zip(ours["cell"].flat, theirs["cell"].flat, strict=True):
        same(a, b)
    same(ours["struct"].item()["box"], theirs["struct"]["box"].item())
    assert ours["struct"].item()["name"].item() == text


def same(a: np.ndarray, b: np.ndarray) -> None:
    assert a.dtype == b.dtype
    np.testing.assert_array_equal(a, b)


def test_empty_cells_and_rows_of_text(tmp_path):
    savemat(tmp_path / "a.mat", {"empty": cells([np.zeros((0, 0)), ""]), "rows": np.array(["left ", "right"])})
    found = read_matlab(tmp_path / "a.mat", ["empty", "rows"], remedy="none")
    assert [value.size for value in found["empty"].flat] == [0, 0]
    assert found["rows"].tolist() == ["left ", "right"]


def test_numbers_of_the_other_byte_order(tmp_path):
    """A file as a big-endian machine wrote it, after the format's own description."""
    words = np.array([14, 48, 6, 8, 6, 0, 5, 8, 1, 2, 1 << 16 | 1, ord("a") << 24, 4 << 16 | 3, 0x0102FFFE], ">u4")
    (tmp_path / "a.mat").write_bytes(b"MATLAB 5.0".ljust(124) + b"\1\0MI" + words.tobytes())
    np.testing.assert_array_equal(read_matlab(tmp_path / "a.mat", ["a"], remedy="none")["a"], [[258.0, -2.0]])


def test_text_without_a_size(tmp_path):
    words = np.array([14, 48, 6, 8, 4, 0, 5, 0, 1, 1, ord("a"), 0, 1 << 16 | 16, ord("x")], "<u4")
    (tmp_path / "a.mat").write_bytes(b"MATLAB 5.0".ljust(124) + b"\0\1IM" + words.tobytes())
    with pytest.raises(KeyposError, match=r"a\.mat: is no whole MATLAB file"):
        read_matlab(tmp_path / "a.mat", ["a"], remedy="none")


def whole(*, compressed: bool) -> bytes:
    file = io.BytesIO()
    values = {"box": np.arange(12.0).reshape(3, 4) / 3, "names": cells(["0/a.jpg", "2/b.jpg"]), "s": {"x": 1.5}}
    savemat(file, values, do_compression=compressed)
    return file.getvalue()


WHOLE = [whole(compressed=False), whole(compressed=True)]
CHANGES = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4)


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(WHOLE), CHANGES, st.none() | st.integers(0, 10**6))
def test_damaged_bytes_give_values_or_one_error(tmp_path_factory, data, changes, cut):
    changed = bytearray(data)
    for place, value in changes:
        changed[place % len(changed)] = value
    path = tmp_path_factory.getbasetemp() / "fuzzed.mat"
    path.write_bytes(changed if cut is None else changed[: cut % len(changed)])
    try:
        found = read_matlab(path, ["box", "names", "s"], remedy="none")
    except KeyposError as error:
        assert error.subject == str(path)  # noqa: PT017
    else:
        assert {type(value) for value in found.values()} == {np.ndarray}


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", "its header is another one"),
        (b"hello " * 50, "its header is another one"),
        (b"MATLAB 7.3 MAT-file".ljust(126) + b"IM", "its header is another one"),
        (WHOLE[0][:-40], "it ends too early"),
        (WHOLE[0][:100], "its header is another one"),
        (WHOLE[1][: len(WHOLE[1]) // 2], "no whole MATLAB file of version 5"),
    ],
    ids=["empty", "text", "7.3", "without its end", "half a header", "half"],
)
def test_files_of_another_kind(tmp_path, data, cause):
    (tmp_path / "a.mat").write_bytes(data)
    with pytest.raises(KeyposError, match=rf"a\.mat: .*{cause}.*Remedy: fetch it"):
        read_matlab(tmp_path / "a.mat", ["box"], remedy="fetch it")


def test_a_missing_file_or_variable(tmp_path: Path):
    with pytest.raises(KeyposError, match=r"a\.mat: cannot be read \(No such file"):
        read_matlab(tmp_path / "a.mat", ["box"], remedy="fetch it")
    (tmp_path / "a.mat").write_bytes(WHOLE[0])
    with pytest.raises(KeyposError, match="holds no variable bboxes, ra"):
        read_matlab(tmp_path / "a.mat", ["bboxes", "box", "ra"], remedy="fetch it")
