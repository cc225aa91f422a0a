"""The page of web/, built once a run, and a browser that drives it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")

Drive = Callable[..., str]


def need(found: object, what: str) -> None:
    if not found:
        pytest.skip(f"the page's tests need {what}")


@pytest.fixture(scope="session")
def web() -> Path:
    need((ROOT / "web").is_dir(), "the page, which is not in this package")
    return ROOT / "web"


@pytest.fixture(scope="session")
def modules(web: Path) -> None:
    """The page's packages: the suite itself fetches nothing."""
    need(shutil.which("npm") and shutil.which("make"), "npm and make")
    need((web / "node_modules" / "ready").exists(), "its packages: make web-build")


@pytest.fixture(scope="session")
def drive(web: Path, modules: None, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Drive:
    """Runs a script of web/tests on the page as built, and gives what it prints."""
    need(Path(CHROMIUM).exists(), "Chromium, where CHROMIUM= says")
    base = tmp_path_factory.getbasetemp()
    run = base if worker_id == "master" else base.parent  # whose processes share one page
    with FileLock(run / "page.lock"):
        if not (run / "page.built").exists():
            made = ["make", "-o", ".venv/ready", f"BIN={Path(sys.executable).parent}", "web-build"]
            subprocess.run(made, cwd=ROOT, check=True, capture_output=True)
            (run / "page.built").touch()

    def driven(script: str, *words: object) -> str:
        command = ["node", f"tests/{script}", str(web / "dist"), *map(str, words)]
        environment = {**os.environ, "CHROMIUM": CHROMIUM}
        done = subprocess.run(command, cwd=web, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return driven
