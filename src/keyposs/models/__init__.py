"""Landmarker: a backbone and a head, from image to the codec's output."""

from torch import nn

from keyposs.errors import KeyposError
from keyposs.models.cascade_head import CascadeHead
from keyposs.models.conv_head import ConvHead
from keyposs.models.efficiency import efficiency
from keyposs.models.encoder_head import EncoderHead
from keyposs.models.hih_head import HIHHead
from keyposs.models.hourglass import Hourglass
from keyposs.models.hrnet import HRNet
from keyposs.models.landmarker import Landmarker
from keyposs.models.patches import Patches
from keyposs.models.pyramid import Pyramid
from keyposs.models.slim import Slim

__all__ = [
    "CascadeHead",
    "ConvHead",
    "EncoderHead",
    "HIHHead",
    "HRNet",
    "Hourglass",
    "Landmarker",
    "Patches",
    "Pyramid",
    "Slim",
    "backbone",
    "efficiency",
]


def backbone(
    name: str, heatmap_size: int, image_size: int, pretrained: bool = False, fuse: str = "nearest"
) -> nn.Module:
    """A backbone by its name in timm: `HRNet`, with a stem for each heatmap size, or a `Pyramid` of any other.

    One function for both, so that `backbone.name=...` on the command line is all that a change of network takes.

    Raises:
        KeyposError: if the network has no maps of the heatmap's size, timm lacks name or weights, or `fuse` is asked
            of a network that does not fuse.
    """
    if name.startswith("hrnet"):
        return HRNet(name, heatmap_size, image_size, pretrained, fuse)
    if fuse != "nearest":
        raise KeyposError(f"backbone.fuse={fuse}", f"only an HRNet fuses branches, and {name} is none", "leave it out")
    return Pyramid(name, heatmap_size, image_size, pretrained)
