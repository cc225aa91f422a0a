"""The callback that keeps the checkpoint of the best validation."""

from pathlib import Path
from typing import Any

from pytorch_lightning.callbacks import ModelCheckpoint


class Best(ModelCheckpoint):
    """Lightning's ModelCheckpoint, which also knows its best score where a run goes on in a folder that was moved.

    Lightning compares the folder's path with the stored one, and else forgets the score: the next epoch, however bad,
    would replace the best checkpoint.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes the state as if it had been stored in the folder at hand."""

        def here(path: str) -> str:
            return str(Path(str(self.dirpath)) / Path(path).name) if path else path

        paths = {key: here(state_dict[key]) for key in ("best_model_path", "kth_best_model_path", "last_model_path")}
        scores = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **paths, "best_k_models": scores, "dirpath": self.dirpath})
