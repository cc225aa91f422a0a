"""What the tutorials say is done: each fenced block of a page, in its order, and what it prints is what they show."""

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
TUTORIALS = ROOT / "docs" / "tutorials"
sys.path.insert(0, str(ROOT / "scripts"))

from notebook import Block, blocks, notebook, printed, run

NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def page(name: str) -> str:
    return (TUTORIALS / name).read_text(encoding="utf-8")


def says(shown: str, printed: str) -> None:
    """Each line that is shown was printed, in this order; numbers to a tenth, since machines round differently."""
    lines = iter([" ".join(line.split()) for line in printed.splitlines()])
    for line in (" ".join(line.split()) for line in shown.splitlines() if line.strip() not in ("", "...")):
        assert any(alike(line, other) for other in lines), f"{line!r} is not printed, or not there:\n{printed}"


def alike(shown: str, printed: str) -> bool:
    a, b = ([float(number) for number in NUMBER.findall(line)] for line in (shown, printed))
    words = NUMBER.sub("0", shown)
    return NUMBER.sub("0", printed).startswith(words) and bool(np.allclose(a, b[: len(a)], rtol=0.1, atol=0.02))


def shell(command: str, folder: Path) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def write(block: Block, folder: Path) -> None:
    """Writes the file of a block; a diff's added lines go where the lines between them are."""
    assert block.file is not None
    file = folder / block.file
    file.parent.mkdir(parents=True, exist_ok=True)
    if block.kind != "diff":
        file.write_text(block.text, encoding="utf-8")
        return
    text = file.read_text(encoding="utf-8")
    for hunk in block.text.split("...\n"):
        lines = hunk.splitlines(keepends=True)
        before, after = ("".join(line[1:] for line in lines if line[0] in signs) for signs in (" -", " +"))
        assert text.count(before) == 1, f"{before!r} does not stand once in {block.file}"
        text = text.replace(before, after)
    file.write_text(text, encoding="utf-8")


def follow(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Does what a page says, in a folder, on the CPU."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    names: dict[str, Any] = {}
    output = ""
    for block in blocks(page(name)):
        if block.file:
            write(block, folder)
        elif block.kind == "python":
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(block.text, names)
            output = printed.getvalue()
        elif block.kind == "shell":
            output = shell(block.text, folder)
        elif block.kind == "text":
            says(block.text, output)
        else:
            assert block.kind == "prose", f"nothing does a block of {block.kind}"


def test_train_on_your_own_faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    follow("train.md", tmp_path, monkeypatch)


def test_add_a_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a copy of the repository, which comes before the one that is tested."""
    for part in ("src", "conf", "tests/decoders"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("*.safetensors"))
    for weights in (ROOT / "src/keyposs/weights").glob("*.safetensors"):
        (tmp_path / "src/keyposs/weights" / weights.name).symlink_to(weights)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "src"))
    follow("decoder.md", tmp_path, monkeypatch)


def test_the_notebook_is_the_page_and_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, file = page("photo.md"), TUTORIALS / "photo.ipynb"
    stored, made = nbformat.read(file, as_version=nbformat.NO_CONVERT), notebook(text)
    remedy = "run python scripts/notebook.py docs/tutorials/photo.md"
    assert [cell.source for cell in stored.cells] == [cell.source for cell in made.cells], remedy
    assert file.stat().st_size < 100_000
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    run(made, tmp_path)
    code = iter([cell for cell in made.cells if cell.cell_type == "code"])
    said = iter([cell for cell in stored.cells if cell.cell_type == "code"])
    for block in blocks(text):
        if block.kind in ("python", "shell"):
            cell = next(code)
            says(printed(next(said)), printed(cell))
        elif block.kind == "text":
            says(block.text, printed(cell))
