import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from keyposs.config import CONF
from keyposs.errors import KeyposError
from keyposs.markup import MARKUP_19, MARKUP_29, MARKUP_68, MARKUP_98, MARKUPS, Contour, Markup, markup_of
from keyposs.markup_entries import pairs_of, points_of

LAPA = yaml.safe_load((CONF / "data/lapa.yaml").read_text())["markup"]
MARKUP_106 = markup_of(LAPA)
EVERY = pytest.mark.parametrize("markup", [*MARKUPS.values(), MARKUP_106], ids=lambda markup: markup.name)

PUBLISHED_19 = {(0, 5), (1, 4), (2, 3), (6, 11), (7, 10), (8, 9), (12, 14), (15, 17)}
PUBLISHED_29 = {(0, 1), (2, 3), (4, 6), (5, 7), (8, 9), (10, 11), (12, 14), (13, 15), (16, 17), (18, 19), (22, 23)}
PUBLISHED_68 = {(0, 16), (7, 9), (17, 26), (21, 22), (31, 35), (36, 45), (39, 42), (40, 47), (41, 46)}
PUBLISHED_68 |= {(48, 54), (50, 52), (55, 59), (56, 58), (60, 64), (61, 63), (65, 67)}
PUBLISHED_98 = {(0, 32), (15, 17), (33, 46), (37, 42), (38, 50), (41, 47), (55, 59), (56, 58), (60, 72)}
PUBLISHED_98 |= {(64, 68), (65, 75), (67, 73), (76, 82), (78, 80), (83, 87), (84, 86), (88, 92), (89, 91)}
PUBLISHED_98 |= {(93, 95), (96, 97)}
PUBLISHED_106 = {(0, 32), (15, 17), (33, 46), (37, 42), (38, 50), (41, 47), (55, 65), (59, 61), (66, 79), (70, 75)}
PUBLISHED_106 |= {(71, 82), (73, 80), (74, 83), (84, 90), (86, 88), (91, 95), (92, 94), (96, 100), (97, 99)}
PUBLISHED_106 |= {(101, 103), (104, 105)}


@EVERY
def test_flip_is_an_involution(markup: Markup) -> None:
    assert [markup.flip[i] for i in markup.flip] == list(range(markup.size))


@pytest.mark.parametrize(
    ("markup", "pairs", "middle", "published"),
    [
        (MARKUP_19, 8, [13, 16, 18], PUBLISHED_19),
        (MARKUP_29, 11, [20, 21, 24, 25, 26, 27, 28], PUBLISHED_29),
        (MARKUP_68, 29, [8, 27, 28, 29, 30, 33, 51, 57, 62, 66], PUBLISHED_68),
        (MARKUP_98, 44, [16, 51, 52, 53, 54, 57, 79, 85, 90, 94], PUBLISHED_98),
        (MARKUP_106, 48, [16, 51, 52, 53, 54, 60, 87, 93, 98, 102], PUBLISHED_106),
    ],
    ids=lambda value: value.name if isinstance(value, Markup) else "",
)
def test_flip_agrees_with_the_published_pairs(
    markup: Markup, pairs: int, middle: list[int], published: set[tuple[int, int]]
) -> None:
    assert markup.size == int(markup.name)
    assert len(markup.mirrored) == pairs
    assert [i for i, j in enumerate(markup.flip) if i == j] == middle
    assert published <= set(markup.mirrored)


@EVERY
def test_a_mirrored_contour_is_a_contour(markup: Markup) -> None:
    contours = {frozenset(contour.points) for contour in markup.contours}
    assert {frozenset(markup.flip[point] for point in contour) for contour in contours} == contours


@EVERY
def test_every_point_has_a_name_of_its_own(markup: Markup) -> None:
    assert len(set(markup.names)) == markup.size


def test_what_stands_in_no_contour_has_its_number_for_a_name() -> None:
    assert Markup("own", (Contour("nose", (2, 0)),), (), size=4).names == ("nose 1", "point 1", "nose 0", "point 3")


