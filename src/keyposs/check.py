"""`python -m keyposs.check data=...`: reads a whole dataset, says what is wrong with it, and draws how it was read."""

import time
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from keyposs import viz
from keyposs.checks import files, geometry, likeness, page, sheet
from keyposs.checks.duplicates import Pair
from keyposs.checks.findings import WRONG, Section, advised, count, excuse
from keyposs.checks.shape import Shape, Symmetry, mean_shape, symmetry
from keyposs.checks.survey import Survey, survey
from keyposs.config import command
from keyposs.data.dataset import check_choice
from keyposs.errors import KeyposError
from keyposs.files import readable, write_json, write_text

CHECKS = ("files", "counts", "norms", "points", "duplicates", "flip", "crops", "boxes", "photos")
"""In the order of the report."""

IGNORABLE = CHECKS[:-1]
"""Those that find something; photos are only described."""

SHOWN = 10
"""Items of a finding that the terminal shows; the page has all."""


def check(config: DictConfig) -> list[Section]:
    """Reads all faces and photos of `config.data` once, and writes `check.html`, `check.png` and `check.json`.

    Returns:
        What each check says.

    Raises:
        KeyposError: if a setting is bad, or the folder is not the dataset's.
    """
    start = time.perf_counter()
    check_settings(config)
    frame = {"padding": config.padding, "image_size": config.image_size}
    seen = survey(instantiate(config.data), instantiate(config.box), **frame, limit=config.limit)
    shape, pairs = mean_shape(seen.keypoints), likeness.pairs_of(seen)
    mirror = symmetry(shape, seen.markup.flip)
    sections = [excuse(section, ignored(config)) for section in run_checks(seen, shape, mirror, pairs)]
    tiles = sheet.tiles(seen, sheet.choose(seen, shape, pairs, config.faces))
    mean, run = sheet.mean_figure(seen.markup, shape, mirror), Path(config.run_dir)
    facts = list(map(readable, settings(config)))
    write_text(run / "check.html", page.html(f"Check of {seen.name}", facts, sections, tiles, mean))
    viz.save(run / "check.png", sheet.contact_sheet(tiles, mean))
    write_json(run / "check.json", {"data": seen.name, "facts": facts, "checks": page.plain(sections)})
    say(sections, f"{count(len(seen.faces), 'face')} in {time.perf_counter() - start:.1f} s", run / "check.html")
    return sections


def check_settings(config: DictConfig) -> None:
    """Refuses a setting that makes no sense.

    Raises:
        KeyposError: naming it.
    """
    for name in ignored(config):
        check_choice("ignore", name, IGNORABLE)
    for setting, value in (("faces", config.faces), ("limit", 1 if config.limit is None else config.limit)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise KeyposError(f"{setting}={value}", "is not a whole number of at least 1", "give such a number")


def ignored(config: DictConfig) -> list[str]:
    """The checks that the user ignores: none, one by its name, or a list."""
    names = config.ignore
    return [] if names is None else list(map(str, names if OmegaConf.is_list(names) else [names]))


def settings(config: DictConfig) -> list[str]:
    """What was checked, a line each."""
    groups: dict[str, Any] = {name: OmegaConf.to_container(config[name], resolve=True) for name in ("data", "box")}
    return [
        *(
            f"{group}.{key}: {_brief(value)}"
            for group, of in groups.items()
            for key, value in of.items()
            if key[0] != "_"
        ),
        *([f"limit: {config.limit} photos of each split"] if config.limit else []),
        *([f"ignored, notes only: {', '.join(ignored(config))}"] if ignored(config) else []),
    ]


def _brief(value: Any) -> str:
    """A markup that is spelt out is called by its name."""
    return str(value.get("name") if isinstance(value, dict) else value)


def run_checks(seen: Survey, shape: Shape, mirror: Symmetry, pairs: Sequence[Pair]) -> list[Section]:
    """All checks, in the order of `CHECKS`."""
    return [
        files.files(seen),
        files.counts(seen),
        files.norms(seen),
        geometry.points(seen),
        likeness.duplicates(seen, pairs),
        likeness.flip(seen, shape, mirror),
        geometry.crops(seen),
        geometry.boxes(seen),
        files.photos(seen),
    ]


def say(sections: Sequence[Section], took: str, file: Path) -> None:
    """Prints tables and findings."""
    console = Console(soft_wrap=True, highlight=False)
    for header, group in groupby(sections, key=lambda section: section.header[1:]):
        console.print(table(list(group), header))
    found = [(section.check, finding) for section in sections for finding in section.findings]
    for name, finding in sorted(found, key=lambda pair: pair[1].level == WRONG):  # the worst above the verdict
        colour = "red" if finding.level == WRONG else "yellow"
        console.print(f"[{colour}]{finding.level}[/] {name}: {escape(advised(finding))}")
        for item in finding.items[:SHOWN]:
            console.print(f"      {escape(item)}")
        if len(finding.items) > SHOWN:
            console.print(f"      and {len(finding.items) - SHOWN} more")
    console.print(f"{took}. {page.verdict(sections)}: {file}", markup=False)


def table(sections: Sequence[Section], header: Sequence[str]) -> Table:
    """The measures of checks that share their columns."""
    found = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("check", "", *header):
        found.add_column(name, justify="left" if name in ("check", "") else "right", no_wrap=True)
    for section in sections:
        for i, cells in enumerate(section.rows):
            found.add_row("" if i else section.check, *map(escape, cells))
        found.add_section()
    return found


@command("check")
def main(config: DictConfig) -> None:
    """Checks a dataset; the status is 1 where something is wrong."""
    if any(section.level == WRONG for section in check(config)):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
