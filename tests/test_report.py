import csv
import json
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from fake_run import fake_run
from keyposs import report
from keyposs.errors import KeyposError
from keyposs.reports import page

DECODERS = ("one_hot", "dark", "multilateration")
SECTIONS = [
    *("Runs", "NME on test", "NME on val", "Subsets of test", "Subsets of val", "Differences between decoders"),
    *("Cumulative error", "Landmarks", "Faces", "Training", "Config"),
]


class Page(HTMLParser):
    """Headings, links, sources and ids of a page."""

    def __init__(self, text):
        super().__init__()
        self.headings, self.found, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        self.open.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)
            self.open.pop()

    def all(self, key):
        return [attributes[key] for _, attributes in self.found if key in attributes]


@pytest.fixture
def run(tmp_path):
    return fake_run(tmp_path / "300w_16", decoders=DECODERS)


@pytest.fixture
def sweep(tmp_path):
    """Two encodings at two heatmap sizes, and one job that failed."""
    folder = tmp_path / "sweep"
    for encoding in ("biased", "unbiased"):
        for size in (8, 16):
            name = f"codec.encoding-{encoding}__heatmap_size-{size}"
            fake_run(folder / name, size=size, encoding=encoding, decoders=DECODERS)
    (folder / "heatmap_size-4").mkdir()
    (folder / "heatmap_size-4" / "failure.txt").write_text("keyposs: disk: is full. Remedy: free some.")
    return folder


def lines(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def links(text):
    return re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)


def test_a_run_has_a_page_that_needs_nothing_else(run):
    path = report.write_report([run], run)
    assert path == run / "report.html"
    text = path.read_text("utf-8")
    seen = Page(text)
    assert seen.headings == SECTIONS
    assert "<title>300w at heatmap size 16</title>" in text
    assert not re.search(r"(src|href)=.?(https?:|//|/)", text)
    assert all(
        source.startswith(("data:image/svg+xml;base64,", "data:image/jpeg;base64,")) for source in seen.all("src")
    )
    anchors = [link[1:] for link in seen.all("href") if link.startswith("#")]
    assert anchors == seen.all("id")
    assert len(set(anchors)) == len(SECTIONS)
    assert all(seen.all("alt"))
    for fact in ("9.66", "0.3", "1:02:03", "abc1234", "NVIDIA H100, 8 CPU threads", "python -m keyposs.train"):
        assert fact in text


def test_every_link_of_the_markdown_leads_to_a_picture_and_every_table_has_its_files(run):
    report.write_report([run], run)
    text = (run / "report.md").read_text("utf-8")
    assert re.findall("^## (.*)", text, re.MULTILINE) == SECTIONS
    assert set(links(text)) == {
        *("plots/ced.png", "plots/training.png", "plots/landmarks.png"),
        *(f"pictures/{name}_test.png" for name in ("worst", "median", "overlays", "distance_maps")),
        "pictures/overlays_val.png",
    }
    for link in links(text):
        assert cv2.imread(str(run / link)) is not None
    assert {file.stem for file in (run / "plots").glob("*.svg")} == {"ced", "training", "landmarks"}
    names = {"runs", "nme_test_full", "nme_val_all", "subsets_test", "subsets_val", "decoders_test", "landmarks_test"}
    for kind in ("tex", "csv"):
        assert {file.stem for file in (run / "tables").glob(f"*.{kind}")} == names


def test_the_numbers_of_the_tables_are_those_of_the_results(run):
    report.write_report([run], run)
    nme = {
        (row["split"], row["subset"], row["decoder"]): row["nme"]
        for row in json.loads((run / "results.json").read_text())
    }
    for line in lines(run / "tables" / "nme_test_full.csv"):
        assert float(line["16"]) == nme["test", "full", line["decoder"]]
        assert float(line["16 low"]) < float(line["16"]) < float(line["16 high"])
    for line in lines(run / "tables" / "subsets_test.csv"):
        assert float(line["challenging NME %"]) == nme["test", "challenging", line["decoder"]]
    for line in lines(run / "tables" / "decoders_test.csv"):
        best = min(nme["test", "full", decoder] for decoder in DECODERS)
        difference = nme["test", "full", line["decoder"]] - best
        assert float(line["minus best"] or 0) == pytest.approx(difference, abs=1e-3)


def test_the_worst_landmarks_are_those_of_the_keypoints(run):
    report.write_report([run], run)
    found, truth = lines(run / "predictions.csv"), {line["name"]: line for line in lines(run / "keypoints.csv")}
    axes = [f"{axis}{i}" for i in range(68) for axis in "xy"]
    errors = [
        np.linalg.norm(np.reshape([float(line[a]) - float(truth[line["name"]][a]) for a in axes], (68, 2)), axis=-1)
        / float(line["norm"])
        for line in found
        if (line["split"], line["decoder"]) == ("test", "multilateration")
    ]
    worst = np.sort(100 * np.mean(errors, axis=0))[::-1][:5]
    listed = lines(run / "tables" / "landmarks_test.csv")
    np.testing.assert_allclose([float(line["error %"]) for line in listed], worst)
    assert all(line["landmark"].startswith("jaw") for line in listed)


