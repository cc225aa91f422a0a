"""The representation of MuSiCa: points after each stage of a cascade, and how wrong each stage thinks they are."""

from collections.abc import Sequence
from typing import NamedTuple, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from keyposs.codecs.base import Codec
from keyposs.errors import KeyposError
from keyposs.types import Truth

Real = float | int
"""A yaml may say 1 for 1.0."""


class CascadeOutput(NamedTuple):
    """What each of the `t` stages says of each of the `b` faces; one that stopped early repeats what it said last."""

    points: Float[Tensor, "t b k 2"]  # crop pixels
    errors: Float[Tensor, "t b"]  # estimated error of these points, a fraction of the face's norm
    stages: Int[Tensor, " b"]  # how many stages were run
    attention: Float[Tensor, "t b m"]  # of each patch, the mean over its features, in 0..1
    centres: Float[Tensor, "t b m 2"]  # where the patches were cut, crop pixels


@final
class Cascade(Codec):
    """Points of a cascade, trained with an estimate of their own error (Shapira et al., MM 2021).

    Args:
        image_size: side of the crop, in pixels.
        levels: of the cascade; there is a stage for each.
        patch: side of its patches, in pixels of their level.
        balance: of the loss: the share of the estimate's error.
        failure: a face whose estimate is above this, a fraction of its norm, is reported as not found: its scores are
            0. None: no face is.

    Raises:
        KeyposError: if balance is no share, or failure no error.

    >>> codec = Cascade(image_size=256, levels=(2, 1, 0))
    >>> codec.names
    ('cascade', 'stage_1', 'stage_2', 'stage_3')
    """

    method = "cascade"
    encoding = "increments"
    reads = CascadeOutput

    def __init__(
        self,
        image_size: int,
        levels: Sequence[int],
        *,
        patch: int = 14,
        balance: Real = 0.05,
        failure: Real | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= balance < 1:
            raise KeyposError(f"codec.balance={balance}", "is no share, from 0 up to 1", "use 0.05, as published")
        if failure is not None and not 0 <= failure < float("inf"):
            cause = "is not an error, a fraction of the norm of at least 0"
            raise KeyposError(f"codec.failure={failure}", cause, "find one with python -m keyposs.early_exit")
        self.image_size, self.stages, self.balance, self.failure = image_size, len(levels), balance, failure
        self.sides = tuple(patch * 2**level for level in levels)  # of the patches, in crop pixels

    @property
    def names(self) -> tuple[str, ...]:
        """The last points, and those of each stage."""
        return ("cascade", *(f"stage_{i + 1}" for i in range(self.stages)))

    def encode(self, keypoints: Float[Tensor, "b k 2"]) -> CascadeOutput:
        """Stages that all find the keypoints, and know it."""
        faces = len(keypoints)
        return CascadeOutput(
            points=keypoints.expand(self.stages, -1, -1, -1),
            errors=keypoints.new_zeros(self.stages, faces),
            stages=torch.full((faces,), self.stages, device=keypoints.device),
            attention=keypoints.new_zeros(self.stages, faces, 0),
            centres=keypoints.new_zeros(self.stages, faces, 0, 2),
        )

    def loss(self, output: CascadeOutput, truth: Truth) -> Float[Tensor, ""]:
        """The sum over stages of `(1 - balance) E + balance |E - e|`, the mean over faces with a visible keypoint.

        `E` is the error of a stage's points, see `l1_per_face`, and `e` the estimate of it. In the second term `E` is
        a target, without gradient: the points are not made worse to suit the estimate.
        """
        error = l1_per_face(output.points.float(), truth)
        mistaken = (error.detach() - output.errors.float()).abs()
        values = ((1 - self.balance) * error + self.balance * mistaken).sum(0)
        counts = truth.visible.any(-1)
        return torch.where(counts, values, 0).sum() / counts.sum().clamp(min=1)

    def average(self, output: CascadeOutput, mirrored: CascadeOutput, flip: Sequence[int]) -> CascadeOutput:
        """Means of points and estimates; the greater number of stages; patches and their attention are the image's."""
        turned = mirrored.points[:, :, list(flip)]
        turned = torch.stack((self.image_size - 1 - turned[..., 0], turned[..., 1]), dim=-1)
        return CascadeOutput(
            points=(output.points + turned) / 2,
            errors=(output.errors + mirrored.errors) / 2,
            stages=torch.maximum(output.stages, mirrored.stages),
            attention=output.attention,
            centres=output.centres,
        )

    def decode(self, output: CascadeOutput) -> dict[str, tuple[Tensor, Tensor]]:
        """The points of the last stage and of each; all points of a face have the score 1 less the estimated error.

        Where one of them or the estimate is not finite, the crop's centre and score 0.
        """
        if len(output.points) != self.stages:
            cause = f"the network has {len(output.points)} stages, not {self.stages}"
            raise KeyposError("codec.levels", cause, "leave codec.levels out: head.levels sets both")
        points, errors = output.points.float(), output.errors.float()
        finite = errors.isfinite() & points.isfinite().all(-1).all(-1)
        points = torch.where(finite[..., None, None], points, (self.image_size - 1) / 2)
        scores = torch.where(finite & self.found(errors), (1 - errors).clamp(0, 1), 0)
        scores = scores[..., None].expand(points.shape[:-1])
        read = [(points[i], scores[i]) for i in range(self.stages)]
        return dict(zip(self.names, [read[-1], *read], strict=True))

    def found(self, errors: Float[Tensor, "*batch"]) -> Bool[Tensor, "*batch"]:
        """Whether a face with this estimate counts as found."""
        return errors <= (torch.inf if self.failure is None else self.failure)

    def told(self, output: CascadeOutput) -> None:
        """None: the estimate is one of the whole face."""


def l1_per_face(points: Float[Tensor, "*t b k 2"], truth: Truth) -> Float[Tensor, "*t b"]:
    """Mean of `|dx| + |dy|` over a face's visible points, divided by its norm; 0 where none is visible."""
    visible = truth.visible
    keypoints = torch.where(visible[..., None], truth.keypoints.float(), points.detach())  # NaN would spoil gradients
    distance = (points - keypoints).abs().sum(-1)
    return torch.where(visible, distance, 0).sum(-1) / visible.sum(-1).clamp(min=1) / truth.norm.float()
