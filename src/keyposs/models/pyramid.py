"""Any timm network as a backbone, by its name alone."""

import timm
import torch
from jaxtyping import Float
from timm.layers import Format
from torch import Tensor, nn

from keyposs.errors import KeyposError
from keyposs.models.pretrained import check, create, first_line


class Pyramid(nn.Module):
    """The feature maps of a timm network, from the one of the heatmap's size to the coarsest.

    Where several of timm's levels share a size, as in a plain transformer, the deepest is taken.

    Args:
        name: as in `timm.list_models()`.
        heatmap_size: side of the heatmap, in cells: the side of one of the network's levels.
        image_size: side of the image, in pixels.
        pretrained: take timm's ImageNet weights.

    Raises:
        KeyposError: if no level has the heatmap's size (it lists the sizes that work), the network has no feature
            maps at all, or timm lacks name or weights.

    >>> Pyramid("resnet18", heatmap_size=16, image_size=256).channels
    (256, 512)
    """

    def __init__(self, name: str, heatmap_size: int, image_size: int, pretrained: bool = False) -> None:
        super().__init__()
        check(name)
        options = _options(name, image_size)
        deepest = {size: level for level, size in _sizes(name, image_size, options)}
        if heatmap_size not in deepest:
            raise KeyposError(
                f"heatmap_size={heatmap_size}",
                f"no feature map of {name} has this size at image_size={image_size}",
                f"choose heatmap_size from {', '.join(map(str, deepest))}, or another backbone",
            )
        levels = sorted(level for size, level in deepest.items() if size <= heatmap_size)
        self.net = create(name, pretrained=pretrained, out_indices=levels, **options)
        self.heatmap_size = heatmap_size
        self.channels = tuple(self.net.feature_info.channels())
        self.channels_last = _channels_last(self.net)
        self.to(memory_format=torch.channels_last)  # up to 1.4 times as fast on a CPU

    def forward(self, image: Float[Tensor, "b 3 H W"]) -> list[Float[Tensor, "b _ _ _"]]:
        """The levels' maps, finest first."""
        maps = self.net(image)
        return [x.permute(0, 3, 1, 2) for x in maps] if self.channels_last else list(maps)


def _options(name: str, image_size: int) -> dict[str, int]:
    """What a network needs to be told of an image size that it was not published for."""
    config = timm.get_pretrained_cfg(name)
    return {"img_size": image_size} if config and config.fixed_input_size else {}


def _channels_last(net: nn.Module) -> bool:
    return getattr(net, "output_fmt", Format.NCHW) == Format.NHWC


@torch.no_grad()
def _sizes(name: str, image_size: int, options: dict[str, int]) -> list[tuple[int, int]]:
    """(level, side of its map) of all levels, found by a dry run: reductions do not say how sizes round."""
    try:
        net = create(name, pretrained=False, **options)
        maps = net.eval()(torch.zeros(1, 3, image_size, image_size))
        return [(info["index"], x.shape[-2]) for info, x in zip(net.feature_info.get_dicts(), maps, strict=True)]
    except KeyposError:
        raise
    except Exception as error:  # each family of networks refuses in its own way
        raise KeyposError(
            f"backbone.name={name}",
            f"timm gives no feature maps of it at image_size={image_size} "
            f"({type(error).__name__}: {first_line(error)})",
            "choose another backbone, or the image_size that it was published for",
        ) from error
