"""A table as one object, and its forms: terminal, Markdown, LaTeX, CSV and HTML."""

import csv
import io
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

from rich import box
from rich import table as rich_table
from rich.markup import escape as escape_rich

DAGGER = "†"
"""Marks what the data do not tell from the best of its column."""

LONG = 60
"""Characters beyond which a cell's text is broken into lines."""


class Cell(NamedTuple):
    """A value, and what is known of it."""

    value: str | float | None = None
    form: str = ".2f"  # of a number
    interval: tuple[float, float] | None = None
    best: bool = False
    tied: bool = False  # not told from the best

    @property
    def text(self) -> str:
        """As it is printed.

        >>> Cell(0.4567).text, Cell("dark").text, Cell(float("nan")).text, Cell().text
        ('0.46', 'dark', '–', '')
        """
        if self.value is None or isinstance(self.value, str):
            return self.value or ""
        return _printed(self.value, self.form)

    @property
    def range(self) -> str:
        """The interval as it is printed.

        >>> Cell(1.0, interval=(0.5, 1.5)).range
        '[0.50, 1.50]'
        """
        if self.interval is None or any(map(math.isnan, self.interval)):
            return ""
        return "[{}, {}]".format(*(_printed(end, self.form) for end in self.interval))


def _printed(number: float, form: str) -> str:
    """A number without the sign of a zero.

    >>> _printed(-0.001, "+.2f"), _printed(0.01, "+.2f"), _printed(float("nan"), ".2f")
    ('0.00', '+0.01', '–')
    """
    text = format(number, form)
    return "–" if math.isnan(number) else text if float(text) else text.lstrip("+-")


@dataclass(frozen=True)
class Table:
    """Cells in rows below named columns."""

    name: str  # of its files, and its label in LaTeX
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    groups: int = 0  # so many columns at the left name a group of rows: they are shown on its first row alone
    note: str = ""

    @property
    def caption(self) -> str:
        """Title and note."""
        return f"{self.title}. {self.note}".strip()

    def numeric(self, column: int) -> bool:
        """Whether a column holds numbers alone, which stand at the right."""
        values = [row[column].value for row in self.rows if row[column].value is not None]
        return bool(values) and not any(isinstance(value, str) for value in values)

    def grouped(self) -> Iterator[tuple[bool, Sequence[Cell]]]:
        """Each row as it is shown, and whether a group begins with it."""
        last: Sequence[Cell] = ()
        for row in self.rows:
            heading = row[: self.groups]
            begins = bool(self.groups) and heading != last
            yield begins, row if begins or not self.groups else [*[Cell()] * self.groups, *row[self.groups :]]
            last = heading


def best_of(cells: Sequence[Cell], *, lowest: bool) -> list[Cell]:
    """The cells of a column with the best marked; what prints alike ranks alike, and all alike have no best.

    >>> [cell.best for cell in best_of([Cell(1.001), Cell(0.999), Cell(2.0), Cell()], lowest=True)]
    [True, True, False, False]
    """
    printed = [float(cell.text) if cell.text not in ("", "–") else math.nan for cell in cells]
    ranked = [value for value in printed if not math.isnan(value)]
    best = (min if lowest else max)(ranked, default=math.nan)
    differ = len(set(ranked)) > 1
    return [cell._replace(best=differ and value == best) for cell, value in zip(cells, printed, strict=True)]


