"""The encoder head: costs by hand and against the publication, geometry in closed form, and that it learns."""

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from keyposs.codecs import Coordinates
from keyposs.errors import KeyposError
from keyposs.models import EncoderHead, Landmarker, backbone, efficiency
from keyposs.models.encoder_head import LEAST_SCALE, Neck, Refine, sample
from keyposs.models.rotary import centres
from keyposs.types import Truth

SIZES = [(32, 16, 8), (16, 8, 4), (7, 4, 2), (8, 4), (4,), (3, 2, 1, 1)]


def maps(sizes: tuple[int, ...] = (8, 4, 2), b: int = 2) -> list[torch.Tensor]:
    return [torch.randn(b, 8 + i, size, size) for i, size in enumerate(sizes)]


def head(levels: int = 3, keypoints: int = 5, **options: int) -> EncoderHead:
    return EncoderHead(range(8, 8 + levels), size=8, keypoints=keypoints, **{"dim": 64, **options})


def stirred(net: EncoderHead) -> EncoderHead:
    """With numbers that differ from point to point: at the start all are alike."""
    for name, weight in net.named_parameters():
        if name.endswith("2.weight") and len(weight) == 2:
            nn.init.normal_(weight, std=0.3)
    return net


class Maps(nn.Module):
    """A backbone that costs nothing: maps of 32, 16 and 8 cells, whatever the image."""

    channels, heatmap_size = (40, 112, 160), 32

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        return [image.new_zeros(len(image), c, n, n) for c, n in zip(self.channels, (32, 16, 8), strict=True)]


def cost(keypoints: int) -> dict[str, int]:
    """The head's own cost; the kernel for mathematics, since torch does not count the CPU's fused one."""
    with sdpa_kernel(SDPBackend.MATH):
        return efficiency(Landmarker(Maps(), EncoderHead, keypoints), image_size=256)


@pytest.mark.parametrize("keypoints", [68, 98])
def test_the_cost_by_hand(keypoints: int) -> None:
    d, k, channels, sizes = 256, keypoints, (40, 112, 160), (32, 16, 8)
    neck = sum(c * d * n**2 for c, n in zip(channels, sizes, strict=True))
    reference = 2 * ((256 + k) * 8 * d**2 + 2 * (256 + k) ** 2 * d)  # qkv 3, output 1, perceptron 4; scores and values
    refine = 3 * (k * 8 * d**2 + 2 * k**2 * d)
    readouts = (2 + 3 * 3) * k * (d**2 + 2 * d)
    block = 8 * d**2 + 6 * d + 2 * d + d + 2 * 2 * d  # weights; biases of qkv, perceptron, output; norms
    block -= d * 2  # qkv 3, perceptron 2 + 1, output 1: 7 biases
    parameters = sum(c * d + 2 * d for c in channels) + k * d + 5 * block + 3 * 3 + 11 * (d**2 + d + 2 * d + 2)
    assert cost(k) == {"macs": neck + reference + refine + readouts, "parameters": parameters}


def test_a_landmark_costs_what_the_publication_has() -> None:
    """4.26 M MACs each, from the difference of its networks for WFLW and 300-W."""
    each = (cost(98)["macs"] - cost(68)["macs"]) / 30
    assert 3e6 < each < 4.5e6
    assert each == pytest.approx(4.263e6, rel=0.02)


@pytest.mark.parametrize("size", [256, 100, 7])
def test_a_map_as_fine_as_the_image_is_sampled_at_its_pixels(size: int) -> None:
    """`u = (pixel + 1/2) / size` meets `grid_sample`: a ramp gives the pixel back, also between pixels."""
    ramp = torch.stack(torch.meshgrid(torch.arange(size), torch.arange(size), indexing="xy")).float()[None]
    pixels = (size - 1) * torch.rand(1, 50, 2)
    torch.testing.assert_close(sample(ramp, (pixels + 0.5) / size), pixels, atol=1e-3, rtol=0)


def test_centres_are_where_cells_are_sampled() -> None:
    x = torch.randn(2, 6, 3, 5)
    points = centres(3, 5, x).expand(2, -1, -1)
    torch.testing.assert_close(sample(x, points), x.flatten(2).mT)


def test_off_the_crop_the_border_is_seen() -> None:
    x = torch.randn(1, 6, 4, 4)
    seen = sample(x, torch.tensor([[[-3.0, -0.1], [0.125, 7.0]]]))
    torch.testing.assert_close(seen[0], torch.stack((x[0, :, 0, 0], x[0, :, 3, 0])))


def test_the_neck_adds_coarse_to_fine() -> None:
    neck = Neck((1, 1, 1), dim=1).eval()
    for level in neck.levels:
        nn.init.ones_(level[0].weight)
        level[1].eps = 0.0
    coarse = torch.arange(2.0).expand(1, 1, 2, 2)
    fine, middle, last = neck([torch.full((1, 1, 8, 8), 5.0), torch.full((1, 1, 4, 4), 10.0), coarse])
    assert last.equal(coarse)
    torch.testing.assert_close(middle[0, 0, 0], 10 + torch.tensor([0.0, 0.25, 0.75, 1.0]))
    assert (fine.min(), fine.max()) == (15, 16)


