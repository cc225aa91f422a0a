from collections.abc import Callable

import pytest
from omegaconf import DictConfig

from keyposs.errors import KeyposError
from keyposs.trainer import build_trainer


@pytest.mark.parametrize(
    ("override", "words"),
    [
        (
            "trainer.precision=bf16-true",
            r"trainer.precision=bf16-true: rounds keypoints .* use trainer.precision=bf16-mixed",
        ),
        ("trainer.precision=16-true", "use trainer.precision=16-mixed"),
        ("trainer.max_epochs=0", "trainer.max_epochs=0: trains nothing"),
        ("++trainer.fast_dev_run=true", "leaves no checkpoint to evaluate. Remedy: use trainer=debug"),
    ],
)
def test_what_would_spoil_or_lose_work(small: Callable[..., DictConfig], override: str, words: str) -> None:
    with pytest.raises(KeyposError, match=words):
        build_trainer(small(override), [], logger=False)


@pytest.mark.parametrize(("epochs", "wanted", "every"), [(12, 5, 4), (1, 10, 1), (60, 10, 10), (7, 2, 1)])
def test_the_last_epoch_validates(small: Callable[..., DictConfig], epochs: int, wanted: int, every: int) -> None:
    config = small(f"trainer.max_epochs={epochs}", f"++trainer.check_val_every_n_epoch={wanted}")
    assert build_trainer(config, [], logger=False).check_val_every_n_epoch == every
