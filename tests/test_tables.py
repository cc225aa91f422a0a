import csv
import io
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from keyposs.report import results_table
from keyposs.tables import Cell, Table, best_of, csv_text, escape_latex, html, latex, markdown, terminal


def row(decoder, nme, *, subset="common", split="test", faces=224, **other):
    base = {"data": "300w", "heatmap_size": 16, "method": "distance_map", "encoding": "unbiased", "seed": 1}
    measures = {"nme": nme, "fr": 2 * nme, "auc": 1 - nme / 10, "threshold": 0.08, "norm": "inter-ocular"}
    return base | measures | {"split": split, "subset": subset, "decoder": decoder, "faces": faces} | other


ROWS = [
    row("one_hot", 7.5),
    row("quarter", 6.254),
    row("multilateration", 6.25),
    row("one_hot", 9.0, subset="challenging", faces=135, auc=0.25),
    row("quarter", 8.0, subset="challenging", faces=135, fr=20.0),
    row("multilateration", 8.5, subset="challenging", faces=135),
]

TABLE = Table(
    name="nme_test",
    title="300w test (full, 9 faces), NME in % of inter-ocular",
    columns=["setting", "decoder", "64", "4"],
    rows=[
        [Cell("biased"), Cell("soft_argmax"), Cell(3.25, interval=(3.0, 3.5), tied=True), Cell(12.0)],
        [Cell("biased"), Cell("dark"), Cell(3.125, interval=(2.875, 3.375), best=True), Cell()],
        [Cell("un<b>, 5 % & # {x}"), Cell("dark"), Cell(4.0, interval=(3.5, 4.5)), Cell(float("nan"))],
    ],
    groups=1,
    note="† as said.",
)


def printed(table, width=80):
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(table)
    return console.file.getvalue()


def test_the_terminal_shows_every_number_with_its_normaliser_and_threshold_in_80_columns():
    three = ROWS + [{**given, "subset": "full", "faces": 359} for given in ROWS[:3]]
    text = printed(results_table(three))
    assert "…" not in text
    assert "300w, heatmap size 16, NME in % of inter-ocular" in text
    assert re.search(r"decoder +NME % +FR@.08 % +AUC@.08", text)
    subset = ""
    found = {}
    for line in text.splitlines():
        if match := re.match(r" ?(?:test (\w+) +\d+)? +(\w+) +([\d.]+) +([\d.]+) +([\d.]+) *$", line):
            subset = match[1] or subset
            found[subset, match[2]] = match.groups()[2:]
    assert found == {
        (given["subset"], given["decoder"]): (f"{given['nme']:.2f}", f"{given['fr']:.2f}", f"{given['auc']:.3f}")
        for given in three
    }
    assert re.search(r"test challenging +135 +one_hot", text)


def test_the_terminal_marks_the_best_of_a_subset_and_equal_print_is_equal_rank():
    console = Console(width=80, file=io.StringIO(), force_terminal=True, color_system="standard")
    console.print(results_table(ROWS))
    assert re.findall(r"\x1b\[1;32m *([\d.]+)", console.file.getvalue()) == [
        *("6.25", "0.375"),  # NME, AUC of quarter
        *("6.25", "12.50", "0.375"),
        *("0.250", "8.00", "17.00"),  # AUC of one_hot, NME of quarter, FR of multilateration
    ]


@given(st.lists(st.floats(0, 100), min_size=1, max_size=8), st.booleans())
def test_the_best_cells_are_those_that_print_as_the_best_number(values, lowest):
    cells = best_of([Cell(value) for value in values], lowest=lowest)
    best = f"{(min if lowest else max)(values):.2f}"
    differ = len({f"{value:.2f}" for value in values}) > 1
    assert [cell.best for cell in cells] == [differ and f"{value:.2f}" == best for value in values]


def test_a_nan_is_never_the_best():
    assert [cell.best for cell in best_of([Cell(float("nan")), Cell(2.0), Cell(1.0)], lowest=False)] == [
        *(False, True, False)
    ]


def test_thresholds_are_named_as_the_field_does():
    assert "FR@.10 %" in printed(results_table([row("dark", 5.0, threshold=0.1)]))


def test_groups_are_named_once_in_the_terminal():
    lines = printed(terminal(TABLE)).splitlines()
    assert [line.split()[0] for line in lines if "dark" in line or "soft" in line] == ["biased", "dark", "un<b>,"]
    assert "3.25†" in printed(terminal(TABLE))


def test_markdown_marks_the_best_and_the_tied_and_shows_names_as_they_are():
    head, _, *lines = (line for line in markdown(TABLE).splitlines() if line.startswith("|"))
    assert head == "| setting | decoder | 64 | 4 |"
    assert lines == [
        "| biased | soft_argmax | 3.25† [3.00, 3.50] | 12.00 |",
        "|  | dark | **3.12** [2.88, 3.38] |  |",
        r"| un\<b>, 5 % & # {x} | dark | 4.00 [3.50, 4.50] | – |",
    ]
    assert markdown(TABLE).startswith("300w test (full, 9 faces), NME in % of inter-ocular. † as said.\n")


def test_latex_escapes_what_it_would_read_as_a_command():
    text = latex(TABLE)
    assert text.isascii()
    assert r"\caption{300w test (full, 9 faces), NME in \% of inter-ocular. $^\dagger$ as said.}" in text
    assert r"\label{tab:nme-test}" in text
    assert r"\begin{tabular}{llrr}" in text
    assert r"biased & soft\_argmax & 3.25$^\dagger$ {\scriptsize {[}3.00, 3.50{]}} & 12.00 \\" in text
    assert r" & dark & \textbf{3.12} {\scriptsize {[}2.88, 3.38{]}} &  \\" in text
    assert r"un\textless{}b\textgreater{}, 5 \% \& \# \{x\} & dark & 4.00" in text
    assert text.count(r"\midrule") == 2


@given(st.text())
def test_any_text_becomes_ascii_whose_braces_match(text):
    escaped = escape_latex(text)
    assert escaped.isascii()
    bare = re.sub(r"\\[&%$#_{}]", "", escaped)
    assert bare.count("{") == bare.count("}")
    assert not re.search(r"[&%#_]", bare)
    assert bare.count("$") % 2 == 0


def test_csv_holds_unrounded_numbers_whole_rows_and_intervals_in_columns_of_their_own():
    head, *lines = csv.reader(io.StringIO(csv_text(TABLE)))
    assert head == ["setting", "decoder", "64", "64 low", "64 high", "4"]
    assert lines[1] == ["biased", "dark", "3.125", "2.875", "3.375", ""]
    assert lines[2] == ["un<b>, 5 % & # {x}", "dark", "4.0", "3.5", "4.5", "nan"]


class Cells(HTMLParser):
    def __init__(self):
        super().__init__()
        self.rows, self.tags = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def test_html_shows_names_as_they_are():
    parser = Cells()
    parser.feed(html(TABLE))
    assert parser.rows[0] == ["setting", "decoder", "64", "4"]
    assert parser.rows[2] == ["", "dark", "3.12 [2.88, 3.38]", ""]
    assert parser.rows[3][0] == "un<b>, 5 % & # {x}"
    assert "b" not in parser.tags
    assert "<strong>3.12</strong>" in html(TABLE)


@pytest.mark.parametrize("form", [markdown, latex, csv_text, html])
def test_a_table_without_rows_is_a_table(form):
    assert "decoder" in form(Table("empty", "nothing", ["decoder"], []))
