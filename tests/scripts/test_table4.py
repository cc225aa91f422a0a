"""Table 4: the published window against its description, the readings against truth, the command against mistakes."""

import csv
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from torch.nn.functional import interpolate
from trained import configure

from keyposs.checkpoint import load, restore
from keyposs.decoders import multilateration
from keyposs.module import LandmarkModule

PATH = Path(__file__).parents[2] / "scripts" / "table4_anchor_sampling.py"
table4 = SimpleNamespace(**runpy.run_path(str(PATH)))

PUBLISHED = (table4.faulty_window, table4.as_published)
QUIET = ("datamodule.workers=0",)


def loops(heatmap, kernel):
    """The published search as docs/anchors.md tells it: x and y of the first cell of the window."""
    (h, w), (cy, cx) = heatmap.shape, np.unravel_index(heatmap.argmax(), heatmap.shape)
    top, bottom = max(cy - kernel, 0), min(cy + kernel + 1, h)
    left, right = max(cx - kernel, 0), min(cx + kernel + 1, w)
    best, corner = -np.inf, (left, top)
    for y in range(top, top + (bottom - top - kernel)):
        for x in range(left, left + (right - left - kernel)):
            total = heatmap[y : y + kernel, x : x + kernel].sum()
            if total >= best:
                best, corner = total, (x, y)
    return corner


def exact(points, size, amplitude=1.0):
    """Maps of sigma 2."""
    across = torch.arange(size, dtype=torch.float64)
    x, y = torch.exp(-((across - points[..., None]) ** 2) / 8).unbind(-2)
    return amplitude * y[..., :, None] * x[..., None, :]


def anywhere(size):
    return size * torch.rand(1, 300, 2, generator=torch.Generator().manual_seed(size), dtype=torch.float64) - 0.5