def test_points_that_are_not_annotated_do_not_count(run):
    report.write_report([run], run)
    before = (run / "tables" / "landmarks_test.csv").read_text()
    truth = lines(run / "keypoints.csv")
    for line in truth:
        for point in (0, 1, 30):
            line |= {f"x{point}": "", f"y{point}": ""}
    with (run / "keypoints.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, truth[0])
        writer.writeheader()
        writer.writerows(truth)
    report.write_report([run], run)
    listed = lines(run / "tables" / "landmarks_test.csv")
    assert not {"jaw 0", "jaw 1"} & {line["landmark"] for line in listed}
    assert "nan" not in before + (run / "tables" / "landmarks_test.csv").read_text()


@pytest.mark.parametrize(
    ("missing", "gone"),
    [
        ("metrics.csv", ["Training"]),
        ("keypoints.csv", ["Landmarks"]),
        ("predictions.csv", ["Cumulative error", "Landmarks", "Differences between decoders"]),
        ("run.json", ["Landmarks", "Config"]),
        ("pictures", ["Faces"]),
    ],
)
def test_what_is_missing_leaves_its_section_out(run, missing, gone):
    (run / missing).rename(run / "elsewhere")
    text = report.write_report([run], run).read_text()
    assert Page(text).headings == [section for section in SECTIONS if section not in gone]


def test_a_sweep_is_the_papers_table_by_size(sweep):
    text = report.write_report(report.find_runs(sweep), sweep).read_text()
    assert "<title>300w: 4 runs</title>" in text
    assert "Not finished, and so not in this report: heatmap_size-4 (keyposs: disk: is full." in text
    assert {"Differences between settings", "NME by heatmap size and by cost"} <= set(Page(text).headings)
    table = lines(sweep / "tables" / "nme_test_full.csv")
    assert [key for key in table[0] if "low" not in key and "high" not in key] == ["setting", "decoder", "16", "8"]
    assert [(line["setting"], line["decoder"]) for line in table] == [
        (setting, decoder) for setting in ("biased", "unbiased") for decoder in DECODERS
    ]
    markdown = (sweep / "report.md").read_text()
    for link in links(markdown):
        assert cv2.imread(str(sweep / link)) is not None
    assert {f"plots/{name}.png" for name in ("ced_biased", "ced_unbiased", "size", "macs", "training_3")} <= set(
        links(markdown)
    )
    keys = {line["key"] for line in lines(sweep / "tables" / "configs.csv")}
    assert keys == {"heatmap_size", "codec.encoding"}


def test_seeds_are_one_setting(tmp_path):
    for seed in (1, 2):
        fake_run(tmp_path / "sweep" / f"seed-{seed}", seed=seed, decoders=DECODERS)
    report.write_report(report.find_runs(tmp_path / "sweep"), tmp_path / "out")
    table = lines(tmp_path / "out" / "tables" / "nme_test_full.csv")
    assert list(table[0]) == ["decoder", *(f"16 (2 seeds){end}" for end in ("", " low", " high"))]
    both = [
        row["nme"]
        for seed in (1, 2)
        for row in json.loads((tmp_path / "sweep" / f"seed-{seed}" / "results.json").read_text())
        if (row["split"], row["subset"], row["decoder"]) == ("test", "full", "dark")
    ]
    assert float(table[1]["16 (2 seeds)"]) == pytest.approx(np.mean(both))


def test_runs_of_a_sweep_are_found_in_natural_order_and_not_below_a_run(sweep, tmp_path):
    fake_run(sweep / "more" / "size-4", size=4, decoders=DECODERS)
    fake_run(sweep / "more" / "size-4" / "evaluated", size=4, decoders=DECODERS)
    assert [str(path.relative_to(sweep)) for path in report.find_runs(sweep)] == [
        *(f"codec.encoding-{e}__heatmap_size-{size}" for e in ("biased", "unbiased") for size in (8, 16)),
        *("heatmap_size-4", "more/size-4"),
    ]
    run = sweep / "more" / "size-4"
    assert report.find_runs(run) == [run]


def test_an_unfinished_run_is_an_error_that_says_how_to_finish(run):
    (run / "results.json").unlink()
    (run / "config.yaml").write_text("seed: 0\n")
    message = r"results\.json: is missing: the run has not finished.*resume=.*300w_16"
    with pytest.raises(KeyposError, match=message):
        report.find_runs(run)
    with pytest.raises(KeyposError, match=message):
        report.write_report([run], run)
    assert not (run / "report.md").exists()


def test_folders_without_a_finished_run_are_refused(tmp_path, sweep):
    (tmp_path / "empty").mkdir()
    with pytest.raises(KeyposError, match=r"empty: holds no finished run\. Remedy: give the folder of a run"):
        report.find_runs(tmp_path / "empty")
    with pytest.raises(KeyposError, match=r"nowhere: is no folder\. Remedy: give the folder of a run"):
        report.find_runs(tmp_path / "nowhere")
    with pytest.raises(KeyposError, match="has no runs to report on"):
        report.write_report([], tmp_path)
    for file in sweep.glob("*/results.json"):
        file.unlink()
    with pytest.raises(KeyposError, match="holds no finished run"):
        report.find_runs(sweep)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("results.json", "[]", r"results\.json: holds no list of rows"),
        ("predictions.csv", "name,split\n", r"predictions\.csv: has no column subsets"),
        ("metrics.csv", "", r"metrics\.csv: has no column epoch"),
        ("metrics.csv", "epoch,train/loss\n0,x\n", r"metrics\.csv: has 'x' for a number"),
        ("keypoints.csv", "name,split,x0,y0\n", r"keypoints\.csv: lacks test/face 000, which predictions\.csv has"),
        ("pictures/worst_test.png", "no PNG", r"worst_test\.png: is no picture"),
    ],
)
def test_a_broken_file_is_named_and_the_old_report_stays(run, name, text, message):
    report.write_report([run], run)
    written = [path for path in run.rglob("*") if path.is_file() and ("report" in path.name or path.suffix == ".svg")]
    old = {path: path.read_bytes() for path in written}
    (run / name).write_text(text)
    with pytest.raises(KeyposError, match=message):
        report.write_report([run], run)
    assert {path: path.read_bytes() for path in written} == old


