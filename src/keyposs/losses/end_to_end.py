"""Training through the multilateration: where a map's fix lands, and how sure the map makes it."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from keyposs.decoders._all_cells import fix_all
from keyposs.decoders.pseudorange import logs
from keyposs.errors import KeyposError

ROUND = 1e-3
"""Rounds the tip of the distance: errors below a hundredth of a standard deviation are as good as none."""


class EndToEnd(nn.Module):
    """The negative log-likelihood of the true point under a map's own fix, joined with the error of the map.

    The point is the pseudorange fix of all cells, and its covariance that of the weighted solve (see
    `keyposs.decoders.uncertainty`): with weights `p_i^2`, and noise of one standard deviation `n` on the cells,

        cov^-1 = sum_i p_i^2 (a_i - mean a)(a_i - mean a)^T / (sigma^4 n^2),        m^2 = e^T cov^-1 e

    for an error `e`. A lower map is so a less certain one, and the network learns to draw those where it cannot
    know. The likelihood is that of an elliptical Laplace distribution with this covariance, lenient with outliers:
    `sqrt(3) m - ln det(cov^-1) / 2`. KeyPosS, eq. 15, has a loss of the decoded point; its published code trains none.

    Args:
        sigma: of the maps, in cells.
        weight: of the likelihood; the map's error, the mean of squares over its cells, has weight 1.
        noise: at the start; learned.

    Raises:
        KeyposError: if one of them is not positive.
    """

    def __init__(self, *, sigma: float, weight: float = 0.3, noise: float = 0.08) -> None:
        super().__init__()
        for name, value in (("sigma", sigma), ("weight", weight), ("noise", noise)):
            if not 0 < value < math.inf:
                raise KeyposError(f"loss.{name}={value}", "is not a positive number", "leave it out")
        self.sigma, self.weight = sigma, weight
        self.log_noise = nn.Parameter(torch.tensor(math.log(noise)))

    def forward(
        self, output: Float[Tensor, "b k h w"], target: Float[Tensor, "b k h w"], points: Float[Tensor, "b k 2"]
    ) -> Float[Tensor, "b k"]:
        """The loss of each landmark.

        Args:
            output: predicted maps, float32 or float64.
            target: true maps.
            points: true points in cells; they may lie off the map.
        """
        return (output - target).square().mean((-2, -1)) + self.weight * self.surprise(output, points)

    def surprise(self, maps: Float[Tensor, "b k h w"], points: Float[Tensor, "b k 2"]) -> Float[Tensor, "b k"]:
        """The negative log-likelihood of true points, up to a constant."""
        told = logs(maps)
        fix = fix_all(told, self.sigma)
        ex, ey = points[..., 0] - fix.x, points[..., 1] - fix.y
        # Moments are relative to the peak. Its height is detached there as it is here: in the product it cancels.
        scale = 2 * told.detach().amax((-2, -1)) - 2 * self.log_noise - 4 * math.log(self.sigma)
        squared = scale.clamp(-80, 80).exp() * (fix.Sxx * ex**2 + 2 * fix.Sxy * ex * ey + fix.Syy * ey**2)
        return (3 * squared + ROUND).sqrt() - scale - fix.det.log() / 2