@EVERY
def test_norms(markup: Markup) -> None:
    keypoints = np.zeros((markup.size, 2))
    visible, box = np.ones(markup.size, bool), np.array([0.0, 0, 16, 9])
    keypoints[markup.inter_ocular[1]] = (3, 4)
    assert markup.norm("inter-ocular", keypoints, visible, box) == 5
    for side, x in zip(markup.inter_pupil, (0.0, 10.0), strict=True):
        keypoints[list(side)] = [(x + i - (len(side) - 1) / 2, 7) for i in range(len(side))]
    assert markup.norm("inter-pupil", keypoints, visible, box) == pytest.approx(10)
    assert markup.norm("box", keypoints, visible, box) == 12
    assert markup.norm("diagonal", keypoints, visible, box) == pytest.approx(337**0.5)
    assert markup.norms == ("inter-ocular", "inter-pupil", "box", "diagonal")


def test_norm_of_invisible_points_is_nan() -> None:
    visible = np.ones(68, bool)
    visible[36] = False
    assert np.isnan(MARKUP_68.norm("inter-ocular", np.ones((68, 2)), visible, np.zeros(4)))


def test_unknown_norm() -> None:
    with pytest.raises(ValueError, match="norm='eyes' is unknown; choose one of inter-ocular"):
        MARKUP_68.norm("eyes", np.ones((68, 2)), np.ones(68, bool), np.zeros(4))


def test_norm_of_a_scheme_without_eyes() -> None:
    noses = Markup("noses", (Contour("nose", (0, 1, 2)),), (), inter_ocular=(0, 2))
    assert noses.norms == ("inter-ocular", "box", "diagonal")
    with pytest.raises(
        ValueError, match="'inter-pupil' is not for markup noses; choose one of inter-ocular, box, diagonal"
    ):
        noses.norm("inter-pupil", np.ones((3, 2)), np.ones(3, bool), np.zeros(4))
    assert replace(noses, inter_ocular=None).norms == ("box", "diagonal")


@EVERY
def test_what_was_written_is_read_back(markup: Markup) -> None:
    """From memory, from the json of a safetensors header, and from a config."""
    plain = markup.to_dict()
    assert Markup.from_dict(plain) == Markup.from_dict(json.loads(json.dumps(plain))) == markup
    assert Markup.from_dict(OmegaConf.create(json.loads(json.dumps(plain)))) == markup


@EVERY
def test_checkpoints_from_before_there_was_a_size(markup: Markup) -> None:
    plain = json.loads(json.dumps(markup.to_dict()))
    del plain["size"]
    assert set(plain) == {"name", "contours", "mirrored", "inter_ocular", "inter_pupil"}
    assert Markup.from_dict(plain) == markup


def test_a_checkpoint_of_release_0_1() -> None:
    """The order of contours and pairs is that of the first release, whose checkpoints must stay equal."""
    first, last = MARKUP_68.mirrored[0], MARKUP_68.mirrored[-1]
    assert (first, MARKUP_68.mirrored[8], MARKUP_68.mirrored[21], last) == ((0, 16), (17, 26), (48, 54), (65, 67))
    assert MARKUP_68.contours[5] == Contour("right eye", (36, 37, 38, 39, 40, 41), closed=True)
    assert MARKUP_68.inter_pupil == ((36, 37, 38, 39, 40, 41), (42, 43, 44, 45, 46, 47))
    assert MARKUP_98.mirrored[16:26] == (
        *((33, 46), (34, 45), (35, 44), (36, 43), (37, 42), (38, 50), (39, 49), (40, 48), (41, 47)),
        (55, 59),
    )


def test_known_names() -> None:
    assert [markup_of(name) for name in ("19", "29", "68", "98")] == [MARKUP_19, MARKUP_29, MARKUP_68, MARKUP_98]
    assert markup_of(68) == MARKUP_68  # as a yaml has it without quotes
    with pytest.raises(KeyposError, match=r"markup=67: is no known scheme. Remedy: choose one of 19, 29, 68, 98"):
        markup_of("67")


def test_a_scheme_written_by_hand() -> None:
    plain = OmegaConf.create(
        """
        name: 7
        contours: [{name: eyes, points: "0-3"}, {name: mouth, points: [4, 5-6], closed: true}]
        mirrored: ["0-1:3-2", [4, 6]]
        inter_ocular: [0, 3]
        inter_pupil: [0-1, [2, 3]]
        """
    )
    assert markup_of(plain) == Markup(
        "7",
        (Contour("eyes", (0, 1, 2, 3)), Contour("mouth", (4, 5, 6), closed=True)),
        ((0, 3), (1, 2), (4, 6)),
        (0, 3),
        ((0, 1), (2, 3)),
        7,
    )