def test_keypoints_of_another_scheme_are_refused(run):
    path = run / "keypoints.csv"
    path.write_text("\n".join(",".join(line.split(",")[:-2]) for line in path.read_text().splitlines()) + "\n")
    with pytest.raises(KeyposError, match=r"keypoints\.csv: has 67 points, but predictions\.csv has 68"):
        report.write_report([run], run)


def test_a_single_face_has_no_interval(tmp_path):
    run = fake_run(tmp_path / "run", faces=1, decoders=DECODERS)
    text = report.write_report([run], run).read_text()
    assert "1 face)" in text
    assert list(lines(run / "tables" / "nme_test_full.csv")[0]) == ["decoder", "16"]
    assert "Differences between decoders" not in Page(text).headings


def test_a_decoder_that_could_not_read_a_face_has_no_nme_and_is_not_compared(run):
    rows = json.loads((run / "results.json").read_text())
    for row in rows:
        if row["decoder"] == "dark":
            row["nme"] = float("nan")
    (run / "results.json").write_text(json.dumps(rows))
    path = run / "predictions.csv"
    path.write_text(re.sub(r"(dark,60\.0),[\d.]+", r"\1,nan", path.read_text()))
    report.write_report([run], run)
    dark = next(line for line in (run / "report.md").read_text().splitlines() if line.startswith("| dark |"))
    assert dark == "| dark | – |"
    found = {line["decoder"]: line for line in lines(run / "tables" / "decoders_test.csv")}
    assert found["dark"]["p, best"] == "nan"
    assert float(found["one_hot"]["p, best"]) < 0.05


def test_names_of_any_signs_are_shown_as_they_are(tmp_path):
    evil = '<script>alert("x")</script> é_漢'
    config = {"note": evil, "loss": {"_target_": evil}}
    runs = [
        fake_run(tmp_path / name, data=evil, decoders=DECODERS, config=given)
        for name, given in (("a <b> & c", config), ("b", {}))
    ]
    text = report.write_report(runs, tmp_path / "out").read_text("utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    for file in (tmp_path / "out" / "tables").glob("*.tex"):
        assert file.read_text("utf-8").isascii()
    for link in links((tmp_path / "out" / "report.md").read_text("utf-8")):
        assert " " not in link


def test_the_same_files_give_the_same_report(run):
    first = report.write_report([run], run).read_bytes()
    assert report.write_report([run], run).read_bytes() == first


def test_large_pictures_become_jpegs_as_wide_as_the_page(run):
    noise = np.random.default_rng(0).normal(128, 20, (300, 2432, 3)).clip(0, 255).astype(np.uint8)
    cv2.imwrite(str(run / "pictures" / "worst_test.png"), noise)
    code = page._jpeg(run / "pictures" / "worst_test.png")
    assert code[:2] == b"\xff\xd8"
    assert cv2.imdecode(np.frombuffer(code, np.uint8), cv2.IMREAD_COLOR).shape == (150, 1216, 3)
    assert len(code) < 0.2 * (run / "pictures" / "worst_test.png").stat().st_size


def test_the_command_prints_the_table_and_the_report(run, capsys):
    report.main([str(run)])
    printed = capsys.readouterr().out
    assert "multilateration" in printed
    assert f"report: {run / 'report.html'}" in printed.replace("\n", "")


def test_the_command_takes_several_and_a_folder(run, sweep, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report.main([str(sweep), str(run / ".." / run.name), "--out", "there"])
    assert (tmp_path / "there" / "report.html").is_file()
    biased = [str(folder) for folder in report.find_runs(sweep)[:2]]
    report.main(biased)
    assert (tmp_path / "report" / "report.html").is_file()
    capsys.readouterr()


def test_the_command_says_what_is_wrong(tmp_path):
    with pytest.raises(SystemExit, match=r"keyposs: .*nowhere: is no folder"):
        report.main([str(tmp_path / "nowhere")])
