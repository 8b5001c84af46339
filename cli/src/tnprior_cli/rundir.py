"""A run directory from the outside: what is in it, without loading a single weight."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tnprior_cli.attributes import ATTRIBUTES, Objects, read_json, read_objects
from tnprior_cli.config import RunConfig
from tnprior_cli.errors import BadDataError, UsageError
from tnprior_cli.settings import check

if TYPE_CHECKING:
    from tnprior_data import Dataset

CONFIG, CONFIG_TOML, WEIGHTS = "config.json", "config.toml", "model.safetensors"
CARD, METRICS, ENVIRONMENT, REPORT = "README.md", "metrics.jsonl", "env.json", "report.json"
CHECKPOINTS, SAMPLES = "checkpoints", "samples"


@dataclass(frozen=True)
class RunDirectory:
    """What a run says about itself."""

    path: Path
    config: RunConfig
    objects: Objects

    @property
    def weights(self) -> Path:
        """The file of weights.

        Raises:
            BadDataError: training has not written it yet.
        """
        path = self.path / WEIGHTS
        if not path.is_file():
            raise BadDataError(
                f"{self.path} has no {WEIGHTS} yet; finish training with: tnp train {self.path} --resume"
            )
        return path

    @property
    def weights_exist(self) -> bool:
        """Whether training has written weights yet."""
        return (self.path / WEIGHTS).is_file()

    def check_data(self, data: "Dataset", *, attributes: bool = True) -> None:
        """Whether a data set is of the kind that the run was trained on; the shapes alone without `attributes`.

        Raises:
            BadDataError: its shapes or attributes differ.
        """
        named = not attributes or tuple(item.name for item in data.schema) == self.objects.names
        if data.shape != self.objects.shape or not named:
            raise BadDataError(
                f"{self.config.data.name} is not what {self.path} was trained on: the attributes or shapes differ"
            )

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl, up to the first that a kill cut short."""
        rows = []
        path = self.path / METRICS
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break
        return rows

    def report(self) -> dict[str, Any] | None:
        """What `tnp eval` last found, if it ran."""
        path = self.path / REPORT
        return dict(read_json(path)) if path.is_file() else None


def open_run(path: Path) -> RunDirectory:
    """Reads the description of a run.

    Raises:
        BadDataError: there is no run at the path, or its description is damaged.
    """
    if not is_run(path):
        what = "not a run directory" if path.exists() else "no such directory"
        raise BadDataError(
            f"{path}: {what}; a run is what `tnp train` writes, with {CONFIG} and {ATTRIBUTES}"
        )
    try:
        config = check(read_json(path / CONFIG), str(path / CONFIG))
    except UsageError as error:
        raise BadDataError(str(error)) from error
    return RunDirectory(path, config, read_objects(path))


def is_run(path: Path) -> bool:
    """Whether the path is a run directory."""
    return (path / CONFIG).is_file() and (path / ATTRIBUTES).is_file()
