"""What the README says can be done is done here."""

import re
from pathlib import Path

import pytest
import torch

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_snippet_decodes_heatmaps() -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    names: dict[str, torch.Tensor] = {}
    exec(snippet, names)
    assert names["points"].shape == names["pixels"].shape == (32, 68, 2)
    assert names["scores"].shape == (32, 68)


@pytest.mark.parametrize("link", re.findall(r"\]\(((?!http)[^)]+)\)", README))
def test_a_link_leads_to_a_file(link: str) -> None:
    assert (Path(__file__).parents[1] / link).is_file()


def test_the_commands_are_those_of_the_makefile() -> None:
    makefile = (Path(__file__).parents[1] / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^(\w+):", makefile, flags=re.MULTILINE))
    assert set(re.findall(r"^ +make (\w+)", README, flags=re.MULTILINE)) <= targets
