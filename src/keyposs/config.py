"""Where the configs lie, and how a command starts: compose, call, and say plainly what is wrong."""

import logging
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities import rank_zero_only

from keyposs import sweep
from keyposs.distributed import started
from keyposs.errors import KeyposError, cause
from keyposs.files import CONF
from keyposs.resume import run_of
from keyposs.terminal import printable

NOISE = "|".join(
    (
        ".*does not have many workers",
        ".*isinstance.treespec",
        ".*Experiment logs directory",
        ".*smaller than the logging interval",
        ".*sync_dist=True",  # our sums are synchronised before they are logged
        ".*broadcast_buffers. is deprecated",
        "Checkpoint directory .* exists",  # of a run that goes on
    )
)
"""Warnings of Lightning that tell a user of keyposs nothing."""

LISTS = ("decoder", "logger")
"""The groups of which a list is chosen."""

NUMBERS = {
    "batch_size": (int, 1),
    "heatmap_size": (int, 1),
    "image_size": (int, 1),
    "padding": ((int, float), 0.1),
    "seed": (int, 0),
    "datamodule.workers": (int, 0),
    "trainer.max_epochs": (int, 1),
    "trainer.check_val_every_n_epoch": (int, 1),
}
"""Kind and least value of the knobs that parts of other libraries would refuse less plainly."""

for resolver in (run_of, sweep.run_name, sweep.sweep_of, sweep.job_of):
    OmegaConf.register_new_resolver(resolver.__name__, resolver, replace=True)
OmegaConf.register_new_resolver("started", started, use_cache=True, replace=True)  # also for a launcher's processes
OmegaConf.register_new_resolver("times", lambda a, b: a * b, replace=True)
OmegaConf.register_new_resolver("first", lambda *values: next(v for v in values if v is not None), replace=True)


def command(name: str) -> Callable[[Callable[[DictConfig], Any]], Callable[[], None]]:
    """Makes a function of a composed config a command: `conf/<name>.yaml` and the overrides of the command line.

    A `KeyposError`, also one that happened inside Hydra's `instantiate`, is printed without a traceback and ends the
    program with status 1.
    """

    def decorate(run: Callable[[DictConfig], Any]) -> Callable[[], None]:
        def checked(config: DictConfig) -> Any:
            check(config)
            return run(config)

        @wraps(run)
        def guarded(config: DictConfig) -> Any:
            logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
            if rank_zero_only.rank > 0:
                logging.getLogger().setLevel(logging.WARNING)
            warnings.filterwarnings("ignore", NOISE)
            with plain_mistakes():
                return sweep.job(checked, config) if sweep.sweeping() else checked(config)

        start = hydra.main(version_base="1.3", config_path=str(CONF), config_name=name)(guarded)

        @wraps(run)
        def main() -> None:
            sys.argv[1:] = rooted(sys.argv[1:])
            with plain_mistakes():
                check_lists(sys.argv[1:])
                start()

        return main

    return decorate


@contextmanager
def plain_mistakes() -> Iterator[None]:
    """Ends the program with the words of a `KeyposError`, also one that another library has wrapped."""
    try:
        yield
    except Exception as error:
        mistake = cause(error)
        if mistake is None:
            raise
        print(f"keyposs: {printable(str(mistake))}", file=sys.stderr)
        sys.exit(1)


def rooted(words: Iterable[str]) -> list[str]:
    """The command line, with a `data.root` that is taken whatever the data: the default data has none.

    Hydra composes a sweep over experiments, and a run to be resumed, once without the data that they bring.

    >>> rooted(["heatmap_size=8", "data.root=photos"])
    ['heatmap_size=8', '++data.root=photos']
    """
    return [f"++{word}" if word.startswith("data.root=") else word for word in words]


