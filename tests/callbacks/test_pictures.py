"""What the pictures of a test are drawn from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import nn

from keyposs.callbacks import pictures
from keyposs.codecs import Cascade
from keyposs.data.module import collate
from keyposs.explain import Seen
from keyposs.markup import MARKUP_68
from keyposs.module import LandmarkModule, Reading, truth

HIDDEN = [3, 7]


def test_a_point_that_is_not_annotated_is_explained_as_nan(
    composed: Callable[..., DictConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Seen] = []

    def explain(codec: Any, output: Any, face: Seen) -> dict[str, np.ndarray]:
        given.append(face)
        return {"shown": face.image}

    monkeypatch.setattr(pictures, "explain", explain)
    data = instantiate(composed("image_size=64", "data.train=1", "data.val=1", "data.test=2").datamodule)
    data.setup("test")
    batch = collate([data.face("test", i) for i in range(2)])
    batch.visible[:, HIDDEN] = False
    codec = Cascade(64, (2, 1, 0))
    output = codec.encode(batch.keypoints + 1)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer.datamodule = data  # type: ignore[attr-defined]
    module = LandmarkModule(nn.Identity(), codec, None, None, {}, MARKUP_68)
    reading = Reading(torch.zeros(()), output, codec.decode(output))
    pictures.Pictures(str(tmp_path / "drawn"), "cascade", faces=1).on_test_batch_end(trainer, module, reading, batch, 0)

    (face,) = given
    assert np.flatnonzero(np.isnan(face.keypoints).any(-1)).tolist() == HIDDEN
    seen = batch.visible[0].numpy()
    np.testing.assert_array_equal(face.keypoints[seen], batch.keypoints[0].double().numpy()[seen])
    np.testing.assert_allclose(face.points, batch.keypoints[0].double().numpy() + 1, rtol=1e-6)
    assert (face.norm, face.markup) == (truth(batch).norm[0].item(), MARKUP_68)
    assert sorted(file.name for file in (tmp_path / "drawn").iterdir()) == ["overlays_test.png", "shown_test.png"]
