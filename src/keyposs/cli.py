"""`keyposs`: the commands of the shell."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

import keyposs
from keyposs.errors import KeyposError
from keyposs.terminal import printable

FORWARDED = {
    "train": "Trains a network: keyposs train heatmap_size=8 data=300w data.root=FOLDER",
    "evaluate": "Measures a trained network: keyposs evaluate checkpoint=keyposs-8 data=300w data.root=FOLDER",
    "export": "Writes a trained network as ONNX: keyposs export checkpoint=keyposs-8 format=onnx",
    "check": "Reads a whole dataset and says what is wrong with it: keyposs check data=wflw data.root=FOLDER",
    "robustness": "Measures what sloppy boxes cost: keyposs robustness checkpoint=keyposs-8 data=300w data.root=FOLDER",
    "speed": "Measures latency and memory: keyposs speed checkpoint=keyposs-8",
    "report": "Makes tables and plots of finished runs: keyposs report RUN RUN",
}
"""Commands that take words of their own, as `python -m keyposs.NAME` does."""

ANY = click.Path(path_type=Path, readable=False)
"""A path that click does not look at: `keyposs.shell` says more plainly what is wrong with it."""

SOME_BROKEN, INTERRUPTED = 3, 130

REMEDY = "see that the disk has space and takes the file, then give the same command again: it goes on"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(keyposs.__version__, prog_name="keyposs")
def main() -> None:
    """Facial landmarks at any heatmap resolution."""


@main.command()
@click.argument("sources", nargs=-1, type=ANY)
@click.option("--camera", type=click.IntRange(0), help="Number of a camera, read until Ctrl-C.")
@click.option("--out", type=ANY, default=Path("landmarks"), show_default=True, help="Folder.")
@click.option("--network", default="keyposs-16", show_default=True, help="Packaged, a run, .safetensors, .ckpt, .onnx.")
@click.option("--boxes", default="scan", show_default=True, help="scan, whole, uniface, or a YuNet model (.onnx).")
@click.option("--passes", default=2, show_default=True, type=click.IntRange(1), help="How often a face is read.")
@click.option("--batch-size", default=32, show_default=True, type=click.IntRange(1), help="Faces at once.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps.")
@click.option("--overlays/--no-overlays", default=True, show_default=True, help="Draw pictures and videos with faces.")
@click.option(
    "--table", type=click.Choice(("csv", "parquet")), default="csv", show_default=True, help="Kind of tables."
)
@click.option("--smooth/--no-smooth", default=True, show_default=True, help="Take the jitter off points of videos.")
def predict(sources: tuple[Path, ...], camera: int | None, out: Path, **options: Any) -> None:
    """Finds the landmarks of pictures, folders of pictures, videos and a camera.

    Faces of pictures go into faces.jsonl, faces.csv and coco.json of the output folder, those of a video into a table
    of its name, and what is drawn into overlays. The same command again goes on where it was interrupted. Ends with 0;
    with 3 where some pictures or videos could not be read, 1 where none.
    """
    from keyposs.shell import read_all  # here: --help starts faster without

    if not sources and camera is None:
        raise click.UsageError("give pictures, videos, folders or --camera 0")
    try:
        broken = read_all(sources, camera, out, **options)
    except KeyposError as error:
        raise click.ClickException(printable(str(error))) from error
    except OSError as error:  # such as a full disk
        cause = f"{error.filename or out}: cannot be written or read ({error.strerror})"
        raise click.ClickException(printable(f"{cause}. Remedy: {REMEDY}.")) from error
    except KeyboardInterrupt:
        click.echo("interrupted: the same command goes on", err=True)
        sys.exit(INTERRUPTED)
    sys.exit(SOME_BROKEN if broken else 0)


def _forward(name: str, said: str) -> None:
    @main.command(
        name,
        help=said,
        short_help=said.partition(":")[0],
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )
    @click.argument("words", nargs=-1, type=click.UNPROCESSED)
    def run(words: tuple[str, ...]) -> None:
        sys.argv = [f"keyposs {name}", *words]
        sys.path.insert(0, "")  # as `python -m` does: configs may name modules of the current folder
        import_module(f"keyposs.{name}").main()


for _name, _said in FORWARDED.items():
    _forward(_name, _said)


if __name__ == "__main__":
    main()
