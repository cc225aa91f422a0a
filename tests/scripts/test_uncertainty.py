"""The command on networks with random weights; the numbers are tested in tests/reports/test_uncertainty.py."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import torch

PATH = Path(__file__).parents[2] / "scripts" / "uncertainty.py"
uncertainty = SimpleNamespace(**runpy.run_path(str(PATH)))

QUIET = ("datamodule.workers=0",)


def test_the_command(untrained, capsys, tmp_path):
    run = untrained("codec=coordinates", "head.dim=64")
    uncertainty.main([run, run, *QUIET, "--split", "test", "--figure", str(tmp_path / "refused.png")])
    said = capsys.readouterr().out.replace("\n", " ")
    assert "Uncertainties on test" in said
    assert all(name in said for name in uncertainty.FORMATS)
    assert "0 (2)" in said
    assert (tmp_path / "refused.png").read_bytes().startswith(b"\x89PNG")


def test_points_under_the_box_are_the_covered_ones():
    image = torch.zeros(50, 3, 100, 100, dtype=torch.uint8)
    keypoints = torch.rand(50, 400, 2, generator=torch.Generator().manual_seed(1)) * 120 - 10
    covered_image, covered = uncertainty.cover(image, keypoints, torch.Generator().manual_seed(0))
    assert not image.any()
    changed = (covered_image.amax(1) > 0).double()
    assert 0.99 * 0.09 < changed.mean() <= 0.09
    for face, points, under in zip(changed, keypoints, covered, strict=True):
        rows, columns = face.any(1).nonzero().squeeze(1), face.any(0).nonzero().squeeze(1)
        low = torch.stack((columns.min(), rows.min())) - 0.5
        inside = ((points >= low) & (points < low + 30)).all(-1)
        assert inside.equal(under)


def test_a_method_that_tells_none_is_refused(untrained, refused):
    with refused("tells no covariances of its points. Remedy: give a run of a method that does"):
        uncertainty.main([untrained(), *QUIET])


def test_mistakes_are_said_plainly(untrained, refused):
    with refused("holds no faces for the split 'val'"):
        uncertainty.main([untrained("codec=coordinates", "head.dim=64"), *QUIET, "data.val=0"])


def test_a_packaged_network_is_read_on_the_data_that_is_named(capsys):
    uncertainty.main(["keyposs-4", "data.val=4", *QUIET])
    assert "keyposs-4" in capsys.readouterr().out


def test_data_of_a_packaged_network_is_checked(refused, tmp_path):
    with refused("is not given. Remedy: add data.root"):
        uncertainty.main(["keyposs-4", "data=300w"])
    with refused("Could not find 'data/nothing'"):
        uncertainty.main(["keyposs-4", "data=nothing"])
    with refused("finds 68 points, but data=coco_json has 29"):
        uncertainty.main(
            ["keyposs-4", "data=coco_json", f"data.root={tmp_path}", "data.markup=29", "data.train=faces.json"]
        )
