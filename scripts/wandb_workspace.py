"""Builds wandb's view of a project: NME against resolution for each decoder, training curves, pictures, tables.

    pip install "keyposs[workspace]"
    python scripts/wandb_workspace.py --entity ME --project keyposs --subset full
    python scripts/wandb_workspace.py --entity ME --dry-run    # prints the layout; needs no account

The runs are those that `python -m keyposs.train logger=wandb_online` uploads, or `wandb sync`.
"""

import argparse
import json
from collections.abc import Sequence

import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws

DECODERS = ("one_hot", "two_hot", "quarter", "dark", "soft_argmax", "multilateration", "gauss_newton", "pseudorange")
PICTURES = ("overlays_val", "overlays_test", "worst_test", "median_test", "distance_maps_test")
SIZE = wr.Config("heatmap_size")


def workspace(entity: str, project: str, decoders: Sequence[str], subset: str) -> ws.Workspace:
    """The view: a section for each question, in the order in which they are asked."""
    sections = {
        "NME against resolution": resolution(decoders, subset),
        "Training": training(decoders),
        "Pictures": [wr.MediaBrowser(title=name, media_keys=[f"pictures/{name}"]) for name in PICTURES],
        "Tables": [wr.WeavePanelSummaryTable(table_name=f"tables/{name}") for name in ("results", "faces")],
    }
    return ws.Workspace(
        entity=entity,
        project=project,
        name="keyposs",
        sections=[ws.Section(name=name, panels=panels, is_open=True) for name, panels in sections.items()],
    )


def resolution(decoders: Sequence[str], subset: str) -> list[wr.ScatterPlot | wr.BarPlot]:
    """One plot for each decoder, a dot for each run; then the means of all decoders beside each other."""
    keys = [f"test/{subset}/nme/{decoder}" for decoder in decoders]
    plots = [wr.ScatterPlot(title=key, x=SIZE, y=wr.SummaryMetric(key), log_x=True) for key in keys]
    return [*plots, wr.BarPlot(title=f"test {subset}, NME %", metrics=keys, groupby=SIZE)]


def training(decoders: Sequence[str]) -> list[wr.LinePlot]:
    """The loss, and each decoder's error in validation: the mean and range of the runs of a heatmap size."""
    keys = ["train/loss", *(f"val/nme/{decoder}" for decoder in decoders)]
    return [wr.LinePlot(title=key, x="epoch", y=[key], log_y=True, groupby=SIZE) for key in keys]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entity", required=True, help="user or team of wandb")
    parser.add_argument("--project", default="keyposs")
    parser.add_argument("--decoders", nargs="+", default=DECODERS)
    parser.add_argument("--subset", default="all", help="of the test; 300-W has common, challenging and full")
    parser.add_argument("--dry-run", action="store_true", help="print the layout as JSON")
    options = parser.parse_args(arguments)
    view = workspace(options.entity, options.project, options.decoders, options.subset)
    if options.dry_run:
        print(json.dumps(view._model.model_dump(mode="json", by_alias=True, exclude_none=True), indent=2))
    else:
        view.save()
        print(view.url)


if __name__ == "__main__":
    main()
