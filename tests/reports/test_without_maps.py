"""Methods without maps stand in reports, tables and plots beside those with maps."""

import csv
import json

import pytest

from fake_method import fake_method
from fake_run import fake_run
from keyposs import dashboards, report, robustness
from keyposs.errors import KeyposError
from keyposs.reports import figures, measures, settings
from keyposs.reports.comparison import compare
from keyposs.reports.evidence import Evidence
from keyposs.reports.run import read_results, read_run

DECODERS = ("one_hot", "multilateration")
BESIDE = ["distance_map, unbiased", "cascade, patches"]


@pytest.fixture
def mixed(tmp_path):
    """Distance maps of 8 and 16 cells, and a cascade with three readings."""
    for size in (8, 16):
        fake_run(tmp_path / f"maps_{size}", size=size, decoders=DECODERS)
    fake_method(tmp_path / "cascade", readings=("stage_1", "stage_2", "stage_3"), facts={"macs": 96_570_000})
    return [tmp_path / name for name in ("cascade", "maps_8", "maps_16")]


def lines(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def table(section, *columns):
    """The cells of a section's first table as they are printed."""
    shown = section.parts[0]
    places = [list(shown.columns).index(column) for column in columns]
    return [[row[place].text for place in places] for row in shown.rows]


@pytest.mark.parametrize(("size", "said"), [("16", "'16'"), (16.0, "16.0"), (True, "True"), ([16], r"\[16\]")], ids=str)
def test_a_size_that_is_neither_a_whole_number_nor_null_is_refused(tmp_path, size, said):
    run = fake_method(tmp_path / "run", heatmap_size=size)
    with pytest.raises(KeyposError, match=rf"results\.json: row 0 has {said} for heatmap_size. Remedy: evaluate"):
        read_results(run)


@pytest.mark.parametrize(("field", "value"), [("faces", True), ("flip_test", None), ("flip_test", 1), ("seed", "0")])
def test_truth_values_are_no_numbers_and_numbers_no_truth_values(tmp_path, field, value):
    run = fake_method(tmp_path / "run")
    rows = json.loads((run / "results.json").read_text())
    (run / "results.json").write_text(json.dumps([row | {field: value} for row in rows]))
    with pytest.raises(KeyposError, match=f"row 0 has {value!r} for {field}"):
        read_results(run)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_no_map_comes_after_the_smallest_whatever_the_order(mixed, order):
    found = compare([read_run(mixed[i]) for i in order])
    assert found.sizes == [16, 8, None]
    of_maps = [setting.size for setting in found.settings if setting.label == BESIDE[0]]
    assert of_maps == [16, 8]
    titles = {setting.title for setting in found.settings}
    assert titles == {f"{BESIDE[0]}, heatmap size 16", f"{BESIDE[0]}, heatmap size 8", f"{BESIDE[1]}, no map"}


def test_a_figure_of_each_label_names_its_panels(mixed):
    found = compare([read_run(path) for path in mixed])
    panels = {label: list(panels) for label, panels in found.figures.items()}
    assert panels == {BESIDE[1]: ["no map"], BESIDE[0]: ["heatmap size 16", "heatmap size 8"]}


def test_seeds_of_a_method_without_maps_are_averaged_and_its_settings_told_apart(tmp_path):
    runs = [fake_method(tmp_path / f"seed_{seed}", seed=seed) for seed in (1, 2)]
    (setting,) = compare([read_run(run) for run in runs]).settings
    assert (setting.title, setting.size, len(setting.runs)) == ("no map", None, 2)
    other = fake_method(tmp_path / "other", seed=1, config={"codec": {"stages": 4}, "optim": {"lr": 0.1}})
    labels = [setting.label for setting in compare([read_run(runs[0]), read_run(other)]).settings]
    assert labels == ["optim.lr=none", "optim.lr=0.1"]


def test_a_report_of_all_has_a_column_without_maps(mixed, tmp_path):
    text = report.write_report(mixed, tmp_path / "out").read_text()
    assert "Differences between decoders" in text
    rows = lines(tmp_path / "out" / "tables" / "nme_test_full.csv")
    sizes = [column for column in rows[0] if not column.endswith((" low", " high"))]
    assert sizes == ["setting", "decoder", "16", "8", "no map"]
    nme = {
        row["decoder"]: row["nme"]
        for row in read_results(mixed[0])
        if (row["split"], row["subset"]) == ("test", "full")
    }
    shown = {row["decoder"]: float(row["no map"]) for row in rows if row["setting"] == BESIDE[1]}
    assert shown == pytest.approx(nme)
    assert all(row["16"] == "" for row in rows if row["setting"] == BESIDE[1])
    assert all(row["no map"] == "" for row in rows if row["setting"] == BESIDE[0])


def test_a_report_of_one_names_no_size(tmp_path, capsys):
    run = fake_method(tmp_path / "run", readings=("stage_1", "stage_2"))
    report.main([str(run)])
    printed = capsys.readouterr().out
    assert "300w, no map, NME in % of inter-ocular" in printed
    text = (run / "report.html").read_text()
    assert "<title>300w without maps</title>" in text
    assert "None" not in text.replace("_target_", "")
    assert [line["value"] for line in lines(run / "tables" / "runs.csv") if line["fact"] == "heatmap size"] == ["nan"]
    assert list(lines(run / "tables" / "nme_test_full.csv")[0])[:2] == ["decoder", "no map"]


def test_runs_have_a_dash_for_their_size(mixed):
    section = settings.runs(compare([read_run(path) for path in mixed]), [])
    assert table(section, "run", "heatmap size") == [["cascade", "–"], ["maps_16", "16"], ["maps_8", "8"]]


def test_the_plot_against_size_leaves_it_out_and_that_against_macs_has_it(mixed):
    found = compare([read_run(path) for path in mixed])
    size, macs = figures.trends(found, "test", Evidence(found, "test", "full")).parts
    assert {ax.get_title() for ax in size.figure.axes} == {BESIDE[0]}
    panels = {ax.get_title(): ax for ax in macs.figure.axes}
    assert set(panels) == set(BESIDE)
    ticks = {title: [tick.get_text() for tick in ax.get_xticklabels()] for title, ax in panels.items()}
    assert ticks == {BESIDE[1]: ["0.0966"], BESIDE[0]: ["0.07\n8²", "0.3\n16²"]}
    of_stage = next(row["nme"] for row in read_results(mixed[0]) if row["subset"] == "full")
    line = panels[BESIDE[1]].get_lines()[0]
    assert line.get_xydata().tolist() == [[pytest.approx(0.09657), pytest.approx(of_stage)]]


def test_methods_without_maps_alone_have_no_trend_by_size(tmp_path):
    runs = [fake_method(tmp_path / name, method=name, facts={"macs": macs}) for name, macs in (("a", 1e8), ("b", 2e8))]
    found = compare([read_run(run) for run in runs])
    assert figures.trends(found, "test", Evidence(found, "test", "full")) is None
    both = compare([*found.runs, read_run(fake_run(tmp_path / "maps", decoders=DECODERS))])
    names = [plot.name for plot in figures.trends(both, "test", Evidence(both, "test", "full")).parts]
    assert names == ["macs"]  # one size is no trend


def test_settings_without_maps_are_compared_with_each_other(tmp_path):
    runs = [fake_method(tmp_path / name, method=name, seed=i) for i, name in enumerate("ab")]
    report.write_report(runs, tmp_path / "out")
    (row,) = lines(tmp_path / "out" / "tables" / "settings_test.csv")
    a, b = (next(r["nme"] for r in read_results(run) if r["subset"] == "full") for run in runs)
    assert row["settings"] == "b minus a"
    assert float(row["no map"]) == pytest.approx(b - a, abs=1e-3)


def test_titles_and_summaries_take_such_rows(tmp_path):
    rows = read_results(fake_method(tmp_path / "run"))
    assert measures.results(rows).title == "300w, no map, NME in % of inter-ocular"
    (first, *_) = robustness._tables([{"error": "shift", "level": 0.0, **row} for row in rows])
    assert first.startswith("300w val all, 6 faces, no map, NME in % of inter-ocular:")
    assert set(dashboards.summary(rows)) >= {"val/nme/stage_3", "test/full/nme/stage_3"}


def test_the_patches_that_a_cascade_looked_at_are_among_the_faces(mixed):
    picture = mixed[0] / "pictures" / "patch_attention_test.png"
    picture.write_bytes((mixed[0] / "pictures" / "overlays_test.png").read_bytes())
    (shown,) = (part for part in figures.pictures(compare([read_run(mixed[0])])).parts if part.path == picture)
    assert shown.caption.startswith("Patch attention test. The patches of each stage where they were cut, coloured by")
