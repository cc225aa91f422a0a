"""The documentation builds, without a warning, into pages that ask no other host for anything."""

import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOADED = re.compile(r'<(?:script|img|iframe|source)[^>]+src="?(https?:[^" >]+)|<link[^>]+href="?(https?:[^" >]+)')


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_every_page_of_docs_is_a_page_of_the_site(site: Path) -> None:
    pages = {str(file.relative_to(ROOT / "docs").with_suffix(".html")) for file in (ROOT / "docs").rglob("*.md")}
    built = {str(file.relative_to(site)) for file in site.rglob("*.html")}
    assert built - {"404.html"} == {*pages, "networks.html", "contributing.html", "changelog.html"}


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert not LOADED.findall(page.read_text(encoding="utf-8")), page.name


def test_the_api_pages_hold_signatures_with_their_shapes(site: Path) -> None:
    text = re.sub(r"<[^>]+>", "", (site / "api" / "geometry.html").read_text(encoding="utf-8"))
    assert "to_cells(pixels: Float[Tensor, '*batch 2']) -> Float[Tensor, '*batch 2']" in unescape(text)
