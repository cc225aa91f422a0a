"""Runs whose commands differ: what differs is named, seeds are put together, and differences are those of the faces."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fake_run import fake_run

ablation = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "ablation.py")))

BASE = "python -m keyposs.train experiment=keyposs_plus data=300w data.root=/a/b heatmap_size=8"


@pytest.fixture
def run(tmp_path):
    """`run("lr=1", seed=2)`: a finished run whose command has these words beside the base's; or another command."""

    def write(*words, base=BASE, seed=0, **options):
        folder = fake_run(tmp_path / f"run{len(list(tmp_path.iterdir()))}", seed=seed, **options)
        facts = json.loads((folder / "run.json").read_text())
        command = " ".join([base, f"seed={seed}", "hydra.run.dir=/x", *words])
        (folder / "run.json").write_text(
            json.dumps(facts | {"command": command, "commit": "abc1234", "macs": 64.4e6, "epochs": 40})
        )
        return folder

    return write


def labels(*folders):
    return [setting.label for setting in ablation.settings(ablation.open_runs(folders))]


def test_a_row_says_what_its_command_has_beside_the_base(run):
    shorter = BASE.replace(" experiment=keyposs_plus", "")
    found = labels(run(), run("loss=mse", "augment=paper"), run("heatmap_size=8", base=shorter))
    assert found == ["the base", "loss=mse augment=paper", "without experiment=keyposs_plus"]


def test_a_value_in_place_of_the_bases_counts_once(run):
    assert labels(run("optim.lr=1"), run("optim.lr=2")) == ["the base", "optim.lr=2"]


def test_seeds_share_a_row(run):
    groups = ablation.settings(ablation.open_runs([run(), run("loss=mse"), run(seed=1), run("loss=mse", seed=1)]))
    assert [(g.label, [r.rows[0]["seed"] for r in g.runs]) for g in groups] == [
        ("the base", [0, 1]),
        ("loss=mse", [0, 1]),
    ]
    rows = ablation.table(groups).rows
    nme = [
        [row["nme"] for run in g.runs for row in run.rows if (row["split"], row["decoder"]) == ("val", run.decoder)]
        for g in groups
    ]
    for row, values in zip(rows, nme, strict=True):
        assert row[5].value == pytest.approx(np.mean(values))
        assert row[6].value == pytest.approx(np.std(values, ddof=1))
    assert rows[1][7].text.startswith(f"{np.mean(nme[1]) - np.mean(nme[0]):+.2f} (")


def test_the_page(run, tmp_path, capsys):
    page = tmp_path / "ablation.md"
    page.write_text("# Page\n\n<!-- size-8: begin -->\nold\n<!-- size-8: end -->\n\nAfter.\n")
    ablation.main([str(run()), str(run("loss=mse")), "--out", str(page), "--part", "size-8"])
    text = page.read_text()
    assert text.startswith("# Page\n\n<!-- size-8: begin -->\n\n")
    assert text.endswith("<!-- size-8: end -->\n\nAfter.\n")
    assert "| loss=mse | 64.4 | 40 | 0 |" in text
    assert f"    {BASE.replace('/a/b', 'FOLDER')}\n" in text
    assert "old" not in text


def test_a_page_without_a_place_is_refused(run, tmp_path, refused):
    page = tmp_path / "ablation.md"
    page.write_text("# Page\n")
    with refused("has no place for the tables: <!-- size-8: begin -->"):
        ablation.main([str(run()), "--out", str(page), "--part", "size-8"])


def test_a_run_that_has_not_finished_is_refused(tmp_path, refused):
    with refused("is missing: the run has not finished"):
        ablation.main([str(tmp_path)])
