"""What is in a data set: counts, gaps, and which attributes know something about which."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from .dataset import Dataset

ROWS = 8192


@dataclass(frozen=True)
class AttributeSummary:
    """One attribute: name, aliases, how many observed objects have each label, and the share without one."""

    name: str
    aliases: tuple[str, ...]
    counts: dict[str, int]
    missing_rate: float


@dataclass(frozen=True)
class Dependence:
    """Mutual information of two attributes in nats, over the `n` objects where both are observed."""

    first: str
    second: str
    nats: float
    n: int


@dataclass(frozen=True)
class Summary:
    """What `tnp data inspect` prints.

    Args:
        name, split, n, shape: which data set and part, how many images of what shape (C, H, W).
        mean, std: of the pixels scaled to [0, 1].
        attributes: one entry per attribute.
        dependences: every pair of attributes, the most dependent first.
        notes: remarks of the loader.
    """

    name: str
    split: str
    n: int
    shape: tuple[int, int, int]
    mean: float
    std: float
    attributes: tuple[AttributeSummary, ...]
    dependences: tuple[Dependence, ...]
    notes: tuple[str, ...]


def summary(ds: Dataset) -> Summary:
    """Summarise what training may see of a data set (hidden labels count as missing).

    The mutual information is that of the empirical distribution, I(a; b) = sum p(a, b) log
    p(a, b) / (p(a) p(b)) in nats; independent attributes give about (C_a - 1)(C_b - 1) / 2n, not zero.

    >>> import tnprior_data
    >>> tnprior_data.summary(tnprior_data.load("digits")).attributes[0].counts["3"]
    146
    """
    mean, std = _moments(ds.x)
    codes, observed = ds.codes, ds.observed
    attributes = []
    for a, attribute in enumerate(ds.schema):
        counts = torch.bincount(codes[observed[:, a], a], minlength=len(attribute.labels)).tolist()
        rate = 1.0 - float(observed[:, a].double().mean()) if len(ds) else 0.0
        labelled = dict(zip(attribute.labels, counts, strict=True))
        attributes.append(AttributeSummary(attribute.name, attribute.aliases, labelled, rate))
    pairs = sorted(_dependences(ds), key=lambda pair: -pair.nats)
    return Summary(ds.name, ds.split, len(ds), ds.shape, mean, std, tuple(attributes), tuple(pairs), ds.notes)


def mutual_information(joint: Float64[Tensor, "a b"]) -> float:
    """Mutual information in nats of a table of counts or probabilities; 0 for an empty table.

    >>> round(mutual_information(torch.eye(2, dtype=torch.float64)), 6)  # log 2
    0.693147
    """
    total = joint.sum()
    if total <= 0:
        return 0.0
    p = joint / total
    product = p.sum(1, keepdim=True) * p.sum(0, keepdim=True)
    terms = torch.where(p > 0, p * (p.clamp_min(1e-300).log() - product.clamp_min(1e-300).log()), 0.0)
    return max(0.0, float(terms.sum()))


def _dependences(ds: Dataset) -> Iterator[Dependence]:
    """Every pair of attributes; all their tables of counts are blocks of one product of one-hot rows."""
    sizes = [len(attribute.labels) for attribute in ds.schema]
    starts = torch.tensor([0, *sizes]).cumsum(0)
    joint = torch.zeros(int(starts[-1]), int(starts[-1]), dtype=torch.float64)
    for codes, observed in zip(ds.codes.split(ROWS), ds.observed.split(ROWS), strict=True):
        hot = torch.zeros(len(codes), len(joint)).scatter_(1, codes + starts[:-1], observed.float())
        joint += hot.T @ hot
    for b, second in enumerate(ds.schema):
        for a, first in enumerate(ds.schema[:b]):
            block = joint[starts[a] : starts[a + 1], starts[b] : starts[b + 1]]
            yield Dependence(first.name, second.name, mutual_information(block), int(block.sum()))


def _moments(x: Tensor) -> tuple[float, float]:
    """Mean and standard deviation of bytes as fractions of 255, from their histogram."""
    if x.numel() == 0:
        return 0.0, 0.0
    counts = torch.bincount(x.flatten(), minlength=256).double()
    levels = torch.arange(256, dtype=torch.float64) / 255
    weights = counts / counts.sum()
    mean = (weights * levels).sum()
    return float(mean), float((weights * (levels - mean) ** 2).sum().sqrt())
