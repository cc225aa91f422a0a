from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn

from keyposs.checkpoint import Checkpoint, adopt, find, load, restore, save_safetensors
from keyposs.codecs import Coordinates
from keyposs.data import Boxes
from keyposs.errors import KeyposError
from keyposs.losses import RLE
from keyposs.markup import MARKUP_68
from keyposs.module import LandmarkModule
from keyposs.resume import run_of

Small = Callable[..., DictConfig]


@pytest.fixture
def module(small: Small) -> LandmarkModule:
    return LandmarkModule.from_config(small(), MARKUP_68)


@pytest.fixture
def stored(module: LandmarkModule, tmp_path: Path) -> Path:
    """A checkpoint as Lightning writes it."""
    state: dict[str, object] = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(state)
    torch.save(state, tmp_path / "a.ckpt")
    return tmp_path / "a.ckpt"


def test_safetensors_hold_all_of_a_checkpoint(stored: Path, tmp_path: Path) -> None:
    first = load(stored)
    save_safetensors(first, tmp_path / "a.safetensors")
    second = load(tmp_path / "a.safetensors")
    assert second.config == first.config
    assert second.markup == first.markup == MARKUP_68
    assert second.weights.keys() == first.weights.keys()
    torch.testing.assert_close(second.weights, first.weights, rtol=0, atol=0, equal_nan=True)  # a spread before any fit


def test_restored_weights_give_the_same_maps(module: LandmarkModule, stored: Path, small: Small) -> None:
    image = torch.randint(256, (1, 3, 64, 64), dtype=torch.uint8)
    other = restore(LandmarkModule.from_config(small(), MARKUP_68), load(stored))
    assert torch.equal(other.eval()(image), module.eval()(image))


def test_adopt_takes_the_network_from_the_checkpoint_and_the_rest_from_the_command(
    stored: Path, composed: Small
) -> None:
    config = composed("decoder=[one_hot]", "data.test=7", name="evaluate")
    config = adopt(config, load(stored))
    assert (config.heatmap_size, config.image_size) == (8, 64)
    assert config.backbone.name == "mobilenetv3_small_050"
    assert config.data.test == 7
    assert instantiate(config.codec).names == ("one_hot",)
    assert instantiate(config.augment).image_size == 64


@pytest.mark.parametrize(
    ("overrides", "kernel"),
    [
        (["decoder=[pseudorange]"], None),
        (["decoder=[dark,pseudorange]"], None),
        (["decoder=[pseudorange]", "decoder.pseudorange.kernel=3"], 3),
    ],
)
def test_a_decoder_is_that_of_the_training_unless_it_is_given_options(
    composed: Small, overrides: list[str], kernel: int | None
) -> None:
    config = adopt(composed("checkpoint=keyposs-8", *overrides, name="evaluate"), load("keyposs-8"))
    assert instantiate(config.codec).decoders["pseudorange"].keywords["kernel"] == kernel


def test_adopt_takes_the_boxes_where_the_command_leaves_them_open(stored: Path, composed: Small) -> None:
    def adopted(checkpoint: Checkpoint, *overrides: str) -> Boxes:
        box: Boxes = instantiate(adopt(composed(*overrides, name="evaluate"), checkpoint).datamodule).box
        return box

    saved = load(stored)
    trained = {"_target_": "keyposs.data.Boxes", "source": "csv", "file": "b.csv", "root": "there", "jitter": [0.1, 0]}
    data = saved.config["data"] | {"root": "there"}
    ours = saved._replace(config=saved.config | {"box": trained, "data": data})
    apart = saved._replace(config=saved.config | {"box": trained | {"root": "apart"}, "data": data})
    older = saved._replace(config={key: value for key, value in saved.config.items() if key != "box"})
    here = adopted(ours, "data=300w", "data.root=here")
    assert (here.source, here.file, here.root, here.jitter) == ("csv", "b.csv", "here", (0.1, 0.0))
    assert adopted(apart, "data=300w", "data.root=here").root == "apart"
    assert adopted(ours, "box=dataset").source == "dataset"
    assert adopted(older).source == adopted(saved).source == "landmarks"
    assert "box" not in adopt(composed("source=a", "checkpoint=b", name="predict"), ours)


def test_boxes_set_up_but_not_chosen_are_an_error(stored: Path, composed: Small) -> None:
    match = "box.file, box.jitter: is given, but no box is chosen. Remedy: add box=csv"
    with pytest.raises(KeyposError, match=match):
        adopt(composed("+box.file=x.csv", "+box.jitter=0.1", name="evaluate"), load(stored))


@pytest.mark.parametrize(("key", "value", "given"), [("heatmap_size", 4, 8), ("image_size", 256, 64)])
def test_another_size_is_an_error(stored: Path, composed: Small, key: str, value: int, given: int) -> None:
    with pytest.raises(KeyposError, match=f"a.ckpt: was trained at {key}={given}, not {value}"):
        adopt(composed(f"{key}={value}", name="evaluate"), load(stored))


