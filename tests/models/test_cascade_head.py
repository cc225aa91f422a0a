"""The cascade against the published figures, a plain loop, and itself: the ways to stop early agree."""

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import correlate
from torch import Tensor

from keyposs.codecs import Cascade, CascadeOutput
from keyposs.errors import KeyposError
from keyposs.models import CascadeHead, Landmarker, Patches, efficiency
from keyposs.models.cascade_head import Stage, cut
from keyposs.types import Truth

SIZE = 64


def head(seed: int = 0, **options: object) -> CascadeHead:
    """A small cascade of 5 points whose stages move them, and whose estimates differ from face to face."""
    torch.manual_seed(seed)
    options = {"image_size": SIZE, "width": 4, "hidden": 16} | options
    built = CascadeHead((3, 3, 3), None, 5, **options)  # type: ignore[arg-type]
    for stage in built.stages:
        torch.nn.init.normal_(stage.tell.weight)
    built.mean_face.uniform_(10, SIZE - 10)
    return built


def faces(count: int, seed: int = 0) -> list[Tensor]:
    return Patches(SIZE)(torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize(
    ("keypoints", "every", "macs", "parameters"), [(98, 2, 69_955_584, 20.6e6), (68, 1, 96_566_784, 28.0e6)]
)
def test_published_costs(keypoints: int, every: int, macs: int, parameters: float) -> None:
    """70.0 and 96.6 MMAC: convolutions, attention, state and increments of three stages."""
    net = Landmarker(Patches(228), partial(CascadeHead, image_size=228, every=every), keypoints)
    cost = efficiency(net, 228)
    assert cost["macs"] == macs
    assert cost["parameters"] == pytest.approx(parameters, rel=2e-3)


def test_a_stage_by_the_formulas() -> None:
    """Convolutions by scipy, pooling and attention by hand, in double precision."""
    torch.manual_seed(1)
    stage = Stage(patches=2, keypoints=3, patch=14, width=4, hidden=6).double()
    torch.nn.init.normal_(stage.tell.weight)
    seen, before = torch.randn(1, 2, 3, 14, 14).double(), torch.randn(1, 6).double()
    with torch.no_grad():
        increment, error, attention, hidden = (x.double() for x in stage(seen, before))
    w = {name: value.numpy() for name, value in stage.state_dict().items()}

    def convolved(x: np.ndarray, name: str) -> np.ndarray:
        maps = [correlate(x, kernel, mode="valid")[0] for kernel in w[f"{name}.weight"]]
        return np.maximum(np.stack(maps) + w[f"{name}.bias"][:, None, None], 0)

    def pooled(x: np.ndarray) -> np.ndarray:
        return x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2).max((2, 4))

    weighed, shares = [], []
    for patch in seen[0].numpy():
        second = convolved(pooled(convolved(patch, "first")), "second")
        features = np.concatenate([pooled(second), second[:, 1:3, 1:3]]).ravel()
        share = 1 / (1 + np.exp(-(w["attend.weight"] @ features + w["attend.bias"])))
        weighed.append(share * features)
        shares.append(share.mean())
    known = np.concatenate([*weighed, before[0].numpy()])
    state = np.tanh(w["remember.weight"] @ known / np.sqrt(len(known)) + w["remember.bias"])
    told = w["tell.weight"] @ state + w["tell.bias"]
    assert np.allclose(increment[0].numpy().ravel(), told[:6], atol=1e-5)
    assert error.item() == pytest.approx(np.log1p(np.exp(told[6])), rel=1e-5)
    assert np.allclose(attention[0].numpy(), shares, atol=1e-6)
    assert np.allclose(hidden[0].numpy(), state, atol=1e-6)


