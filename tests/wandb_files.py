"""Reads what wandb wrote offline, as its server would."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from wandb.proto.wandb_internal_pb2 import Record

BLOCK, HEADER = 32768, 7
"""A .wandb file is a LevelDB log: chunks within blocks, each after its checksum (4 bytes), size (2) and kind (1)."""

WHOLE, LAST = 1, 4


class Logged(NamedTuple):
    """One run of wandb."""

    run: Any
    config: dict[str, Any]
    summary: dict[str, Any]
    history: list[dict[str, Any]]
    artifacts: list[Any]
    exit_code: int


def read(folder: Path) -> Logged:
    """The run in `<folder>/wandb`, of which there is one."""
    (file,) = folder.glob("wandb/offline-run-*/*.wandb")
    records = [Record.FromString(data) for data in chunks(file.read_bytes())]
    runs = [record.run for record in records if record.HasField("run")]
    configs = [record.config for record in records if record.HasField("config")] + [run.config for run in runs]
    summaries = [record.summary for record in records if record.HasField("summary")]
    return Logged(
        run=runs[0],
        config=values(item for config in configs for item in config.update),
        summary=values(item for summary in summaries for item in summary.update),
        history=[values(record.history.item) for record in records if record.HasField("history")],
        artifacts=[
            record.request.log_artifact.artifact for record in records if record.request.HasField("log_artifact")
        ]
        + [record.artifact for record in records if record.HasField("artifact")],
        exit_code=next(record.exit.exit_code for record in records if record.HasField("exit")),
    )


def values(items: Iterator[Any]) -> dict[str, Any]:
    """By their names, which may be nested."""
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def chunks(data: bytes) -> Iterator[bytes]:
    """The records, put together."""
    at, record = HEADER, b""  # the file has a header of its own, as long as that of a chunk
    while at + HEADER <= len(data):
        if BLOCK - at % BLOCK < HEADER:
            at += BLOCK - at % BLOCK
            continue
        size, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        record += data[at + HEADER : at + HEADER + size]
        at += HEADER + size
        if kind in (WHOLE, LAST):
            yield record
            record = b""