def test_a_size_of_maps_for_a_network_without_is_an_error(stored: Path, composed: Small) -> None:
    saved = load(stored)
    without = saved._replace(config=saved.config | {"heatmap_size": None})
    with pytest.raises(
        KeyposError, match="a.ckpt: has no maps, and so no heatmap_size. Remedy: leave heatmap_size out"
    ):
        adopt(composed("heatmap_size=8", name="evaluate"), without)


def test_weights_of_other_code_are_an_error(module: LandmarkModule, stored: Path) -> None:
    weights = {f"new_{name}": value for name, value in load(stored).weights.items()}
    other = Checkpoint(stored, {}, MARKUP_68, weights)
    with pytest.raises(KeyposError, match="a.ckpt: holds the weights of another network .*run.json names it"):
        restore(module, other)


@pytest.mark.parametrize("method", ["cascade", "hih", "coordinates"])
def test_decoders_for_a_network_that_reads_itself_are_refused(composed: Small, method: str) -> None:
    config = OmegaConf.to_container(composed(f"codec={method}"), resolve=True)
    saved = Checkpoint(Path("a.ckpt"), config, MARKUP_68, {})  # type: ignore[arg-type]
    adopted = adopt(composed("decoder=[dark]", name="evaluate"), saved)
    match = rf"decoder=\[dark\]: is for maps; codec={method} reads itself: {method}.*Remedy: leave decoder= out"
    with pytest.raises(KeyposError, match=match):
        LandmarkModule.from_config(adopted, MARKUP_68)


@pytest.mark.parametrize(("width", "same"), [(8, True), (16, False)])
def test_a_loss_of_other_weights_starts_with_its_own(width: int, same: bool) -> None:
    """The network's own weights are the checkpoint's either way."""

    def regression(width: int) -> LandmarkModule:
        return LandmarkModule(nn.Linear(3, 2), Coordinates(64, RLE(layers=2, width=width)), None, None, {}, MARKUP_68)

    trained, other = regression(8), regression(width)
    of_codec = {f"codec.{name}": value for name, value in trained.codec.state_dict().items()}
    fresh = {name: value.clone() for name, value in other.codec.state_dict().items()}
    restore(other, Checkpoint(Path("a.ckpt"), {}, MARKUP_68, trained.landmarker.state_dict() | of_codec))
    assert other.landmarker.weight.equal(trained.landmarker.weight)
    expected = trained.codec.state_dict() if same else fresh
    assert all(value.equal(expected[name]) for name, value in other.codec.state_dict().items())


@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
@pytest.mark.parametrize("kept", [0, 20, 0.5, 0.99])
def test_a_file_cut_short_is_an_error(stored: Path, suffix: str, kept: float) -> None:
    if suffix == ".safetensors":
        save_safetensors(load(stored), stored.with_suffix(suffix))
    content = stored.with_suffix(suffix).read_bytes()
    cut = stored.with_name("cut" + suffix)
    cut.write_bytes(content[: int(kept * len(content)) if kept < 1 else int(kept)])
    with pytest.raises(KeyposError, match=rf"cut{suffix}: cannot be read .*copy it again"):
        load(cut)


def test_a_foreign_file_is_an_error(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
    with pytest.raises(KeyposError, match=r"foreign.ckpt: is not a keyposs checkpoint \(no 'config'\)"):
        load(tmp_path / "foreign.ckpt")
    torch.save([1, 2], tmp_path / "list.ckpt")
    with pytest.raises(KeyposError, match="list.ckpt: is not a keyposs checkpoint"):
        load(tmp_path / "list.ckpt")


def test_what_is_no_checkpoint_is_not_called_damaged(tmp_path: Path) -> None:
    (tmp_path / "notes.ckpt").write_text("nothing but words")
    with pytest.raises(KeyposError, match="notes.ckpt: is no checkpoint. Remedy: give one that keyposs.train"):
        load(tmp_path / "notes.ckpt")


def test_find(tmp_path: Path) -> None:
    with pytest.raises(KeyposError, match="nowhere: does not exist"):
        find(tmp_path / "nowhere", "last.ckpt")
    with pytest.raises(KeyposError, match="holds none of checkpoints/best.ckpt, checkpoints/last.ckpt"):
        find(tmp_path, "best.ckpt", "last.ckpt")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    assert find(tmp_path, "best.ckpt", "last.ckpt").name == "last.ckpt"


def test_a_run_directory_may_be_called_by_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`checkpoint=0` and `resume=0` reach the commands as numbers."""
    (tmp_path / "0" / "checkpoints").mkdir(parents=True)
    (tmp_path / "0" / "checkpoints" / "last.ckpt").touch()
    monkeypatch.chdir(tmp_path)
    assert find(0, "last.ckpt") == Path("0", "checkpoints", "last.ckpt")
    assert run_of(0) == "0"
    assert run_of(1) is None
