"""Which maps are hard, the errors against the decoders put together by hand, and the command."""

import csv
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from trained import open_runs
from uncertainty import cover

PATH = Path(__file__).parents[2] / "scripts" / "decoder_failures.py"
failures = SimpleNamespace(**runpy.run_path(str(PATH)))

QUIET = ("datamodule.workers=0",)


def gaussian(x, y, size=16):
    across = torch.arange(size)
    return torch.exp(-((across - x) ** 2 + (across[:, None] - y) ** 2) / 8)


def kinds_of(heatmap):
    found = failures.hard(heatmap[None, None]).flatten().tolist()
    return [kind for kind, is_so in zip(failures.KINDS[3:], found, strict=True) if is_so]


@pytest.mark.parametrize(
    ("heatmap", "kinds"),
    [
        (gaussian(6.2, 7), []),
        (gaussian(3, 3) + 0.6 * gaussian(12, 12), ["two peaks"]),
        (gaussian(3, 3) + 0.4 * gaussian(12, 12), []),
        (gaussian(-0.3, 7), ["border"]),
        (gaussian(7, 15.2), ["border"]),
        (0.45 * gaussian(6.2, 7), ["low"]),
        (1.3 * gaussian(6, 7), ["high"]),
        (1.3 * gaussian(0, 0) + gaussian(12, 12), ["two peaks", "border", "high"]),
    ],
)
def test_which_maps_are_hard(heatmap, kinds):
    assert kinds_of(heatmap) == kinds


def test_no_two_decoders_are_the_same():
    maps = torch.rand(50, 8, 8, generator=torch.Generator().manual_seed(0))
    read = [tuple(decoder(maps)[0].flatten().tolist()) for decoder in failures.DECODERS.values()]
    assert len(set(read)) == len(read)


def rows_of(file):
    with file.open() as opened:
        return list(csv.DictReader(opened))


def by_hand(path):
    """Errors in pixels and norms of the points of a run's val faces: as they are, then with the box on."""
    (run,) = open_runs([path], QUIET, "val")
    (batch,) = run.datamodule.val_dataloader()
    image, under = cover(batch.image, batch.keypoints, torch.Generator().manual_seed(0))
    decoder, errors = failures.decoders.pseudorange, []
    for crops in (batch.image, image):
        with torch.inference_mode():
            points = run.codec.grid.to_pixels(decoder(run.landmarker(crops), sigma=run.codec.sigma)[0])
        errors.append((points - batch.keypoints).norm(dim=-1))
    return errors, (batch.keypoints[:, 36] - batch.keypoints[:, 45]).norm(dim=-1)[:, None], under


def test_rows_are_the_errors_of_the_decoders(untrained, tmp_path):
    run = untrained()
    failures.main([run, *QUIET, "--out", str(tmp_path / "rows.csv")])
    (plain, boxed), norm, under = by_hand(run)
    rows = {row["kind"]: row for row in rows_of(tmp_path / "rows.csv") if row["decoder"] == "pseudorange 4x4"}
    expected = {
        "all": (plain / norm).mean(),
        "covered": (boxed / norm).mean(),
        "under box": (boxed / norm)[under].mean(),
    }
    for kind, nme in expected.items():
        assert float(rows[kind]["nme"]) == pytest.approx(100 * nme.item(), rel=1e-4)
    cells = plain / 8  # crops of 64 pixels
    assert float(rows["all"]["median"]) == pytest.approx(cells.quantile(0.5).item(), rel=1e-4)
    assert float(rows["all"]["> 1 cell"]) == pytest.approx(100 * (cells > 1).double().mean().item(), rel=1e-4)
    assert int(rows["all"]["points"]) == plain.numel()


def test_the_tables(untrained, tmp_path, capsys):
    runs = [untrained("heatmap_size=4"), untrained()]
    failures.main([*runs, *QUIET, "--out", str(tmp_path / "table.md")])
    assert "NME in % by kind of points" in capsys.readouterr().out
    text = tmp_path.joinpath("table.md").read_text()
    titles = [line for line in text.splitlines() if line.endswith("; synthetic val, 4 faces by inter-ocular.")]
    assert [title.split()[0] for title in titles] == ["1:", "1:", "0:", "0:"], "the largest maps first"
    assert text.count("popos") == text.count("| decoder |") == 4
    assert "**" in text


def test_a_network_without_maps_is_refused(untrained, refused):
    with refused("predicts no distance maps"):
        failures.main([untrained("codec=coordinates", "head.dim=64"), *QUIET])


def test_a_packaged_network_goes_by_its_name(capsys):
    failures.main(["keyposs-4", "data.val=4", *QUIET])
    assert "keyposs-4: NME" in capsys.readouterr().out
