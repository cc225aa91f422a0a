"""The page of methods: which rows and numbers stand where, what is measured, and what is refused."""

import json
import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import cv2
import pytest

from fake_method import fake_method
from fake_run import fake_run
from keyposs import speed

ROOT = Path(__file__).parents[2]
methods = SimpleNamespace(**runpy.run_path(str(ROOT / "scripts" / "methods.py")))

DECODERS = ("one_hot", "multilateration")
PAGE = "# Methods\n\nBefore.\n\n<!-- methods: begin -->\nold | tables\n<!-- methods: end -->\n\nAfter.\n"
HRNET = {"backbone": {"_target_": "keyposs.models.HRNet", "name": "hrnet_w18", "heatmap_size": 16}, "image_size": 256}
PATCHES = {"backbone": {"_target_": "keyposs.models.Patches", "levels": 3, "image_size": 256}, "image_size": 256}
GLASS = {"backbone": {"_target_": "keyposs.models.Hourglass", "_partial_": True, "stacks": 1}, "image_size": 256}
MSE = {"_target_": "keyposs.codecs.DistanceMap", "loss": {"_target_": "keyposs.losses.mse", "_partial_": True}}


@pytest.fixture
def runs(tmp_path):
    """A cascade, distance maps and HIH, whose best reading is not the one that picked its checkpoint."""
    fake_method(tmp_path / "cascade", facts={"macs": 70_000_000, "parameters": 20_600_000}, config=PATCHES)
    fake_run(tmp_path / "maps", decoders=DECODERS, config=HRNET | {"codec": MSE})
    readings = {"method": "hih", "encoding": "8 bins", "heatmap_size": 64, "readings": ("hih", "expectation")}
    fake_method(tmp_path / "hih", **readings, facts={"macs": 6_900_000_000}, config=GLASS)
    return [tmp_path / name for name in ("hih", "maps", "cascade")]


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "docs" / "methods.md"
    path.parent.mkdir()
    path.write_text(PAGE)
    return path


def command(*words):
    methods.main([str(word) for word in words])


def tables(text):
    """Each table of a page as a list of rows by column; what a group hides is shown again."""
    found = []
    for block in re.findall(r"(?:^\|.*\|$\n?)+", text, re.MULTILINE):
        head, _, *lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
        rows, last = [], {}
        for line in lines:
            row = dict(zip(head, line, strict=True))
            if not row["method"]:
                row |= {key: last[key] for key in ("method", "backbone", "map", "seed")}
            rows.append(last := row)
        found.append(rows)
    return found


def results(run):
    rows = json.loads((run / "results.json").read_text())
    return {(row["split"], row["subset"], row["decoder"]): row["nme"] for row in rows}


def test_the_tables_replace_the_old_ones_and_nothing_else(runs, page, capsys):
    command(*runs, "--no-speed", "--out", page)
    before, after = PAGE.split("<!-- methods: begin -->\nold | tables\n<!-- methods: end -->")
    text = page.read_text()
    assert text.startswith(before + "<!-- methods: begin -->")
    assert text.endswith("<!-- methods: end -->" + after)
    assert "old | tables" not in text
    assert f"page: {page}" in capsys.readouterr().out
    command(*runs, "--no-speed", "--out", page)
    assert page.read_text() == text


def test_rows_come_by_their_macs_and_say_what_they_are(runs, page):
    command(*runs, "--no-speed", "--out", page)
    costs, errors, trainings = tables(page.read_text())
    heading = ("method", "backbone", "map", "seed")
    expected = [
        ("cascade, patches", "patches, levels 3", "–", "0"),
        ("distance_map, unbiased, mse", "hrnet_w18", "16", "0"),
        ("hih, 8 bins", "hourglass, stacks 1", "64", "0"),
    ]
    for table in (costs, trainings):
        assert [tuple(row[key] for key in heading) for row in table] == expected
    assert list(dict.fromkeys(tuple(row[key] for key in heading) for row in errors)) == expected
    assert [(row["parameters, M"], row["GMACs"], row["image"]) for row in costs] == [
        ("20.60", "0.07", "256"),
        ("9.66", "0.3", "256"),
        ("9.66", "6.9", "256"),
    ]
    assert {(row["ms"], row["FPS"]) for row in costs} == {("12.3", "81.0")}  # of fake_run
    assert {tuple(row[key] for key in ("epochs", "time", "commit")) for row in trainings} == {
        ("60", "1:02:03", "abc1234")
    }


