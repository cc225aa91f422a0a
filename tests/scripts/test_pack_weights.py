"""A packed network: small, of no machine, and the same to within half precision."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from keyposs import checkpoint
from keyposs.errors import KeyposError

pack_weights = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "pack_weights.py")))


@pytest.fixture
def packed(untrained, tmp_path):
    """The network's own file, and its packed one, which is called `tiny`."""
    own = untrained("loss=end_to_end", "codec.sigma=1.5")
    pack_weights.main([own, "tiny", "--folder", str(tmp_path / "packed")])
    return Path(own), tmp_path / "packed" / "tiny.safetensors"


def test_it_is_half_as_large_and_reads_alike(packed):
    own, half = packed
    assert half.stat().st_size < 0.55 * own.stat().st_size
    images = torch.randint(256, (3, 3, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    points = []
    for file in packed:
        network = checkpoint.open_module(file)
        points.append(network.codec.decode(network(images))["pseudorange"][0])
        assert network.codec.sigma == 1.5
    torch.testing.assert_close(*points, rtol=0, atol=0.5)


def test_it_says_nothing_of_a_machine(packed):
    with safe_open(packed[1], framework="pt") as file:
        config = json.loads(file.metadata()["config"])
    assert set(config) == {*pack_weights.KEPT, "datamodule"}
    assert "/" not in json.dumps(config)


def test_a_packaged_network_is_found_by_its_name(packed, monkeypatch, tmp_path):
    monkeypatch.setattr(checkpoint, "PACKAGED", tmp_path / "packed")
    assert checkpoint.find("tiny", "best.ckpt") == packed[1]
    assert checkpoint.open_module("tiny").codec.sigma == 1.5
    with pytest.raises(KeyposError, match=r"small: does not exist.*or one of tiny"):
        checkpoint.open_module("small")


def test_a_weight_too_large_for_half_precision_is_refused(packed):
    own = checkpoint.load(packed[0])
    name = next(iter(own.weights))
    own.weights[name] = torch.full((2,), 1e5)
    with pytest.raises(KeyposError, match=f"{name} holds 100000.0. Remedy: half precision ends at 65504"):
        pack_weights.pack(own, packed[1])


def test_weights_are_half(packed):
    assert {value.dtype for value in load_file(packed[1]).values() if value.is_floating_point()} == {torch.float16}
