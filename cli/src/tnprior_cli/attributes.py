"""`attributes.json` of a run: the attributes, their labels in code order, and the shape of an object.

Read without torch, because the shell's completion reads it at every press of the tab key.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tnprior_cli.errors import BadDataError

if TYPE_CHECKING:
    from tnprior_data import Attribute, Dataset

ATTRIBUTES = "attributes.json"


@dataclass(frozen=True)
class RunAttribute:
    """An attribute as the run knows it: its labels in code order and the share that was missing."""

    name: str
    labels: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    opposites: tuple[str, ...] = ()
    missing: float = 0.0


@dataclass(frozen=True)
class Objects:
    """What the objects of a run are: images of `shape` (C, H, W) with these attributes."""

    shape: tuple[int, int, int]
    attributes: tuple[RunAttribute, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the attributes, in code order."""
        return tuple(item.name for item in self.attributes)

    @property
    def label_counts(self) -> list[int]:
        """The number of labels of every attribute."""
        return [len(item.labels) for item in self.attributes]

    def example(self) -> str:
        """The option that gives a condition on the first attributes, to show how one is written; "" without any."""
        condition = ",".join(f"{a.name}={a.labels[-1]}" for a in self.attributes[:2])
        return f" --given {condition}" if condition else ""

    def schema(self) -> "tuple[Attribute, ...]":
        """The attributes as `tnprior_data` knows them."""
        from tnprior_data import Attribute

        return tuple(Attribute(a.name, a.labels, a.aliases, a.opposites) for a in self.attributes)

    def plain(self) -> dict[str, Any]:
        """The same as JSON values."""
        attributes = [{key: _plain(value) for key, value in asdict(item).items()} for item in self.attributes]
        return {"shape": list(self.shape), "attributes": attributes}

    def to_json(self) -> str:
        """The content of attributes.json."""
        return json.dumps(self.plain(), indent=2, ensure_ascii=False) + "\n"


def objects_of(dataset: "Dataset") -> Objects:
    """What a data set's objects are, with the share of each attribute's labels that training cannot see."""
    missing = (~dataset.observed).double().mean(0).tolist() if len(dataset) else [0.0] * len(dataset.schema)
    attributes = tuple(
        RunAttribute(a.name, a.labels, a.aliases, a.opposites, round(share, 6))
        for a, share in zip(dataset.schema, missing, strict=True)
    )
    return Objects(dataset.shape, attributes)


def read_objects(run: Path) -> Objects:
    """The description in a run directory.

    Raises:
        BadDataError: the file is missing or damaged.
    """
    path = run / ATTRIBUTES
    content = read_json(path)
    try:
        channels, height, width = content["shape"]
        attributes = tuple(_attribute(item) for item in content["attributes"])
        return Objects((int(channels), int(height), int(width)), attributes)
    except (KeyError, TypeError, ValueError) as error:
        raise BadDataError(f"{path} is damaged: expected a shape and attributes with labels") from error


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        BadDataError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadDataError(f"{path} is missing") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadDataError(f"{path} is damaged: {error}") from error


def _attribute(item: Any) -> RunAttribute:
    return RunAttribute(
        name=str(item["name"]),
        labels=_texts(item["labels"]),
        aliases=_texts(item.get("aliases", ())),
        opposites=_texts(item.get("opposites", ())),
        missing=float(item.get("missing", 0)),
    )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _texts(items: Sequence[Any]) -> tuple[str, ...]:
    return tuple(str(item) for item in items)
