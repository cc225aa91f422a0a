"""Nothing that a picture, a video or a model file holds runs code, leaves the output folder or commands a terminal."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from omegaconf import OmegaConf
from PIL import Image

import keyposs
from keyposs import trusted
from keyposs.checkpoint import Checkpoint, load, save_safetensors
from keyposs.cli import main
from keyposs.data import Synthetic
from keyposs.data.photo import read_photo
from keyposs.errors import KeyposError
from keyposs.finder import Finder
from keyposs.pictures import overlay_names
from keyposs.predict import plan
from keyposs.resume import replay
from keyposs.terminal import printable
from keyposs.video import open_video

FACE = Image.fromarray(Synthetic(test=1).annotations("test")[0].read()).resize((64, 64))


@pytest.fixture(scope="module")
def finder() -> Finder:
    return keyposs.load("keyposs-4", device="cpu", boxes="whole")


@pytest.fixture
def run(finder: Finder, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setattr(keyposs, "load", lambda **_: finder)
    return lambda *words: CliRunner().invoke(main, ["predict", *map(str, words)])


class Payload:
    """What a pickle does when it is opened."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    file, trace = tmp_path / "evil.ckpt", tmp_path / "trace"
    torch.save({"state_dict": {}, "config": {}, "markup": {}, "more": Payload(trace)}, file)
    with pytest.raises(KeyposError, match=r"evil\.ckpt: is no checkpoint\. Remedy: give one that keyposs\.train has"):
        keyposs.load(file)
    with pytest.raises(Exception, match="Weights only load failed"):
        replay([], tmp_path, file, epochs=1)
    FACE.save(tmp_path / "a.png")
    words = ["predict", str(tmp_path / "a.png"), "--network", str(file), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 1
    assert "evil.ckpt: is no checkpoint" in done.output
    assert not trace.exists()


def poisoned(file: Path, key: str, value: Any) -> Path:
    """A packaged network with something else in its config."""
    good = load("keyposs-4")
    config = OmegaConf.create(good.config)
    OmegaConf.update(config, key, value, force_add=True)
    plain: Any = OmegaConf.to_container(config, resolve=False)
    if file.suffix == ".ckpt":
        weights = {f"landmarker.{name}": value for name, value in good.weights.items()}
        torch.save({"state_dict": weights, "config": plain, "markup": good.markup.to_dict()}, file)
    else:
        save_safetensors(Checkpoint(file, plain, good.markup, good.weights), file)
    return file


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
@pytest.mark.parametrize(
    "target",
    [
        "os.mkdir",
        "keyposs.files.write_text",
        "keyposs.models.hrnet.torch.load",
        "keyposs.grid.dataclass",
        "keyposs.models.nn",
        "keyposs.codecs.nothing",
        "eval",
        "",
        7,
    ],
)
@pytest.mark.parametrize("key", ["head", "codec.loss", "box"])
def test_a_config_starts_nothing_but_parts_of_keyposs(tmp_path: Path, key: str, target: object, suffix: str) -> None:
    trace = tmp_path / "trace"
    file = poisoned(tmp_path / f"evil{suffix}", key, {"_target_": target, "path": str(trace), "text": "", "mode": 511})
    with pytest.raises(KeyposError, match=rf"evil\{suffix}: has a config that starts .*, which is no part of keyposs"):
        keyposs.load(file)
    assert not trace.exists()


def test_a_config_looks_nothing_up_on_this_computer(tmp_path: Path) -> None:
    file = poisoned(tmp_path / "evil.safetensors", "head.name", "${oc.env:HOME}")
    with pytest.raises(KeyposError, match=r"has a config with name=\$\{oc\.env:HOME\}, which is looked up"):
        load(file)


def test_whoever_trains_parts_of_their_own_allows_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = poisoned(tmp_path / "own.safetensors", "head._target_", "torch.nn.Identity")
    with pytest.raises(KeyposError, match=r"you know who made it: KEYPOSS_TRUSTED=torch\.nn in the environment"):
        load(file)
    monkeypatch.setenv(trusted.VARIABLE, "mine,torch.nn")
    assert load(file).config["head"]["_target_"] == "torch.nn.Identity"


def test_a_picture_is_not_handed_to_another_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow has Ghostscript run EPS, whatever the file is called."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/trace\n")
    (tmp_path / "bin/gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    FACE.save(tmp_path / "a.eps")
    (tmp_path / "a.eps").rename(tmp_path / "a.jpg")
    with pytest.raises(KeyposError, match=r"a\.jpg: cannot be read as an image, it is none, or of a kind that is not"):
        read_photo(tmp_path / "a.jpg")
    assert not (tmp_path / "trace").exists()


def test_a_video_asks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a playlist called .mp4, nor a file called like an address, is followed."""
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        lines = ("#EXTM3U", "#EXT-X-TARGETDURATION:9", "#EXTINF:9,", f"{address}/a.ts", "#EXT-X-ENDLIST")
        Path("list.mp4").write_text("\n".join(lines))
        Path("http:").mkdir()
        for name in ("list.mp4", f"{address}.mp4"):
            file = Path(name)
            file.parent.mkdir(exist_ok=True)
            file.touch()
            with pytest.raises(KeyposError, match="is no video|is empty"):
                open_video(file)
        with pytest.raises(BlockingIOError):
            server.accept()


def tree(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*")}


def test_no_name_leads_out_of_the_output_folder(run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "in/sub").mkdir(parents=True)
    for name in ("a.png", "x..png", "sub/.. .png", "sub/a\\..\\..\\b.png", "C:a.png"):
        FACE.save(tmp_path / "in" / name)
    before = tree(tmp_path)
    words = [tmp_path / "in/sub/..", tmp_path / "in/sub/../a.png", "--out", tmp_path / "out/here"]
    done = run(*words)
    assert done.exit_code == 0, done.output
    assert {name for name in tree(tmp_path) - before if not name.startswith("out")} == set()
    assert all(name.startswith("out/here/overlays/") for name in tree(tmp_path) - before if name.endswith(".png"))
    journal = tmp_path / "out/here/faces.jsonl"  # as somebody else might have written it
    text = journal.read_text()
    journal.write_text(text.replace("in/a.png", "../../../evil.png").replace('"a.png"', f'"{tmp_path}/evil.png"'))
    assert run(*words).exit_code == 0
    assert "evil.png" not in {Path(name).name for name in tree(tmp_path)}


def test_a_csv_of_boxes_does_not_lead_out_of_its_source(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("in/a.png", "secret.png"):
        FACE.save(tmp_path / name)
    (tmp_path / "boxes.csv").write_text(
        f"file,x0,y0,x1,y1\na.png,0,0,9,9\n../secret.png,0,0,9,9\n{tmp_path}/secret.png,0,0,9,9\n"
    )
    assert list(plan(tmp_path / "in", tmp_path / "boxes.csv")) == [tmp_path / "in/a.png"]


def test_a_folder_called_like_a_picture_is_in_no_overlay_s_way() -> None:
    names = ["a.jpg", "a.png/b.jpg", "a.jpg.png/c.jpg", "a.jpg.png.png/c.jpg"]
    overlays = overlay_names(names)
    folders = {str(Path(overlay).parent) for overlay in overlays.values()}
    assert not folders & set(overlays.values())


def test_no_name_and_no_word_of_a_picture_commands_the_terminal(run: Callable[..., Any], tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E], exif[0x0131] = "\x1b[2J[bold red]", "\x1b]0;title\x07"
    name = "\x1b[31mred[bold] :warning:\r\n\u202e"
    FACE.save(tmp_path / f"{name}.jpg", exif=exif)
    for suffix in (".png", ".mp4"):
        (tmp_path / f"{name}{suffix}").write_bytes(b"\x1b[2J nothing")
    files = [tmp_path / f"{name}{suffix}" for suffix in (".jpg", ".png", ".mp4")]
    done = run(*files, tmp_path / f"{name}.png", "--out", tmp_path / f"{name}out")
    assert done.exit_code == 3
    gone = run(tmp_path / f"{name}gone", "--out", tmp_path / "out")
    for said in (done.output, gone.output):
        assert "\x1b" not in said
        assert "\u202e" not in said
        assert "\r" not in said
        assert "\\x1b[31mred[bold] :warning:\\r\\n\\u202e" in said


def test_letters_of_all_languages_are_printed_as_they_are() -> None:
    text = "Zoë 顔\u3000写真 وجه 👩.jpg"
    assert printable(text) == text
