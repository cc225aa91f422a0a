import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyposs import plots

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


def test_the_figure_shows_the_steps_in_percent_and_names_the_normaliser():
    figure = plots.ced_figure(
        {"quarter": np.array([0.02, 0.04, 0.3, 0.04])}, threshold=0.08, norm="inter-ocular", title="300w test"
    )
    (ax,) = figure.axes
    (line,) = ax.get_lines()
    np.testing.assert_allclose(line.get_xdata(), [0, 2, 4, 30, 30])
    np.testing.assert_allclose(line.get_ydata(), [0, 25, 75, 100, 100])
    assert line.get_drawstyle() == "steps-post"
    assert "inter-ocular" in ax.get_xlabel()
    assert ax.get_xlim() == (0, 8)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["quarter  AUC 0.438"]


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
