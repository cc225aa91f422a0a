"""Regressed coordinates: exact to and fro, what is trained, and what is refused."""

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from keyposs.codecs import Coordinates, Regression
from keyposs.errors import KeyposError
from keyposs.losses import RLE, awing, dsnt, laplace, mse, smooth_l1, star, wing
from keyposs.types import Truth

PLACES = st.floats(-100, 400, width=32)
SIZES = st.sampled_from([64, 128, 256, 301])


def truth(keypoints: torch.Tensor, visible: torch.Tensor | None = None) -> Truth:
    b, k, _ = keypoints.shape
    return Truth(keypoints, torch.ones(b, k, dtype=torch.bool) if visible is None else visible, torch.ones(b))


def output(stages: int = 2, b: int = 3, k: int = 4) -> Regression:
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(stages, b, k, 2, generator=generator)
    return Regression(points, 0.1 * torch.rand(stages, b, k, 2, generator=generator) + 0.01)


@given(SIZES, PLACES, PLACES)
def test_a_keypoint_comes_back_wherever_it_lies(size: int, x: float, y: float) -> None:
    codec, keypoints = Coordinates(size), torch.tensor([[[x, y]]])
    points, scores = codec.decode(codec.encode(keypoints))["coordinates"]
    assert torch.allclose(points, keypoints, atol=1e-4)
    assert scores.item() == 1


def test_the_corners_of_the_crop_are_0_and_1() -> None:
    points = Coordinates(256).encode(torch.tensor([[[-0.5, 255.5], [127.5, 0.0]]])).points
    torch.testing.assert_close(points, torch.tensor([[[[0.0, 1.0], [0.5, 0.5 / 256]]]]))


@given(SIZES, PLACES, PLACES)
def test_a_flip_test_of_true_coordinates_has_no_bias(size: int, x: float, y: float) -> None:
    codec, flip = Coordinates(size), (1, 0, 2)
    keypoints = torch.tensor([[[x, y], [y, x], [size / 2, y]]])
    mirrored = torch.stack((size - 1 - keypoints[..., 0], keypoints[..., 1]), -1)[:, list(flip)]
    averaged = codec.average(codec.encode(keypoints), codec.encode(mirrored), flip)
    assert torch.allclose(averaged.points, codec.encode(keypoints).points, atol=1e-5)


def test_a_flip_test_averages_each_scale_with_that_of_the_point_opposite() -> None:
    out = output()
    mirrored = Regression(out.points, out.scale.flip(2))
    averaged = Coordinates(256).average(out, mirrored, (3, 2, 1, 0))
    torch.testing.assert_close(averaged.scale, out.scale)


@pytest.mark.parametrize("loss", [laplace, wing, smooth_l1])
def test_the_loss_is_the_mean_over_stages_visible_keypoints_and_axes(loss) -> None:
    codec, out = Coordinates(128, loss), output()
    keypoints = 128 * torch.rand(3, 4, 2) - 0.5
    visible = torch.rand(3, 4, generator=torch.Generator().manual_seed(0)) < 0.6
    values = [loss(points, (keypoints + 0.5) / 128, scale)[visible] for points, scale in zip(*out, strict=True)]
    torch.testing.assert_close(codec.loss(out, truth(keypoints, visible)), torch.cat(values).mean())


def test_the_default_loss_is_least_where_the_scale_is_the_error() -> None:
    codec, keypoints = Coordinates(256), torch.full((1, 1, 2), 99.5)
    points = torch.full((1, 1, 1, 2), 100 / 256 + 0.02)
    losses = [
        codec.loss(Regression(points, torch.full_like(points, b)), truth(keypoints)).item()
        for b in (0.018, 0.02, 0.022)
    ]
    assert min(losses) == losses[1]


@pytest.mark.parametrize("loss", [RLE(), laplace, wing, smooth_l1])
def test_no_visible_keypoint_no_loss_and_no_gradient(loss) -> None:
    out = Regression(*(x.requires_grad_() for x in output()))
    nowhere = torch.full((3, 4, 2), float("nan"))
    value = Coordinates(128, loss).loss(out, truth(nowhere, torch.zeros(3, 4, dtype=torch.bool)))
    value.backward()
    assert value.item() == 0
    assert not out.points.grad.any()
    assert not out.scale.grad.any()


