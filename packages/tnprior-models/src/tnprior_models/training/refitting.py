"""Fitting a part of the model anew between epochs, such as its prior."""

from collections.abc import Callable, Iterable

from torch import Tensor

from tnprior_models.training.run import Callback, Run


class Refit(Callback):
    """Calls `action` at the beginning of the epochs that `due` picks.

    Args:
        action: overwrites parameters of `run.model` and returns them; their optimiser states and averages
            start afresh.
        due: whether it is time when that many epochs are completed, such as `RefitSchedule().due`.
    """

    def __init__(self, action: Callable[[Run], Iterable[Tensor]], due: Callable[[int], bool]) -> None:
        self._action = action
        self._due = due

    def refit(self, run: Run) -> Iterable[Tensor]:
        """The parameters that were overwritten, none if it is not time."""
        return self._action(run) if self._due(run.progress.epoch) else ()
