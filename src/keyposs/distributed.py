"""What the processes of one training agree on, and that no other one meddles with it."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TypeVar

import torch.distributed as dist
from filelock import FileLock, Timeout
from pytorch_lightning.utilities import rank_zero_only

from keyposs.errors import KeyposError, cause

T = TypeVar("T")


def from_rank_zero(make: Callable[[], T]) -> T:
    """What `make` gives on rank 0, on every rank; only rank 0 calls it.

    Raises:
        KeyposError: on every rank, where `make` fails on rank 0.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return make()
    given: list[T | KeyposError | None] = [None]
    if dist.get_rank() == 0:
        try:
            given = [make()]
        except Exception as error:  # else the others would wait for ever
            given = [cause(error) or KeyposError("rank 0", f"failed ({error!r})", "see its message")]
    dist.broadcast_object_list(given)
    if isinstance(given[0], KeyposError):
        raise given[0]
    return given[0]  # type: ignore[return-value]


def gather(rows: list[T]) -> list[T]:
    """The rows of every rank, on every rank."""
    if not (dist.is_available() and dist.is_initialized()):
        return rows
    gathered: list[list[T]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(gathered, rows)
    return [row for of_rank in gathered for row in of_rank]


@cache
def started(format: str) -> str:
    """When the command was started, as strftime writes it; for the processes of torchrun, on any host, that of rank 0.

    Without it, each of them would name the run's folder after a clock of its own.
    """
    now = datetime.now()
    if "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ["WORLD_SIZE"]) > 1:
        store, rank, _ = next(iter(dist.rendezvous("env://")))
        key = f"keyposs/{os.environ.get('TORCHELASTIC_RESTART_COUNT')}/{format}"
        if rank == 0:
            store.set(key, now.isoformat())
        now = datetime.fromisoformat(store.get(key).decode())
    return now.strftime(format)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds a folder for one training, by its rank 0; the lock ends with the process, however that ends.

    Raises:
        KeyposError: if another training holds it.
    """
    if rank_zero_only.rank > 0:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    try:
        held = FileLock(folder / ".lock").acquire(timeout=0)
    except Timeout as error:
        remedy = "wait for it, or give this one a folder of its own"
        raise KeyposError(folder, "is being trained by another process", remedy) from error
    with held:
        yield
