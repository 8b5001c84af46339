"""What every metric returns: a frozen record that becomes JSON and rows of a table."""

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from tnprior_eval.errors import EvalError
from tnprior_eval.estimate import Estimate
from tnprior_eval.protocol import Protocol

Json = None | bool | int | float | str | list[Any] | dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of a report: a name unique within it, the number, how it was measured."""

    name: str
    estimate: Estimate
    protocol: Protocol


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result(ABC):
    """What a metric found. Subclasses are frozen, carry their `protocol` and name themselves with `metric`.

    `label` is the name of the number in a report, where one metric may stand several times
    (`imputation-accuracy`, `generated-accuracy`).
    """

    metric: ClassVar[str]
    label: str
    protocol: Protocol

    @abstractmethod
    def rows(self) -> tuple[Row, ...]:
        """The numbers to print, the main one first."""

    def to_dict(self) -> dict[str, Json]:
        """Everything the result holds, as JSON: numbers that are not finite become strings."""
        fields = {field.name: plain(getattr(self, field.name)) for field in dataclasses.fields(self)}
        return {"metric": self.metric, **fields}


def plain(value: object) -> Json:
    """Dataclasses, mappings, sequences and numbers as strict JSON values.

    >>> plain({"a": (1, float("nan"))})
    {'a': [1, 'nan']}
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [plain(item) for item in value]
    raise EvalError(
        f"expected numbers, text, sequences or dataclasses in a result, received {type(value).__name__}"
    )
