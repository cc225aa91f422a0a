"""The methods beside each other: what each costs, how far off its points are, and how it was trained.

    python scripts/methods.py RUN [RUN ...]
    python scripts/methods.py RUN [RUN ...] --out docs/methods.md

A RUN is the folder of a finished run, or of several. One after another, each in processes of its own, their networks
read batches of 1 and 32 faces on this machine: keep it idle meanwhile. `--no-speed` takes the latency that each run
measured itself. With `--out` the tables take the place of what stands between the two lines

    <!-- methods: begin -->
    <!-- methods: end -->

of the page; NME against MACs is drawn beside it, as PNG and SVG. Else the tables are printed.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track
from tabled import Part

from keyposs import plots, speed
from keyposs.config import plain_mistakes
from keyposs.errors import KeyposError
from keyposs.files import atomic
from keyposs.report import find_runs
from keyposs.reports.comparison import compare
from keyposs.reports.methods import NEEDED, Method, scatter, section, tagged
from keyposs.reports.run import Run, read_run

PART = "methods"


def open_runs(paths: Sequence[Path]) -> list[Method]:
    """The runs in some folders, the cheapest first.

    Raises:
        KeyposError: if one has not finished, or lacks what the tables need, or two cannot be compared.
    """
    folders = dict.fromkeys(folder.resolve() for path in paths for folder in find_runs(path))
    runs = [read_run(folder) for folder in folders]
    for run in runs:
        if lacking := [key for key in NEEDED if run.facts.get(key) is None]:
            remedy = f"evaluate its checkpoint again: python -m keyposs.evaluate checkpoint={run.folder}"
            raise KeyposError(run.folder / "run.json", f"lacks {', '.join(lacking)}", remedy)
    compare(runs)
    return tagged(sorted(map(Method, runs), key=lambda method: (method.gmacs, method.run.name)))


def measure(methods: Sequence[Method], device: str) -> list[Method]:
    """The methods with their speed here, one after another."""
    watched = track(methods, "measuring", console=Console(stderr=True), transient=True)
    return [of._replace(speed=speed.run_apart(str(checkpoint(of.run)), "--device", device)) for of in watched]


def checkpoint(run: Run) -> Path:
    """Of a training its folder; of an evaluation what it has read."""
    return run.folder if (run.folder / "checkpoints").is_dir() else Path(run.facts["checkpoint"])


def write(page: Path, methods: Sequence[Method]) -> None:
    """Puts tables and picture into a page."""
    text, figure = section(methods, page.with_suffix(".png").name), scatter(methods)
    for suffix, content in ((".png", plots.png(figure)), (".svg", plots.svg(figure))):
        with atomic(page.with_suffix(suffix)) as temporary:
            temporary.write_bytes(content)
    Part(page, PART).write(text)


def page_file(text: str) -> Path:
    if Path(text).suffix != ".md":
        raise argparse.ArgumentTypeError(f"{text!r} does not end in .md")
    return Path(text)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folders of finished runs, or of sweeps")
    parser.add_argument("--out", type=page_file, metavar="FILE", help="the page to put the tables into")
    parser.add_argument("--no-speed", action="store_true", help="measure nothing here")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, mps, or auto")
    chosen = parser.parse_args(arguments)
    with plain_mistakes():
        if chosen.out:
            _ = Part(chosen.out, PART).around  # a page without a place is refused before anything is measured
        methods = open_runs(chosen.runs)
        methods = methods if chosen.no_speed else measure(methods, chosen.device)
        if chosen.out:
            write(chosen.out, methods)
    console = Console(soft_wrap=True)
    console.print(f"page: {chosen.out}" if chosen.out else section(methods, None), markup=False, highlight=False)


if __name__ == "__main__":
    main()
