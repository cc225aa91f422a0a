"""What a network costs: the parameters that it runs and its multiply-adds."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def efficiency(model: nn.Module, image_size: int) -> dict[str, int]:
    """Parameters and MACs of one image, counted on a forward pass in eval mode that changes nothing.

    Args:
        model: takes images (1, 3, image_size, image_size).
        image_size: side of the image in pixels.

    Returns:
        `parameters`, and `macs`: multiply-adds of convolutions and matrix products, half of torch's FLOPs.

    >>> efficiency(nn.Conv2d(3, 8, kernel_size=1, stride=2, bias=False), image_size=16)
    {'parameters': 24, 'macs': 1536}
    """
    first = next(model.parameters())
    training = model.training
    model.eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, image_size, image_size, dtype=first.dtype, device=first.device))
    model.train(training)
    return {"parameters": sum(p.numel() for p in model.parameters()), "macs": counter.get_total_flops() // 2}
