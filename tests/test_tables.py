import io
import re

import pytest
from rich.console import Console

from keyposs.tables import markdown_table, results_table


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


def parse(markdown):
    lines = [line.strip("| ").split(" | ") for line in markdown.splitlines() if line.startswith("|")]
    return [dict(zip(lines[0], cells, strict=True)) for cells in lines[2:]]


def printed(table, width=80):
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(table)
    return console.file.getvalue()


def test_markdown_holds_every_number_with_its_normaliser_and_threshold():
    text = markdown_table(ROWS)
    assert text.splitlines()[0] == (
        "300w, heatmap size 16, NME in % of inter-ocular (test common: 224 faces; test challenging: 135 faces)."
    )
    found = {line["decoder"]: line for line in parse(text)}
    assert list(found) == ["`one_hot`", "`quarter`", "`multilateration`"]
    for given in ROWS:
        line = found[f"`{given['decoder']}`"]
        for name, key in (("NME %", "nme"), ("FR@.08 %", "fr"), ("AUC@.08", "auc")):
            cell = line[f"{given['subset']} {name}"].strip("*")
            assert abs(float(cell) - given[key]) <= (0.0005 if key == "auc" else 0.005) + 1e-9


def test_the_best_of_each_column_is_bold_and_equal_print_is_equal_rank():
    bold = {
        (line["decoder"].strip("`"), column)
        for line in parse(markdown_table(ROWS))
        for column, cell in line.items()
        if cell.startswith("**")
    }
    assert bold == {
        ("quarter", "common NME %"),
        ("multilateration", "common NME %"),
        ("multilateration", "common FR@.08 %"),
        ("quarter", "common AUC@.08"),
        ("multilateration", "common AUC@.08"),
        ("quarter", "challenging NME %"),
        ("multilateration", "challenging FR@.08 %"),
        ("one_hot", "challenging AUC@.08"),
    }


def test_the_terminal_shows_the_same_cells_in_80_columns():
    three = ROWS + [{**given, "subset": "full", "faces": 359} for given in ROWS[:3]]
    text = printed(results_table(three))
    assert "…" not in text
    assert "NME in % of inter-ocular" in text
    assert re.search(r"decoder +NME % +FR@.08 % +AUC@.08", text)
    subset = ""
    found = {}
    for line in text.splitlines():
        if match := re.match(r" ?(?:test (\w+) +\d+)? +(\w+) +([\d.]+) +([\d.]+) +([\d.]+) *$", line):
            subset = match[1] or subset
            found[subset, match[2]] = match.groups()[2:]
    assert found == {
        (given["subset"], given["decoder"]): (
            f"{given['nme']:.2f}",
            f"{given['fr']:.2f}",
            f"{given['auc']:.3f}",
        )
        for given in three
    }
    assert re.search(r"test challenging +135 +one_hot", text)


def test_the_terminal_marks_the_best_of_a_subset():
    console = Console(width=80, file=io.StringIO(), force_terminal=True, color_system="standard")
    console.print(results_table(ROWS))
    assert set(re.findall(r"\x1b\[1;32m *([\d.]+)", console.file.getvalue())) == {
        *("6.25", "12.50", "0.375"),
        *("8.00", "17.00", "0.250"),
    }


def test_thresholds_are_named_as_the_field_does():
    assert "FR@.10 %" in markdown_table([row("dark", 5.0, threshold=0.1)])
    mixed = [row("dark", 5.0, threshold=0.1), row("dark", 5.0, subset="full")]
    assert "full FR@t %" in markdown_table(mixed)
    assert "FR@t %" in printed(results_table(mixed))


def test_several_splits_are_told_apart_and_a_missing_reading_is_empty():
    text = markdown_table([row("one_hot", 7.0, split="val", subset="all", faces=9), *ROWS[:2]])
    found = {line["decoder"]: line for line in parse(text.replace("|  |", "| - |").replace("|  |", "| - |"))}
    assert found["`one_hot`"]["val all NME %"] == "**7.00**"
    assert found["`quarter`"]["val all NME %"] == "-"
    assert found["`quarter`"]["test common NME %"] == "**6.25**"


@pytest.mark.parametrize("kind", ["data", "heatmap_size", "method", "encoding", "seed"])
def test_rows_of_several_runs_do_not_cover_one_another(kind):
    rows = [row("dark", 5.0, **{kind: 1}), row("dark", 6.0, **{kind: 2})]
    assert [line["decoder"] for line in parse(markdown_table(rows))] == [f"`dark {kind}={i}`" for i in (1, 2)]
    assert "5.00" in printed(results_table(rows))
    assert "6.00" in printed(results_table(rows))
