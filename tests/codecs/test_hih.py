"""Heatmap-in-Heatmap against its formulas, written out cell by cell, and against the publication's figures."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from keyposs.codecs import HIH, HIHOutput
from keyposs.codecs.hih import expected_bin, soft_divergence
from keyposs.errors import KeyposError
from keyposs.grid import Grid
from keyposs.losses import huber, mse
from keyposs.types import Truth

SIZES = [64, 32, 16, 8, 4]

on_crop = st.floats(-0.5, 255.5, exclude_max=True, width=32)


def codec(size: int = 64, **options: object) -> HIH:
    return HIH(Grid(256, size), **options)  # type: ignore[arg-type]


def all_seen(keypoints: torch.Tensor) -> Truth:
    return Truth(keypoints, torch.ones(keypoints.shape[:2], dtype=torch.bool), torch.ones(len(keypoints)))


def some_output(seed: int = 0, stacks: int = 2) -> HIHOutput:
    """Of two faces with three points, at 8 cells."""
    generator = torch.Generator().manual_seed(seed)
    integer = torch.randn(stacks, 2, 3, 8, 8, generator=generator)
    return HIHOutput(integer, torch.randn(2, 3, 8, 8, generator=generator))


def some_points(seed: int = 1, size: float = 256) -> torch.Tensor:
    return torch.rand(2, 3, 2, generator=torch.Generator().manual_seed(seed)) * size - 0.5


def ideal_bins() -> torch.Tensor:
    """The ideal decimal map of each bin, (row, column, 8, 8)."""
    bins = (torch.arange(8) + 0.5) * 0.5  # pixels of a cell of 4
    y, x = torch.meshgrid(bins, bins, indexing="ij")
    keypoints = torch.stack((x, y), -1).view(1, 64, 2) - 0.5
    return codec().encode(keypoints).decimal.view(8, 8, 8, 8)


@given(st.sampled_from(SIZES), on_crop, on_crop)
def test_encode_then_decode_is_right_to_half_a_bin_all_over_the_crop(size: int, x: float, y: float) -> None:
    part = codec(size)
    keypoints = torch.tensor([[[x, y]]])
    points, scores = part.decode(part.encode(keypoints))["hih"]
    assert (points - keypoints).abs().max() <= part.grid.stride / 16 + 1e-4  # 0.25 pixel at 64; float32
    assert scores.item() == 1


@pytest.mark.parametrize("size", SIZES)
def test_all_the_border_and_all_bins(size: int) -> None:
    """Every 16th of a pixel along the rim, where the published code draws peaks a cell off, and in the midst."""
    part = codec(size)
    along = torch.arange(-0.5, 255.5, 1 / 16)
    ends = torch.tensor([-0.5, 0.0, 1.2, 254.9, 255.49])
    keypoints = torch.cartesian_prod(along[::7], ends)
    keypoints = torch.cat([keypoints, keypoints.flip(-1), torch.stack((along, along), -1)])[None]
    points, _ = part.decode(part.encode(keypoints))["hih"]
    assert (points - keypoints).abs().max() <= part.grid.stride / 16


@given(st.sampled_from(SIZES), on_crop, on_crop, st.sampled_from([1.5, 0.8]))
def test_targets_by_the_formulas(size: int, x: float, y: float, sigma: float) -> None:
    target = codec(size, sigma=sigma).encode(torch.tensor([[[x, y]]], dtype=torch.float64))
    t = [(v + 0.5) * size / 256 for v in (x, y)]
    cell = [math.floor(v) for v in t]
    part = [math.floor(8 * (v - math.floor(v))) for v in t]
    for i, j in ((0, 0), (size - 1, 1), (size // 3, size - 1), (cell[0], cell[1])):
        squared = (i - cell[0]) ** 2 + (j - cell[1]) ** 2
        expected = math.exp(-squared / (2 * sigma**2))
        assert target.integer[0, 0, 0, j, i].item() == pytest.approx(expected, rel=1e-9, abs=1e-300)
    for i, j in ((0, 0), (7, 1), (3, 7), (part[0], part[1])):
        squared = (i - part[0]) ** 2 + (j - part[1]) ** 2
        assert target.decimal[0, 0, j, i].item() == pytest.approx(math.exp(-squared / 2), rel=1e-9)


@pytest.mark.parametrize("point", [(-0.6, 10.0), (255.6, 10.0), (10.0, -1.0), (10.0, 255.5), (-40.0, 300.0)])
def test_a_point_off_the_crop_has_no_peak_and_reads_as_the_centre_with_score_0(point: tuple[float, float]) -> None:
    target = codec(16).encode(torch.tensor([[point]]))
    assert target.integer.abs().max() == target.decimal.abs().max() == 0
    for points, scores in codec(16).decode(target).values():
        assert points.tolist() == [[[127.5, 127.5]]]
        assert scores.item() == 0


@pytest.mark.parametrize("size", SIZES)
def test_the_published_reading_is_half_a_bin_low(size: int) -> None:
    part, keypoints = codec(size), some_points()
    readings = part.decode(part.encode(keypoints))
    published, centred = readings["hih_published"][0], readings["hih"][0]
    stride = part.grid.stride
    torch.testing.assert_close(published - centred, torch.full_like(published, -stride / 16), rtol=0, atol=1e-4)
    cells = (published + 0.5) / stride  # the released code's, from the crop's corner: I + D / 8
    torch.testing.assert_close(8 * cells, (8 * cells).round(), rtol=0, atol=1e-3)


def test_the_softmax_of_a_decimal_target_is_almost_flat() -> None:
    probability = ideal_bins()[3, 3].flatten().softmax(0)
    assert probability.max().item() == pytest.approx(0.0376, abs=5e-5)
    assert probability.min().item() == pytest.approx(0.0138, abs=5e-5)  # 1 / 64 is 0.0156


def test_the_divergence_by_its_definition() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(8, 8, generator=generator, dtype=torch.float64)
    target = torch.rand(8, 8, generator=generator, dtype=torch.float64)
    exp_t, exp_l = target.exp(), logits.exp()
    p, q = exp_t / exp_t.sum(), exp_l / exp_l.sum()
    expected = (p * (p / q).log()).sum()
    torch.testing.assert_close(soft_divergence(logits, target), expected)
    assert expected > 0
    torch.testing.assert_close(soft_divergence(target + 3, target).abs().max(), torch.tensor(0.0).double())


def test_the_loss_is_the_mean_of_the_stacks_and_a_twentieth_of_the_divergence() -> None:
    part, output, keypoints = codec(8), some_output(), some_points()
    target = part.encode(keypoints)
    squares = (output.integer - target.integer).square().mean()  # over stacks, faces, points and cells
    p = target.decimal.flatten(2).softmax(-1)
    divergence = (p * (p.log() - output.decimal.flatten(2).log_softmax(-1))).sum(-1).mean()  # over faces and points
    torch.testing.assert_close(part.loss(output, all_seen(keypoints)), squares + 0.05 * divergence)


def test_the_ideal_output_has_loss_0_and_is_the_least() -> None:
    part, keypoints = codec(8), some_points()
    ideal = HIHOutput(*(maps.clone().requires_grad_() for maps in part.encode(keypoints)))
    loss = part.loss(ideal, all_seen(keypoints))
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-8)
    for maps in ideal:
        assert maps.grad is not None
        assert maps.grad.abs().max() < 1e-8
    shifted = HIHOutput(ideal.integer, ideal.decimal + 5)
    assert part.loss(shifted, all_seen(keypoints)).item() == pytest.approx(0, abs=1e-8)


def test_only_visible_points_count_and_off_the_crop_only_the_integer_map() -> None:
    part, output, keypoints = codec(8), some_output(), some_points()
    visible = torch.tensor([[True, False, True], [False, True, True]])
    seen = Truth(keypoints, visible, torch.ones(2))
    expected = part.loss(output, seen)
    torch.testing.assert_close(
        part.loss(output, seen._replace(keypoints=keypoints + 9 * ~visible[..., None])), expected
    )
    away = seen._replace(keypoints=torch.full_like(keypoints, -9.0))
    squares = output.integer.square().mean((0, -2, -1))[visible].mean()
    torch.testing.assert_close(part.loss(output, away), squares)


def test_nothing_visible_is_0_with_gradients_of_0() -> None:
    output = HIHOutput(*(maps.requires_grad_() for maps in some_output()))
    seen = Truth(some_points(), torch.zeros(2, 3, dtype=torch.bool), torch.ones(2))
    loss = codec(8).loss(output, seen)
    loss.backward()
    assert loss.item() == 0
    assert all(maps.grad is not None and not maps.grad.any() for maps in output)


def test_the_integer_loss_is_told_the_centres_of_the_cells() -> None:
    told = []

    def loss(maps: torch.Tensor, target: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        told.append(points)
        return mse(maps, target, points)

    codec(8, loss=loss).loss(some_output(), all_seen(torch.tensor([[[33.0, 31.0]] * 3] * 2)))
    assert told[-1].shape == (2, 3, 2)
    assert told[-1][0, 0].tolist() == [1, 0]


def test_another_loss_of_maps_is_taken() -> None:
    assert codec(8, loss=huber).loss(some_output(), all_seen(some_points())).item() > 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_scored_and_read_in_float32(dtype: torch.dtype) -> None:
    part, keypoints = codec(8), some_points()
    output = HIHOutput(*(maps.to(dtype) for maps in part.encode(keypoints)))
    assert part.loss(output, all_seen(keypoints)).dtype == torch.float32
    points, scores = part.decode(output)["hih"]
    assert points.dtype == scores.dtype == torch.float32
    assert (points - keypoints).abs().max() <= 2 + 1e-4


@pytest.mark.parametrize("size", SIZES)
def test_a_flip_test_of_true_maps_has_no_bias(size: int) -> None:
    part, flip, keypoints = codec(size), (1, 0, 2), some_points(size)
    mirrored = torch.stack((255 - keypoints[..., 0], keypoints[..., 1]), -1)[:, list(flip)]
    target = part.encode(keypoints)
    for averaged, maps in zip(part.average(target, part.encode(mirrored), flip), target, strict=True):
        torch.testing.assert_close(averaged, maps)


def test_the_last_stack_is_read() -> None:
    part, keypoints = codec(8), some_points()
    target = part.encode(keypoints)
    stacks = HIHOutput(torch.cat([some_output().integer, target.integer]), target.decimal)
    torch.testing.assert_close(part.decode(stacks), part.decode(target))


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, -math.inf])
def test_no_cell_to_read_is_the_centre_with_score_0(value: float) -> None:
    output = HIHOutput(torch.full((1, 2, 3, 8, 8), value), some_output().decimal)
    for points, scores in codec(8).decode(output).values():
        assert torch.equal(points, torch.full_like(points, 127.5))
        assert not scores.any()


@pytest.mark.parametrize("value", [0.0, math.nan, math.inf, -math.inf])
def test_a_decimal_map_that_says_nothing_leaves_the_point_in_its_cell(value: float) -> None:
    target = codec(8).encode(some_points())
    output = HIHOutput(target.integer, torch.full((2, 3, 8, 8), value))
    readings = codec(8).decode(output)
    corner = ((some_points() + 0.5) / 32).floor() * 32 - 0.5
    for points, scores in readings.values():
        assert ((points >= corner) & (points <= corner + 32)).all()
        assert torch.equal(scores, torch.ones(2, 3))
    torch.testing.assert_close(readings["hih_expectation"][0], corner + 16)


def test_scores_are_peaks_in_0_to_1() -> None:
    output = some_output()
    _, scores = codec(8).decode(output)["hih"]
    torch.testing.assert_close(scores, output.integer[-1].amax((-2, -1)).clamp(0, 1))


def test_the_expectation_is_right_to_the_bin_where_a_plain_softmax_is_blind() -> None:
    bins, maps = torch.arange(8.0), ideal_bins()
    error = expected_bin(maps)[..., 0] - bins
    assert error.abs().max() < 0.5
    assert error[:, 1:-1].abs().max() < 0.06
    plain = maps.flatten(2).softmax(-1).view(8, 8, 8, 8).sum(-2) @ bins
    assert plain.min() > 3.1
    assert plain.max() < 3.9


def test_the_expectation_is_equivariant() -> None:
    maps = some_output().decimal
    x, y = expected_bin(maps).unbind(-1)
    torch.testing.assert_close(expected_bin(maps.mT), torch.stack((y, x), -1))
    torch.testing.assert_close(expected_bin(maps.flip(-1)), torch.stack((7 - x, y), -1))
    torch.testing.assert_close(expected_bin(maps + 4), torch.stack((x, y), -1))


def test_between_two_likely_bins_the_expectation_lies_between() -> None:
    maps = ideal_bins()
    unsure = (maps[3, 2].flatten().softmax(0) * 0.5 + maps[3, 5].flatten().softmax(0) * 0.5).log().view(8, 8)
    torch.testing.assert_close(expected_bin(unsure), torch.tensor([3.5, 3.0]), rtol=0, atol=0.05)
    largest = unsure.flatten().argmax() % 8
    assert largest in (2, 5)  # a bin and a half off, whichever is right


def test_an_unsure_net_is_read_better_by_the_expectation() -> None:
    """Maps of a net that knows the place to a bin and a half: the mean halves no hair, the peak is drawn by lot."""
    generator = torch.Generator().manual_seed(3)
    probability, noise = ideal_bins().flatten(2).softmax(-1), 0.1
    place = torch.arange(8.0)
    belief = torch.exp(-(place - 3.4).square() / (2 * 1.5**2))
    belief = (belief[:, None] * belief).flatten() / belief.sum() ** 2
    logits = (belief @ probability.view(64, 64)).log() + noise * torch.randn(500, 64, generator=generator)
    peak = (logits.argmax(-1) % 8).float()
    mean = expected_bin(logits.view(500, 8, 8))[:, 0]
    assert (mean - 3.4).square().mean() < (peak - 3.4).square().mean() / 2


def test_no_step_waits_for_the_data() -> None:
    with FakeTensorMode():
        part = codec(8, loss=mse)
        output = HIHOutput(torch.empty(2, 2, 3, 8, 8), torch.empty(2, 3, 8, 8))
        truth = Truth(torch.empty(2, 3, 2), torch.ones(2, 3, dtype=torch.bool), torch.ones(2))
        assert part.loss(output, truth).shape == ()
        assert {points.shape for points, _ in part.decode(output).values()} == {(2, 3, 2)}


def test_bins_are_free() -> None:
    part, keypoints = codec(8, bins=32), some_points()
    points, _ = part.decode(part.encode(keypoints))["hih"]
    assert (points - keypoints).abs().max() <= 0.5 + 1e-4


def test_covariance_is_not_told() -> None:
    assert codec(8).covariance(some_output()) is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sigma": 0.0}, r"codec\.sigma=0\.0: is not a positive number of cells"),
        ({"sigma": math.nan}, r"codec\.sigma=nan: is not a positive number of cells"),
        ({"weight": -1.0}, r"codec\.weight=-1\.0: is not a weight of at least 0"),
        ({"weight": math.inf}, r"codec\.weight=inf: is not a weight of at least 0"),
        ({"bins": 0}, r"codec\.bins=0: a cell has one bin or more"),
        ({"loss": lambda points, keypoints: points}, "is not of the kind that this codec trains with"),
    ],
)
def test_settings_that_make_no_sense(options: dict[str, object], words: str) -> None:
    with pytest.raises(KeyposError, match=words):
        codec(8, **options)
