"""The cascade of MuSiCa: it looks at patches around a face's points, moves them, and looks again, or stops."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from keyposs.codecs.cascade import CascadeOutput
from keyposs.errors import KeyposError
from keyposs.grid import Grid

Real = float | int
"""A yaml may say 1 for 1.0."""


class State(NamedTuple):
    """What a face's next stage starts from. Every field has one row per face."""

    points: Float[Tensor, "b k 2"]  # crop pixels
    error: Float[Tensor, " b"]
    attention: Float[Tensor, "b m"]
    hidden: Float[Tensor, "b h"]


class CascadeHead(nn.Module):
    """Stages that move all points of a face at once, each with weights of its own (Shapira et al., MM 2021).

    Stage `i` cuts patches of level `levels[i]` around the points where the stage before left them, the first around
    the mean face. What it sees and a recurrent state give an increment of every point and an estimate of the error
    that is left. Where that is below the threshold, a face needs no further stage.

    Positions are handed on without their gradient, so each stage learns what the ones before it left over and is at
    its best when it is the last one run; the recurrent state carries gradients through all stages.

    Args:
        channels: of the image's levels, finest first.
        size: of maps, which the backbone must not have.
        keypoints: how many points a face has.
        image_size: side of the crop, in pixels.
        levels: of the pyramid, one for each stage; 0 is the finest.
        every: there is a patch at every so many-th point: 2 of 98 points makes 49 patches.
        patch: side of a patch, in pixels of its level.
        width: channels of the patches' convolutions.
        hidden: size of the recurrent state.
        exit: `none`: every face runs all stages; `mask`: a face that is done keeps its points while the others are
            computed with it (no transfer to the host; exportable); `compact`: it is left out of the later stages.
            A training runs all stages.
        threshold: a face is done when its estimated error, a fraction of its norm, is below this.

    Raises:
        KeyposError: if the backbone gives maps, or a setting makes no sense.
    """

    gives = CascadeOutput
    mean_face: Tensor

    def __init__(
        self,
        channels: Sequence[int],
        size: int | None,
        keypoints: int,
        *,
        image_size: int,
        levels: Sequence[int] = (2, 1, 0),
        every: int = 1,
        patch: int = 14,
        width: int = 32,
        hidden: int = 512,
        exit: str = "none",
        threshold: Real | None = None,
    ) -> None:
        super().__init__()
        if size is not None:
            cause = "looks at the image itself, not at the maps of a network"
            raise KeyposError("head=cascade", cause, "use backbone=patches with it")
        _check_levels(levels, len(channels))
        _check_sizes(image_size // 2 ** max(levels), every=every, patch=patch, width=width, hidden=hidden)
        _check_exit(exit, threshold)
        self.levels, self.every, self.patch, self.hidden = tuple(levels), every, patch, hidden
        self.exit, self.threshold = exit, threshold
        self.grids = [Grid(image_size, image_size // 2**level) for level in levels]
        self.patches = -(-keypoints // every)
        self.stages = nn.ModuleList(Stage(self.patches, keypoints, patch, width, hidden) for _ in levels)
        self.register_buffer("mean_face", torch.full((keypoints, 2), (image_size - 1) / 2))

    def forward(self, maps: Sequence[Float[Tensor, "b 3 _ _"]]) -> CascadeOutput:
        """The points after each stage; a face that is done repeats its points and its estimate."""
        exit = "none" if self.training else self.exit
        state, trail, ran = self._start(maps[0]), [], []
        going = torch.ones(maps[0].shape[0], dtype=torch.bool, device=maps[0].device)
        for i, level in enumerate(self.levels):
            state = RUNS[exit](partial(self._stage, i), maps[level], state, going)
            trail.append(state)
            ran.append(going)
            if exit != "none":
                going = going & ~(state.error < self.threshold)
        points, errors, attention = (torch.stack(part) for part in list(zip(*trail, strict=True))[:3])
        return CascadeOutput(points, errors, torch.stack(ran).sum(0), attention, self.centres(points))

    def centres(self, points: Float[Tensor, "t b k 2"]) -> Float[Tensor, "t b m 2"]:
        """Where each stage's patches were cut, in crop pixels, from an output's points."""
        return torch.cat((self.mean_face.expand_as(points[:1]), points[:-1]))[:, :, :: self.every]

    def _start(self, image: Float[Tensor, "b 3 H W"]) -> State:
        faces = image.shape[0]  # not len: an export would take it for a constant
        error, attention = self.mean_face.new_zeros(faces), self.mean_face.new_zeros(faces, self.patches)
        hidden = self.mean_face.new_zeros(faces, self.hidden)
        return State(*(x.float() for x in (self.mean_face.expand(faces, -1, -1), error, attention, hidden)))

    def _stage(self, i: int, image: Float[Tensor, "b 3 h w"], before: State) -> State:
        points, grid = before.points.detach(), self.grids[i]
        seen = cut(image, grid.to_cells(points[:, :: self.every]), self.patch)
        increment, error, attention, hidden = self.stages[i](seen, before.hidden)
        return State(points + increment * grid.stride, error, attention, hidden)


class Stage(nn.Module):
    """One look: patches and what is remembered, to increments, an estimate of the error, and what to remember.

    Each patch goes through two unpadded 3x3 convolutions, `W` wide, each with ReLU and 2x2 pooling. Its features are
    the second pooling and the middle of the second convolution. Fine-grained attention weighs each feature by what the
    patch itself shows, `sigmoid(W f + b) * f`, with one `W` for all patches. All patches and the state before make
    the new state, `tanh(W [f; h] / sqrt(n))` of the `n` inputs: an optimiser such as Adam moves all weights alike, and
    without the root would drive the state into saturation at its first steps, where later stages never learn.

    The increments start at 0: the first shape is the mean face.

    Args:
        patches: how many there are.
        keypoints: how many points move.
        patch: side of a patch.
        width: channels of the convolutions.
        hidden: size of the state.
    """

    def __init__(self, patches: int, keypoints: int, patch: int, width: int, hidden: int) -> None:
        super().__init__()
        side = ((patch - 2) // 2 - 2) // 2
        features = 2 * width * side**2
        self.keypoints = keypoints
        self.first, self.second = nn.Conv2d(3, width, 3), nn.Conv2d(width, width, 3)
        self.attend = nn.Linear(features, features)
        self.remember = nn.Linear(patches * features + hidden, hidden)
        self.tell = nn.Linear(hidden, 2 * keypoints + 1)
        for conv in (self.first, self.second):
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        nn.init.normal_(self.remember.weight)
        nn.init.zeros_(self.tell.weight)
        for layer in (self.first, self.second, self.remember, self.tell):
            nn.init.zeros_(layer.bias)
        nn.init.constant_(self.tell.bias[-1:], -2.0)  # an error of 0.13

    def forward(
        self, seen: Float[Tensor, "b m 3 p p"], hidden: Float[Tensor, "b h"]
    ) -> tuple[Float[Tensor, "b k 2"], Float[Tensor, " b"], Float[Tensor, "b m"], Float[Tensor, "b h"]]:
        """Increments in pixels of the level, the estimate (0 or more), each patch's mean attention, and the state.

        All are float32.
        """
        features = self._features(seen.flatten(0, 1).to(self.first.weight.dtype))
        attention = torch.sigmoid(self.attend(features))
        weighed = (attention * features).unflatten(0, seen.shape[:2])
        known = torch.cat((weighed.flatten(1), hidden.to(weighed.dtype)), dim=1)
        hidden = torch.tanh(self.remember(known / math.sqrt(known.shape[1])))
        told = self.tell(hidden).float()
        increment = told[:, :-1].unflatten(1, (self.keypoints, 2))
        mean_attention = attention.float().mean(-1).unflatten(0, seen.shape[:2])
        return increment, functional.softplus(told[:, -1]), mean_attention, hidden.float()

    def _features(self, seen: Float[Tensor, "n 3 p p"]) -> Float[Tensor, "n f"]:
        pooled = functional.relu(functional.max_pool2d(self.first(seen), 2))
        second = functional.relu(self.second(pooled))
        last = functional.max_pool2d(second, 2)
        side, margin = last.shape[-1], (second.shape[-1] - last.shape[-1]) // 2
        middle = second[..., margin : margin + side, margin : margin + side]
        return torch.cat((last, middle), dim=1).flatten(1)


def cut(image: Float[Tensor, "b c h w"], centres: Float[Tensor, "b m 2"], side: int) -> Float[Tensor, "b m c p p"]:
    """Square patches around real-valued positions, bilinear, all in one call; 0 off the image.

    Args:
        image: of each face.
        centres: in pixels of the image; a patch of an even side has them between its pixels.
        side: of the patches, in pixels.
    """
    offset = torch.arange(side, dtype=centres.dtype, device=centres.device) - (side - 1) / 2
    x, y = (
        (2 * (centres[..., axis, None] + offset) + 1) / size - 1
        for axis, size in enumerate((image.shape[3], image.shape[2]))
    )
    shape = (*centres.shape[:2], side, side)
    at = torch.stack((x[:, :, None, :].expand(shape), y[:, :, :, None].expand(shape)), dim=-1)
    at = at.flatten(1, 2)  # in full precision: half of it is as coarse as a pixel
    found = functional.grid_sample(image.to(at.dtype), at, mode="bilinear", padding_mode="zeros", align_corners=False)
    return found.unflatten(2, shape[1:3]).transpose(1, 2)


Step = Callable[[Tensor, State], State]


def run_all(step: Step, image: Float[Tensor, "b 3 h w"], before: State, going: Bool[Tensor, " b"]) -> State:
    """A stage over all faces, done or not."""
    return step(image, before)


def run_masked(step: Step, image: Float[Tensor, "b 3 h w"], before: State, going: Bool[Tensor, " b"]) -> State:
    """A stage over all faces, whose result counts for those that go on."""
    after = step(image, before)
    return State(
        *(torch.where(going.view(-1, *[1] * (new.ndim - 1)), new, old) for new, old in zip(after, before, strict=True))
    )


def run_compact(step: Step, image: Float[Tensor, "b 3 h w"], before: State, going: Bool[Tensor, " b"]) -> State:
    """A stage over the faces that go on, and no others; finding them waits for the device once."""
    rows = going.nonzero()[:, 0]
    if not len(rows):
        return before
    if len(rows) == len(going):
        return step(image, before)
    after = step(image[rows], State(*(old[rows] for old in before)))
    return State(*(old.index_copy(0, rows, new) for new, old in zip(after, before, strict=True)))


RUNS = {"none": run_all, "mask": run_masked, "compact": run_compact}


def _check_levels(levels: Sequence[int], pyramid: int) -> None:
    if not levels or not all(level in range(pyramid) for level in levels):
        raise KeyposError(
            f"head.levels={list(levels)}",
            f"must name one level for each stage, from 0, the finest, to {pyramid - 1}",
            "use [2,1,0], as published, or raise backbone.levels",
        )


def _check_sizes(coarsest: int, *, every: int, patch: int, width: int, hidden: int) -> None:
    for setting, value in {"every": every, "width": width, "hidden": hidden}.items():
        if value < 1:
            raise KeyposError(f"head.{setting}={value}", "is less than 1", "leave it out")
    if patch < 10:
        raise KeyposError(f"head.patch={patch}", "is too small for two convolutions with pooling", "use 10 or more")
    if patch > coarsest:
        raise KeyposError(
            f"head.patch={patch}",
            f"is larger than the coarsest level that is read, of {coarsest} pixels",
            "raise image_size, or read finer levels with head.levels",
        )


def _check_exit(exit: str, threshold: Real | None) -> None:
    if exit not in RUNS:
        raise KeyposError(f"head.exit={exit}", "is unknown", f"choose one of {', '.join(RUNS)}")
    if exit != "none" and threshold is None:
        cause = "needs head.threshold, the estimated error below which a face is done"
        raise KeyposError(f"head.exit={exit}", cause, "find one with python -m keyposs.early_exit")
    if threshold is not None and not 0 <= threshold < math.inf:
        cause = "is not an error, a fraction of the norm of at least 0"
        raise KeyposError(f"head.threshold={threshold}", cause, "find one with python -m keyposs.early_exit")
