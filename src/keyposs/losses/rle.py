"""Residual log-likelihood estimation: regression whose error distribution is learned."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from keyposs.errors import KeyposError
from keyposs.losses.coordinates import LEAST_SCALE, Values, laplace

FARTHEST = 100.0
"""In scales: the flow sees errors no larger, so that an outlier pulls with the Laplace term alone, by a line."""


class RLE(nn.Module):
    """Residual log-likelihood estimation (Li et al., ICCV 2021, eqs. 8 and 9).

    Errors in units of their scale, `e = (point - keypoint) / scale`, follow the density of a normalizing flow, `phi`,
    which is learned, times a Laplace density. As the published code has it, each factor is a density of the points
    and so brings its own `log scale`, and the integral of the product is left out:

        `loss = [log scale - log phi(e) / 2] + [log(2 scale) + |e|]`

    The first term alone would let flow and scale trade off freely; the second makes the scale the mean of `|e|`, so
    that it means what it does in `laplace`. `log phi` belongs to both coordinates: each takes half. (The published
    code counts it twice, which pushes the scale to its limit.) One flow serves all stages of an output, whose errors
    differ in scale only.

    Args:
        layers: couplings of the flow, they change x and y in turn.
        width: of their hidden layers.

    Raises:
        KeyposError: if one of them is less than 1.
    """

    def __init__(self, layers: int = 6, width: int = 64) -> None:
        super().__init__()
        for setting, value in {"layers": layers, "width": width}.items():
            if value < 1:
                raise KeyposError(f"loss.{setting}={value}", "is less than 1", "leave it out")
        self.flow = RealNVP(layers, width)

    def forward(self, points: Values, keypoints: Values, scale: Values) -> Values:
        """Values of each coordinate, in float32 (float64 stays); all three in sides of the crop."""
        with torch.autocast(points.device.type, enabled=False):
            scale = scale.clamp(min=LEAST_SCALE)
            error = ((points - keypoints) / scale).clamp(-FARTHEST, FARTHEST)
            log_phi = self.flow.log_density(error)[..., None]
            return torch.log(scale) - log_phi / 2 + laplace(points, keypoints, scale)


class RealNVP(nn.Module):
    """A density of the plane: a standard normal, seen through affine couplings (Dinh et al. 2017).

    Args:
        layers: how many; they change x and y in turn.
        width: of their hidden layers.
    """

    def __init__(self, layers: int, width: int) -> None:
        super().__init__()
        self.couplings = nn.ModuleList(Coupling(width) for _ in range(layers))

    def log_density(self, x: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch"]:
        """The log of the density at `x`."""
        z, log_det = self.to_normal(x)
        return log_det - z.square().sum(-1) / 2 - math.log(2 * math.pi)

    def to_normal(self, x: Float[Tensor, "*batch 2"]) -> tuple[Float[Tensor, "*batch 2"], Float[Tensor, "*batch"]]:
        """Where `x` comes from under the normal, and the log-determinant of that map."""
        log_det = torch.zeros_like(x[..., 0])
        for coupling in reversed(self.couplings):
            x = x.flip(-1)
            kept, moved = x[..., :1], x[..., 1:]
            log_scale, shift = coupling(kept)
            x = torch.cat((kept, (moved - shift) * torch.exp(-log_scale)), dim=-1)
            log_det = log_det - log_scale[..., 0]
        return x, log_det

    def from_normal(self, z: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
        """The inverse: samples of the density, from samples of the normal."""
        for coupling in self.couplings:
            kept, moved = z[..., :1], z[..., 1:]
            log_scale, shift = coupling(kept)
            z = torch.cat((kept, moved * torch.exp(log_scale) + shift), dim=-1).flip(-1)
        return z


class Coupling(nn.Module):
    """How one coordinate is stretched and shifted, given the other; at first it hardly is.

    Args:
        width: of the hidden layers.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        last = nn.Linear(width, 2)
        nn.init.normal_(last.weight, std=0.01)
        nn.init.zeros_(last.bias)
        self.net = nn.Sequential(
            *(nn.Linear(1, width), nn.LeakyReLU()), *(nn.Linear(width, width), nn.LeakyReLU()), last
        )

    def forward(self, kept: Float[Tensor, "*batch 1"]) -> tuple[Float[Tensor, "*batch 1"], Float[Tensor, "*batch 1"]]:
        """Log of the stretch, in (-1, 1), and the shift."""
        out = self.net(kept)
        return out[..., :1].tanh(), out[..., 1:]
