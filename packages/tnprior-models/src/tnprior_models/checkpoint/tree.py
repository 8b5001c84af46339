"""Nested state (dicts, lists, tuples, tensors, numbers) as JSON beside a flat table of named tensors.

A tensor at `state["optimizers"]["vae"]["weight"]` is stored under the name `optimizers.vae.weight`, and
the JSON holds `{"$tensor": "optimizers.vae.weight"}` in its place. Everything comes back as it was: tuples
as tuples, infinities and NaN as such, floats to the last bit.
"""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from tnprior_models.errors import ModelError

_TENSOR, _TUPLE, _FLOAT = "$tensor", "$tuple", "$float"


def flatten(tree: Any, name: str = "") -> tuple[Any, dict[str, Tensor]]:
    """`tree` as JSON-able values and the tensors it names.

    Raises:
        ModelError: something in it is neither of those types, naming where.

    >>> flatten({"a": (1, 2.5), "b": [None]})
    ({'a': {'$tuple': [1, 2.5]}, 'b': [None]}, {})
    """
    tensors: dict[str, Tensor] = {}
    return _flatten(tree, name, tensors), tensors


def unflatten(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The tree of `flatten`.

    Raises:
        KeyError: a named tensor is not in the table.

    >>> unflatten({"a": {"$tuple": [1, {"$float": "inf"}]}}, {})
    {'a': (1, inf)}
    """
    if isinstance(value, list):
        return [unflatten(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if _TENSOR in value:
        return tensors[value[_TENSOR]]
    if _TUPLE in value:
        return tuple(unflatten(item, tensors) for item in value[_TUPLE])
    if _FLOAT in value:
        return float(value[_FLOAT])
    return {key: unflatten(item, tensors) for key, item in value.items()}


def _flatten(tree: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(tree, Tensor):
        while name in tensors:  # {"a": {"b.c": ...}, "a.b": {"c": ...}} both spell a.b.c
            name += "~"
        tensors[name] = tree
        return {_TENSOR: name}
    if isinstance(tree, Mapping):
        return {_key(key, name): _flatten(item, _join(name, key), tensors) for key, item in tree.items()}
    if isinstance(tree, list | tuple):
        items = [_flatten(item, _join(name, index), tensors) for index, item in enumerate(tree)]
        return {_TUPLE: items} if isinstance(tree, tuple) else items
    if isinstance(tree, float) and not math.isfinite(tree):
        return {_FLOAT: repr(tree)}
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    raise ModelError(
        f"the state {name!r} is a {type(tree).__name__}; checkpoints hold tensors, numbers, strings, None "
        "and lists, tuples and dicts of them"
    )


def _join(name: str, key: object) -> str:
    return f"{name}.{key}" if name else str(key)


def _key(key: object, name: str) -> str:
    if not isinstance(key, str) or key.startswith("$"):
        raise ModelError(
            f"the state {name!r} has the key {key!r}; keys are strings that do not begin with '$'"
        )
    return key