def test_a_look_depends_on_where_points_lie_to_each_other_alone() -> None:
    """On maps that are the same everywhere, the tokens of moved points are the same; of a stretched face, not."""
    torch.manual_seed(0)
    layer, tokens = Refine(levels=1, dim=64).double(), torch.randn(1, 5, 64, dtype=torch.float64)
    points, flat = 0.3 + 0.3 * torch.rand(1, 5, 2, dtype=torch.float64), [torch.ones(1, 64, 4, 4, dtype=torch.float64)]
    here, moved, stretched = (layer(tokens, p.logit(), flat)[0] for p in (points, points + 0.2, points * 1.3))
    torch.testing.assert_close(moved, here)
    assert (stretched - here).abs().max() > 1e-4


def test_a_look_takes_the_current_points_as_they_are() -> None:
    """Points get their gradient as the start of the move; none comes through the look at the maps."""
    layer, tokens, seen = stirred(Refine(levels=3, dim=64)), torch.randn(1, 5, 64), [x[:, :1] for x in maps(b=1)]
    seen = [x.expand(1, 64, -1, -1) for x in seen]
    logits = torch.randn(1, 5, 2)
    with torch.no_grad():
        moved = layer(tokens, logits, seen)[1]
    jacobian = torch.autograd.functional.jacobian(lambda x: layer(tokens, x, seen)[2], logits).view(10, 10)
    torch.testing.assert_close(jacobian, (moved.sigmoid() * (1 - moved.sigmoid())).flatten().diag())


@pytest.mark.parametrize("sizes", SIZES)
def test_maps_of_any_size_and_number(sizes: tuple[int, ...]) -> None:
    net = stirred(head(len(sizes))).eval()
    out = net(maps(sizes))
    assert out.points.shape == out.scale.shape == (4, 2, 5, 2)
    assert out.points.isfinite().all()


def test_a_face_is_read_as_if_it_were_alone() -> None:
    net, both = stirred(head()).eval(), maps()
    with torch.no_grad():
        torch.testing.assert_close(net(both).points[:, 1:], net([x[1:] for x in both]).points, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("reference", "refine"), [(1, 0), (2, 3), (1, 6)])
def test_all_points_start_at_the_centre_with_one_scale(reference: int, refine: int) -> None:
    out = head(reference=reference, refine=refine)(maps())
    assert len(out.points) == 1 + refine
    torch.testing.assert_close(out.points, torch.full_like(out.points, 0.5))
    torch.testing.assert_close(out.scale, torch.full_like(out.scale, 0.1), atol=1e-4, rtol=0)


def test_a_point_may_leave_the_crop_and_a_scale_is_never_0() -> None:
    net = head()
    nn.init.constant_(net.refine[-1].residual[-1].bias, 2.0)
    nn.init.constant_(net.refine[-1].spread[-1].bias, -1e4)
    out = net(maps())
    torch.testing.assert_close(out.points[-1], torch.full((2, 5, 2), 2.5))
    assert out.scale[-1].unique().tolist() == pytest.approx([LEAST_SCALE])


def test_coordinates_are_float32_under_autocast() -> None:
    net, seen = stirred(head()).eval(), maps()
    with torch.no_grad():
        full = net(seen)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = net(seen)
    assert half.points.dtype == half.scale.dtype == torch.float32
    assert (half.points != half.points.bfloat16()).float().mean() > 0.9  # not numbers of bfloat16, widened
    assert (half.points - full.points).abs().max() < 0.05
    assert net.double()([x.double() for x in seen]).points.dtype == torch.float64


def test_every_parameter_has_a_gradient_in_each_step() -> None:
    net = head()
    out = net(maps())
    truth = Truth(64 * torch.rand(2, 5, 2), torch.ones(2, 5, dtype=torch.bool), torch.ones(2))
    Coordinates(64).loss(out, truth).backward()
    assert [name for name, parameter in net.named_parameters() if parameter.grad is None] == []


def test_it_exports() -> None:
    net = Landmarker(backbone("resnet18", heatmap_size=8, image_size=64), EncoderHead, keypoints=5).eval()
    image = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(torch.export.export(net, (image,)).module()(image), net(image))


@pytest.mark.parametrize("dim", [0, 32, 100, -64])
def test_a_width_without_whole_heads_is_refused(dim: int) -> None:
    with pytest.raises(KeyposError, match=f"head.dim={dim}: does not make attention heads"):
        EncoderHead((8,), size=8, keypoints=5, dim=dim)


def test_it_fits_faces_and_looking_again_helps() -> None:
    """Three landmarks anywhere on the crop, each the place of a blob in a channel of its own."""
    torch.manual_seed(0)
    net, codec = EncoderHead((3, 3), size=8, keypoints=3, dim=64, reference=1, refine=1), Coordinates(64)
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    truth = Truth(64 * torch.rand(8, 3, 2) - 0.5, torch.ones(8, 3, dtype=torch.bool), torch.ones(8))
    points = codec.encode(truth.keypoints).points[0]
    apart = [(centres(n, n, points) - points[:, :, None]).square().sum(-1).unflatten(-1, (n, n)) for n in (8, 4)]
    blobs = [torch.exp(-square / (2 * 0.2**2)) for square in apart]
    for _ in range(100):
        optimizer.zero_grad()
        codec.loss(net(blobs), truth).backward()
        optimizer.step()
    with torch.no_grad():
        out = net(blobs)
    guessed, refined = (out.points - points).abs().mean((1, 2, 3)).tolist()
    assert refined < 0.05  # sides of the crop; the centre: 0.25
    assert refined < guessed / 2
    assert out.scale[-1].mean().item() == pytest.approx(refined, rel=0.6)