def test_errors_are_those_of_the_results_and_a_better_reading_stands_below(runs, page):
    command(*runs, "--no-speed", "--out", page)
    _, errors, _ = tables(page.read_text())
    assert [row["reading"] for row in errors] == ["stage_3", "multilateration", "hih", "expectation"]
    run_of = {"cascade": "cascade", "distance_map": "maps", "hih": "hih"}
    by_name = {run.name: results(run) for run in runs}
    columns = {"val all (6)": ("val", "all"), "test full (12)": ("test", "full")}
    columns |= {"test common (8)": ("test", "common"), "test challenging (4)": ("test", "challenging")}
    assert set(errors[0]) == {"method", "backbone", "map", "seed", "reading", *columns}
    for row in errors:
        nme = by_name[run_of[row["method"].partition(",")[0]]]
        for head, (split, subset) in columns.items():
            number, low, high = re.fullmatch(r"\**([\d.]+)\**†? \[([\d.]+), ([\d.]+)\]", row[head]).groups()
            assert float(number) == pytest.approx(nme[split, subset, row["reading"]], abs=5.1e-3)
            assert float(low) < float(number) < float(high)
    best = [row["reading"] for row in errors if "**" in row["val all (6)"]]
    found = {
        row["reading"]: by_name[run_of[row["method"].partition(",")[0]]]["val", "all", row["reading"]] for row in errors
    }
    assert best == [min(found, key=found.get)]


def test_the_reading_that_picked_the_checkpoint_is_alone_where_none_is_better(tmp_path, capsys):
    run = fake_run(tmp_path / "run", decoders=("one_hot", "quarter", "multilateration"), config=HRNET | {"codec": MSE})
    command(run, "--no-speed")
    _, errors, _ = tables(capsys.readouterr().out)
    assert [row["reading"] for row in errors] == ["multilateration"]


def test_the_picture_has_a_dot_for_each_run(runs, page):
    command(*runs, "--no-speed", "--out", page)
    assert "![NME against multiply-adds, by method](methods.png)" in page.read_text()
    assert cv2.imread(str(page.with_suffix(".png"))) is not None
    assert page.with_suffix(".svg").read_text().startswith("<?xml")
    opened = methods.open_runs(runs)
    ax = methods.scatter(opened).axes[0]
    dots = [tuple(container[0].get_xydata()[0]) for container in ax.containers]
    expected = [(0.07, runs[2], "stage_3"), (0.3, runs[1], "multilateration"), (6.9, runs[0], "hih")]
    for (x, y), (gmacs, run, reading) in zip(dots, expected, strict=True):
        assert x == pytest.approx(gmacs)
        assert y == pytest.approx(results(run)["test", "full", reading])
    assert [text.get_text() for text in ax.texts] == [
        "cascade, patches\npatches, levels 3",
        "distance_map, unbiased, mse\nhrnet_w18, map 16",
        "hih, 8 bins\nhourglass, stacks 1, map 64",
    ]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")
    assert ax.get_ylabel() == "NME, % of inter-ocular"
    ranges = [container[2][0].get_segments()[0][:, 1].tolist() for container in ax.containers]
    assert all(low < y < high for (low, high), (_, y) in zip(ranges, dots, strict=True))


def test_seeds_have_rows_of_their_own_and_a_flip_test_runs_the_network_twice(tmp_path, capsys):
    config = HRNET | {"codec": MSE}
    for name, given in {"a": {"seed": 1}, "b": {"seed": 2}, "c": {"flip_test": True}}.items():
        fake_run(tmp_path / "sweep" / name, decoders=DECODERS, config=config, **given)
    command(tmp_path / "sweep", "--no-speed")
    costs, errors, _ = tables(capsys.readouterr().out)
    assert [(row["method"], row["seed"], row["GMACs"]) for row in costs] == [
        ("distance_map, unbiased, mse", "1", "0.3"),
        ("distance_map, unbiased, mse", "2", "0.3"),
        ("distance_map, unbiased, mse, flip test", "0", "0.6"),
    ]
    assert len(errors) == 3


def test_runs_that_look_alike_are_told_by_their_folders(tmp_path, capsys):
    config = {**HRNET, "monitor": "multilateration"}
    for name in ("light", "heavy", "exit"):
        fake_method(tmp_path / name, method="hih", encoding="8 bins", readings=("hih",), heatmap_size=16, config=config)
    known = json.loads((tmp_path / "exit" / "run.json").read_text())
    known["config"]["head"] = {"exit": "compact"}
    (tmp_path / "exit" / "run.json").write_text(json.dumps(known))
    methods.main([*(str(tmp_path / name) for name in ("light", "heavy", "exit")), "--no-speed"])
    names = {row["method"] for row in tables(capsys.readouterr().out)[0]}
    assert names == {"hih, 8 bins, light", "hih, 8 bins, heavy", "hih, 8 bins, early exit"}


