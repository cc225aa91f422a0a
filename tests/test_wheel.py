"""What a user installs: the wheel holds the configs and trains, far from any checkout."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from keyposs.checkpoint import packaged
from quick import SMALL

ROOT = Path(__file__).parents[1]


def call(*command: object, cwd: Path) -> str:
    """Runs a command; its standard output."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    call(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment with the wheel, which finds everything else where the suite does."""
    home = tmp_path_factory.mktemp("fresh") / "env"
    venv.create(home, symlinks=True)
    interpreter = home / "bin" / "python"
    call(sys.executable, "-m", "pip", "--python", interpreter, "install", "--no-index", "--no-deps", wheel, cwd=home)
    # Folders named in a .pth come after the environment's own, and the .pth files inside them are not read:
    # neither a copy nor an editable install of the suite's comes before the wheel.
    (own,) = home.glob("lib/python*/site-packages")
    others = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (own / "suite.pth").write_text("\n".join(others))
    return interpreter


def test_wheel_holds_the_configs_the_networks_and_nothing_of_the_tests(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    configs = {f"keyposs/conf/{path.relative_to(ROOT / 'conf')}" for path in (ROOT / "conf").rglob("*.yaml")}
    assert configs
    assert configs <= names
    assert {f"keyposs/weights/{file.name}" for file in packaged().values()} <= names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"keyposs"}


def test_installed_wheel_trains_outside_the_checkout(python: Path, tmp_path: Path) -> None:
    ask = "import keyposs, keyposs.config as c; print(keyposs.__file__, c.CONF, sep='\\n')"
    package, configs = map(Path, call(python, "-c", ask, cwd=tmp_path).split("\n")[:2])
    assert package.is_relative_to(python.parents[1])
    assert configs == package.parent / "conf"
    call(python, "-m", "keyposs.train", *SMALL, "data.train=4", "run_dir=run", cwd=tmp_path)
    for name in ("results.json", "run.json", "predictions.csv", "best.ckpt"):
        assert list((tmp_path / "run").rglob(name)), f"{name} is missing"
