from collections.abc import Callable

import pytest
import torch
from hydra.utils import instantiate
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import DictConfig

from keyposs.codecs import Cascade, CascadeOutput
from keyposs.errors import KeyposError
from keyposs.types import Truth

LEVELS = (2, 1, 0)


def drawn(faces: int = 2, keypoints: int = 4, seed: int = 0) -> tuple[CascadeOutput, Truth]:
    generator = torch.Generator().manual_seed(seed)
    points, truth = (100 * torch.rand(3, faces, keypoints, 2, generator=generator) for _ in range(2))
    errors, stages = torch.rand(3, faces, generator=generator), torch.full((faces,), 3)
    output = CascadeOutput(points, errors, stages, torch.rand(3, faces, 2), torch.rand(3, faces, 2, 2))
    visible = torch.rand(faces, keypoints, generator=generator) < 0.7
    return output, Truth(truth[0], visible, 20 + 50 * torch.rand(faces, generator=generator))


@given(st.lists(st.tuples(st.floats(-300, 600), st.floats(-300, 600)), min_size=1, max_size=5))
def test_reads_back_what_it_draws(keypoints: list[tuple[float, float]]) -> None:
    codec = Cascade(256, LEVELS)
    given_points = torch.tensor(keypoints)[None]
    readings = codec.decode(codec.encode(given_points))
    assert tuple(readings) == codec.names == ("cascade", "stage_1", "stage_2", "stage_3")
    for points, scores in readings.values():
        assert torch.equal(points, given_points)
        assert torch.equal(scores, torch.ones(1, len(keypoints)))


def test_each_reading_is_of_its_stage() -> None:
    output, _ = drawn()
    readings = Cascade(256, LEVELS).decode(output)
    for i in range(3):
        points, scores = readings[f"stage_{i + 1}"]
        assert torch.equal(points, output.points[i])
        assert torch.equal(scores, (1 - output.errors[i])[:, None].expand(-1, 4))
    assert all(torch.equal(a, b) for a, b in zip(readings["cascade"], readings["stage_3"], strict=True))


@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 10**6), st.sampled_from([0.0, 0.05, 0.5]))
def test_loss_by_a_loop(faces: int, keypoints: int, seed: int, balance: float) -> None:
    output, truth = drawn(faces, keypoints, seed)
    total, counted = 0.0, 0
    for b in range(faces):
        seen = [k for k in range(keypoints) if truth.visible[b, k]]
        counted += bool(seen)
        for t in range(3 if seen else 0):
            off = [(output.points[t, b, k] - truth.keypoints[b, k]).abs().sum().item() for k in seen]
            error = sum(off) / (len(seen) * truth.norm[b].item())
            total += (1 - balance) * error + balance * abs(error - output.errors[t, b].item())
    loss = Cascade(256, LEVELS, balance=balance).loss(output, truth)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(total / max(1, counted), rel=1e-4, abs=1e-6)


def test_the_ideal_output_costs_nothing() -> None:
    codec, (_, truth) = Cascade(256, LEVELS), drawn()
    assert codec.loss(codec.encode(truth.keypoints), truth).item() == 0


def test_points_do_not_move_to_suit_the_estimate() -> None:
    """The gradients: `(1 - balance) sign / (n norm)` per coordinate, and `-+ balance` for the estimate."""
    codec, (output, truth) = Cascade(256, LEVELS, balance=0.25), drawn(faces=1)
    points, errors = output.points.requires_grad_(), output.errors.requires_grad_()
    codec.loss(output._replace(points=points, errors=errors), truth).backward()
    sign = (points - truth.keypoints).sign() * truth.visible[..., None]
    assert torch.allclose(points.grad, 0.75 * sign / truth.visible.sum() / truth.norm)
    off = (points - truth.keypoints).abs().sum(-1)
    true = (off * truth.visible).sum(-1) / truth.visible.sum() / truth.norm
    assert torch.allclose(errors.grad, -0.25 * (true - errors).sign())


def test_what_is_not_annotated_does_not_count() -> None:
    codec, (output, truth) = Cascade(256, LEVELS), drawn()
    visible = torch.tensor([[True, False, True, True], [False] * 4])
    nothing = torch.where(visible[..., None], truth.keypoints, torch.nan)
    points = output.points.requires_grad_()
    loss = codec.loss(output, Truth(nothing, visible, truth.norm))
    loss.backward()
    assert loss.isfinite()
    assert torch.equal((points.grad != 0).any(-1), visible.expand(3, 2, 4))
    alone = output._replace(points=output.points[:, :1], errors=output.errors[:, :1], stages=output.stages[:1])
    assert loss.item() == pytest.approx(
        codec.loss(alone, Truth(truth.keypoints[:1], visible[:1], truth.norm[:1])).item(), rel=1e-6
    )


def test_no_visible_keypoint_no_loss() -> None:
    codec, (output, truth) = Cascade(256, LEVELS), drawn()
    points = output.points.requires_grad_()
    loss = codec.loss(output, truth._replace(visible=torch.zeros(2, 4, dtype=torch.bool)))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(points.grad, torch.zeros_like(points))


@given(st.floats(0.1, 10))
def test_the_size_of_the_crop_does_not_matter(scale: float) -> None:
    codec, (output, truth) = Cascade(256, LEVELS), drawn()
    larger = truth._replace(keypoints=scale * truth.keypoints, norm=scale * truth.norm)
    loss = codec.loss(output._replace(points=scale * output.points), larger)
    assert loss.item() == pytest.approx(codec.loss(output, truth).item(), rel=1e-4)


