"""What every decoder owes, found by name in `keyposs.decoders`: a new one is tested without a line here."""

import inspect
import math
from functools import partial

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

import keyposs.decoders
from keyposs.decoders import pseudorange

NAMES = keyposs.decoders.__all__
ALL_CELLS = "pseudorange of all cells"
CENTRE = torch.tensor([3.5, 2.5])  # of the 6 x 8 maps below


def named(name):
    return partial(pseudorange, kernel=None) if name == ALL_CELLS else getattr(keyposs.decoders, name)


@pytest.fixture(params=[*NAMES, ALL_CELLS])
def decoder(request):
    return named(request.param)


def blob(x=4.3, y=2.2, h=6, w=8, sigma=2.0):
    across, down = torch.arange(w), torch.arange(h)[:, None]
    return torch.exp(-((across - x) ** 2 + (down - y) ** 2) / (2 * sigma**2))


def noisy(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return blob() + 0.05 * torch.randn(*shape, 6, 8, generator=generator)


def test_signature_is_heatmaps_then_keywords_with_sigma_in_cells(decoder):
    first, *rest = inspect.signature(decoder).parameters.values()
    assert first.name == "heatmaps"
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in rest)
    assert inspect.signature(decoder).parameters["sigma"].default == 2.0


def test_reads_a_point_within_a_cell_on_both_axes(decoder):
    points, score = decoder(blob())
    assert (points - torch.tensor([4.3, 2.2])).abs().max() < 0.5
    torch.testing.assert_close(score, blob().max())


@pytest.mark.parametrize("shape", [(), (3,), (2, 5), (1, 2, 3), (0, 4)])
def test_any_batch_shape_gives_what_single_maps_give(decoder, shape):
    maps = noisy(*shape)
    points, scores = decoder(maps)
    assert points.shape == (*shape, 2)
    assert scores.shape == shape
    alone = [decoder(m) for m in maps.reshape(-1, 6, 8)]
    for i, (point, score) in enumerate(alone):
        torch.testing.assert_close(points.reshape(-1, 2)[i], point, rtol=0, atol=1e-4)
        torch.testing.assert_close(scores.reshape(-1)[i], score)


@pytest.mark.parametrize("layout", ["channels_last", "transposed", "every other cell"])
def test_memory_layout_does_not_matter(decoder, layout):
    maps = noisy(2, 5)
    strange = {
        "channels_last": lambda m: m.to(memory_format=torch.channels_last),
        "transposed": lambda m: m.mT.contiguous().mT,
        "every other cell": lambda m: m.repeat_interleave(2, -1)[..., ::2],
    }[layout](maps)
    assert not strange.is_contiguous()
    for got, expected in zip(decoder(strange), decoder(maps), strict=True):
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.float64, torch.float64),
        (torch.float32, torch.float32),
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
    ],
)
def test_precision_is_float32_at_least(decoder, dtype, expected):
    maps = noisy(4).to(dtype)
    points, scores = decoder(maps)
    assert points.dtype == scores.dtype == expected
    exact, _ = decoder(maps.double())
    torch.testing.assert_close(points.double(), exact, rtol=0, atol=1e-3)


def test_autocast_does_not_lower_the_precision(decoder):
    maps = noisy(4)
    expected = decoder(maps)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = decoder(maps)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)


def test_argument_is_not_changed(decoder):
    maps = noisy(3)
    maps[0, 0, 0], maps[1, 2, 3] = math.nan, math.inf
    before = maps.clone()
    decoder(maps)
    torch.testing.assert_close(maps, before, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, -math.inf])
def test_nothing_to_read_is_the_centre_with_score_0(decoder, value):
    points, score = decoder(torch.full((6, 8), value))
    assert points.tolist() == CENTRE.tolist()
    assert score == 0


@pytest.mark.parametrize("value", [math.nan, -math.nan, math.inf, -math.inf])
def test_a_cell_that_is_not_finite_counts_as_0(decoder, value):
    maps, zeroed = noisy(48), noisy(48)
    maps.flatten(1)[range(48), range(48)] = value  # each cell in turn, the peak among them
    zeroed.flatten(1)[range(48), range(48)] = 0
    torch.testing.assert_close(decoder(maps), decoder(zeroed))


def test_every_row_may_hold_a_nan(decoder):
    maps, zeroed = noisy(2), noisy(2)
    maps[..., 7], zeroed[..., 7] = math.nan, 0
    torch.testing.assert_close(decoder(maps), decoder(zeroed))


