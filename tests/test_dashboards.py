"""What wandb and TensorBoard get of a run, read back from the files that they keep of it."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import wandb
import yaml
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig
from pytorch_lightning.loggers import TensorBoardLogger, WandbLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

import wandb_files
from keyposs import checkpoint, dashboards, plots, resume
from keyposs.callbacks.metrics import MEASURES
from keyposs.config import CONF
from keyposs.errors import KeyposError
from keyposs.module import LandmarkModule
from keyposs.train import train
from quick import SMALL

Small = Callable[..., DictConfig]
SWEEP = Path(__file__).parents[1] / "scripts" / "wandb_sweep.yaml"
DECODERS = ["one_hot", "multilateration"]


@pytest.fixture(scope="module", autouse=True)
def _data_of_wandb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where wandb puts aside the pictures of tables; else in the user's home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_DATA_DIR", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a job of a sweep that both have seen."""
    sweep = tmp_path_factory.mktemp("sweeps") / "sizes"
    sweep.mkdir()
    (sweep / "multirun.yaml").write_text("")
    chosen = [f"decoder=[{','.join(DECODERS)}]", "logger=[wandb,tensorboard]", "trainer.max_epochs=2"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        train(compose("train", [f"run_dir={sweep / 'heatmap_size-8'}", *SMALL, *chosen]))
    return sweep / "heatmap_size-8"


@pytest.fixture(scope="module")
def logged(run: Path) -> wandb_files.Logged:
    return wandb_files.read(run)


@pytest.fixture(scope="module")
def events(run: Path) -> EventAccumulator:
    return EventAccumulator(str(run / "tensorboard"), size_guidance={"images": 0}).Reload()


def results(run: Path) -> dict[str, float]:
    """What shall stand in the summary."""
    return {
        f"{'val' if row['split'] == 'val' else 'test/all'}/{measure}/{row['decoder']}": row[measure]
        for row in json.loads((run / "results.json").read_text())
        for measure in MEASURES
    }


def test_a_dashboard_does_not_replace_the_log_that_the_report_reads(run: Path) -> None:
    assert (run / "metrics.csv").is_file()


def test_wandb_has_the_settings_as_plain_values(run: Path, logged: wandb_files.Logged) -> None:
    assert (logged.config["heatmap_size"], logged.config["codec"]["unbiased"]) == (8, True)
    assert (logged.run.project, logged.run.run_group, logged.run.display_name, logged.run.job_type) == (
        "keyposs",
        "sizes",
        "heatmap_size-8",
        "train",
    )
    assert logged.exit_code == 0


def test_wandb_has_the_results_in_its_summary(run: Path, logged: wandb_files.Logged) -> None:
    expected = results(run)
    assert len(expected) == 2 * 3 * len(DECODERS)
    assert {key: logged.summary[key] for key in expected} == pytest.approx(expected)


def test_wandb_has_each_epoch(logged: wandb_files.Logged) -> None:
    for key, count in {"train/loss": 4, "val/nme/one_hot": 2, "pictures/overlays_val/count": 3}.items():
        assert sum(key in row for row in logged.history) == count, key


def test_wandb_has_charts_tables_and_pictures(run: Path, logged: wandb_files.Logged) -> None:
    ced = table(logged, "charts/ced_table")
    assert {row[ced["columns"].index("lineKey")] for row in ced["data"]} == set(DECODERS)
    bars = dict(table(logged, "charts/decoders_table")["data"])
    assert bars == pytest.approx({decoder: results(run)[f"test/all/nme/{decoder}"] for decoder in DECODERS})
    assert {"_wandb/visualize/charts/ced", "_wandb/visualize/charts/decoders"} <= set(logged.config)
    assert len(table(logged, "tables/results")["data"]) == 2 * len(DECODERS)
    for picture in run.glob("pictures/*.png"):
        assert f"pictures/{picture.stem}/filenames" in logged.summary


def test_the_table_of_faces_names_the_worst_with_the_error_of_each_decoder(
    run: Path, logged: wandb_files.Logged
) -> None:
    faces = table(logged, "tables/faces")
    assert faces["columns"] == ["rank", "name", "picture", *DECODERS]
    assert [row[0] for row in faces["data"]] == ["worst"] * 2 + ["median"] * 2
    with (run / "predictions.csv").open() as file:
        errors = {(row["name"], row["decoder"]): float(row["nme"]) for row in csv.DictReader(file)}
    tested = {name for name, _ in errors if "/test/" in name}
    worst = max(tested, key=lambda name: errors[name, "multilateration"])
    assert faces["data"][0][1] == worst
    for _, name, picture, *nmes in faces["data"]:
        assert nmes == [errors[name, decoder] for decoder in DECODERS]
        assert (picture["width"], picture["_type"]) == (480, "image-file")


def test_the_report_is_an_artifact(run: Path, logged: wandb_files.Logged) -> None:
    (report,) = [artifact for artifact in logged.artifacts if artifact.type == "report"]
    files = {entry.path for entry in report.manifest.contents}
    assert {"report.md", "results.json", "run.json", "plots/ced.png", "pictures/worst_test.png"} <= files
    assert all((run / file).is_file() for file in files)


def table(logged: wandb_files.Logged, key: str) -> dict[str, list]:
    entries = [entry for artifact in logged.artifacts for entry in artifact.manifest.contents]
    (file,) = [entry.local_path for entry in entries if entry.path == f"{key}.table.json"]
    return json.loads(Path(file).read_text())


def test_tensorboard_has_curves_results_and_pictures(run: Path, events: EventAccumulator) -> None:
    assert len(events.Scalars("train/loss")) == 4
    assert len(events.Scalars("val/nme/one_hot")) == 2
    for key, value in results(run).items():
        if key.startswith("test/"):
            assert [point.value for point in events.Scalars(key)] == pytest.approx([value])
    assert {f"pictures/{picture.stem}" for picture in run.glob("pictures/*.png")} <= set(events.Tags()["images"])
    assert {f"plots/{plot.stem}" for plot in run.glob("plots/*.png")} <= set(events.Tags()["images"])
    assert len(events.Images("pictures/overlays_val")) == 3


def test_tensorboard_has_the_settings_once(run: Path, events: EventAccumulator) -> None:
    start = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    hparams = HParamsPluginData.FromString(start).session_start_info.hparams
    assert (hparams["heatmap_size"].number_value, hparams["codec/unbiased"].number_value) == (8, 1)
    assert yaml.safe_load((run / "tensorboard" / "hparams.yaml").read_text())["codec"]["unbiased"] is True


def test_the_cumulative_distribution_is_that_of_the_report() -> None:
    errors = np.random.default_rng(0).gamma(3, 1, 50)
    grid, (shares,) = dashboards.ced_lines({"dark": {str(i): error for i, error in enumerate([*errors, np.nan])}}, 8.0)
    x, y = plots.ced(np.append(errors, np.nan))
    assert shares == [y[x <= value][-1] for value in grid]
    assert (grid[0], grid[-1], len(grid)) == (0, 8, 101)


def cut_power(module: LandmarkModule) -> None:
    if module.current_epoch == 1:
        raise RuntimeError("power cut")


def test_a_resumed_run_is_the_same_run_of_wandb(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small("logger=wandb", "trainer.max_epochs=2", "callbacks.pictures.faces=0")
    with monkeypatch.context() as patch:
        patch.setattr(LandmarkModule, "on_train_epoch_start", cut_power, raising=False)
        with pytest.raises(RuntimeError, match="power cut"):
            train(config)
    run = Path(config.run_dir)
    assert wandb_files.read(run).exit_code == 1
    train(resume.recompose(small(f"resume={run}"), [f"resume={run}"]), checkpoint.find(run, "last.ckpt"))
    first, second = sorted(run.glob("wandb/offline-run-*"))
    assert first.name.rpartition("-")[2] == second.name.rpartition("-")[2]


@pytest.mark.parametrize("error", [wandb.errors.UsageError, wandb.errors.CommError])
def test_an_upload_that_cannot_be_made_stops_the_run_before_it_trains(
    small: Small, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def init(**_: object) -> None:
        raise error("No API key configured.\nand more")

    monkeypatch.setattr(wandb, "init", init)
    config = small("logger=wandb_online")
    with pytest.raises(KeyposError, match=r"wandb_online: cannot start \(No API key configured\)\. .*`wandb login`"):
        train(config)
    assert not (Path(config.run_dir) / "metrics.csv").exists()


def test_a_run_is_not_lost_to_its_dashboards(
    small: Small, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ConnectionError("the network is down")

    config = small("logger=wandb")
    with monkeypatch.context() as patch:
        patch.setattr(WandbLogger, "log_image", fail)
        patch.setattr(dashboards, "_report", fail)
        patch.setattr(wandb, "finish", fail)
        assert len(train(config)) == 2 * 8
    wandb.finish()  # else the next test goes on with this run
    assert "WandbLogger did not take pictures/worst_test (ConnectionError: the network is down);" in caplog.text
    assert "WandbLogger did not take the report (ConnectionError: the network is down);" in caplog.text
    assert (Path(config.run_dir) / "results.json").is_file()


def test_a_run_without_pictures_has_all_else(small: Small, caplog: pytest.LogCaptureFixture) -> None:
    config = small("~callbacks.pictures", "logger=wandb")
    train(config)
    assert "did not take" not in caplog.text
    run = Path(config.run_dir)
    logged, expected = wandb_files.read(run), results(run)
    assert {key: logged.summary[key] for key in expected} == pytest.approx(expected)
    files = {entry.path for artifact in logged.artifacts for entry in artifact.manifest.contents}
    tables = {file.removesuffix(".table.json") for file in files if file.endswith(".table.json")}
    assert tables == {"charts/ced_table", "charts/decoders_table", "tables/results"}
    assert "report.md" in files


def test_a_part_that_fails_costs_only_itself(
    small: Small, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("nme")

    def fail_with_results(_: TensorBoardLogger, __: object, *results: object) -> None:
        if results:  # at the start there are none
            fail()

    monkeypatch.setattr(dashboards, "read_errors", fail)
    monkeypatch.setattr(TensorBoardLogger, "log_hyperparams", fail_with_results)
    config = small("logger=[wandb,tensorboard]")
    train(config)
    wandb_lacks = [f"WandbLogger did not take {part}" for part in ("charts/ced", "tables/faces")]
    for words in (*wandb_lacks, "TensorBoardLogger did not take settings and results"):
        assert f"{words} (KeyError: 'nme'); the run's folder has it all" in caplog.text
    run = Path(config.run_dir)
    logged, expected = wandb_files.read(run), results(run)
    assert {key: logged.summary[key] for key in expected} == pytest.approx(expected)
    files = {entry.path for artifact in logged.artifacts for entry in artifact.manifest.contents}
    assert {"charts/decoders_table.table.json", "tables/results.table.json", "report.md"} <= files
    images = EventAccumulator(str(run / "tensorboard")).Reload().Tags()["images"]
    assert "plots/ced" in images


def test_tensorboard_that_is_not_installed_is_named(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning_fabric.loggers.tensorboard._TENSORBOARD_AVAILABLE", False)
    monkeypatch.setattr("lightning_fabric.loggers.tensorboard._TENSORBOARDX_AVAILABLE", False)
    with pytest.raises(KeyposError, match=r"pip install \"keyposs\[tensorboard\]\""):
        train(small("logger=tensorboard"))


def test_two_jobs_of_a_launcher_are_two_runs_of_one_group(tmp_path: Path) -> None:
    sizes = ["-m", "heatmap_size=8,4", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweep.dir=sizes"]
    fixed = [override for override in SMALL if not override.startswith(("heatmap_size", "logger"))]
    command = [sys.executable, "-m", "keyposs.train", *sizes, "logger=wandb", *fixed]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    found = [wandb_files.read(job.parent).run for job in sorted(tmp_path.glob("sizes/*/wandb"))]
    assert len({run.run_id for run in found}) == 2
    assert [run.run_group for run in found] == ["sizes", "sizes"]
    assert all("heatmap_size-" in run.display_name for run in found)


def test_a_run_on_its_own_has_no_group(small: Small) -> None:
    settings = small("logger=[csv,wandb]").logger.wandb
    assert (settings.group, settings.name, settings.mode) == (None, None, "offline")


@pytest.mark.parametrize("chosen", ["wandb_online", "[csv,wandb_online]"])
def test_uploading_is_one_word(small: Small, chosen: str) -> None:
    config = small(f"logger={chosen}")
    assert [type(logger).__name__ for logger in instantiate(config.logger).values()] == ["CSVLogger", "WandbLogger"]
    assert config.logger.wandb.mode == "online"


def test_the_sweep_of_wandb_gives_overrides_that_compose(composed: Small) -> None:
    sweep = yaml.safe_load(SWEEP.read_text())
    start = sweep["command"].index("keyposs.train") + 1
    fixed = [word for word in sweep["command"][start:] if not word.startswith("${")]
    assert sweep["command"][-1] == "${args_no_hyphens}"
    for key, choices in sweep["parameters"].items():
        for value in choices["values"]:
            config = composed(*fixed, f"{key}={value}")  # as the agent writes it: True for true
            assert config.logger.wandb.mode == "online"
            found = config
            for name in key.split("."):
                found = found[name]
            assert found == value
    assert sweep["metric"]["name"] == composed().callbacks.best.monitor