def check_lists(arguments: Iterable[str]) -> None:
    """Names the choices where a list on the command line has an unknown one; Hydra itself names them not.

    A folder of configs on the command line (`--config-dir`) may hold more: then nothing is checked.

    Raises:
        KeyposError: if there is no such decoder or logger.

    >>> check_lists(["decoder=[one_hot,dark]", "heatmap_size=8"])
    """
    arguments = list(arguments)
    if any(argument.startswith(("--config", "-cd", "-cp")) for argument in arguments):
        return
    for group, _, value in (argument.partition("=") for argument in arguments):
        if group not in LISTS or "(" in value:  # such as glob(*)
            continue
        known = sorted(file.stem for file in (CONF / group).glob("*.yaml"))
        for name in value.split(","):
            name = name.strip("[]'\" ")
            if name and name not in known:
                raise KeyposError(f"{group}={name}", "is unknown", f"choose from {', '.join(known)}")


def check(config: DictConfig) -> None:
    """What a composed config is asked before anything is built of it.

    Raises:
        KeyposError: naming the first value that is missing or cannot be.
    """
    _check_complete(config)
    check_numbers(config)
    _check_test(config)
    check_decoders(config)
    check_root(config)
    check_loss(config)


def _check_complete(config: DictConfig) -> None:
    missing = list(_missing(config))
    if missing:
        example = " ".join(f"{key}=..." for key in missing)
        raise KeyposError(", ".join(missing), "is not given", f"add {example} to the command")


def _missing(config: DictConfig, path: str = "") -> Iterator[str]:
    """The keys that are `???`; interpolations are left alone, since some have meaning only later."""
    for key in map(str, config):
        if OmegaConf.is_missing(config, key):
            yield path + key
        elif not OmegaConf.is_interpolation(config, key) and OmegaConf.is_dict(config[key]):
            yield from _missing(config[key], f"{path}{key}.")


def _check_test(config: DictConfig) -> None:
    if not isinstance(config.get("test", True), bool):  # "no" and "off" are words to Hydra, and words are true
        raise KeyposError(f"test={config.test}", "is neither true nor false", "give test=true or test=false")


def check_decoders(config: DictConfig) -> None:
    """Refuses options of a decoder that is not chosen.

    Raises:
        KeyposError: naming it.
    """
    for name, options in (config.get("decoder") or {}).items():
        if "_target_" not in options:
            given = ", ".join(f"decoder.{name}.{key}={value}" for key, value in options.items())
            chosen = ",".join(str(other) for other, of in config.decoder.items() if "_target_" in of)
            remedy = f"add it to the list, decoder=[{chosen},{name}], or take its options out with '~decoder.{name}'"
            raise KeyposError(given, f"is given, but {name} is not among the decoders", remedy)


def check_root(config: DictConfig) -> None:
    """Refuses a folder for the rendered faces, which most likely is that of a dataset not chosen.

    Raises:
        KeyposError: naming it.
    """
    root = OmegaConf.select(config, "data.root")
    if root is not None and config.data._target_ == "keyposs.data.Synthetic" and config.get("resume") is None:
        known = ", ".join(sorted(file.stem for file in (CONF / "data").glob("*.yaml") if file.stem != "synthetic"))
        raise KeyposError(f"data.root={root}", "is given, but no dataset to read there", f"choose data= from {known}")


def check_loss(config: DictConfig) -> None:
    """Refuses a loss for a codec that takes none; a run that goes on may have had one that nothing read.

    Raises:
        KeyposError: naming it.
    """
    codec = config.get("codec")  # not in every command's config
    if config.get("loss") and codec and "loss" not in codec and config.get("resume") is None:
        name, loss = (part._target_.rpartition(".")[2] for part in (codec, config.loss))
        raise KeyposError(f"loss={loss}", f"is not taken by codec={name}, which has its own", "leave loss= out")


def check_numbers(config: DictConfig) -> None:
    """Refuses a value of `NUMBERS` that makes no sense.

    Raises:
        KeyposError: naming it.
    """
    for key, (kinds, least) in NUMBERS.items():
        value = OmegaConf.select(config, key)
        fits = isinstance(value, kinds) and not isinstance(value, bool) and least <= value < float("inf")
        if value is not None and not fits:
            kind = "a whole number" if kinds is int else "a number"
            raise KeyposError(f"{key}={value}", f"is not {kind} of at least {least}", "give such a number")