def test_one_bad_map_leaves_its_neighbours_alone(decoder):
    maps = noisy(3)
    expected, _ = decoder(maps[[0, 2]])
    maps[1] = math.nan
    torch.testing.assert_close(decoder(maps)[0][[0, 2]], expected)


@pytest.mark.parametrize("cell", [(0, 0), (3, 2), (7, 5), (7, 0), (0, 5)])
@pytest.mark.parametrize("height", [1e-30, 0.3, 1e30])
def test_a_spike_reads_near_itself(decoder, cell, height):
    maps = torch.zeros(6, 8)
    maps[cell[1], cell[0]] = height
    points, score = decoder(maps)
    # multilateration's bound for kernel 2 and sigma 2; gauss_newton takes 1e30 for a range
    assert (points - torch.tensor(cell)).norm() < 15
    assert score == torch.tensor(height).clamp(0, 1)


@pytest.mark.parametrize("value", [1e-30, 0.5, 1.0, 3.0, 1e30])
def test_a_constant_map_reads_as_a_finite_point(decoder, value):
    points, score = decoder(torch.full((6, 8), value))
    assert points.isfinite().all()
    assert score == torch.tensor(value).clamp(0, 1)


def test_noise_alone_reads_near_the_map_with_scores_in_0_1(decoder):
    generator = torch.Generator().manual_seed(1)
    points, scores = decoder(torch.randn(2000, 6, 8, generator=generator) * 2)
    assert points.isfinite().all()
    assert scores.min() >= 0
    assert scores.max() <= 1


def awkward():
    generator = torch.Generator().manual_seed(2)
    spike = torch.zeros(6, 8)
    spike[2, 3] = 1
    holed = blob()
    holed[2, 5] = math.nan
    flat = [torch.full((6, 8), v) for v in (0.0, -1.0, math.nan, math.inf, 1.0, 0.5, 1e-30)]
    return torch.stack([*flat, spike, holed, blob(), torch.randn(6, 8, generator=generator)])


def test_gradients_are_finite_on_awkward_maps(decoder):
    maps = awkward().requires_grad_()
    points, scores = decoder(maps)
    (points.sum() + scores.sum()).backward()
    assert maps.grad is not None
    assert maps.grad.isfinite().all()


DIFFERENTIABLE = ("centroid", "multilateration", "pseudorange", ALL_CELLS, "dark", "soft_argmax", "gauss_newton")


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_are_those_of_the_point(name):
    maps = (0.9 * blob(3.6, 2.7) + 0.01 * noisy(2)).double().requires_grad_()
    # eps: gauss_newton finds its minimum to about 1e-8 cell
    assert torch.autograd.gradcheck(named(name), (maps,), eps=1e-4, atol=1e-3)


class _NoSync(TorchDispatchMode):
    """Refuses the operators that make the host wait for a device, or whose shapes depend on data."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        forbidden = {"_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal"}
        assert func.overloadpacket.__name__ not in forbidden, f"{func} waits for the device"
        return func(*args, **(kwargs or {}))


def test_the_host_never_waits_for_the_device(decoder):
    maps = noisy(3)
    with _NoSync():
        decoder(maps)


def test_shapes_follow_without_data(decoder):
    with FakeTensorMode():
        points, scores = decoder(torch.empty(2, 5, 6, 8))
    assert points.shape == (2, 5, 2)
    assert scores.shape == (2, 5)


def test_meta_tensors_pass(decoder):
    points, scores = decoder(torch.empty(2, 5, 6, 8, device="meta"))
    assert points.shape == (2, 5, 2)
    assert scores.device.type == "meta"


if torch.cuda.is_available():  # not skipped elsewhere, since a suite without a GPU is still a whole one

    def test_cuda_gives_what_the_cpu_gives_and_never_syncs(decoder):
        maps = torch.cat([awkward(), noisy(50)])
        on_device = maps.cuda()
        torch.cuda.set_sync_debug_mode("error")
        try:
            got = decoder(on_device)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        torch.testing.assert_close([t.cpu() for t in got], list(decoder(maps)), rtol=0, atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (4, 1)])
def test_a_map_too_thin_for_a_solver_is_read_or_refused_by_name(decoder, shape):
    maps = torch.full(shape, 0.5)
    try:
        points, score = decoder(maps)
    except ValueError as error:
        size = f"{shape[1]}x{shape[0]}"
        assert size in str(error)  # noqa: PT017
    else:
        assert points.isfinite().all()
        assert score == 0.5
