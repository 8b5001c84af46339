"""The files of a run directory that describe it; the training loop writes the others."""

import json
from pathlib import Path
from typing import Any

from tnprior_cli.atomic import write_text
from tnprior_cli.attributes import ATTRIBUTES, Objects
from tnprior_cli.config import RunConfig
from tnprior_cli.model_card import model_card
from tnprior_cli.rundir import CARD, CONFIG, CONFIG_TOML, RunDirectory
from tnprior_cli.toml import write_toml


def write_config(folder: Path, config: RunConfig) -> None:
    """config.json and config.toml: the same, for programs and for `tnp train`."""
    values = config.model_dump(mode="json")
    write_text(folder / CONFIG_TOML, write_toml(values))
    write_text(folder / CONFIG, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def write_description(folder: Path, name: str, config: RunConfig, objects: Objects) -> None:
    """Everything that is known of a run before its first epoch."""
    write_text(folder / ATTRIBUTES, objects.to_json())
    write_text(folder / CARD, model_card(config, objects, name, [], None))
    write_config(folder, config)


def write_json(content: Any, path: Path) -> None:
    """A JSON file, whole or not at all."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_card(run: RunDirectory) -> None:
    """README.md with the numbers that the run holds now."""
    card = model_card(run.config, run.objects, str(run.path), run.metrics(), run.report())
    write_text(run.path / CARD, card)