@pytest.mark.parametrize("loss", [RLE(), laplace, wing, smooth_l1])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_scored_and_read_in_float32(loss, dtype: torch.dtype) -> None:
    half = Regression(*(x.to(dtype) for x in output()))
    codec, keypoints = Coordinates(128, loss), 128 * torch.rand(3, 4, 2)
    full = Regression(*(x.float() for x in half))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = codec.loss(half, truth(keypoints))
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, codec.loss(full, truth(keypoints)))
    points, scores = codec.decode(half)["coordinates"]
    assert points.dtype == scores.dtype == torch.float32
    torch.testing.assert_close(points, 128 * full.points[-1] - 0.5)


def test_the_last_stage_is_read_and_scored_by_its_scale() -> None:
    out = output(stages=3)
    points, scores = Coordinates(256).decode(out)["coordinates"]
    torch.testing.assert_close(points, 256 * out.points[2] - 0.5)
    torch.testing.assert_close(scores, 1 - out.scale[2].mean(-1))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("field", [0, 1])
def test_what_is_not_finite_is_the_centre_with_score_0(bad: float, field: int) -> None:
    out = output()
    out[field][-1, 1, 2, 0] = bad
    points, scores = Coordinates(100).decode(out)["coordinates"]
    assert points[1, 2].tolist() == [49.5, 49.5]
    assert scores[1, 2] == 0
    assert points.isfinite().all()
    assert (scores > 0).sum() == scores.numel() - 1


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("field", [0, 1])
def test_a_point_that_is_not_finite_may_be_anywhere_on_the_crop(bad: float, field: int) -> None:
    codec, out = Coordinates(100), output()
    expected = codec.covariance(out)
    expected[1, 2] = 2 * 100**2 * torch.eye(2)
    out[field][-1, 1, 2, 0] = bad
    torch.testing.assert_close(codec.covariance(out), expected)


def test_double_precision_stays() -> None:
    torch.manual_seed(0)
    codec, out, told = Coordinates(128, RLE(layers=2, width=8)), output(), truth(128 * torch.rand(3, 4, 2))
    single = codec.loss(out, told)
    double = codec.double().loss(Regression(*(x.double() for x in out)), told)
    assert double.dtype == torch.float64
    assert double.item() == pytest.approx(single.item(), rel=1e-5)


def test_scores_stay_in_0_to_1() -> None:
    out = Regression(torch.zeros(1, 1, 2, 2), torch.tensor([[[[3.0, 3.0], [0.0, 0.0]]]]))
    assert Coordinates(100).decode(out)["coordinates"][1].tolist() == [[0.0, 1.0]]


def test_the_covariance_is_that_of_the_laplace_distributions_in_pixels() -> None:
    out = output()
    covariance = Coordinates(200).covariance(out)
    variance = torch.distributions.Laplace(0.0, 200 * out.scale[-1]).variance
    torch.testing.assert_close(covariance.diagonal(dim1=-2, dim2=-1), variance)
    assert not covariance[..., 0, 1].any()


@pytest.mark.parametrize(
    ("loss", "name"),
    [(RLE(), "rle"), (laplace, "laplace"), (partial(wing, omega=5.0), "wing"), (smooth_l1, "smooth_l1")],
)
def test_the_encoding_is_the_loss(loss, name: str) -> None:
    codec = Coordinates(256, loss)
    assert (codec.method, codec.encoding, codec.names) == ("coordinates", name, ("coordinates",))


@pytest.mark.parametrize(
    ("loss", "name"), [(mse, "mse"), (partial(awing, weight=10.0), "awing"), (star, "star"), (dsnt, "dsnt")]
)
def test_a_loss_of_maps_is_refused(loss, name: str) -> None:
    with pytest.raises(KeyposError, match=rf"loss={name}: .* choose from rle, laplace, wing, smooth_l1"):
        Coordinates(256, loss)


def test_the_losses_own_parameters_belong_to_the_codec() -> None:
    assert len(list(Coordinates(256, RLE()).parameters())) == len(list(RLE().parameters()))
    assert not list(Coordinates(256, laplace).parameters())


def test_an_empty_crop_is_refused() -> None:
    with pytest.raises(KeyposError, match="image_size=0"):
        Coordinates(0)
