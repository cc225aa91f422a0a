from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyposs.check import CHECKS, run_checks
from keyposs.checks import geometry, likeness, page, sheet
from keyposs.checks.findings import NOTE, WRONG
from keyposs.checks.shape import mean_shape, symmetry
from keyposs.checks.survey import Survey, View, view
from keyposs.data.dataset import SPLITS
from keyposs.markup import MARKUP_68, Markup
from keyposs.types import Annotation

SQUARE = Markup("square", (), ((0, 1), (2, 3)), inter_ocular=(0, 1))
CORNERS = np.array([[10.0, 10], [29, 10], [10, 29], [29, 29]])


def photo(height: int = 60, width: int = 80) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)


def annotation(points: np.ndarray, **fields: object) -> Annotation:
    box = np.concatenate([points.min(0), points.max(0)])
    every = np.ones(len(points), dtype=bool)
    face = Annotation("face", "photo", None, ("all",), points, every, ~every, box, None, 19.0, photo)
    return face._replace(**fields)


def surveyed(
    *faces: Annotation, markup: Markup = SQUARE, splits: tuple[str, ...] = (), padding: float = 1.25
) -> Survey:
    views = [view(face.read(), face.box) for face in faces]
    return Survey("own", markup, {}, True, padding, 64, faces, splits or ("train",) * len(faces), views, [])


@pytest.mark.parametrize(
    ("move", "off"),
    [
        ([0, 0], 0),
        ([-10.5, 0], 0),  # the outer edge of the outermost pixel
        ([-11.5, 0], 1),
        ([50.5, 0], 0),
        ([50.5 + 3, 30.5 + 4], 5),
        ([0, -10.5 - 7], 7),
    ],
)
def test_how_far_a_point_lies_off_the_photo(move: list[float], off: float) -> None:
    points = CORNERS + move
    inside = np.clip(points, -0.5, [79.5, 59.5])
    side = np.ptp(inside, axis=0).max()
    assert geometry.outside_photo(surveyed(annotation(points))).max() == pytest.approx(off / side)


def test_a_point_astray_does_not_make_its_face_large() -> None:
    points = np.concatenate([CORNERS[:3], [[1079.5, 29]]])
    assert geometry.outside_photo(surveyed(annotation(points)))[0, 3] == pytest.approx(1000 / 69.5)
    section = geometry.points(surveyed(annotation(points)))
    assert [(f.level, f.items) for f in section.findings if "far off" in f.text] == [(WRONG, ("face: 14.39",))]


def test_points_outside_the_crop() -> None:
    box = np.array([0.0, 0, 40, 40])
    points = np.array(
        [[20.0, 20], [20 + 25, 20], [20 - 25.5, 20], [20, 20 + 50]]
    )  # the crop reaches 25 from its centre
    beyond = geometry.beyond_crop(surveyed(annotation(points, box=box)))
    np.testing.assert_allclose(beyond, [[0, 0, 0.01, 0.5]], atol=1e-12)


def test_crop_over_norm_and_what_a_pixel_costs() -> None:
    seen = surveyed(annotation(CORNERS, norm=9.5), annotation(CORNERS, norm=19.0), padding=2.0)
    np.testing.assert_allclose(geometry.crop_over_norm(seen), [4, 2])
    section = geometry.crops(seen)
    assert [cells[1] for cells in section.rows] == ["3.000", "2.00/4.00", f"{100 * 3 / 64:.3f}"]


def test_boxes_of_the_dataset_against_the_landmarks() -> None:
    half = np.array([10.0, 10, 29, 19.5])
    seen = surveyed(annotation(CORNERS, face_box=half), annotation(CORNERS, face_box=half + 15), annotation(CORNERS))
    section = geometry.boxes(seen)
    assert section.rows[1][1] == "2"
    assert [(f.level, f.text[:6], f.items) for f in section.findings] == [(NOTE, "1 face", ("face: 0.04",))]


ODD = (0.0, -1e9, 1e9, 3.5, 40.0, float("nan"))


@st.composite
def odd_faces(draw: st.DrawFn) -> Annotation:
    """Whatever an annotation may hold."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    points = rng.choice(ODD[: draw(st.integers(1, len(ODD)))], (68, 2))
    visible = (rng.uniform(size=68) < draw(st.sampled_from([0, 0.03, 1]))) & np.isfinite(points).all(1)
    box = np.array(
        draw(st.sampled_from([[0.0, 0, 0, 0], [5.0, 5, 40, 50], [-1e6, -1e6, 1e6, 1e6], [30.0, 30, 31, 30]]))
    )
    norm = draw(st.sampled_from([0.0, -1.0, 10.0, float("nan"), float("inf")]))
    size = draw(st.sampled_from([(1, 1), (3, 200), (60, 80)]))
    points = np.where(visible[:, None], points, 0)
    own = draw(st.sampled_from([None, box, np.zeros(4)]))
    face = annotation(np.zeros((68, 2)), keypoints=points, visible=visible, occluded=~visible, norm=norm)
    return face._replace(box=box, face_box=own, read=partial(photo, *size), name=draw(st.text("a<&_", max_size=3)))


@settings(max_examples=25, deadline=None)
@given(faces=st.lists(odd_faces(), max_size=12), data=st.data())
def test_nothing_that_stands_in_the_data_is_an_exception(faces: list[Annotation], data: st.DataObject) -> None:
    splits = tuple(data.draw(st.sampled_from(SPLITS)) for _ in faces)
    seen = surveyed(*faces, markup=MARKUP_68, splits=splits)
    shape, pairs = mean_shape(seen.keypoints), likeness.pairs_of(seen)
    mirror = symmetry(shape, MARKUP_68.flip)
    sections = run_checks(seen, shape, mirror, pairs)
    assert tuple(section.check for section in sections) == CHECKS
    tiles = sheet.tiles(seen, sheet.choose(seen, shape, pairs, 2))
    assert len(tiles) == min(2, len(faces))
    assert page.plain(sections)


@pytest.mark.parametrize(("file", "level"), [(Path("a.jpg"), WRONG), (None, NOTE)])
def test_painted_faces_are_different_by_construction(file: Path | None, level: str) -> None:
    twin = annotation(CORNERS, file=file)
    seen = surveyed(twin, twin._replace(name="again", photo="again"), splits=("train", "test"))
    (finding,) = likeness.duplicates(seen, likeness.pairs_of(seen)).findings
    assert (finding.level, finding.items) == (level, ("face (train) = again (test): 1.00",))


def test_faces_of_one_photo_on_both_sides() -> None:
    seen = surveyed(annotation(CORNERS), annotation(CORNERS + 20, name="beside"), splits=("train", "test"))
    (finding,) = likeness.duplicates(seen, likeness.pairs_of(seen)).findings
    assert (finding.level, finding.items) == (NOTE, ("photo",))
    assert finding.text == "1 photo with faces both in train or val and in test"


def test_without_views_nothing_is_drawn() -> None:
    seen = surveyed(annotation(CORNERS))
    seen = Survey(**{**{name: getattr(seen, name) for name in seen.__dataclass_fields__}, "views": [None]})
    assert sheet.choose(seen, mean_shape(seen.keypoints), [], 5) == []
    assert isinstance(view(photo(), np.zeros(4)), View)
