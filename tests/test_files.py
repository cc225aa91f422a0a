import json
import math
import os

import pytest

from keyposs.files import atomic, write_json, write_text


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def interrupted():
        with atomic(path) as temporary:
            temporary.write_text("ne")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        interrupted()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_old_file_is_seen_until_the_end(tmp_path):
    path = tmp_path / "sub" / "a.png"
    with atomic(path) as temporary:
        temporary.write_bytes(b"1")
        assert temporary.parent == path.parent
        assert temporary.suffix == ".png"
        assert not path.exists()
    assert path.read_bytes() == b"1"
    with atomic(path) as temporary:
        temporary.write_bytes(b"2")
        assert path.read_bytes() == b"1"
    assert path.read_bytes() == b"2"
    assert os.listdir(path.parent) == ["a.png"]


def test_a_file_has_the_permissions_of_any_other(tmp_path):
    (tmp_path / "plain").write_text("x")
    write_text(tmp_path / "ours", "x")
    assert (tmp_path / "plain").stat().st_mode == (tmp_path / "ours").stat().st_mode


def test_text_is_utf8_and_json_comes_back(tmp_path):
    write_text(tmp_path / "a.txt", "σ = 2")
    assert (tmp_path / "a.txt").read_bytes() == "σ = 2".encode()
    write_json(tmp_path / "a.json", [{"nme": 6.25, "name": "σ"}])
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == [{"nme": 6.25, "name": "σ"}]


@pytest.mark.parametrize(
    ("data", "error"), [([math.nan], ValueError), ([math.inf], ValueError), ([object()], TypeError)]
)
def test_what_json_cannot_say_is_refused_and_the_old_file_stays(tmp_path, data, error):
    path = tmp_path / "a.json"
    write_json(path, [1])
    with pytest.raises(error, match="JSON"):
        write_json(path, data)
    assert json.loads(path.read_text()) == [1]
