"""A report as a list of sections, and as Markdown."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from matplotlib.figure import Figure

from keyposs.tables import Table, escape_markdown, markdown


class Plot(NamedTuple):
    """A figure of this report, drawn from numbers."""

    name: str  # of its files
    figure: Figure
    caption: str


class Picture(NamedTuple):
    """A picture that a run has left."""

    path: Path
    caption: str


class Fold(NamedTuple):
    """Text as it is, which the page shows on demand."""

    title: str
    text: str


Part = str | Table | Plot | Picture | Fold
"""A paragraph, or something to look at."""


class Section(NamedTuple):
    """A part of the report with a heading."""

    title: str
    parts: Sequence[Part]


def tables(sections: Sequence[Section]) -> list[Table]:
    """All of them, in order."""
    return [part for section in sections for part in section.parts if isinstance(part, Table)]


def plots(sections: Sequence[Section]) -> list[Plot]:
    """All of them, in order."""
    return [part for section in sections for part in section.parts if isinstance(part, Plot)]


def slug(text: str) -> str:
    """A name for a file or an anchor.

    >>> slug("unbiased, heatmap size 8")
    'unbiased_heatmap_size_8'
    """
    return re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_").lower()


def markdown_report(title: str, sections: Sequence[Section], folder: Path) -> str:
    """The report in Markdown, whose pictures are links from its folder."""
    blocks = [f"# {escape_markdown(title)}"]
    for section in sections:
        blocks += [f"## {escape_markdown(section.title)}", *(_block(part, folder) for part in section.parts)]
    return "\n\n".join(blocks) + "\n"


def _block(part: Part, folder: Path) -> str:
    if isinstance(part, Table):
        return markdown(part)
    if isinstance(part, Plot):
        return _linked(f"plots/{part.name}.png", part.caption)
    if isinstance(part, Picture):
        return _linked(Path(os.path.relpath(part.path.resolve(), folder.resolve())).as_posix(), part.caption)
    if isinstance(part, Fold):
        fence = "`" * max(3, *(len(ticks) + 1 for ticks in re.findall("`+", part.text)), 0)
        return f"{escape_markdown(part.title)}:\n\n{fence}\n{part.text.rstrip()}\n{fence}"
    return escape_markdown(part)


def _linked(path: str, caption: str) -> str:
    return f"![{escape_markdown(caption)}]({quote(path)})\n\n{escape_markdown(caption)}"
