"""The packaged networks: small enough, of no machine, and as good as their card says."""

import os
import re

import pytest
import torch
from hydra.utils import instantiate
from safetensors import safe_open

from keyposs.checkpoint import PACKAGED, adopt, load, open_module, packaged
from keyposs.evaluate import evaluate

CARD = (PACKAGED / "README.md").read_text()
real = pytest.mark.skipif("KEYPOSS_DATA" not in os.environ, reason="KEYPOSS_DATA is not set")


def told(name: str) -> float:
    """The card's NME on `val`, in percent."""
    row = re.search(rf"^\| `{name}` \|.*$", CARD, re.MULTILINE)
    assert row, f"the card has no row of {name}"
    header = next(line for line in CARD.splitlines() if line.startswith("| name"))
    column = [cell.strip() for cell in header.split("|")].index("`val` NME")
    return float(row[0].split("|")[column])


def test_they_are_small():
    files = packaged().values()
    assert files
    assert sum(file.stat().st_size for file in files) < 60e6


@pytest.mark.parametrize("name", packaged())
def test_a_network_is_ready_to_read(name):
    network = open_module(name)
    assert not network.training
    image = torch.randint(256, (3, 3, 256, 256), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    output = network(image)
    points, scores = network.codec.decode(output)[network.config["monitor"]]
    assert points.shape == (3, 68, 2)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert (torch.linalg.eigvalsh(network.codec.covariance(output)) > 0).all()
    with safe_open(packaged()[name], framework="pt") as file:
        assert "/" not in file.metadata()["config"]


@real
@pytest.mark.parametrize("name", packaged())
def test_a_network_is_as_good_as_its_card_says(name, composed):
    data = f"data.root={os.environ['KEYPOSS_DATA']}/300w"
    quietly = ("datamodule.workers=0", "~callbacks.progress", "~callbacks.pictures", "trainer.accelerator=cpu")
    asked = composed(f"checkpoint={name}", "data=300w", data, "test=false", *quietly, name="evaluate")
    found = load(packaged()[name])
    config = adopt(asked, found)
    rows = evaluate(config, found, instantiate(config.datamodule))
    (error,) = {row["nme"] for row in rows if (row["subset"], row["decoder"]) == ("all", config.monitor)}
    assert error == pytest.approx(told(name), abs=0.01)