@pytest.mark.parametrize("size", [4, 5, 8, 13])
@pytest.mark.parametrize("levels", [3, 10**6], ids=["with ties", "without ties"])
def test_the_window_is_that_of_the_published_loops(size, levels):
    generator = torch.Generator().manual_seed(size)
    maps = torch.randint(-levels // 3, levels, (3, 100, size, size), generator=generator).double()
    for kernel in range(2, min(size, 6) + 1):
        corner, cells = table4.published_window(maps, kernel)
        for heatmap, (x, y), found in zip(
            maps.flatten(0, 1).numpy(), corner.view(-1, 2).tolist(), cells.flatten(0, 1), strict=True
        ):
            assert (x, y) == loops(heatmap, kernel)
            np.testing.assert_array_equal(found, heatmap[y : y + kernel, x : x + kernel].ravel())


@pytest.mark.parametrize(
    ("size", "kernel", "cell", "first"), [(64, 2, 63, 61), (64, 2, 62, 61), (4, 2, 3, 1), (4, 3, 3, 0), (4, 4, 3, 0)]
)
def test_the_last_row_and_column_are_never_anchors_unless_the_window_is_the_map(size, kernel, cell, first):
    maps = exact(torch.tensor([[[cell, cell]]], dtype=torch.float64), size)
    assert table4.published_window(maps, kernel).corner.flatten().tolist() == [first, first]


@pytest.mark.parametrize("decoder", PUBLISHED)
@pytest.mark.parametrize("size", [16, 8, 4])
def test_without_noise_the_fault_does_no_harm(decoder, size):
    points = anywhere(size)
    for kernel in range(2, min(size, 6) + 1):
        assert (decoder(exact(points, size), kernel=kernel)[0] - points).abs().max() < 1e-6


def test_responses_above_one_mislead_the_published_ranges_alone():
    points = anywhere(8)
    maps = exact(points, 8, amplitude=1.2)
    assert (table4.faulty_window(maps)[0] - points).abs().max() < 1e-6
    assert (table4.as_published(maps)[0] - points).abs().mean() > 0.1


def test_inside_the_map_the_windows_agree():
    points = 6 + 4 * torch.rand(1, 300, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    maps = exact(points, 16)
    maps = maps + 0.01 * torch.rand(maps.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for kernel in (2, 3, 4):
        torch.testing.assert_close(
            table4.faulty_window(maps, kernel=kernel)[0], multilateration(maps, kernel=kernel)[0]
        )


def test_a_window_as_large_as_the_map_has_no_fault():
    maps = torch.rand(1, 300, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(table4.faulty_window(maps, kernel=4), multilateration(maps, kernel=4))


def four_by_four(first, *, knots, noise):
    """Points spread over 3.2 cells of a 4 x 4 map from `first` on, and their maps with smooth noise."""
    generator = torch.Generator().manual_seed(0)
    points = first + 3.2 * torch.rand(40, 100, 2, generator=generator, dtype=torch.float64)
    drawn = torch.randn(40, 100, knots, knots, generator=generator, dtype=torch.float64)
    return points, exact(points, 4) + noise * interpolate(drawn, size=(4, 4), mode="bilinear", align_corners=True)


def errors(reading, points, maps):
    """Mean error in cells with a kernel of 2, 3 and 4."""
    decoder = table4.READINGS[reading]
    return [(decoder(maps, kernel=k)[0] - points).norm(dim=-1).mean().item() for k in (2, 3, 4)]


@pytest.mark.parametrize(
    ("reading", "first", "expected"),
    [
        ("as published", 0.4, (2.05, 1.51)),
        ("published window", 0.4, (1.60, 1.33)),
        ("multilateration", 0.4, (0.87, 1.14)),
        ("as published", -0.1, (1.29, 1.63)),
        ("multilateration", -0.1, (0.86, 1.30)),
    ],
)
def test_four_by_four_cells_as_in_the_docs(reading, first, expected):
    two, three, four = errors(reading, *four_by_four(first, knots=3, noise=0.06))
    assert (three / two, four / two) == pytest.approx(expected, abs=0.01)


def test_four_by_four_cells_as_published_are_the_papers_row():
    two, three, four = errors("as published", *four_by_four(0.4, knots=3, noise=0.06))
    printed = table4.PRINTED[4]
    assert (three / two, four / two) == pytest.approx((printed[1] / printed[0], printed[2] / printed[0]), rel=0.15)


@pytest.mark.parametrize("knots", [2, 3])
@pytest.mark.parametrize("noise", [0.03, 0.06, 0.1])
def test_four_by_four_cells_the_fault_makes_three_worse_than_four(knots, noise):
    case = four_by_four(0.4, knots=knots, noise=noise)
    _, three, four = errors("as published", *case)
    assert three > 1.05 * four
    _, three, four = errors("multilateration", *case)
    assert three < 0.95 * four


def rows_of(file):
    with file.open() as opened:
        return list(csv.DictReader(opened))


def test_the_command_reads_every_kernel_that_fits(untrained, tmp_path, capsys):
    runs = [untrained("heatmap_size=4"), untrained(), untrained("codec.unbiased=false")]
    table4.main([*runs, *QUIET, "--kernels", "2,5", "--out", str(tmp_path / "table.csv")])
    rows = rows_of(tmp_path / "table.csv")
    kinds = [(int(row["heatmap_size"]), row["encoding"], row["reading"], int(row["kernel"])) for row in rows]
    fitting = {(8, "unbiased"): (2, 5), (8, "biased"): (2, 5), (4, "unbiased"): (2,)}
    assert kinds == [
        (*run, reading, k) for run, kernels in fitting.items() for reading in table4.READINGS for k in kernels
    ]
    assert {(row["data"], row["split"], row["faces"]) for row in rows} == {("synthetic", "val", "4")}
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[:2] for line in lines if line[2:3] == ["multilateration"]] == [
        ["8", "unbiased"],
        ["8", "biased"],
        ["4", "unbiased"],
    ]
    assert [line for line in lines if "paper," in line] == [
        ["paper,", "WFLW", "test", "7.67", "7.80"],
        ["paper,", "WFLW", "test", "12.04", "–"],
    ]


def test_rows_are_the_errors_of_the_decoders(untrained, tmp_path):
    """Against the checkpoint, its data and the decoder put together by hand; in crop pixels, where the NME is alike."""
    run = untrained()
    table4.main([run, *QUIET, "--kernels", "3", "--out", str(tmp_path / "table.csv")])
    measured = {row["reading"]: float(row["nme"]) for row in rows_of(tmp_path / "table.csv")}
    checkpoint = load(run)
    config = configure(checkpoint, QUIET)
    module = restore(LandmarkModule.from_config(config, checkpoint.markup), checkpoint).eval()
    datamodule = instantiate(config.datamodule)
    datamodule.setup("validate")
    (batch,) = datamodule.val_dataloader()
    norm = (batch.keypoints[:, 36] - batch.keypoints[:, 45]).norm(dim=-1)
    for reading, decoder in table4.READINGS.items():
        with torch.inference_mode():
            points = module.codec.grid.to_pixels(decoder(module(batch.image), sigma=2.0, kernel=3)[0])
        each = (points - batch.keypoints).norm(dim=-1).mean(-1) / norm
        assert measured[reading] == pytest.approx(100 * each.mean().item(), rel=1e-4)


def test_markdown_marks_the_best_and_dashes_what_does_not_fit(untrained, tmp_path):
    out = tmp_path / "table.md"
    table4.main([untrained("heatmap_size=4"), *QUIET, "--split", "test", "--out", str(out)])
    head, _, columns, _, *body = out.read_text().splitlines()
    assert head == "NME in % of inter-ocular by kernel; synthetic test, 5 faces."
    assert columns == "| size | encoding | reading | 2x2 | 3x3 | 4x4 | 5x5 | 6x6 |"
    assert len(body) == len(table4.READINGS) + 1
    assert all(line.endswith("| – | – |") and "**" in line for line in body)
    assert body[0].startswith("| 4 | unbiased | multilateration |")
    assert body[-1] == "|  |  | paper, WFLW test | **12.04** | 26.57 | 18.74 | – | – |"


def test_runs_that_do_not_compare_are_refused(untrained, refused):
    here = untrained()
    mistakes = {
        "has 3 val faces of synthetic by inter-ocular.*compare runs on the same data": untrained("data.val=3"),
        "by box, but .* by inter-ocular": untrained("heatmap_size=4", "data.norm=box"),
        "or they are other faces": untrained("heatmap_size=4", "data.seed=1"),
        "has maps of 8 cells, unbiased, as .* has. Remedy: give one of them": untrained("seed=1"),
    }
    for cause, other in mistakes.items():
        with refused(cause):
            table4.main([here, other, *QUIET])


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (["data=wflw"], "data=wflw: would replace many values.*like data.NAME=VALUE"),
        (["data.rot=there"], "data.rot=there: names nothing that .*safetensors has"),
        (["heatmap_size=16"], "was trained at heatmap_size=8, not 16"),
        (["batch_size=0"], "batch_size=0: is not a whole number"),
        (["data.val=0"], "holds no faces for the split 'val'"),
        (["--kernels", "9,10"], "--kernels 9,10: none fits .*safetensors"),
        (["nowhere"], "nowhere: does not exist"),
    ],
)
def test_mistakes_are_said_plainly(untrained, arguments, cause, refused):
    with refused(cause):
        table4.main([untrained(), *QUIET, *arguments])


def test_a_checkpoint_without_config(tmp_path, refused):
    torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
    with refused("is not a keyposs checkpoint"):
        table4.main([str(tmp_path / "foreign.ckpt")])


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (["run", "--kernels", "2,x"], "'2,x' are no whole numbers of at least 2"),
        (["run", "--kernels", "1,2"], "'1,2' are no whole numbers of at least 2"),
        (["run", "--out", "table.txt"], "'table.txt' ends neither in .md nor in .csv"),
        (["data.root=there"], "no RUN is given"),
    ],
)
def test_a_wrong_command(arguments, cause, capsys):
    with pytest.raises(SystemExit):
        table4.main(arguments)
    assert cause in capsys.readouterr().err
