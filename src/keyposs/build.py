"""From a composed config to a network and its codec, once they are known to fit each other."""

from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig
from torch import nn

from keyposs.codecs import Codec
from keyposs.errors import KeyposError
from keyposs.models import Landmarker


def build(config: DictConfig, keypoints: int) -> tuple[Landmarker, Codec]:
    """The parts that a composed config names.

    Args:
        config: of its keys `heatmap_size`, `backbone`, `head`, `codec`, `decoder`, `loss` and `monitor` are read.
        keypoints: how many points a face has.

    Raises:
        KeyposError: if the parts do not fit each other, such as a kernel larger than the map, a head whose output the
            codec does not read, a `monitor` that is not among the readings, or decoders for a codec that takes none.
    """
    codec = build_codec(config)
    backbone = build_backbone(config, keypoints)
    given = getattr(get_object(config.head._target_), "gives", codec.reads)  # a head of one's own need not say
    if not issubclass(given, codec.reads):
        cause = f"gives {given.__name__}, and codec={codec.method} reads {codec.reads.__name__}"
        raise KeyposError(f"head={_name(config.head)}", cause, "leave head= out: codec= chooses it")
    return Landmarker(backbone, instantiate(config.head), keypoints), codec


def build_codec(config: DictConfig) -> Codec:
    """The codec, with the decoders and the loss that were chosen.

    Raises:
        KeyposError: if its maps have no size, it takes no decoders or no such setting, or no reading of it is called
            like `monitor`.
    """
    if config.heatmap_size is None and "grid" in config.codec:
        cause = f"is no size for the maps of codec={_name(config.codec)}"
        raise KeyposError("heatmap_size=null", cause, "give one, such as heatmap_size=64")
    try:
        codec: Codec = instantiate(config.codec)
    except InstantiationException as error:
        if "unexpected keyword argument" not in str(error.__cause__):
            raise
        remedy = "leave that setting out, or the loss that brings it"
        raise KeyposError(f"codec={_name(config.codec)}", f"cannot be built ({error.__cause__})", remedy) from error
    if config.get("decoder") and "decoders" not in config.codec:
        chosen, own = f"decoder=[{','.join(config.decoder)}]", ", ".join(codec.names)
        raise KeyposError(chosen, f"is for maps; codec={codec.method} reads itself: {own}", "leave decoder= out")
    if config.monitor is not None and config.monitor not in codec.names:
        known = ", ".join(codec.names)
        raise KeyposError(f"monitor={config.monitor}", f"is none of the readings {known}", "choose one of them")
    return codec


def build_backbone(config: DictConfig, keypoints: int) -> nn.Module:
    """The backbone, whose finest map has the chosen size.

    Raises:
        KeyposError: if it has not.
    """
    if config.heatmap_size is None and "heatmap_size" in config.backbone:
        cause = f"needs a heatmap_size, and codec={_name(config.codec)} has none"
        raise KeyposError(f"backbone={_name(config.backbone)}", cause, "use backbone=patches, or give heatmap_size=")
    built = instantiate(config.backbone)
    backbone: nn.Module = built if isinstance(built, nn.Module) else built(keypoints=keypoints)
    if backbone.heatmap_size != config.heatmap_size:
        cause = "is not what the backbone gives" + " (it has no maps)" * (backbone.heatmap_size is None)
        remedy = "leave it out, or choose another backbone"
        raise KeyposError(f"heatmap_size={config.heatmap_size}", cause, remedy)
    return backbone


def _name(part: Any) -> str:
    """What a part of the config is called: its own name, or that of its class or function."""
    return str(part.get("name") or part._target_.rpartition(".")[2])
