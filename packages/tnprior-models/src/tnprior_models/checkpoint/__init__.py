"""Weights and training states on disk: safetensors and JSON, nothing executable, never half-written."""

from tnprior_models.checkpoint.atomic import remove_partial_files, replace_file
from tnprior_models.checkpoint.errors import CheckpointError
from tnprior_models.checkpoint.training_state import (
    has_training_state,
    load_training_state,
    save_training_state,
)
from tnprior_models.checkpoint.weights import load_weights, read_metadata, save_weights

__all__ = [
    "CheckpointError",
    "has_training_state",
    "load_training_state",
    "load_weights",
    "read_metadata",
    "remove_partial_files",
    "replace_file",
    "save_training_state",
    "save_weights",
]
