"""Which face comes when, and with which augmentation: a function of seed and epoch alone."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch.distributed
from torch.utils.data import Sampler

Key = tuple[int, int | None]
"""Which face (-1: one that counts nowhere), and the seed of its augmentation; None for the plain centre crop."""


def rank_and_world() -> tuple[int, int]:
    """This process and how many there are, in distributed training."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


class TrainSampler(Sampler[Key]):
    """Faces in random order, each with a seed of its own.

    What is drawn depends on seed and epoch only, not on workers or on what ran before. Ranks share the faces
    out; every rank gets the same number, so that none waits for a batch that never comes.

    Args:
        count: of all faces.
        seed: not negative.
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed, self.epoch = count, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count // rank_and_world()[1]

    def __iter__(self) -> Iterator[Key]:
        generator = np.random.default_rng((self.seed, self.epoch))
        order = generator.permutation(self.count)
        seeds = generator.integers(2**32, size=self.count)
        rank, world = rank_and_world()
        for index in order[rank::world][: len(self)]:
            yield int(index), int(seeds[index])


class EvalSampler(Sampler[Key]):
    """Every face once, in order, shared out between ranks.

    A rank for which none is left gets a face that counts nowhere (index -1): it must take part in what ranks do
    together, or the others would wait for it.

    Args:
        count: of all faces.
    """

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return len(self._indices())

    def __iter__(self) -> Iterator[Key]:
        for index in self._indices():
            yield index, None

    def _indices(self) -> Sequence[int]:
        rank, world = rank_and_world()
        return range(rank, self.count, world) or [-1]
