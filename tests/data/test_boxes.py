import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyposs.data import Boxes
from keyposs.data.boxes import SOURCES, erring, jittered, overlap
from keyposs.errors import KeyposError
from keyposs.types import Annotation

TIGHT = np.array([10.0, 20, 50, 40])
OWN = np.array([5.0, 10, 60, 70])


def face(name="a/1", box=TIGHT, *, face_box=OWN, file=None, photo=None):
    points = np.array([box[:2], box[2:]], dtype=float)
    seen = np.ones(2, bool)
    path = None if file is None else Path(file)
    box = np.array(box, dtype=float)
    return Annotation(name, photo or name, path, ("all",), points, seen, ~seen, box, face_box, 30.0, lambda: None)


def rows(file, *lines):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(["file,x0,y0,x1,y1", *(",".join(map(str, line)) for line in lines)]) + "\n")
    return file


def chosen(boxes, *faces):
    return [face.box.tolist() for face in boxes.choose(faces)]


def test_each_source_gives_its_box_and_leaves_all_else():
    faces = [face("a"), face("b", TIGHT + 5)]
    assert chosen(Boxes(), *faces) == [TIGHT.tolist(), (TIGHT + 5).tolist()]
    own = Boxes("dataset").choose(faces)
    assert [f.box.tolist() for f in own] == [OWN.tolist()] * 2
    for before, after in zip(faces, own, strict=True):
        assert before._replace(box=None) == after._replace(box=None)  # norm and points above all


def test_a_face_without_a_box_is_named_with_its_file_and_how_many_there_are():
    faces = [face("a"), face("b", face_box=None, file="x/b.jpg"), face("c", face_box=None)]
    match = r"^b \(x.b\.jpg\): has no box of the dataset's own \(so for 2 of 3 faces\)\. Remedy: set box=landmarks\.$"
    with pytest.raises(KeyposError, match=match):
        Boxes("dataset").choose(faces)
    point = face("p", [7, 8, 7, 8])
    with pytest.raises(
        KeyposError, match=r"^p: the tight box .* no extent \(so for 1 of 2 faces\).* set box=dataset\.$"
    ):
        Boxes().choose([faces[0], point])
    assert chosen(Boxes(), face(box=[7, 8, 7, 9])) == [[7, 8, 7, 9]]  # a line has


def test_faces_without_a_box_are_found_among_others(tmp_path):
    file = rows(tmp_path / "b.csv", ["a", *TIGHT + 1])
    faces = [face("a"), face("point", [7, 8, 7, 8], face_box=None)]
    found = {source: Boxes(source, file=file).find(faces) for source in SOURCES}
    assert {source: box.tolist() for source, (box, _) in found.items()} == {
        "landmarks": TIGHT.tolist(),
        "dataset": OWN.tolist(),
        "csv": (TIGHT + 1).tolist(),
    }
    assert [none for _, none in found.values()] == [None] * 3


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"source": "mtcnn"}, "box.source=mtcnn: is unknown. Remedy: choose one of landmarks, dataset, csv"),
        ({"source": "csv"}, "box.file: is not given"),
        ({"missing": "skip"}, "box.missing=skip: is unknown"),
        ({"jitter": 1}, "box.jitter=1: is no fraction below 1"),
        ({"jitter": -0.1}, "box.jitter=-0.1: is no fraction"),
        ({"jitter": [0.1, 0.1, 0.1]}, r"nor a pair of them. Remedy: give one, like 0.1, or \[shift, scale\]"),
        ({"jitter": [0.1, float("nan")]}, "is no fraction"),
        ({"jitter": None}, "box.jitter=None: is no fraction"),
        ({"jitter": "0.1"}, "box.jitter=0.1: is no fraction"),
        ({"jitter": {"shift": 0.1}}, "box.jitter={.*}: is no fraction"),
    ],
)
def test_a_setting_that_makes_no_sense(settings, match):
    with pytest.raises(KeyposError, match=match):
        Boxes(**settings)


