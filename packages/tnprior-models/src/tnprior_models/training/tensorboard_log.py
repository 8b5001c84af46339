"""The numbers of a run for TensorBoard."""

from pathlib import Path
from typing import TYPE_CHECKING

from tnprior_models.errors import ModelError
from tnprior_models.training.run import Callback, Run, StopReason

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorBoardLog(Callback):
    """Writes every number of every epoch as a scalar over updates; needs the extra `tensorboard`.

    Args:
        directory: where the events go; None for `tensorboard` in the run directory.

    Raises:
        ModelError: TensorBoard is not installed.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._writer: SummaryWriter | None = None
        try:
            import torch.utils.tensorboard  # noqa: F401
        except ImportError as error:
            raise ModelError(
                "TensorBoard is not installed: python3 -m pip install 'tnprior-models[tensorboard]'"
            ) from error

    def before_training(self, run: Run) -> None:
        """Open a file of events; those beyond the run's position are marked as void."""
        from torch.utils.tensorboard import SummaryWriter

        directory = self._directory or (run.directory / "tensorboard" if run.directory else None)
        if directory is None:
            raise ModelError("TensorBoardLog: expected a directory, because the run has none")
        self._writer = SummaryWriter(str(directory), purge_step=run.progress.step + 1)

    def after_epoch(self, run: Run) -> None:
        """Write the epoch's numbers at the present update."""
        if self._writer is not None:
            for name, value in run.metrics.items():
                if "/" in name:
                    self._writer.add_scalar(name, value, run.progress.step)
            self._writer.flush()

    def after_training(self, run: Run, reason: StopReason) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
