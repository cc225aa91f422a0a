"""Several processes of one group, for whoever tests what ranks do together."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def on_ranks(world: int, work: Callable[..., Any], *args: Any) -> list[Any]:
    """What `work(*args)` returns on each rank of a gloo group, in a fork of this process."""
    with tempfile.TemporaryDirectory() as folder:
        mp.start_processes(_rank, (world, folder, work, args), nprocs=world, start_method="fork")
        return [torch.load(Path(folder, str(rank)), weights_only=False) for rank in range(world)]


def _rank(rank: int, world: int, folder: str, work: Callable[..., Any], args: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world)
    torch.save(work(*args), Path(folder, str(rank)))
    dist.destroy_process_group()