GOOD = {"name": "own", "size": 6, "mirrored": ["0-1:5-4"]}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": None}, "has no name"),
        ({"mirror": []}, "markup own: has the unknown entry 'mirror'"),
        ({"mirrored": [[0, 5], [1, 6]]}, r"mirrored pair \[1, 6\] holds point 6, but its 6 points are 0-5"),
        ({"mirrored": [[0, 5], [5, 1]]}, r"mirrored pair \[5, 1\] takes a point twice"),
        ({"mirrored": [[2, 2]]}, r"mirrored pair \[2, 2\] takes a point twice"),
        ({"mirrored": [0, 5]}, r"mirrored: 0 is no pair; write \[a, b\]"),
        ({"mirrored": 1895}, 'mirrored: 1895 is no list of pairs; .*in quotes like "0-7:16-9"'),
        ({"mirrored": ["0-2:5-4"]}, "mirrored: '0-2:5-4' pairs 3 points with 2"),
        ({"mirrored": [[0, -1]]}, "mirrored: '-1' is no point"),
        ({"mirrored": [[0, 1.5]]}, "mirrored: 1.5 is no point"),
        ({"mirrored": [[True, 2]]}, "mirrored: True is no point"),
        ({"contours": [{"name": "nose", "points": "4-6"}]}, "contour 'nose' holds point 6"),
        ({"contours": [{"name": "nose"}]}, "contours: 'nose' needs points"),
        ({"contours": [{"name": "nose", "points": [1], "closed": "no"}]}, "closed is true or false"),
        ({"contours": [{"points": [1]}]}, "contours: .* is no contour; write {name: nose, points: 27-30}"),
        ({"contours": ["0-3"]}, "contours: '0-3' is no contour"),
        ({"contours": 3}, "contours: "),
        ({"contours": [{"name": "nose", "points": "0-99999999"}]}, "goes beyond the 10000 points"),
        ({"inter_ocular": [0]}, r"inter_ocular: \[0\] are not two points"),
        ({"inter_ocular": [0, 9]}, "inter_ocular holds point 9"),
        ({"inter_pupil": [[0], []]}, "inter_pupil: .* are not two lists of points"),
        ({"inter_pupil": "0-5"}, "inter_pupil: '0-5' are not two lists of points"),
        ({"inter_pupil": 5}, "inter_pupil: "),
        ({"inter_pupil": [[0], [7]]}, "inter_pupil holds point 7"),
        ({"size": "six"}, "size: 'six' is no number of points"),
        ({"size": 20000}, "has 20000 points"),
        ({"size": 0, "mirrored": None}, "has 0 points. Remedy: give contours, or a size"),
    ],
)
def test_what_is_wrong_is_named(changed: dict[str, Any], message: str) -> None:
    assert Markup.from_dict(GOOD).flip == (5, 4, 2, 3, 1, 0)
    with pytest.raises(KeyposError, match=message):
        markup_of(GOOD | changed)


@pytest.mark.parametrize("spec", [7, "7", "7-7", [7], ["7"]])
def test_spellings_of_a_point(spec: Any) -> None:
    assert points_of(spec) == (7,)


def test_runs() -> None:
    assert points_of(" 0-2 , 9,8-6") == (0, 1, 2, 9, 8, 7, 6)
    assert pairs_of("0-1:5-4, 2:3") == ((0, 5), (1, 4), (2, 3))
    assert pairs_of([]) == ()


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("0123456789-:, x", max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "points", "closed"]), inner),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["name", "contours", "mirrored", "inter_ocular", "inter_pupil", "size"]), ANYTHING)
)
def test_anything_is_a_markup_or_a_named_error(plain: dict[str, Any]) -> None:
    try:
        markup = Markup.from_dict(plain)
    except KeyposError:
        return
    assert sorted(markup.flip) == list(range(markup.size))
    assert len(markup.names) == markup.size
    assert Markup.from_dict(markup.to_dict()) == markup