def test_a_csv_names_faces_or_their_photos(tmp_path):
    root, beside = tmp_path / "data", tmp_path / "lists"
    near = TIGHT + 1
    file = rows(
        beside / "b.csv",
        ["a/1", *near],  # a name
        ["p/b 2.jpg", *near + 1],  # relative to the root
        ["c.jpg", *near + 2],  # relative to the CSV
        [tmp_path / "d.jpg", *near + 3],
        ["no/such.jpg", 0, 0, 1, 1],  # a face that only the detector found
    )
    faces = [
        face("a/1", file=root / "a" / "1.jpg"),
        face("b", file=root / "p" / "b 2.jpg"),
        face("c", file=beside / "c.jpg"),
        face("d", file=tmp_path / "d.jpg"),
    ]
    boxes = Boxes("csv", file=file, root=root)
    assert chosen(boxes, *faces) == [(near + i).tolist() for i in range(4)]
    assert chosen(boxes, *faces[::-1]) == [(near + i).tolist() for i in range(3, -1, -1)]
    assert boxes.choose([]) == []


def test_a_csv_of_a_root_behind_a_symbolic_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    file = rows(tmp_path / "b.csv", [tmp_path / "real" / "a.jpg", *OWN])
    assert chosen(Boxes("csv", file=file), face(file=tmp_path / "link" / "a.jpg")) == [OWN.tolist()]


def test_faces_of_a_photo_share_its_boxes_out(tmp_path):
    """Each alone would take the middle box; together they overlap most if the second leaves it to the first."""
    file = rows(tmp_path / "b.csv", ["p.jpg", 2, 0, 12, 10], ["p.jpg", 9, 0, 19, 10], ["p.jpg", 50, 50, 60, 60])
    first, second = face("1", [0, 0, 9, 9]), face("2", [5, 0, 14, 9])
    pair = [f._replace(file=tmp_path / "p.jpg", photo="p") for f in (first, second)]
    boxes = Boxes("csv", file=file)
    assert chosen(boxes, pair[0]) == chosen(boxes, pair[1]) == [[2, 0, 12, 10]]
    assert chosen(boxes, *pair) == [[2, 0, 12, 10], [9, 0, 19, 10]]
    assert chosen(boxes, *pair[::-1]) == [[9, 0, 19, 10], [2, 0, 12, 10]]


def test_a_box_of_a_name_goes_to_no_other_face(tmp_path):
    file = rows(tmp_path / "b.csv", ["1", *TIGHT], ["p.jpg", *TIGHT + 9])
    pair = [face(name, file=tmp_path / "p.jpg", photo="p") for name in ("2", "1")]
    assert chosen(Boxes("csv", file=file), *pair) == [(TIGHT + 9).tolist(), TIGHT.tolist()]


def test_photos_in_one_file_are_found_by_name_alone(tmp_path):
    file = rows(tmp_path / "b.csv", ["all.mat", *OWN], ["2", *TIGHT + 1])
    faces = [face(name, file=tmp_path / "all.mat") for name in ("1", "2")]
    boxes = Boxes("csv", file=file, missing="landmarks")
    assert chosen(boxes, *faces) == [TIGHT.tolist(), (TIGHT + 1).tolist()]


def test_a_face_that_no_box_overlaps(tmp_path):
    file = rows(tmp_path / "b.csv", ["a", 51, 41, 60, 60], ["b", *OWN])
    faces = [face("a"), face("b"), face("c")]
    match = r"^a: no box of .*b\.csv overlaps its landmarks \(so for 2 of 3 faces\).*box\.missing=landmarks"
    with pytest.raises(KeyposError, match=match):
        Boxes("csv", file=file).choose(faces)
    assert chosen(Boxes("csv", file=file, missing="landmarks"), *faces) == [
        TIGHT.tolist(),
        OWN.tolist(),
        TIGHT.tolist(),
    ]