def test_a_flip_test_of_true_points_has_no_bias() -> None:
    codec, flip = Cascade(256, LEVELS), (1, 0, 2)
    keypoints = 255 * torch.rand(4, 3, 2)
    mirrored = torch.stack((255 - keypoints[..., 0], keypoints[..., 1]), -1)[:, list(flip)]
    one, other = codec.encode(keypoints), codec.encode(mirrored)
    patches = {"attention": torch.rand(3, 4, 2), "centres": torch.rand(3, 4, 2, 2)}
    one = one._replace(errors=one.errors + 0.1, stages=torch.tensor([1, 2, 3, 1]), **patches)
    other = other._replace(errors=other.errors + 0.3, stages=torch.tensor([2, 1, 1, 1]))
    averaged = codec.average(one, other, flip)
    assert torch.allclose(averaged.points, one.points, atol=1e-4)
    assert torch.allclose(averaged.errors, torch.full((3, 4), 0.2))
    assert averaged.stages.tolist() == [2, 2, 3, 1]
    assert torch.equal(averaged.attention, one.attention)
    assert torch.equal(averaged.centres, one.centres)


def test_a_face_that_is_not_found_has_no_score() -> None:
    output, _ = drawn()
    output = output._replace(errors=torch.tensor([[0.5, 0.5], [0.2, 0.5], [0.1, 0.3]]))
    readings = Cascade(256, LEVELS, failure=0.2).decode(output)
    assert torch.allclose(readings["cascade"][1], torch.tensor([[0.9], [0.0]]).expand(2, 4))
    assert torch.allclose(readings["stage_2"][1], torch.tensor([[0.8], [0.0]]).expand(2, 4))
    assert (readings["stage_1"][1] == 0).all()


def test_a_great_error_is_no_negative_score() -> None:
    output, _ = drawn()
    _, scores = Cascade(256, LEVELS).decode(output._replace(errors=output.errors + 2))["cascade"]
    assert (scores == 0).all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("field", ["points", "errors"])
def test_a_face_that_is_not_finite_is_the_centre_with_score_0(bad: float, field: str) -> None:
    codec, (output, _) = Cascade(100, LEVELS), drawn()
    before = codec.decode(output)
    spoilt = {"points": output.points.clone(), "errors": output.errors.clone()}
    spoilt[field][(1, 0, 2, 1) if field == "points" else (1, 0)] = bad  # of the second stage's first face
    readings = codec.decode(output._replace(**spoilt))
    points, scores = readings["stage_2"]
    assert torch.equal(points[0], torch.full((4, 2), 49.5))
    assert torch.equal(scores[0], torch.zeros(4))
    assert all(torch.equal(new[1], old[1]) for new, old in zip(readings["stage_2"], before["stage_2"], strict=True))
    for name in ("cascade", "stage_1", "stage_3"):
        assert all(torch.equal(new, old) for new, old in zip(readings[name], before[name], strict=True))


def test_half_precision_is_read_in_float32() -> None:
    codec, (output, truth) = Cascade(256, LEVELS), drawn()
    half = output._replace(points=output.points.half(), errors=output.errors.half())
    assert codec.loss(half, truth).dtype == torch.float32
    assert all(points.dtype == torch.float32 for points, _ in codec.decode(half).values())


def test_the_sides_of_patches_in_pixels_of_the_crop() -> None:
    assert Cascade(256, LEVELS).sides == (56, 28, 14)
    assert Cascade(256, (1, 0), patch=10).sides == (20, 10)


def test_no_covariance() -> None:
    assert Cascade(256, LEVELS).covariance(drawn()[0]) is None


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"balance": 1.0}, r"codec.balance=1.0: is no share"),
        ({"balance": -0.1}, r"codec.balance=-0.1"),
        ({"balance": float("nan")}, r"codec.balance=nan"),
        ({"failure": -1.0}, r"codec.failure=-1.0: is not an error.*python -m keyposs.early_exit"),
        ({"failure": float("nan")}, r"codec.failure=nan"),
    ],
)
def test_settings_that_make_no_sense(options: dict[str, float], match: str) -> None:
    with pytest.raises(KeyposError, match=match):
        Cascade(256, LEVELS, **options)


@pytest.mark.parametrize(("data", "faces", "every"), [("wflw", 6721, 2), ("300w", 2833, 1)])
def test_the_published_recipe(composed: Callable[..., DictConfig], data: str, faces: int, every: int) -> None:
    """Steps of 128 faces: the rate falls to a tenth at 15000, and the released weights are those of step 21300."""
    config = composed(f"experiment=musica_{data}", "data.root=FOLDER")
    optimizer, epoch = instantiate(config.optim)([torch.zeros(1, requires_grad=True)]), faces // config.batch_size
    assert (type(optimizer), optimizer.defaults["lr"], config.batch_size) == (torch.optim.Adam, 1e-3, 128)
    steps, schedule = epoch * config.trainer.max_epochs, instantiate(config.schedule)
    assert steps == pytest.approx(21300, abs=epoch / 2)
    assert config.trainer.max_epochs % config.trainer.check_val_every_n_epoch == 0
    assert [schedule(step, steps, epoch) for step in (0, 15000 - epoch, 15000 + epoch)] == pytest.approx([1, 1, 0.1])
    assert (config.padding * 142, config.image_size) == (pytest.approx(227.2), 228)
    assert (list(config.head.levels), config.head.every, config.head.patch) == ([2, 1, 0], every, 14)
    assert (config.codec.balance, config.callbacks.ema.multi_avg_fn.decay) == (0.05, 0.9999)
    augment = instantiate(config.augment)
    assert (augment.flip, augment.rotation, augment.rotated, augment.spread) == (0, 30, 0.5, "uniform")
