"""What a network costs: its parameters and its multiply-adds."""

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def efficiency(model: nn.Module, image_size: int) -> dict[str, int]:
    """Parameters and MACs of one image, counted on a forward pass of a copy in eval mode: the model stays as it is.

    Args:
        model: takes images (1, 3, image_size, image_size).
        image_size: side of the image in pixels.

    Returns:
        `parameters`, and `macs`: multiply-adds of convolutions and matrix products, half of torch's FLOPs.

    >>> efficiency(nn.Conv2d(3, 8, kernel_size=1, stride=2, bias=False), image_size=16)
    {'parameters': 24, 'macs': 1536}
    """
    copy = deepcopy(model).eval()
    first = next(copy.parameters())
    image = unknown(image_size, first)
    # Of torch's ways to attend, the counter knows only the plain one on a CPU.
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        copy(image)
    return {
        "parameters": sum(parameter.numel() for parameter in copy.parameters()),
        "macs": counter.get_total_flops() // 2,
    }


def unknown(image_size: int, like: Tensor) -> Tensor:
    """An image (1, 3, image_size, image_size) of NaN, with which no network is done early."""
    return torch.full((1, 3, image_size, image_size), torch.nan, dtype=like.dtype, device=like.device)
