"""Finished runs of other methods than distance maps, for whoever tests what reads runs of several."""

import json
from pathlib import Path
from typing import Any

from fake_run import DECODERS, fake_run


def fake_method(
    folder: Path,
    *,
    method: str = "cascade",
    encoding: str = "patches",
    readings: tuple[str, ...] = ("stage_3",),
    monitor: str | None = None,
    heatmap_size: Any = None,
    facts: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
    **given: Any,
) -> Path:
    """Writes a run as `fake_run` does, of another method, with readings of its own and, by default, without maps."""
    fake_run(folder, decoders=DECODERS[: len(readings)], **given)
    _rename(folder, dict(zip(DECODERS, readings, strict=False)))
    rows = json.loads((folder / "results.json").read_text())
    for row in rows:
        row |= {"method": method, "encoding": encoding, "heatmap_size": heatmap_size}
    (folder / "results.json").write_text(json.dumps(rows))
    known = json.loads((folder / "run.json").read_text()) | (facts or {})
    known["config"] |= {"heatmap_size": heatmap_size, "monitor": monitor or readings[0], **(config or {})}
    known["config"]["codec"] = {"_target_": f"keyposs.codecs.{method.title()}"}
    (folder / "run.json").write_text(json.dumps(known))
    return folder


def _rename(folder: Path, names: dict[str, str]) -> None:
    """Gives the decoders of `fake_run` other names, wherever they stand."""
    for file in ("results.json", "predictions.csv", "metrics.csv"):
        text = (folder / file).read_text()
        for old, new in names.items():
            text = text.replace(f'"{old}"', f'"{new}"').replace(f",{old},", f",{new},")
            text = text.replace(f"val/nme/{old}", f"val/nme/{new}")
        (folder / file).write_text(text)
