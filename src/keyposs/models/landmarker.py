"""A backbone and a head: image in, the codec's output out."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, UInt8
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn


class Landmarker(nn.Module):
    """The whole network. It takes raw pixels, so that nothing has to be remembered beside an exported model.

    Args:
        backbone: image to a list of feature maps, finest first, with `channels` of each and `heatmap_size`, the
            side of the first (None for a network without maps). One that predicts landmarks on its way is built
            here, called as `backbone(keypoints=...)`.
        head: called as `head(channels=..., size=..., keypoints=...)`, it builds the module that turns the list into
            what the codec reads.
        keypoints: how many points a face has.

    >>> import torch
    >>> from keyposs.models import ConvHead, backbone
    >>> net = Landmarker(backbone("resnet18", heatmap_size=8, image_size=64), ConvHead, keypoints=5)
    >>> net(torch.zeros(1, 3, 64, 64, dtype=torch.uint8)).shape
    torch.Size([1, 5, 8, 8])
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, backbone: nn.Module | Callable[..., nn.Module], head: Callable[..., nn.Module], keypoints: int
    ) -> None:
        super().__init__()
        self.backbone = backbone if isinstance(backbone, nn.Module) else backbone(keypoints=keypoints)
        self.head = head(channels=self.backbone.channels, size=self.backbone.heatmap_size, keypoints=keypoints)
        for name, values in (("mean", IMAGENET_DEFAULT_MEAN), ("std", IMAGENET_DEFAULT_STD)):
            self.register_buffer(name, 255 * torch.tensor(values).view(3, 1, 1), persistent=False)

    def forward(self, image: UInt8[Tensor, "b 3 H W"] | Float[Tensor, "b 3 H W"]) -> Any:
        """What the head makes of RGB images with values in 0..255."""
        centred = image.to(self.mean.dtype) - self.mean
        return self.head(self.backbone(centred.div_(self.std)))  # in place: a third copy of all pixels takes its time

    def begin_at(self, mean_face: Float[Tensor, "k 2"]) -> None:
        """Tells the parts that start from a mean face, those with a buffer `mean_face`, where its points lie.

        Args:
            mean_face: in pixels of the crop; it is stored with the weights.
        """
        for name, buffer in self.named_buffers():
            if name.endswith("mean_face"):
                buffer.copy_(mean_face)
