"""Names and weights: a cache laid out as the hub's client keeps it stands for the network."""

from pathlib import Path

import huggingface_hub.constants as hub
import pytest
import timm
import torch
from safetensors.torch import save_file

from keyposs.errors import KeyposError
from keyposs.models import backbone


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache on a machine without network."""
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    return tmp_path


def keep(cache: Path, net: torch.nn.Module) -> None:
    """Puts the weights of a network into the cache, as if they had been fetched."""
    folder = cache / f"models--{net.pretrained_cfg['hf_hub_id'].replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    (folder / "snapshots" / ("0" * 40)).mkdir(parents=True)
    save_file(net.state_dict(), folder / "snapshots" / ("0" * 40) / "model.safetensors")


def test_hrnet_takes_the_weights_of_all_layers_that_it_has(cache):
    published = timm.create_model("hrnet_w18_small")
    keep(cache, published)
    net = backbone("hrnet_w18_small", heatmap_size=8, image_size=256, pretrained=True)
    assert torch.equal(net.stem[0].weight, published.conv1.weight)
    assert torch.equal(net.stem[3].weight, published.conv2.weight)
    for stage, theirs in zip(net.stages, (published.stage2, published.stage3), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(stage.fuses.parameters(), theirs.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(net.layer1.parameters(), published.layer1.parameters(), strict=True))


def test_any_network_takes_its_weights(cache):
    published = timm.create_model("mobilenetv3_small_050")
    keep(cache, published)
    net = backbone("mobilenetv3_small_050", heatmap_size=8, image_size=64, pretrained=True)
    mine, theirs = net.net.state_dict(), published.state_dict()
    assert len(mine) > 100
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize("name", ["hrnet_w18", "resnet18"])
def test_weights_that_cannot_be_had_are_said_clearly(cache, name):
    with pytest.raises(
        KeyposError,
        match=rf"pretrained=true with backbone\.name={name}: .*could not be loaded.*pretrained=false.*HF_HOME",
    ):
        backbone(name, heatmap_size=16, image_size=64, pretrained=True)


@pytest.mark.parametrize(
    ("name", "close"), [("resnet_18", "resnet18"), ("hrnet_18", "hrnet_w18"), ("hrnetw48", "hrnet_w48")]
)
def test_an_unknown_name_comes_with_close_ones(name, close):
    with pytest.raises(KeyposError, match=rf"backbone\.name={name}: .*did you mean .*\b{close}\b"):
        backbone(name, heatmap_size=16, image_size=64)


def test_a_name_like_no_other_gets_no_guesses():
    with pytest.raises(KeyposError, match=r"Remedy: timm\.list_models\(\) prints all names"):
        backbone("zzzzzzzz", heatmap_size=16, image_size=64)
