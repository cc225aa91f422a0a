from pathlib import Path

import pytest

from keyposs.reports.document import Fold, Picture, Section, markdown_report


@pytest.mark.parametrize("text", ["a: 1", "a: `b`", "a: ```b```"])
def test_text_that_is_shown_as_it_is_ends_where_it_began(text):
    lines = markdown_report("t", [Section("s", [Fold("Config", text)])], Path(".")).splitlines()
    fence = lines[-3]
    assert set(fence) == {"`"}
    assert lines[-3:] == [fence, text, fence]
    assert fence not in text


def test_a_picture_is_linked_from_where_the_report_is(tmp_path):
    picture = Picture(tmp_path / "runs" / "a b" / "x.png", "What [is] seen")
    text = markdown_report("t", [Section("s", [picture])], tmp_path / "out")
    assert r"![What \[is\] seen](../runs/a%20b/x.png)" in text
