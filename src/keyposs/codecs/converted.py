"""A trained codec, read in another scheme of landmarks than its own."""

from collections.abc import Sequence
from typing import Any, final

from jaxtyping import Float
from torch import Tensor

from keyposs.codecs.base import Codec
from keyposs.correspondence import Correspondence
from keyposs.types import Truth


@final
class Converted(Codec):
    """Reads an output with another codec, and converts its points; so that an evaluation meets one scheme only.

    There are no target maps for landmarks of another scheme: the loss is 0.

    Args:
        codec: of the network.
        correspondence: from the network's scheme to that of the data.
    """

    def __init__(self, codec: Codec, correspondence: Correspondence) -> None:
        super().__init__()
        self.codec, self.correspondence = codec, correspondence
        self.method, self.encoding, self.reads = codec.method, codec.encoding, codec.reads

    @property
    def names(self) -> tuple[str, ...]:
        """The configured readings of the codec."""
        return self.codec.names

    def encode(self, keypoints: Float[Tensor, "b k 2"]) -> Any:
        """There is no output for landmarks of another scheme.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("a converted codec only reads")

    def loss(self, output: Any, truth: Truth) -> Float[Tensor, ""]:
        """Zero."""
        return truth.keypoints.new_zeros(())

    def average(self, output: Any, mirrored: Any, flip: Sequence[int]) -> Any:
        """As the codec does; `flip` is of the network's own scheme."""
        return self.codec.average(output, mirrored, flip)

    def decode(self, output: Any) -> dict[str, tuple[Tensor, Tensor]]:
        """Points and scores of the data's scheme; a point's score is the mean of those that it comes from."""
        convert = self.correspondence.convert
        return {
            name: (convert(points), convert(scores[..., None])[..., 0])
            for name, (points, scores) in self.codec.decode(output).items()
        }

    def told(self, output: Any) -> None:
        """None: how the errors of points that are averaged go together is not known."""
