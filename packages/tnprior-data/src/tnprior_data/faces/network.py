"""A Bayesian network of binary attributes, small enough to enumerate."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import torch
from jaxtyping import Float64, Int, Int64
from torch import Tensor

from tnprior_data.errors import DataError
from tnprior_data.schema import Attribute, Schema, resolve


@dataclass(frozen=True)
class Node:
    """One attribute given others.

    Args:
        attribute: with two labels.
        parents: names of earlier attributes.
        probabilities: p(second label | parents), one per combination of parent codes, the last parent
            running fastest.
    """

    attribute: Attribute
    parents: tuple[str, ...]
    probabilities: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Conditional:
    """The exact distribution of all attributes given some of them.

    Args:
        log_evidence: log p(given) in nats.
        joint: (2, ..., 2) probabilities of all attributes, zero where they contradict the evidence.
        marginals: attribute name -> (2,) probabilities.
    """

    log_evidence: float
    joint: Float64[Tensor, "..."]
    marginals: Mapping[str, Float64[Tensor, " 2"]]


class BinaryNetwork:
    """The joint distribution p(y) = prod_a p(y_a | parents of y_a), every query by enumeration of 2^A states.

    >>> rain = Node(Attribute("rain", ("0", "1")), (), (0.25,))
    >>> wet = Node(Attribute("wet", ("0", "1")), ("rain",), (0.1, 0.9))
    >>> posterior = BinaryNetwork((rain, wet)).conditional({"wet": "1"})
    >>> round(posterior.marginals["rain"][1].item(), 4)  # 0.225 / 0.3
    0.75
    """

    def __init__(self, nodes: tuple[Node, ...]) -> None:
        self.nodes = nodes
        self.schema: Schema = tuple(node.attribute for node in nodes)
        self._position = MappingProxyType({a.name: k for k, a in enumerate(self.schema)})
        for k, node in enumerate(nodes):
            _check(node, self.schema[:k])

    @cached_property
    def joint(self) -> Float64[Tensor, "..."]:
        """(2, ..., 2) float64 probabilities, one axis per attribute in the order of the schema."""
        size = len(self.nodes)
        joint = torch.ones((2,) * size, dtype=torch.float64)
        for k, node in enumerate(self.nodes):
            axes = [*(self._position[name] for name in node.parents), k]
            shape = [2 if axis in axes else 1 for axis in range(size)]
            order = sorted(range(len(axes)), key=lambda i: axes[i])
            joint = joint * _table(node).permute(order).reshape(shape)
        return joint

    def log_prob(self, codes: Int[Tensor, "*batch A"]) -> Float64[Tensor, "*batch"]:
        """Log-probability in nats of codes (..., A), 0 or 1.

        Raises:
            DataError: another number of attributes, or codes that are neither 0 nor 1.
        """
        if codes.shape[-1:] != (len(self.nodes),):
            raise DataError(f"expected codes (..., {len(self.nodes)}); got shape {tuple(codes.shape)}")
        if not bool(((codes == 0) | (codes == 1)).all()):
            raise DataError("codes must be 0 or 1 for every attribute")
        weights = 2 ** torch.arange(len(self.nodes) - 1, -1, -1)
        return self.joint.log().flatten()[(codes.long() * weights).sum(-1)]

    def conditional(self, given: Mapping[str, str]) -> Conditional:
        """All attributes given the labels of some, {name or alias: label}.

        Raises:
            UnknownNameError: no such attribute or label.
        """
        joint = self.joint
        for word, label in given.items():
            attribute = resolve(self.schema, word)
            mask = torch.zeros(2, dtype=torch.float64)
            mask[attribute.code(label)] = 1.0
            shape = [1] * len(self.nodes)
            shape[self._position[attribute.name]] = 2
            joint = joint * mask.reshape(shape)
        evidence = joint.sum()
        posterior = joint / evidence
        marginals = {a.name: posterior.movedim(k, 0).reshape(2, -1).sum(1) for k, a in enumerate(self.schema)}
        return Conditional(math.log(float(evidence)), posterior, MappingProxyType(marginals))

    def codes(self, uniform: Float64[Tensor, "n A"]) -> Int64[Tensor, "n A"]:
        """Ancestral sampling: attribute a is 1 where its uniform number lies below p(1 | parents)."""
        columns: dict[str, Tensor] = {}
        for k, node in enumerate(self.nodes):
            index = torch.zeros(len(uniform), dtype=torch.int64)
            for name in node.parents:
                index = 2 * index + columns[name]
            p = torch.tensor(node.probabilities, dtype=torch.float64)[index]
            columns[node.attribute.name] = (uniform[:, k] < p).long()
        return torch.stack(list(columns.values()), dim=1)


def _table(node: Node) -> Tensor:
    """(2, ..., 2) p(attribute | parents), the attribute's own axis last."""
    one = torch.tensor(node.probabilities, dtype=torch.float64).reshape((2,) * len(node.parents))
    return torch.stack((1 - one, one), dim=-1)


def _check(node: Node, earlier: Schema) -> None:
    name = node.attribute.name
    if len(node.attribute.labels) != 2:
        raise DataError(f"{name!r} must have two labels; got {node.attribute.labels}")
    for parent in node.parents:
        if parent not in {a.name for a in earlier}:
            raise DataError(f"parent {parent!r} of {name!r} must come before it")
    if len(node.probabilities) != 2 ** len(node.parents) or not all(0 < p < 1 for p in node.probabilities):
        raise DataError(
            f"{name!r} with {len(node.parents)} parents needs {2 ** len(node.parents)} probabilities strictly "
            f"between 0 and 1; got {node.probabilities}"
        )
