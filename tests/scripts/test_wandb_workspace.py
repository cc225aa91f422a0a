"""The layout of the workspace, as `--dry-run` prints it."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

PATH = Path(__file__).parents[2] / "scripts" / "wandb_workspace.py"
script = SimpleNamespace(**runpy.run_path(str(PATH)))


def layout(capsys, *options):
    script.main(["--entity", "me", "--dry-run", *options])
    view = json.loads(capsys.readouterr().out)
    sections = view["spec"]["section"]["panelBankConfig"]["sections"]
    return view, {section["name"]: [panel["config"] for panel in section["panels"]] for section in sections}


def test_every_decoder_has_a_plot_against_resolution(capsys):
    view, sections = layout(capsys, "--subset", "full", "--decoders", "dark", "multilateration")
    assert (view["entity"], view["project"]) == ("me", "keyposs")
    assert list(sections) == ["NME against resolution", "Training", "Pictures", "Tables"]
    *plots, bars = sections["NME against resolution"]
    assert [(plot["xAxis"], plot["yAxis"]) for plot in plots] == [
        ("config:heatmap_size.value", f"summary:test/full/nme/{decoder}") for decoder in ("dark", "multilateration")
    ]
    assert bars["metrics"] == ["test/full/nme/dark", "test/full/nme/multilateration"]


def test_training_is_grouped_by_resolution(capsys):
    _, sections = layout(capsys)
    assert [plot["metrics"] for plot in sections["Training"]] == [
        ["train/loss"],
        *([f"val/nme/{decoder}"] for decoder in script.DECODERS),
    ]
    assert {plot["groupBy"] for plot in sections["Training"]} == {"heatmap_size.value"}


def test_the_decoders_are_those_of_a_training(composed):
    assert list(composed().decoder) == list(script.DECODERS)


def test_pictures_and_tables_are_those_that_a_run_logs(capsys):
    _, sections = layout(capsys)
    assert [panel["mediaKeys"] for panel in sections["Pictures"]] == [[f"pictures/{name}"] for name in script.PICTURES]
    assert all(name in json.dumps(sections["Tables"]) for name in ("tables/results", "tables/faces"))


def test_an_entity_is_asked_for(capsys):
    with pytest.raises(SystemExit):
        script.main(["--dry-run"])
    assert "--entity" in capsys.readouterr().err