@given(st.floats(-20, 50), st.floats(-20, 50), st.sampled_from([3, 4, 14]))
def test_patches_by_a_loop(x: float, y: float, side: int) -> None:
    image = torch.randn(2, 3, 24, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    centres = torch.tensor([[[5.0, 6.0], [x, y]], [[x, y], [30.0, 1.0]]], dtype=torch.float64)
    found = cut(image, centres, side)
    assert found.shape == (2, 2, 3, side, side)
    padded = np.pad(image.numpy(), ((0, 0), (0, 0), (60, 60), (60, 60)))
    for face, patch in ((0, 1), (1, 0)):
        for i, j in ((0, 0), (side - 1, side // 2)):
            at_y, at_x = y + i - (side - 1) / 2 + 60, x + j - (side - 1) / 2 + 60
            top, left = int(np.floor(at_y)), int(np.floor(at_x))
            down, right = at_y - top, at_x - left
            corners = padded[face, :, top : top + 2, left : left + 2]
            expected = np.einsum("chw,h,w->c", corners, [1 - down, down], [1 - right, right])
            assert np.allclose(found[face, patch, :, i, j].numpy(), expected, atol=1e-6)


def test_an_untrained_cascade_gives_the_mean_face() -> None:
    fresh = CascadeHead((3, 3, 3), None, 5, image_size=SIZE, width=4, hidden=16)
    assert torch.equal(fresh.mean_face, torch.full((5, 2), 31.5))  # the centre, until a training fills it
    fresh.mean_face.uniform_(0, SIZE)
    output = fresh(faces(2))
    assert torch.equal(output.points, fresh.mean_face.expand(3, 2, 5, 2))
    assert torch.allclose(output.errors, torch.tensor(0.126928), atol=1e-5)


def test_increments_are_pixels_of_the_stages_level() -> None:
    moved = CascadeHead((3, 3, 3), None, 5, image_size=SIZE, width=4, hidden=16)
    for stage in moved.stages:
        with torch.no_grad():
            stage.tell.bias[:10] = torch.tensor([1.0, -0.5]).repeat(5)
    x, y = (moved(faces(1)).points - moved.mean_face)[:, 0, 0].T
    assert torch.allclose(x, torch.tensor([4.0, 6.0, 7.0]))
    assert torch.allclose(y, torch.tensor([-2.0, -3.0, -3.5]))


def test_each_stage_looks_where_the_one_before_left_the_points() -> None:
    """A bright dot pulls the attention of the patch around the first stage's point, and of no other."""
    net = head(every=2)
    images = [torch.zeros(1, 3, SIZE >> level, SIZE >> level) for level in range(3)]
    plain = net(images)
    at = plain.points[0, 0, 2].round().long()  # where the second patch of the second stage is cut
    dotted = [images[0], images[1].clone(), images[2]]
    cell = ((at + 0.5) / 2 - 0.5).round().long()
    dotted[1][0, :, cell[1], cell[0]] = 50
    changed = (net(dotted).attention != plain.attention)[:, 0]
    assert not changed[0].any()
    assert changed[1].tolist()[1]
    assert torch.equal(net(dotted).points[0], plain.points[0])


rules = st.one_of(st.sampled_from([0.0, 1e9]), st.floats(0.0, 4.0))


@settings(max_examples=60, deadline=None)
@given(threshold=rules, count=st.integers(0, 6), seed=st.integers(0, 5))
def test_the_ways_to_stop_agree(threshold: float, count: int, seed: int) -> None:
    """`mask` and `compact` give what stopping by hand gives, for all, some or no faces that go on."""
    images = faces(count, seed)
    with torch.no_grad():
        whole = head(seed).eval()(images)
        masked = head(seed, exit="mask", threshold=threshold).eval()(images)
        compact = head(seed, exit="compact", threshold=threshold).eval()(images)
    for one, other in zip(masked, compact, strict=True):
        assert torch.allclose(one.float(), other.float(), rtol=1e-6, atol=1e-5)  # pixels
    for face in range(count):
        done = [i for i, error in enumerate(whole.errors[:, face].tolist()) if error < threshold]
        ran = done[0] + 1 if done else 3
        assert masked.stages[face] == ran
        for i in range(3):
            assert torch.equal(masked.points[i, face], whole.points[min(i, ran - 1), face])
            assert masked.errors[i, face] == whole.errors[min(i, ran - 1), face]
            assert torch.equal(masked.attention[i, face], whole.attention[min(i, ran - 1), face])


def rows_of(net: CascadeHead, images: list[Tensor]) -> list[int]:
    """How many faces each stage was run on."""
    seen: list[int] = []
    hooks = [stage.register_forward_hook(lambda _, args, out: seen.append(len(args[0]))) for stage in net.stages]
    net(images)
    for hook in hooks:
        hook.remove()
    return seen


def test_compact_leaves_out_the_faces_that_are_done() -> None:
    images, whole = faces(8), head().eval()(faces(8))
    first, second = whole.errors[0], whole.errors[:2].amin(0)
    threshold = float(first.sort().values[3:5].mean())
    net = head(exit="compact", threshold=threshold).eval()
    assert rows_of(net, images) == [8, 4, int((second >= threshold).sum())]
    assert rows_of(head(exit="mask", threshold=threshold).eval(), images) == [8, 8, 8]
    assert rows_of(head(exit="compact", threshold=1e9).eval(), images) == [8]


def test_a_training_runs_all_stages() -> None:
    images = faces(3)
    net = head(exit="compact", threshold=1e9).train()
    output = net(images)
    assert output.stages.tolist() == [3, 3, 3]
    for one, other in zip(output, head()(images), strict=True):
        assert torch.equal(one, other)


def test_an_image_of_no_numbers_is_never_done() -> None:
    """So an image of NaN is what the cost of all stages is counted on."""
    images = [torch.full_like(level, torch.nan) for level in faces(1)]
    for exit in ("mask", "compact"):
        assert head(exit=exit, threshold=1e9).eval()(images).stages.tolist() == [3]


def train_step(net: CascadeHead) -> CascadeOutput:
    output = net(faces(2))
    keypoints, visible = torch.rand(2, 5, 2) * SIZE, torch.ones(2, 5, dtype=torch.bool)
    Cascade(SIZE, net.levels).loss(output, Truth(keypoints, visible, torch.tensor([20.0, 30.0]))).backward()
    return output


def test_every_parameter_learns() -> None:
    net = head()
    train_step(net)
    for name, weight in net.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert weight.grad.abs().max() > 0, name
    fresh = CascadeHead((3, 3, 3), None, 5, image_size=SIZE, width=4, hidden=16)
    train_step(fresh)
    assert all(weight.grad is not None for weight in fresh.parameters())  # as DDP needs it


def test_a_stage_is_not_made_worse_to_suit_the_next() -> None:
    """The later points depend on the earlier increments by their value alone; the state carries gradients."""
    net = head()
    last = net(faces(2)).points[2].sum()
    first = net.stages[0]
    by_points, by_state = torch.autograd.grad(last, [first.tell.weight, first.remember.weight])
    assert (by_points == 0).all()
    assert by_state.abs().max() > 0


def test_half_precision_keeps_points_whole() -> None:
    images, net = faces(2), head().eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        output = net(images)
    assert {output.points.dtype, output.errors.dtype, output.attention.dtype} == {torch.float32}
    assert torch.allclose(output.points, net(images).points, atol=1.0)
    whole = head().eval().bfloat16()(tuple(level.bfloat16() for level in images))
    assert whole.points.dtype == torch.float32


def test_mask_can_be_traced() -> None:
    """No branch depends on a value: what was traced on some faces stops others where they are due."""
    threshold = head().eval()(faces(4, 1)).errors[0].median().item()
    net = head(exit="mask", threshold=threshold).eval()
    traced = torch.jit.trace(net, (faces(4),), check_trace=False)
    stages = set()
    for seed in range(1, 4):
        for one, other in zip(traced(faces(4, seed)), net(faces(4, seed)), strict=True):
            assert torch.allclose(one, other, atol=1e-5)
        stages |= set(net(faces(4, seed)).stages.tolist())
    assert len(stages) > 1  # some face stops early, and some does not


def test_the_mean_face_is_stored() -> None:
    assert head().state_dict()["mean_face"].shape == (5, 2)


def test_where_patches_are_cut() -> None:
    net = head(every=2, levels=(1, 0))
    output = net(faces(3))
    assert torch.equal(output.centres[0], net.mean_face[::2].expand(3, 3, 2))
    assert torch.equal(output.centres[1], output.points[0, :, ::2])
    assert output.attention.shape == (2, 3, 3)


def test_later_stages_are_no_copies_of_the_first() -> None:
    for one, other in pairwise(head().stages):
        assert not torch.equal(one.first.weight, other.first.weight)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"exit": "sometimes"}, r"head.exit=sometimes: is unknown. Remedy: choose one of none, mask, compact"),
        ({"exit": "mask"}, r"head.exit=mask: needs head.threshold.*python -m keyposs.early_exit"),
        ({"exit": "compact", "threshold": -0.1}, r"head.threshold=-0.1: is not an error"),
        ({"exit": "compact", "threshold": float("nan")}, r"head.threshold=nan: is not an error"),
        ({"threshold": float("inf")}, r"head.threshold=inf: is not an error"),
        ({"levels": (3, 2)}, r"head.levels=\[3, 2\]: must name one level for each stage, from 0, the finest, to 2"),
        ({"levels": (-1,)}, r"head.levels=\[-1\]"),
        ({"levels": ()}, r"head.levels=\[\]"),
        ({"every": 0}, r"head.every=0: is less than 1"),
        ({"width": 0}, r"head.width=0"),
        ({"hidden": -1}, r"head.hidden=-1"),
        ({"patch": 9}, r"head.patch=9: is too small"),
        ({"patch": 18}, r"head.patch=18: is larger than the coarsest level that is read, of 16 pixels"),
        ({"image_size": 48}, r"head.patch=14: is larger than the coarsest level that is read, of 12 pixels"),
    ],
)
def test_settings_that_make_no_sense(options: dict[str, object], match: str) -> None:
    with pytest.raises(KeyposError, match=match):
        head(**options)


def test_maps_of_a_network_are_refused() -> None:
    with pytest.raises(KeyposError, match=r"head=cascade: looks at the image itself.*use backbone=patches"):
        CascadeHead((18, 36), 64, 5, image_size=SIZE)
