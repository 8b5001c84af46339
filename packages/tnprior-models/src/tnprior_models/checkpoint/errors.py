"""What goes wrong when a checkpoint is read."""

from tnprior_models.errors import ModelError


class CheckpointError(ModelError):
    """A file of weights or of training state is absent, damaged, or belongs to something else."""
