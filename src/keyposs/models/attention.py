"""The transformer layer that landmarks and cells share."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

HEAD = 64
"""Channels of an attention head."""

Turn = Callable[[Float[Tensor, "b heads n _"]], Float[Tensor, "b heads n _"]]
"""What turns queries and keys by their tokens' positions."""


class Block(nn.Module):
    """A pre-norm encoder layer: self-attention, then a perceptron of twice the width, each added to its input.

    Args:
        dim: width of the tokens, a multiple of 64.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.attention_norm, self.mlp_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.project = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x: Float[Tensor, "b n d"], turn: Turn | None = None) -> Float[Tensor, "b n d"]:
        """The tokens, each having seen all others; `turn` is applied to queries and keys, not to values."""
        x = x + self._attend(self.attention_norm(x), turn)
        return x + self.mlp(self.mlp_norm(x))

    def _attend(self, x: Float[Tensor, "b n d"], turn: Turn | None) -> Float[Tensor, "b n d"]:
        q, k, v = self.qkv(x).unflatten(-1, (3, -1, HEAD)).permute(2, 0, 3, 1, 4)
        if turn is not None:
            q, k = turn(q), turn(k)
        return self.project(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
