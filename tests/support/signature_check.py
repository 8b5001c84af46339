"""The type checker that the import hook of the test run applies to every signature.

Beartype with the numeric tower of PEP 484, as mypy has it: an int is welcome where a float is asked for.
Two kinds of hint are left to mypy. `Self` has no meaning in the functions that the hook hands over one by
one, and a protocol that is no `runtime_checkable` cannot be looked for in an object.
"""

from collections.abc import Callable
from typing import Any, Self, get_args

from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintPep3119Exception

strictly = beartype(conf=BeartypeConf(is_pep484_tower=True))


def holds_self(hint: object) -> bool:
    """Whether `Self` occurs anywhere in a hint."""
    return hint is Self or any(map(holds_self, get_args(hint)))


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function such that a call checks its arguments and its result."""
    hints = getattr(function, "__annotations__", {})
    hints.update({name: Any for name, hint in hints.items() if holds_self(hint)})
    try:
        return strictly(function)
    except BeartypeDecorHintPep3119Exception:
        return function
