import math
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from keyposs.codecs import DistanceMap
from keyposs.codecs.distance_map import near
from keyposs.decoders import gauss_newton, multilateration, one_hot, pseudorange
from keyposs.errors import KeyposError
from keyposs.grid import Grid
from keyposs.losses import Loss, awing, dsnt, huber, mse, star
from keyposs.types import Truth

SIZES = [64, 32, 16, 8, 4]


def codec(size: int, **options: object) -> DistanceMap:
    return DistanceMap(Grid(256, size), {"multilateration": multilateration}, **options)  # type: ignore[arg-type]


@given(st.sampled_from(SIZES), st.floats(-40, 300), st.floats(-40, 300), st.floats(0.7, 4))
def test_unbiased_by_the_formula(size: int, x: float, y: float, sigma: float) -> None:
    heatmap = codec(size, sigma=sigma).encode(torch.tensor([[[x, y]]], dtype=torch.float64))[0, 0]
    stride = 256 / size
    i, j = size // 3, size - 1  # a cell: column i, row j
    dx, dy = i - ((x + 0.5) / stride - 0.5), j - ((y + 0.5) / stride - 0.5)
    assert heatmap[j, i].item() == pytest.approx(math.exp(-(dx**2 + dy**2) / (2 * sigma**2)), rel=1e-9, abs=1e-300)


@given(st.sampled_from(SIZES), st.floats(0, 255), st.floats(0, 255), st.sampled_from([1.5, 2.0]))
def test_biased_by_a_loop(size: int, x: float, y: float, sigma: float) -> None:
    heatmap = codec(size, sigma=sigma, unbiased=False).encode(torch.tensor([[[x, y]]], dtype=torch.float64))[0, 0]
    cells = [math.floor((v + 0.5) * size / 256 - 0.5 + 0.5) for v in (x, y)]
    for j in range(size):
        for i in range(0, size, 7):
            dx, dy = i - cells[0], j - cells[1]
            inside = max(abs(dx), abs(dy)) <= 3 * sigma
            expected = math.exp(-(dx**2 + dy**2) / (2 * sigma**2)) if inside else 0.0
            assert heatmap[j, i].item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("size", SIZES)
def test_a_point_just_off_the_crop_is_not_moved_onto_it(size: int) -> None:
    grid = Grid(256, size)
    decoders = {"multilateration": multilateration, "gauss_newton": gauss_newton, "pseudorange": pseudorange}
    off = DistanceMap(grid, decoders)
    keypoints = torch.tensor([[[-0.45 * grid.stride, 100.0], [255.4, 255.4], [128.0, -0.5]]])
    for points, _ in off.decode(off.encode(keypoints)).values():
        assert torch.allclose(points, keypoints, atol=1e-3 * grid.stride)


def test_biased_encoding_loses_the_sub_cell_position() -> None:
    lossy = codec(16, unbiased=False)
    keypoints = torch.tensor([[[100.0, 60.0]]])
    points, _ = lossy.decode(lossy.encode(keypoints))["multilateration"]
    cell = lossy.grid.to_cells(points)
    assert torch.allclose(cell, cell.round(), atol=1e-3)


def test_loss_of_the_target_is_zero_and_masks_by_visibility() -> None:
    for loss in (huber, awing):
        part = codec(8, loss=loss)
        keypoints = torch.tensor([[[30.0, 40.0], [90.0, 200.0]]])
        output = part.encode(keypoints)
        output[0, 1] += 1
        visible = torch.tensor([[True, False]])
        assert part.loss(output, Truth(keypoints, visible, torch.ones(1))).item() == 0
        assert part.loss(output, Truth(keypoints, ~visible, torch.ones(1))).item() > 0