def terminal(table: Table) -> rich_table.Table:
    """For a terminal of 80 columns, without intervals."""
    shown = rich_table.Table(title=escape_rich(table.title), box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    for i, name in enumerate(table.columns):
        shown.add_column(escape_rich(name), justify="right" if table.numeric(i) else "left", no_wrap=True)
    for begins, row in table.grouped():
        if begins:
            shown.add_section()
        texts = [escape_rich(cell.text) + DAGGER * cell.tied for cell in row]
        marked = zip(texts, row, strict=True)
        shown.add_row(*(f"[bold green]{text}[/]" if cell.best else text for text, cell in marked))
    return shown


def markdown(table: Table) -> str:
    """The caption, and a table of GitHub's Markdown."""

    def shown(cell: Cell) -> str:
        text = escape_markdown(cell.text) + DAGGER * cell.tied
        return f"{f'**{text}**' if cell.best else text} {cell.range}".strip()

    lines = [
        list(map(escape_markdown, table.columns)),
        ["---:" if table.numeric(i) else "---" for i in range(len(table.columns))],
        *(list(map(shown, row)) for _, row in table.grouped()),
    ]
    return "\n".join([escape_markdown(table.caption), "", *(f"| {' | '.join(line)} |" for line in lines)])


def escape_markdown(text: str) -> str:
    r"""Text that Markdown shows as it is.

    >>> escape_markdown("soft_argmax | <b>")
    'soft_argmax \\| \\<b>'
    """
    return re.sub(r"([\\`*\[\]<|~]|(?<!\w)_|_(?!\w))", r"\\\1", " ".join(text.split()))


def latex(table: Table) -> str:
    """A float of LaTeX, made smaller where it is wider than the text; needs the packages booktabs and graphicx."""

    def shown(cell: Cell) -> str:
        text = escape_latex(cell.text) + escape_latex(DAGGER) * cell.tied
        text = rf"\textbf{{{text}}}" if cell.best else text
        return rf"{text} {{\scriptsize {escape_latex(cell.range)}}}" if cell.range else text

    lines: list[str] = []
    for begins, row in table.grouped():
        lines += [r"\midrule"] if begins and lines else []
        lines.append(" & ".join(map(shown, row)) + r" \\")
    align = "".join("r" if table.numeric(i) else "l" for i in range(len(table.columns)))
    return "\n".join(
        [
            *(r"\begin{table}[t]", r"\centering\small", rf"\caption{{{escape_latex(table.caption)}}}"),
            *(rf"\label{{tab:{table.name.replace('_', '-')}}}", FITTED, rf"\begin{{tabular}}{{{align}}}", r"\toprule"),
            *(" & ".join(map(escape_latex, table.columns)) + r" \\", r"\midrule", *lines, r"\bottomrule"),
            *(r"\end{tabular}}", r"\end{table}", ""),
        ]
    )


LATEX = {
    **{sign: rf"\{sign}" for sign in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "[": "{[}", "]": "{]}"},
    **{"–": "--", "−": "$-$", "±": r"$\pm$", "×": r"$\times$", "²": "$^2$", "≥": r"$\geq$", DAGGER: r"$^\dagger$"},
}
"""Signs that mean something to LaTeX, or that its fonts lack."""

FITTED = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"


def escape_latex(text: str) -> str:
    r"""Text in ASCII that LaTeX prints as it is; letters lose their accents, what else is not known becomes "?".

    >>> escape_latex("soft_argmax, 5 % ± é 漢")
    'soft\\_argmax, 5 \\% $\\pm$ e ?'
    """
    return "".join(LATEX.get(sign) or _ascii(sign) for sign in text)


def _ascii(sign: str) -> str:
    letters = unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode()
    return "".join(LATEX.get(letter, letter) for letter in letters) or "?" * (not unicodedata.combining(sign))


def csv_text(table: Table) -> str:
    """Unrounded numbers; an interval has two columns of its own."""
    ranged = [any(row[i].interval for row in table.rows) for i in range(len(table.columns))]

    def widened(columns: Iterable[tuple[object, ...]]) -> list[object]:
        return [value for values, wide in zip(columns, ranged, strict=True) for value in values[: 3 if wide else 1]]

    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(widened((name, f"{name} low", f"{name} high") for name in map(str.strip, table.columns)))
    writer.writerows(widened((cell.value, *(cell.interval or ("", ""))) for cell in row) for row in table.rows)
    return file.getvalue()


def html(table: Table) -> str:
    """A figure of HTML: the caption, and the table in a container that scrolls."""
    right = [' class="number"' if table.numeric(i) else "" for i in range(len(table.columns))]
    names = [escape(name).replace(" %", "&nbsp;%") for name in table.columns]
    head = "".join(f'<th scope="col"{side}>{name}</th>' for side, name in zip(right, names, strict=True))
    lines = []
    for begins, row in table.grouped():
        cells = "".join(f"<td{_side(cell, side)}>{_shown(cell)}</td>" for side, cell in zip(right, row, strict=True))
        lines.append(f'<tr class="begins">{cells}</tr>' if begins else f"<tr>{cells}</tr>")
    return (
        f'<figure><figcaption>{escape(table.caption)}</figcaption><div class="scroll" tabindex="0">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div></figure>"
    )


def _side(cell: Cell, side: str) -> str:
    return ' class="long"' if len(cell.text) > LONG else side


def _shown(cell: Cell) -> str:
    text = escape(cell.text) + DAGGER * cell.tied
    text = f"<strong>{text}</strong>" if cell.best else text
    return f"{text} <small>{escape(cell.range)}</small>" if cell.range else text
