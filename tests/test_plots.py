import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyposs import plots
from keyposs.markup import Contour, Markup

ERRORS = st.lists(st.floats(0, 1, allow_subnormal=False) | st.just(float("nan")), min_size=1, max_size=30)


def step_area(x, y, until):
    """Integral from 0 to `until` of the function that is y[i] from x[i] on."""
    edges = np.append(np.minimum(x, until), until)
    return float((np.diff(edges) * y).sum())


@given(ERRORS, st.floats(0.01, 1))
def test_the_area_under_the_ced_is_the_closed_form_of_auc(errors, threshold):
    errors = np.array(errors)
    auc = np.mean(np.maximum(0, 1 - np.nan_to_num(errors, nan=np.inf) / threshold))
    assert step_area(*plots.ced(errors), threshold) / threshold == pytest.approx(auc, abs=1e-9)


@given(ERRORS)
def test_the_ced_counts_the_faces_up_to_each_error(errors):
    errors = np.array(errors)
    x, y = plots.ced(errors)
    for at, share in zip(x[1:], y[1:], strict=True):
        assert share == pytest.approx((errors <= at).mean())


def test_each_panel_shows_the_steps_in_percent_and_names_the_normaliser():
    errors = {"quarter": np.array([0.02, 0.04, 0.3, 0.04]), "dark": np.array([0.01, np.nan])}
    figure = plots.ced_figure({"size 8": errors, "size 4": errors}, threshold=0.08, norm="inter-ocular")
    assert [ax.get_title() for ax in figure.axes] == ["size 8", "size 4"]
    ax = figure.axes[0]
    line = ax.get_lines()[0]
    np.testing.assert_allclose(line.get_xdata(), [0, 2, 4, 30, 30])
    np.testing.assert_allclose(line.get_ydata(), [0, 25, 75, 100, 100])
    assert line.get_drawstyle() == "steps-post"
    assert "inter-ocular" in ax.get_xlabel()
    assert ax.get_xlim() == (0, 8)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "quarter: FR 25.0, AUC 0.438",
        "dark: FR 50.0, AUC 0.438",
    ]


def test_trends_carry_means_and_intervals_on_logarithmic_axes():
    band = {8.0: (6.0, 5.5, 6.5), 4.0: (12.0, 11.0, 13.0)}
    panels = {"biased": {"dark": band, "one_hot": band}, "unbiased": {"dark": band}}
    figure = plots.trend_figure(panels, norm="box", against="heatmap size", marks={4.0: 4.0, 8.0: 8.0})
    left, right = figure.axes
    np.testing.assert_array_equal(left.get_lines()[0].get_xydata(), [[4, 12], [8, 6]])
    edges = left.collections[0].get_paths()[0].vertices
    assert {tuple(corner) for corner in edges} == {(4, 11), (4, 13), (8, 5.5), (8, 6.5)}
    assert (left.get_xscale(), left.get_yscale()) == ("log", "log")
    assert [tick.get_text() for tick in right.get_xticklabels()] == ["4²", "8²"]
    assert left.get_ylabel() == "NME, % of box"
    assert [ax.get_title() for ax in figure.axes] == ["biased", "unbiased"]


def test_marks_of_another_axis_stand_with_its_values():
    figure = plots.trend_figure({"": {"dark": {0.3: (5.0, 4, 6)}}}, norm="box", against="GMACs", marks={0.3: 16.0})
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["0.3\n16²"]


def test_a_landmark_has_its_error_as_colour_and_one_without_has_no_dot():
    mean = np.array([0 + 0j, 1 + 0j, 1 + 1j])
    markup = Markup("3", (Contour("line", (0, 1, 2), closed=True),), ())
    figure = plots.landmarks_figure({"size 8": np.array([3.0, np.nan, 1.0])}, mean, markup, norm="box")
    ax = figure.axes[0]
    (dots,) = ax.collections
    colours = np.ma.filled(dots.get_array(), np.nan)
    at = zip(np.ma.filled(dots.get_offsets(), np.nan).tolist(), colours, strict=True)
    assert [(*place, colour) for place, colour in at if np.isfinite(colour)] == [(1, 1, 1), (0, 0, 3)]
    np.testing.assert_array_equal(ax.get_lines()[0].get_xydata(), [[0, 0], [1, 0], [1, 1], [0, 0]])
    assert ax.yaxis_inverted()
    assert figure.axes[1].get_ylabel() == "mean error, % of box"


def test_files_of_a_figure_are_the_same_each_time():
    def figure():
        return plots.training_figure({1: 3.0, 2: 1.0}, {"dark_$x": {2: 9.0}}, norm="box")

    assert plots.svg(figure()) == plots.svg(figure())
    assert plots.png(figure()) == plots.png(figure())
    assert b"<dc:date>" not in plots.svg(figure())


def test_training_curves_carry_the_logged_values():
    figure = plots.training_figure(
        {1: 3.0, 2: 2.0, 3: 1.0}, {"one_hot": {2: 12.5}, "dark": {2: 9.0, 3: 8.0}}, norm="box"
    )
    left, right = figure.axes
    np.testing.assert_array_equal(left.get_lines()[0].get_xydata(), [[1, 3], [2, 2], [3, 1]])
    assert {line.get_label(): line.get_xydata().tolist() for line in right.get_lines()} == {
        "one_hot": [[2, 12.5]],
        "dark": [[2, 9], [3, 8]],
    }
    assert right.get_lines()[0].get_marker() == "o"
    assert "box" in right.get_ylabel()


@pytest.mark.parametrize(("last", "scale"), [(0.1, "log"), (0.0, "linear"), (-2.5, "linear")])
def test_a_loss_that_is_not_positive_throughout_is_drawn_on_a_linear_axis(last: float, scale: str) -> None:
    left, right = plots.training_figure({1: 3.0, 2: last}, {"dark": {2: 9.0}}, norm="box").axes
    assert (left.get_yscale(), right.get_yscale()) == (scale, "log")
    low, high = left.get_ylim()
    assert low < last < 3 < high


def test_robustness_has_a_panel_for_each_kind_and_a_row_for_each_subset() -> None:
    line = {0.0: 4.0, 10.0: 5.5}
    panels = {"val all": {"shift": {"dark": line, "one_hot": line}, "scale": {"dark": {0.0: 4.0, 10.0: 25.0}}}}
    figure = plots.robustness_figure(panels | {"test full": panels["val all"]}, norm="box")
    assert [ax.get_title() for ax in figure.axes] == [
        f"{subset}: {kind}" for subset in ("val all", "test full") for kind in ("shift", "scale")
    ]
    assert [len(ax.get_lines()) for ax in figure.axes] == [2, 1, 2, 1]
    np.testing.assert_array_equal(figure.axes[0].get_lines()[1].get_xydata(), [[0, 4], [10, 5.5]])
    assert figure.axes[2].get_ylabel() == "NME, % of box"
    assert all(ax.get_ylim()[0] == 0 and ax.get_ylim()[1] > 25 for ax in figure.axes)  # none is cut