def test_a_bad_csv_is_named(tmp_path):
    with pytest.raises(KeyposError, match=r"b\.csv: the file of boxes is missing. Remedy: check box\.file="):
        Boxes("csv", file=tmp_path / "b.csv").choose([face()])
    file = rows(tmp_path / "b.csv", ["a", 0, 0, 1])
    with pytest.raises(KeyposError, match=r"b\.csv, line 2: a box of .* is not four numbers"):
        Boxes("csv", file=file).choose([face()])


def test_a_csv_of_other_data_is_told_by_its_first_row(tmp_path, caplog):
    file = rows(tmp_path / "b.csv", ["x/1.jpg", *OWN], ["x/2.jpg", *OWN])
    faces = [face("a", file="y/1.jpg"), face("b")]
    match = (
        r"b\.csv: none of its 2 rows names one of these 2 faces or its photo: its first names 'x/1.jpg', "
        r"the first face is 'a' in y.1\.jpg\. Remedy: write a face's name as in predictions.csv, or its photo's path"
    )
    with pytest.raises(KeyposError, match=match):
        Boxes("csv", file=file).choose(faces)
    assert not caplog.messages
    assert chosen(Boxes("csv", file=file, missing="landmarks"), *faces) == [TIGHT.tolist()] * 2
    (message,) = caplog.messages
    assert message.startswith(f"box.file: 2 of 2 faces have no box of {file} (none of its 2 rows names")


def test_faces_that_fall_back_to_their_landmarks_are_counted(tmp_path, caplog):
    file = rows(tmp_path / "b.csv", ["a", *OWN])
    boxes = Boxes("csv", file=file, missing="landmarks")
    boxes.choose([face("a"), face("b"), face("c")])
    assert caplog.messages == [f"box.file: 2 of 3 faces have no box of {file}; theirs is the landmarks'"]
    caplog.clear()
    boxes.choose([face("a")])
    assert not caplog.messages


def test_a_photo_may_be_called_as_in_the_lists_of_the_dataset(tmp_path):
    file = rows(tmp_path / "b.csv", ["36--Football/x.jpg", *OWN], ["twice", *OWN])
    listed = face("test/x#1", file=tmp_path / "WFLW_images" / "36--Football" / "x.jpg", photo="36--Football/x.jpg")
    pair = [face(name, file=tmp_path / f"{name}.jpg", photo="twice") for name in ("1", "2")]  # of which of the two?
    boxes = Boxes("csv", file=file, root=tmp_path).find([listed, *pair])
    assert [box if box is None else box.tolist() for box in boxes] == [OWN.tolist(), None, None]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("file;x0;y0;x1;y1\na;0;0;1;1\n", r"lacks the columns file, x0, .*: columns are separated by commas\.$"),
        ("file,x0,y0,x1,y1\na\0b,0,0,1,1\n", "holds a NUL byte|is no CSV in UTF-8"),  # csv of 3.10 refuses it
    ],
)
def test_a_csv_that_is_none(tmp_path, text, match):
    (tmp_path / "b.csv").write_text(text)
    with pytest.raises(KeyposError, match=match):
        Boxes("csv", file=tmp_path / "b.csv").choose([face()])


@pytest.mark.parametrize("file", ["x" * 5000, "~no-such-user/b.csv", "a\0b.csv"])
def test_a_file_that_cannot_be(file):
    with pytest.raises(KeyposError, match=r"cannot be read \(File name too long\)|the file of boxes is missing"):
        Boxes("csv", file=file).choose([face()])


