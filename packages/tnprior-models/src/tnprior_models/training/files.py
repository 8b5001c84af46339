"""The run directory: what the training loop writes there, and what a killed run left."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from tnprior_models.checkpoint.atomic import remove_partial_files, replace_file
from tnprior_models.checkpoint.training_state import (
    has_training_state,
    load_training_state,
    save_training_state,
)
from tnprior_models.checkpoint.weights import save_weights
from tnprior_models.errors import ModelError

LAST, BEST = "last", "best"


class RunFiles:
    """Paths and writers of a run directory.

    Args:
        directory: the run directory; it need not exist.
        metadata: plain JSON that is stored with the weights, enough to build the model again.
    """

    def __init__(self, directory: Path, metadata: Mapping[str, Any]) -> None:
        self.directory = directory
        self._metadata = metadata

    @property
    def weights(self) -> Path:
        """The file to sample from."""
        return self.directory / "model.safetensors"

    def checkpoint(self, name: str) -> Path:
        """The directory of the checkpoint `name`, "last" or "best"."""
        return self.directory / "checkpoints" / name

    def started(self) -> bool:
        """Whether a run ever wrote a checkpoint here."""
        return has_training_state(self.checkpoint(LAST))

    def clean(self) -> None:
        """Remove the half-written files of a run that was killed; only files of that kind.

        Raises:
            ModelError: the directory cannot be written.
        """
        try:
            for directory in (self.directory, self.checkpoint(LAST), self.checkpoint(BEST)):
                directory.mkdir(parents=True, exist_ok=True)
                remove_partial_files(directory)
        except OSError as error:
            raise ModelError(f"cannot use {self.directory} as a run directory: {error.strerror}") from error

    def save(self, name: str, state: Mapping[str, Any]) -> None:
        """Replace a checkpoint."""
        save_training_state(self.checkpoint(name), state)

    def load(self, name: str) -> dict[str, Any]:
        """Read a checkpoint."""
        return load_training_state(self.checkpoint(name))

    def save_product(self, model: nn.Module, facts: Mapping[str, Any]) -> None:
        """Replace the weights to sample from, with `facts` on when they arose beside the metadata."""
        save_weights(self.weights, model, {**self._metadata, "training": dict(facts)})

    def save_environment(self, environment: Mapping[str, Any]) -> None:
        """Replace `env.json`."""
        replace_file(self.directory / "env.json", json.dumps(environment, indent=2).encode())
