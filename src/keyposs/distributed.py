"""What the processes of one training agree on."""

import os
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import TypeVar

import torch.distributed as dist

from keyposs.errors import KeyposError

T = TypeVar("T")


def from_rank_zero(make: Callable[[], T]) -> T:
    """What `make` gives on rank 0, on every rank; only rank 0 calls it.

    Raises:
        KeyposError: on every rank, where `make` raises it on rank 0.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return make()
    given: list[T | KeyposError | None] = [None]
    if dist.get_rank() == 0:
        try:
            given = [make()]
        except KeyposError as error:  # else the others would wait for ever
            given = [error]
    dist.broadcast_object_list(given)
    if isinstance(given[0], KeyposError):
        raise given[0]
    return given[0]  # type: ignore[return-value]


@cache
def started(format: str) -> str:
    """When the command was started, as strftime writes it; for the processes of torchrun, on any host, that of rank 0.

    Without it, each of them would name the run's folder after a clock of its own.
    """
    now = datetime.now()
    if "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ["WORLD_SIZE"]) > 1:
        store, rank, _ = next(iter(dist.rendezvous("env://")))
        if rank == 0:
            store.set(f"keyposs/started/{format}", now.isoformat())
        now = datetime.fromisoformat(store.get(f"keyposs/started/{format}").decode())
    return now.strftime(format)
