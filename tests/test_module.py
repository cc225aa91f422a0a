"""The module that trains and reads: what it refuses to build."""

from collections.abc import Callable

import pytest
from omegaconf import DictConfig

from keyposs.errors import KeyposError
from keyposs.markup import MARKUP_68
from keyposs.module import LandmarkModule

Compose = Callable[..., DictConfig]

CASCADE = ("codec=cascade", "image_size=64", "head.every=4", "head.width=4", "head.hidden=16")


@pytest.mark.parametrize("exit", ["mask", "compact"])
def test_a_flip_test_of_faces_that_stop_early_is_refused(composed: Compose, exit: str) -> None:
    stops = (*CASCADE, f"head.exit={exit}", "head.threshold=0.1")
    match = f"flip_test=true: has no sense with head.exit={exit}: a face and its mirror image would stop apart"
    with pytest.raises(KeyposError, match=match):
        LandmarkModule.from_config(composed(*stops, "flip_test=true"), MARKUP_68)
    assert not LandmarkModule.from_config(composed(*stops), MARKUP_68).flip_test
    assert LandmarkModule.from_config(composed(*CASCADE, "flip_test=true"), MARKUP_68).flip_test
