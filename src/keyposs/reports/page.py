"""The report as one HTML page that needs nothing else."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import cv2
import numpy as np

from keyposs.errors import KeyposError
from keyposs.reports.document import Fold, Part, Picture, Plot, Section, slug
from keyposs.tables import Table, html

QUALITY = 85
"""Of a run's pictures, as JPEG."""

WIDEST = 1216
"""Pixels of a picture: as wide as the page."""

LEGIBLE = 60
"""Pixels of an inch of a plot, at least: on a narrow screen a wide plot scrolls."""

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h1 { line-height: 1.2; } h2 { margin-top: 3rem; border-bottom: 1px solid var(--line); }
nav ul { columns: 14rem; padding-left: 1.2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .15rem 1rem .15rem 0; text-align: left; vertical-align: top; overflow-wrap: normal; }
th { border-bottom: 1px solid; vertical-align: bottom; }
td { white-space: nowrap; }
.begins td { border-top: 1px solid var(--line); }
.number { text-align: right; }
.long { white-space: normal; min-width: 20rem; overflow-wrap: anywhere; }
small { opacity: .75; }
figure { margin: 1.5rem 0; }
figcaption { font-size: .9rem; padding: .3rem 0; max-width: 60rem; }
img { max-width: 100%; height: auto; background: white; }
pre { overflow-x: auto; background: var(--soft); padding: .8rem; font-size: .85rem; }
summary { cursor: pointer; }
"""


def page(title: str, sections: Sequence[Section], drawn: Mapping[str, bytes]) -> str:
    """The page.

    Args:
        title: of the report.
        sections: of the report.
        drawn: the SVG of each plot, by its name.

    Raises:
        KeyposError: if a picture cannot be read.
    """
    links = "".join(f'<li><a href="#{slug(s.title)}">{escape(s.title)}</a></li>' for s in sections)
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">',
        f"<style>{STYLE}</style></head><body><main>",
        f'<h1>{escape(title)}</h1><nav aria-label="Contents"><ul>{links}</ul></nav>',
    ]
    for section in sections:
        parts.append(f'<section id="{slug(section.title)}"><h2>{escape(section.title)}</h2>')
        parts += [*(_part(part, drawn) for part in section.parts), "</section>"]
    return "\n".join([*parts, "</main></body></html>"]) + "\n"


def _part(part: Part, drawn: Mapping[str, bytes]) -> str:
    if isinstance(part, Table):
        return html(part)
    if isinstance(part, Plot):
        narrowest = round(LEGIBLE * part.figure.get_figwidth())
        return _figure(f"data:image/svg+xml;base64,{_base64(drawn[part.name])}", part.caption, narrowest)
    if isinstance(part, Picture):
        return _figure(f"data:image/jpeg;base64,{_base64(_jpeg(part.path))}", part.caption)
    if isinstance(part, Fold):
        return f"<details><summary>{escape(part.title)}</summary><pre>{escape(part.text)}</pre></details>"
    return f"<p>{escape(part)}</p>"


def _figure(source: str, caption: str, narrowest: int = 0) -> str:
    words = escape(caption)
    image = f'<img src="{source}" alt="{words}" loading="lazy" style="min-width: {narrowest}px">'
    return f'<figure><div class="scroll" tabindex="0">{image}</div><figcaption>{words}</figcaption></figure>'


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _jpeg(path: Path) -> bytes:
    image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise KeyposError(path, "is no picture", "remove it, or evaluate the checkpoint again")
    if image.shape[1] > WIDEST:
        height = round(image.shape[0] * WIDEST / image.shape[1])
        image = cv2.resize(image, (WIDEST, height), interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1])