def test_a_csv_that_cannot_be_read(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    file = rows(tmp_path / "b.csv", ["a", *OWN])
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(KeyposError, match=r"b\.csv: cannot be read \(Permission denied\). Remedy: check box\.file="):
        Boxes("csv", file=file).choose([face("a")])


coordinate = st.floats(-1e4, 1e4)
boxes_with_area = st.tuples(coordinate, coordinate, st.floats(1, 1e4), st.floats(1, 1e4)).map(
    lambda b: np.array([b[0], b[1], b[0] + b[2], b[1] + b[3]])
)
fraction = st.floats(0, 0.9)


@given(boxes_with_area, fraction, fraction, st.integers(0, 2**32))
def test_a_jittered_box_is_within_its_limits(box, shift, scale, seed):
    moved = jittered(box, shift, scale, np.random.default_rng(seed))
    sides, slack = box[2:] - box[:2], 1e-9 * np.abs(box).max()
    centre = np.abs((moved[2:] + moved[:2]) / 2 - (box[2:] + box[:2]) / 2)
    assert (centre <= shift * sides.max() + slack).all()
    factor = (moved[2:] - moved[:2]) / sides
    assert np.abs(factor - 1).max() <= scale + slack
    assert factor[0] == pytest.approx(factor[1], abs=2 * slack + 1e-12)  # its shape stays
    np.testing.assert_array_equal(moved, jittered(box, shift, scale, np.random.default_rng(seed)))
    np.testing.assert_array_equal(jittered(box, 0, 0, np.random.default_rng(seed)), box)
    half = jittered(box, shift / 2, scale / 2, np.random.default_rng(seed))
    np.testing.assert_allclose(half - box, (moved - box) / 2, atol=1e-9 * np.abs(moved).max())  # on the same line


def test_jitter_is_uniform():
    generator = np.random.default_rng(0)
    moved = np.array([jittered(np.array([0.0, 0, 100, 50]), 0.2, 0.1, generator) for _ in range(4000)])
    centres = (moved[:, :2] + moved[:, 2:]) / 2 - [50, 25]
    factors = (moved[:, 2] - moved[:, 0]) / 100
    for values, limit in ((centres[:, 0], 20), (centres[:, 1], 20), (factors - 1, 0.1)):
        quantiles = np.quantile(values / limit, [0, 0.25, 0.5, 0.75, 1])
        np.testing.assert_allclose(quantiles, [-1, -0.5, 0, 0.5, 1], atol=0.05)
    assert np.abs(np.corrcoef([*centres.T, factors]) - np.eye(3)).max() < 0.06


def test_a_face_errs_alike_in_any_company():
    faces = [face(name) for name in "abc"]
    all_of_them, one = erring(faces, 0.3, 0.2, seed=5), erring(faces[1:2], 0.3, 0.2, seed=5)
    np.testing.assert_array_equal(all_of_them[1].box, one[0].box)
    assert len({f.box.tobytes() for f in [*faces, *all_of_them, *erring(faces, 0.3, 0.2, seed=6)]}) == 7
    assert all(after.norm == before.norm for before, after in zip(faces, all_of_them, strict=True))


@given(boxes_with_area, boxes_with_area)
def test_overlap_is_that_of_pixels_counted(a, b):
    a, b = np.rint(a % 30), np.rint(b % 30)  # whole pixels
    a, b = np.concatenate([np.minimum(a[:2], a[2:]), np.maximum(a[:2], a[2:])]), np.array([*b[:2], *(b[:2] + 9)])
    y, x = np.mgrid[-1:45, -1:45]
    inside = [(x >= c[0]) & (x <= c[2]) & (y >= c[1]) & (y <= c[3]) for c in (a, b)]
    expected = (inside[0] & inside[1]).sum() / (inside[0] | inside[1]).sum()
    outer = b + np.array([-0.5, -0.5, 0.5, 0.5])  # from a pixel's outer edge to another's
    assert overlap(a, outer[None])[0] == pytest.approx(expected, abs=1e-9)


def test_names_with_folders_do_not_depend_on_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows(tmp_path / "lists" / "b.csv", ["sub/a.jpg", *OWN])
    boxes = Boxes("csv", file=os.path.join("lists", "b.csv"), root="data")
    assert chosen(boxes, face(file=Path("data/sub/a.jpg"))) == [OWN.tolist()]
