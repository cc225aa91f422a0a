"""Makes a tutorial a notebook, runs it, and keeps what its cells show.

python scripts/notebook.py docs/tutorials/photo.md

Writes `photo.ipynb` beside the page, and `photo.jpg`, the last picture that a cell shows. Fenced blocks become cells;
blocks of `text` and pictures are what a cell shows, and left out. The tests run the notebook too.
"""

import argparse
import base64
import io
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbclient import NotebookClient
from PIL import Image

FENCE = re.compile(r'^```(\w+)(?: title="(.+?)")?\n(.*?)^```\n', flags=re.MULTILINE | re.DOTALL)
PICTURE = re.compile(r"^!\[.*\]\(.*\)\n", flags=re.MULTILINE)


class Block(NamedTuple):
    """A part of a page: `prose`, or the language of a fenced block, and the file that it is to be written to."""

    kind: str
    file: str | None
    text: str


def blocks(page: str) -> list[Block]:
    """The parts of a page, in their order."""
    found, end = [], 0
    for fence in FENCE.finditer(page):
        found += [Block("prose", None, page[end : fence.start()]), Block(*fence.groups())]
        end = fence.end()
    return [block for block in [*found, Block("prose", None, page[end:])] if block.text.strip()]


def notebook(page: str) -> nbformat.NotebookNode:
    """The page as a notebook that has not run yet."""
    cells = []
    for kind, _, text in blocks(page):
        if kind == "python":
            cells.append(nbformat.v4.new_code_cell(text.rstrip()))
        elif kind == "shell":
            cells.append(nbformat.v4.new_code_cell(f"%%bash\n{text.rstrip()}"))
        elif kind == "prose" and (prose := PICTURE.sub("", text).strip()):
            cells.append(nbformat.v4.new_markdown_cell(prose))
    for number, cell in enumerate(cells):
        cell["id"] = str(number)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def run(made: nbformat.NotebookNode, folder: Path) -> None:
    """Runs all cells in a folder, with the commands of this Python; pictures that they show are kept as JPEG."""
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(made, timeout=600, record_timing=False, resources=resources).execute()
    made.metadata.pop("language_info", None)  # which Python it was
    for cell in made.cells:
        if cell.cell_type == "code":  # without progress bars
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    for data in shown(made):
        buffer = io.BytesIO()
        picture = Image.open(io.BytesIO(base64.b64decode(data.pop("image/png"))))
        picture.convert("RGB").save(buffer, "JPEG", quality=85)
        data["image/jpeg"] = base64.b64encode(buffer.getvalue()).decode()


def shown(made: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The pictures that its cells show, each in the forms that there are."""
    outputs = [output for cell in made.cells for output in cell.get("outputs", [])]
    return [output.data for output in outputs if {"image/png", "image/jpeg"} & {*output.get("data", {})}]


def printed(cell: nbformat.NotebookNode) -> str:
    """What a cell has printed on its standard output."""
    return "".join(output.text for output in cell.get("outputs", []) if output.get("name") == "stdout")


def main() -> None:
    """Writes the notebook and the picture of a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    page = parser.parse_args().page
    made = notebook(page.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        run(made, Path(folder))
    nbformat.write(made, page.with_suffix(".ipynb"))
    for data in shown(made)[-1:]:
        page.with_suffix(".jpg").write_bytes(base64.b64decode(data["image/jpeg"]))
    for cell in made.cells:
        print(printed(cell), end="")


if __name__ == "__main__":
    main()
