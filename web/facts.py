"""`python web/facts.py keyposs-8.onnx`: writes its metadata as keyposs-8.json, for a browser."""

import json
import sys
from pathlib import Path

import onnx

from keyposs.markup import Markup


def facts(file: Path) -> dict[str, object]:
    """What the page has to know of a network: how to cut a face, what its points are called, how its maps are drawn."""
    told = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    markup, config = Markup.from_dict(json.loads(told["markup"])), json.loads(told["config"])
    return {
        "image_size": int(told["image_size"]),
        "padding": float(told["padding"]),
        "heatmap_size": config["heatmap_size"],
        "sigma": config["codec"]["sigma"],
        "decoder": told["decoder"],
        "contours": [{"points": contour.points, "closed": contour.closed} for contour in markup.contours],
        "names": markup.names,
    }


if __name__ == "__main__":
    for name in sys.argv[1:]:
        Path(name).with_suffix(".json").write_text(json.dumps(facts(Path(name))) + "\n", encoding="utf-8")
