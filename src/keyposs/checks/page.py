"""The findings as one HTML page that needs nothing else, and as JSON."""

import base64
from collections.abc import Sequence
from html import escape
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from keyposs.checks.findings import NOTE, WRONG, Finding, Section, advised, count
from keyposs.checks.sheet import Tile

STYLE = """
:root { color-scheme: light dark; --line: #8884; --wrong: #b3261e; --note: #8a5a00; --good: #1b6e3a; }
@media (prefers-color-scheme: dark) { :root { --wrong: #ff8a80; --note: #ffc266; --good: #7fd89b; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: .5rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .9rem .2rem 0; text-align: right; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; font-weight: normal; }
thead th { font-weight: 600; }
.wrong { color: var(--wrong); } .note { color: var(--note); } .good { color: var(--good); }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: 1rem; }
figure { margin: 0; } figcaption { font-size: .8rem; overflow-wrap: anywhere; }
img { max-width: 100%; height: auto; }
li { overflow-wrap: anywhere; }
"""


def verdict(sections: Sequence[Section]) -> str:
    """How many findings there are of each level."""
    levels = [finding.level for section in sections for finding in section.findings]
    return f"{levels.count(WRONG)} wrong, {count(levels.count(NOTE), 'note')}"


def html(
    title: str,
    facts: Sequence[str],
    sections: Sequence[Section],
    tiles: Sequence[Tile],
    mean: UInt8[np.ndarray, "h w 3"],
) -> str:
    """The page: verdict, findings, tables, mean shape and faces."""
    level = "wrong" if any(section.level == WRONG for section in sections) else "good"
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{STYLE}</style></head><body><main>",
        f"<h1>{escape(title)}</h1>",
        f'<p class="{level}"><strong>{verdict(sections)}</strong></p>',
        "<ul>" + "".join(f"<li>{escape(fact)}</li>" for fact in facts) + "</ul>",
        *map(_section, sections),
        "<h2>Mean shape</h2>",
        "<p>Rings are its mirror image: each should lie around a point.</p>",
        _image(
            mean, ".png", "the mean shape with numbered points, left and right in two colours, and its mirror image"
        ),
        "<h2>Faces</h2>",
        "<p>Landmarks in red, paler where occluded, contours in white, the chosen box in blue.</p>" if tiles else "",
        '<div class="sheet">',
        *map(_figure, tiles),
        "</div>" if tiles else "</div><p>No photo was read.</p>",
        "</main></body></html>",
    ]
    return "\n".join(parts) + "\n"


def _section(section: Section) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in section.header)
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in rest) + "</tr>"
        for first, *rest in section.rows
    )
    return (
        f"<section><h2>{escape(section.title)}</h2><p>{escape(section.about)}</p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        f"{''.join(map(_finding, section.findings))}</section>"
    )


def _finding(finding: Finding) -> str:
    text = f'<strong class="{finding.level}">{finding.level}</strong>: {escape(advised(finding))}'
    if not finding.items:
        return f"<p>{text}</p>"
    items = "".join(f"<li>{escape(item)}</li>" for item in finding.items)
    opened = " open" if finding.level == WRONG and len(finding.items) <= 20 else ""
    return f"<details{opened}><summary>{text}</summary><ol>{items}</ol></details>"


def _figure(tile: Tile) -> str:
    picture = _image(tile.image, ".jpg", f"face {tile.name} with landmarks, contours and box")
    return f"<figure>{picture}<figcaption>{escape(tile.name)}<br>{escape(tile.why)}</figcaption></figure>"


def _image(picture: UInt8[np.ndarray, "h w 3"], suffix: str, words: str) -> str:
    quality = [cv2.IMWRITE_JPEG_QUALITY, 85] if suffix == ".jpg" else []
    _, code = cv2.imencode(suffix, picture[:, :, ::-1], quality)
    kind = {".png": "png", ".jpg": "jpeg"}[suffix]
    height, width = picture.shape[:2]
    data = base64.b64encode(code.tobytes()).decode()
    size = f'width="{width}" height="{height}" loading="lazy"'
    return f'<img src="data:image/{kind};base64,{data}" alt="{escape(words)}" {size}>'


def plain(sections: Sequence[Section]) -> list[dict[str, Any]]:
    """The sections for JSON."""
    return [
        {
            **section._asdict(),
            "rows": [list(cells) for cells in section.rows],
            "findings": [{**finding._asdict(), "items": list(finding.items)} for finding in section.findings],
        }
        for section in sections
    ]