def test_commands_name_no_machine_and_those_of_resumed_runs_are_the_first(runs, capsys):
    first = "python -m keyposs.train codec=cascade data=300w data.root=/home/me/300w datamodule.cache=/tmp/c seed=0"
    starts = [{"command": first, "commit": "1234567"}, {"command": "python -m keyposs.train resume=x", "commit": "9"}]
    (runs[2] / "environment.json").write_text(json.dumps(starts))
    known = json.loads((runs[2] / "run.json").read_text())
    (runs[2] / "run.json").write_text(json.dumps({**known, "resumed": True}))
    command(*runs, "--no-speed")
    text = capsys.readouterr().out
    assert "\n    python -m keyposs.train codec=cascade data=300w data.root=FOLDER seed=0\n" in text
    assert "/home" not in text
    assert "resume=" not in text
    trainings = tables(text)[2]
    assert [row["commit"] for row in trainings] == ["1234567", "abc1234", "abc1234"]
    assert [row["time"] for row in trainings] == ["1:02:03 since resumed", "1:02:03", "1:02:03"]
    assert text.count("\n    python -m keyposs.train heatmap_size=16\n") == 2


def test_each_network_is_measured_in_its_own_process_one_after_another(runs, page, monkeypatch):
    asked = []

    def measured(path, *options):
        asked.append((Path(path).name, *options))
        batches = [
            {"batch": 1, "ms": 10.0, "ms_per_face": 10.0, "fps": 100.0, "memory_mb": 61.4},
            {"batch": 32, "ms": 160.0, "ms_per_face": 5.0, "fps": 200.0, "memory_mb": 412.6},
        ]
        return {"hardware": "Abacus, 1 CPU threads", "torch": "2.14.1", "commit": "fed4321", "batches": batches}

    monkeypatch.setattr(speed, "run_apart", measured)
    (runs[2] / "checkpoints").mkdir()  # a training; the others are evaluations of best.ckpt
    command(*runs, "--out", page)
    assert asked == [("cascade", "--device", "cpu"), *[("best.ckpt", "--device", "cpu")] * 2]
    text = page.read_text()
    assert "Abacus, 1 CPU threads, torch 2.14.1, commit fed4321, float32" in text
    names = ["ms, batch 1", "FPS, batch 1", "MB, batch 1", "ms, batch 32", "FPS, batch 32", "MB, batch 32"]
    assert {tuple(row[name] for name in names) for row in tables(text)[0]} == {
        ("10.0", "100.0", "61", "160.0", "200.0", "413")
    }


def test_what_is_no_finished_run_is_refused(runs, tmp_path, refused):
    with refused("nowhere: is no folder. Remedy: give the folder of a run"):
        command(tmp_path / "nowhere", "--no-speed")
    (runs[0] / "results.json").unlink()
    (runs[0] / "config.yaml").write_text("seed: 0\n")
    with refused(r"hih.results\.json: is missing: the run has not finished. Remedy: finish it with resume="):
        command(*runs, "--no-speed")


def test_a_run_without_its_facts_is_refused(runs, refused):
    (runs[1] / "run.json").unlink()
    with refused(r"maps.run\.json: lacks parameters, macs, .*, config. Remedy: evaluate its checkpoint again"):
        command(*runs, "--no-speed")


@pytest.mark.parametrize(
    ("other", "cause"), [({"data": "wflw"}, "data 300w and wflw"), ({"norm": "box"}, "norm inter-ocular and box")]
)
def test_runs_that_do_not_compare_are_refused_before_any_is_measured(
    runs, tmp_path, monkeypatch, refused, other, cause
):
    monkeypatch.delattr(speed, "run_apart")
    with refused(f"cannot be compared: {cause}. Remedy"):
        command(*runs, fake_run(tmp_path / "other", decoders=DECODERS, config=HRNET | {"codec": MSE}, **other))


@pytest.mark.parametrize(
    "text", ["# Methods\n", "<!-- methods: begin -->\n", "<!-- methods: end -->\n<!-- methods: begin -->\n"]
)
def test_a_page_without_a_place_is_refused_and_stays(runs, page, refused, text):
    page.write_text(text)
    with refused(r"methods\.md: has no place for the tables: <!-- methods: begin -->, then .* add these two lines"):
        command(*runs, "--no-speed", "--out", page)
    assert page.read_text() == text


def test_a_page_that_is_not_there_is_begun(runs, tmp_path):
    command(*runs, "--no-speed", "--out", tmp_path / "new" / "page.md")
    text = (tmp_path / "new" / "page.md").read_text()
    assert text.startswith("<!-- methods: begin -->")
    assert len(tables(text)) == 3
    assert "](page.png)" in text


def test_only_a_page_is_written(runs, capsys):
    with pytest.raises(SystemExit):
        command(*runs, "--out", "table.csv")
    assert "'table.csv' does not end in .md" in capsys.readouterr().err
