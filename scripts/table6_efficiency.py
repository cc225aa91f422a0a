"""Table 6 of the paper: what HRNetV2-W18 costs at each heatmap size, by our counting and by the paper's.

    python scripts/table6_efficiency.py
    python scripts/table6_efficiency.py --keypoints 68 --image-size 128

Ours: multiply-adds of the convolutions, and the parameters that run. The paper's: mmcv's `get_model_complexity_info`
on mmpose's code, rebuilt here from our network; docs/efficiency.md explains it.
"""

import argparse
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from rich import box
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from keyposs.models import ConvHead, HRNet, Landmarker, efficiency
from keyposs.models.hrnet import STEMS

PRINTED = {64: (4.75, 9.74), 32: (1.19, 9.74), 16: (0.30, 9.74), 8: (0.07, 9.66), 4: (0.03, 9.64)}
"""The paper's Table 6: GFLOPs and millions of parameters, by heatmap size, for 98 points in 256 pixels."""


class Row(NamedTuple):
    """One heatmap size."""

    macs: int
    parameters: int
    paper_macs: int
    paper_parameters: int


class Upsampled(TorchFunctionMode):
    """Counts the elements that come out of `interpolate`, whatever operations a version of torch makes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = function(*args, **(kwargs or {}))
        self.elements += output.numel() if function is functional.interpolate else 0
        return output


def per_element(layer: nn.Module) -> int:
    """What mmcv counts for each element that comes out of a layer, beside the convolutions' multiply-adds."""
    if isinstance(layer, nn.Conv2d):
        return int(layer.bias is not None)
    return {nn.BatchNorm2d: 2, nn.ReLU: 1}.get(type(layer), 0)


def mmcv_extras(net: Landmarker, image_size: int) -> int:
    """What mmcv counts beside convolutions: its hooks see the layers and the backbone's upsampling, not the head's."""
    counts: list[int] = []
    hooks = [
        layer.register_forward_hook(lambda layer, _, output: counts.append(per_element(layer) * output.numel()))
        for layer in net.modules()
        if per_element(layer)
    ]
    net.eval()
    with torch.no_grad(), Upsampled() as upsampled:
        maps = net.backbone(torch.zeros(1, 3, image_size, image_size))
    with torch.no_grad():
        net.head(maps)
    for hook in hooks:
        hook.remove()
    return sum(counts) + upsampled.elements


def unrun(backbone: HRNet, full: HRNet) -> int:
    """Parameters of the paper's code that ours has not, less ours that it has not.

    It holds four stem convolutions and all stages at every size, whether they run or not; but the stem's
    convolutions from the second on share one BatchNorm.
    """
    extra = [layer for layer in backbone.stem if isinstance(layer, nn.Sequential)]
    own_norms = sum(size(layer[1]) for layer in extra)
    convolutions = (2 - len(extra)) * 64 * 64 * 3 * 3
    return convolutions - own_norms + size(full.stages[len(backbone.stages) :])


def size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def measure(keypoints: int = 98, image_size: int = 256) -> dict[int, Row]:
    """Rows of the table, by heatmap size: one for each stem."""
    full = HRNet("hrnet_w18", image_size // min(STEMS), image_size)
    rows = {}
    for heatmap_size in (image_size // stride for stride in STEMS):
        net = Landmarker(HRNet("hrnet_w18", heatmap_size, image_size), ConvHead, keypoints)
        cost = efficiency(net, image_size)
        rows[heatmap_size] = Row(
            macs=cost["macs"],
            parameters=cost["parameters"],
            paper_macs=cost["macs"] + mmcv_extras(net, image_size),
            paper_parameters=cost["parameters"] + unrun(net.backbone, full),
        )
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keypoints", type=int, default=98, help="how many (default 98, WFLW's, as the paper)")
    parser.add_argument("--image-size", type=int, default=256, help="in pixels, a multiple of 64 (default 256)")
    chosen = parser.parse_args(arguments)
    if chosen.image_size < 64 or chosen.image_size % 64:
        parser.error(f"--image-size {chosen.image_size} is no multiple of 64, the largest stride of a stem")
    printed = PRINTED if (chosen.keypoints, chosen.image_size) == (98, 256) else {}
    table = Table("size", box=box.MARKDOWN, title=f"HRNetV2-W18, {chosen.image_size} pixels, {chosen.keypoints} points")
    for column in ("MACs, G", "params, M", "mmcv, G", "mmcv, M", "paper, G", "paper, M"):
        table.add_column(column, justify="right")
    for heatmap_size, row in measure(**vars(chosen)).items():
        ours = (f"{row.macs / 1e9:.4f}", f"{row.parameters / 1e6:.2f}")
        paper = (f"{row.paper_macs / 1e9:.4f}", f"{row.paper_parameters / 1e6:.2f}")
        theirs = [f"{value:.2f}" for value in printed.get(heatmap_size, ())] or ["-", "-"]
        table.add_row(str(heatmap_size), *ours, *paper, *theirs)
    Console().print(table)


if __name__ == "__main__":
    main()
