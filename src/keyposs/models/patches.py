"""The image itself as a network's features: at full, half and quarter size, to cut patches from."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from keyposs.errors import KeyposError


class Patches(nn.Module):
    """A pyramid of the standardised image, finest first: a backbone without weights (Shapira et al., MM 2021).

    A cascade cuts patches of one size from it: from a coarse level they see much of the face, from a fine one they see
    a landmark closely.

    Args:
        image_size: side of the image, in pixels.
        levels: how many sizes there are, each half the one before.

    Raises:
        KeyposError: if there is no level, or the image cannot be halved so often.
    """

    heatmap_size = None

    def __init__(self, image_size: int, levels: int = 3) -> None:
        super().__init__()
        if levels < 1:
            raise KeyposError(f"backbone.levels={levels}", "leaves no image to look at", "use 3, as published")
        coarsest = 2 ** (levels - 1)
        if image_size % coarsest:
            raise KeyposError(
                f"image_size={image_size}",
                f"cannot be halved {levels - 1} times for the {levels} levels of backbone=patches",
                f"choose one that {coarsest} divides, such as {max(1, round(image_size / coarsest)) * coarsest}",
            )
        self.levels, self.channels = levels, (3,) * levels

    def forward(self, image: Float[Tensor, "b 3 H W"]) -> list[Float[Tensor, "b 3 _ _"]]:
        """The image at each level: pixel `(x, y)` of one is `(x + 0.5) / 2 - 0.5` of the next."""
        pyramid = [standardise(image)]
        for _ in range(self.levels - 1):
            pyramid.append(halve(pyramid[-1]))
        return pyramid


def standardise(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """Each image with mean 0 and variance 1 over all its pixels and channels; 0 where it has but one colour.

    Means are taken row by row: a runtime that adds all pixels up one by one, as onnxruntime does, loses two digits.
    """
    centred = image - image.mean(-1).mean((1, 2))[:, None, None, None]
    variance = centred.square().mean(-1).mean((1, 2))
    return centred / (variance + 1e-5).sqrt()[:, None, None, None]


def halve(image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h/2 w/2"]:
    """The image at half the size, blurred before by the binomial [1 3 3 1] / 8 along y and x (sigma 0.87 pixels).

    The centre of a new pixel lies amid the four that it covers.
    """
    image = functional.pad(image, (1, 1, 1, 1), mode="replicate")
    height, width = image.shape[-2] - 3, image.shape[-1] - 3
    image = _binomial(*(image[..., i : i + height : 2, :] for i in range(4)))
    return _binomial(*(image[..., i : i + width : 2] for i in range(4)))


def _binomial(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    return (a + 3 * (b + c) + d) / 8
