"""The module that trains and reads: what a codec's loss is told, what is optimised, and what is refused."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from keyposs.codecs import Coordinates, Regression
from keyposs.errors import KeyposError
from keyposs.losses import RLE
from keyposs.markup import MARKUP_68
from keyposs.metrics import to_image
from keyposs.module import LandmarkModule, truth
from keyposs.types import Faces

Compose = Callable[..., DictConfig]

CASCADE = ("codec=cascade", "image_size=64", "head.every=4", "head.width=4", "head.hidden=16")


@pytest.mark.parametrize("exit", ["mask", "compact"])
def test_a_flip_test_of_faces_that_stop_early_is_refused(composed: Compose, exit: str) -> None:
    stops = (*CASCADE, f"head.exit={exit}", "head.threshold=0.1")
    match = f"flip_test=true: has no sense with head.exit={exit}: a face and its mirror image would stop apart"
    with pytest.raises(KeyposError, match=match):
        LandmarkModule.from_config(composed(*stops, "flip_test=true"), MARKUP_68)
    assert not LandmarkModule.from_config(composed(*stops), MARKUP_68).flip_test
    assert LandmarkModule.from_config(composed(*CASCADE, "flip_test=true"), MARKUP_68).flip_test


def batch_of(faces: int) -> Faces:
    """Crops turned and scaled, each by its own measure, and one of them mirrored; the norm is the eyes' distance."""
    generator = torch.Generator().manual_seed(0)
    keypoints = 64 * torch.rand(faces, 68, 2, generator=generator)
    angle, scale = (torch.rand(2, faces, generator=generator) * torch.tensor([[6.0], [4.0]])) + 0.3
    cos, sin = scale * angle.cos(), scale * angle.sin()
    turn = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
    turn[0, :, 0] *= -1
    crop_to_image = torch.cat([turn, 100 * torch.rand(faces, 2, 1, generator=generator)], -1)
    eyes = to_image(crop_to_image, keypoints)[:, [36, 45]]
    visible = torch.ones(faces, 68, dtype=torch.bool)
    return Faces(
        image=torch.zeros(faces, 3, 64, 64, dtype=torch.uint8),
        keypoints=keypoints,
        visible=visible,
        occluded=~visible,
        box=torch.zeros(faces, 4),
        norm=(eyes[:, 0] - eyes[:, 1]).norm(dim=-1),
        subsets=[("all",)] * faces,
        crop_to_image=crop_to_image,
        name=[str(i) for i in range(faces)],
    )


def test_the_norm_of_the_loss_is_in_pixels_of_the_crop() -> None:
    batch = batch_of(5)
    told = truth(batch)
    torch.testing.assert_close(told.norm, (batch.keypoints[:, 36] - batch.keypoints[:, 45]).norm(dim=-1))
    assert (told.norm - batch.norm).abs().min() > 1
    assert told.keypoints is batch.keypoints
    assert told.visible is batch.visible


class Guess(nn.Module):
    """The same points and scales for any image."""

    def __init__(self) -> None:
        super().__init__()
        self.points, self.scale = nn.Parameter(torch.rand(1, 1, 68, 2)), nn.Parameter(torch.full((1, 1, 68, 2), 0.1))

    def forward(self, image: Tensor) -> Regression:
        return Regression(*(x.expand(-1, len(image), -1, -1) for x in (self.points, self.scale)))


def test_the_weights_of_a_codecs_loss_are_optimised_too() -> None:
    torch.manual_seed(0)
    schedule = lambda step, steps, per_epoch: 1.0  # noqa: E731
    codec = Coordinates(64, RLE(layers=2, width=8))
    module, batch = LandmarkModule(Guess(), codec, torch.optim.Adam, schedule, {}, MARKUP_68), batch_of(4)
    module.trainer = SimpleNamespace(estimated_stepping_batches=1, max_epochs=1, world_size=1)
    before = {name: weight.detach().clone() for name, weight in module.named_parameters()}
    optimizer = module.configure_optimizers()["optimizer"]
    module.codec.loss(module(batch.image), truth(batch)).backward()
    optimizer.step()
    assert sum(name.startswith("codec.") for name in before) == 2 * 6
    assert [name for name, weight in module.named_parameters() if weight.equal(before[name])] == []