@pytest.mark.parametrize("activation", ["identity", "exp", "softmax"])
@pytest.mark.parametrize("loss", [mse, partial(awing, weight=10.0), star, dsnt])
def test_a_keypoint_that_is_not_annotated_may_be_nan(loss: Loss, activation: str) -> None:
    part = codec(8, loss=loss, activation=activation)
    output = torch.rand(1, 2, 8, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    keypoints, visible = torch.tensor([[[30.0, 40.0], [torch.nan, torch.nan]]]), torch.tensor([[True, False]])
    value = part.loss(output, Truth(keypoints, visible, torch.ones(1)))
    (gradient,) = torch.autograd.grad(value, output)
    alone = part.loss(output[:, :1], Truth(keypoints[:, :1], visible[:, :1], torch.ones(1)))
    torch.testing.assert_close(value, alone)
    torch.testing.assert_close(gradient, torch.autograd.grad(alone, output)[0])
    assert gradient[0, 0].abs().max() > 0
    assert not gradient[0, 1].any()


def test_loss_is_computed_in_float32_under_half_precision() -> None:
    part = codec(8)
    truth = Truth(torch.tensor([[[30.0, 40.0]]]), torch.ones(1, 1, dtype=torch.bool), torch.ones(1))
    assert part.loss(part.encode(truth.keypoints).half(), truth).dtype == torch.float32


def test_a_loss_of_coordinates_is_refused() -> None:
    def laplace(points: torch.Tensor, keypoints: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return (points - keypoints) / scale

    with pytest.raises(KeyposError, match="loss=laplace: is not of the kind .* choose from mse, huber, awing"):
        codec(8, loss=laplace)


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan"), float("inf")])
def test_sigma_must_be_positive(sigma: float) -> None:
    with pytest.raises(KeyposError, match=r"codec.sigma=.* is not a positive number of cells"):
        codec(8, sigma=sigma)


def test_a_kernel_larger_than_the_map_is_an_error_at_config_time() -> None:
    with pytest.raises(KeyposError, match=r"decoder.wide: cannot read maps of heatmap_size=4 .*kernel=5"):
        DistanceMap(Grid(256, 4), {"one_hot": one_hot, "wide": partial(multilateration, kernel=5)})


def test_no_decoder() -> None:
    with pytest.raises(KeyposError, match="no decoder is chosen"):
        DistanceMap(Grid(256, 4), {})


@pytest.mark.parametrize("size", SIZES)
def test_a_flip_test_of_true_maps_has_no_bias(size: int) -> None:
    """The published code's shift leaves half a pixel at every size; here a map and its mirror image agree."""
    flip, maps = (1, 0, 2), codec(size)
    keypoints = torch.rand(4, 3, 2, generator=torch.Generator().manual_seed(size)) * 255
    mirrored = torch.stack((255 - keypoints[..., 0], keypoints[..., 1]), -1)[:, list(flip)]
    target = maps.encode(keypoints)
    averaged = maps.average(target, maps.encode(mirrored), flip)
    assert torch.allclose(averaged, target, atol=1e-6)
    points, _ = maps.decode(averaged)["multilateration"]
    assert (points - keypoints).abs().max() < 0.02  # pixels of 256


@pytest.mark.parametrize("size", [64, 16, 4])
def test_logarithms_of_maps_are_read_as_maps(size: int) -> None:
    """Up to an additive constant of the output, which a softmax does not see."""
    logarithmic = codec(size, activation="softmax")
    keypoints = 60 + 130 * torch.rand(4, 3, 2, generator=torch.Generator().manual_seed(size))
    output = logarithmic.encode(keypoints) + torch.randn(4, 3, 1, 1)
    points, scores = logarithmic.decode(output)["multilateration"]
    assert (points - keypoints).abs().max() < 0.02
    if size > 4:  # of a map that holds all of the Gaussian, amplitudes are true as well
        torch.testing.assert_close(logarithmic.maps(output), codec(size).encode(keypoints), atol=5e-2, rtol=0)
        assert (scores > 0.9).all()


@pytest.mark.parametrize("loss", [star, dsnt])
def test_losses_of_a_maps_mean_vanish_at_the_truth(loss: Loss) -> None:
    logarithmic = codec(32, activation="softmax", loss=loss)
    keypoints = torch.full((1, 2, 2), 130.0)
    truth = Truth(keypoints, torch.ones(1, 2, dtype=torch.bool), torch.ones(1))
    right = logarithmic.loss(logarithmic.encode(keypoints), truth)
    wrong = logarithmic.loss(logarithmic.encode(keypoints + 20), truth)
    assert 0 <= right < 0.1 < wrong
    assert wrong.dtype == torch.float32


def test_scores_rank_by_covariance_once_it_is_calibrated() -> None:
    """A low map is less sure than a high one; what holds nothing stays at 0."""
    part = codec(16)
    keypoints = torch.full((1, 3, 2), 130.0)
    output = part.encode(keypoints)
    output[0, 1] *= 0.3
    output[0, 2] = 0
    _, peaks = part.decode(output)["multilateration"]
    torch.testing.assert_close(peaks[0], output[0].flatten(1).amax(-1))
    part.spread.fill_(0.5)
    _, scores = part.decode(output)["multilateration"]
    expected = 1 - torch.exp(-(8**2) / part.covariance(output).diagonal(dim1=-2, dim2=-1).sum(-1))
    torch.testing.assert_close(scores[0, :2], expected[0, :2])
    assert scores[0, 2] == 0
    assert 0 < scores[0, 1] < scores[0, 0] < 1


def test_scores_and_covariances_are_those_of_the_reading_that_was_calibrated() -> None:
    part = codec(16)
    output = 0.9 * part.encode(torch.full((1, 3, 2), 130.0))
    part.spread.fill_(0.01)
    part.calibrated = "multilateration"
    assert part.decode(output)["multilateration"][1].min() > 0.99
    assert part.covariance(output, "multilateration").shape == (1, 3, 2, 2)
    part.calibrated = "another"
    torch.testing.assert_close(part.decode(output)["multilateration"][1], output.amax((-2, -1)))
    assert part.covariance(output, "multilateration") is None
    assert part.covariance(output) is not None


@pytest.mark.parametrize("distance", [0.5, 2.0])
def test_near_is_the_share_of_a_round_normal_distribution(distance: float) -> None:
    draws = 1.5 * torch.randn(200000, 2, generator=torch.Generator().manual_seed(0))
    share = (draws.norm(dim=-1) < distance).double().mean().item()
    assert near(1.5**2 * torch.eye(2), distance).item() == pytest.approx(share, abs=0.005)
