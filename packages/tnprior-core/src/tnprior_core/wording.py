"""From the words of a condition to knowledge: the one place that checks what a user wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from tnprior_core.errors import ImpossibleEvidenceError, ShapeError
from tnprior_core.evidence import Between, Likelihood, Noisy, Not, OneOf, Word, unfit
from tnprior_core.knowledge import Exact, Knowledge, SoftLabels, SoftNormal
from tnprior_core.sites import Categorical, Gaussian, Site, find_site

__all__ = ["flat_table", "learn", "learn_table"]


def learn(
    knowledge: Knowledge, sites: Sequence[Site], evidence: Mapping[str, Word], like: Tensor
) -> Knowledge:
    """Add named evidence to what is known; `like` gives dtype and device."""
    for name, word in evidence.items():
        index = find_site(sites, name)
        site = sites[index]
        if isinstance(site, Categorical):
            knowledge = _learn_label(knowledge, index, site, word, like, len(sites))
        else:
            knowledge = _learn_number(knowledge, index, site, word, like, len(sites))
    return knowledge


def learn_table(
    knowledge: Knowledge,
    sites: Sequence[Site],
    columns: Sequence[int],
    values: Tensor,
    known: Tensor | None,
    *,
    checks: bool = True,
) -> Knowledge:
    """Add exact values (B, C) of the given columns where `known` (B, C), everywhere where it is None."""
    complete = known is None
    known = torch.ones_like(values, dtype=torch.bool) if known is None else known
    if checks:
        check_cells([sites[column] for column in columns], values, known)
    if not complete:
        values = torch.where(known, values, torch.zeros_like(values))
    if tuple(columns) != tuple(range(len(sites))):
        where = torch.as_tensor(list(columns), device=values.device)
        table, mask = values.new_zeros(len(values), len(sites)), known.new_zeros(len(values), len(sites))
        values, known = table.index_copy(1, where, values), mask.index_copy(1, where, known)
    return knowledge.with_exact(Exact(values, known, set(columns), complete), len(values))


def flat_table(
    value: Tensor, observed: Tensor | None, width: int, batch: torch.Size, like: Tensor
) -> tuple[Tensor, Tensor | None, torch.Size]:
    """Return values and mask, if any, as tables (n, K) against a batch shape, and the shape of the answer.

    Raises ShapeError for values that are not (..., K), a mask that is not boolean, or shapes that do not broadcast.
    """
    if value.dim() < 1 or value.shape[-1] != width:
        raise ShapeError(f"expected values of shape (..., {width}), received {tuple(value.shape)}")
    if observed is not None and observed.dtype != torch.bool:
        raise ShapeError(f"expected a boolean mask `observed`, received {observed.dtype}")
    mask = value.shape if observed is None else observed.shape
    try:
        shape = torch.broadcast_shapes(value.shape, mask, (*batch, width))
    except RuntimeError as error:
        raise ShapeError(
            f"expected values {tuple(value.shape)}, observed {tuple(mask)} and batch_shape {tuple(batch)} to broadcast"
        ) from error
    values = value.to(like).expand(shape).reshape(-1, width)
    known = None if observed is None else observed.to(values.device).expand(shape).reshape(-1, width)
    return values, known, shape[:-1]


def check_cells(sites: Sequence[Site], values: Tensor, known: Tensor) -> None:
    """Raise if an observed cell (B, C) is NaN, or a categorical one is no integer code of its site."""
    limits = [site.states if isinstance(site, Categorical) else torch.inf for site in sites]
    limit = torch.tensor(limits, dtype=values.dtype, device=values.device)
    code = torch.isfinite(limit)
    misfit = code & ((values < 0) | (values >= limit) | (values != values.floor()))
    wrong = known & (misfit | torch.isnan(values))
    if not bool(wrong.any()):
        return
    row, column = wrong.nonzero()[0].tolist()
    site = sites[column]
    expected = f"an integer code 0 ... {site.states - 1}" if isinstance(site, Categorical) else "a number"
    raise ShapeError(
        f"site {site.name!r}, example {row}: expected {expected}, received {values[row, column].item():g}; "
        "mark missing cells as False in `observed`"
    )


def _learn_label(
    knowledge: Knowledge, index: int, site: Categorical, word: Word, like: Tensor, width: int
) -> Knowledge:
    if isinstance(word, OneOf | Not):
        chosen = {site.code(label) for label in word.labels}
        allowed = [(code in chosen) == isinstance(word, OneOf) for code in range(site.states)]
        if not any(allowed):
            raise ImpossibleEvidenceError(
                f"site {site.name!r}: {word!r} leaves no label; expected at least one"
            )
        mask = torch.tensor([0.0 if fits else -torch.inf for fits in allowed]).to(like)
        return knowledge.with_soft(index, SoftLabels(mask.unsqueeze(0)), None)
    if isinstance(word, Likelihood):
        return _learn_likelihood(knowledge, index, site, word, like)
    codes, known, batch = _codes(site, word, like)
    return knowledge.with_exact(_column(index, codes, known, width), batch)


def _learn_likelihood(
    knowledge: Knowledge, index: int, site: Categorical, word: Likelihood, like: Tensor
) -> Knowledge:
    weights = _tensor(site, word.weights, like)
    if weights.dim() not in (1, 2) or weights.shape[-1] != site.states:
        raise unfit(
            site.name, tuple(weights.shape), f"weights of shape ({site.states},) or (B, {site.states})"
        )
    if not bool((torch.isfinite(weights) & (weights >= 0)).all()):
        raise unfit(site.name, word, "finite weights, none of them negative")
    if bool((weights.amax(-1) == 0).any()):
        raise ImpossibleEvidenceError(f"site {site.name!r}: expected a weight above zero, received all zeros")
    rows = weights.unsqueeze(0) if weights.dim() == 1 else weights
    return knowledge.with_soft(index, SoftLabels(rows.log()), None if weights.dim() == 1 else len(weights))


def _tensor(site: Site, numbers: object, like: Tensor) -> Tensor:
    try:
        return torch.as_tensor(numbers, dtype=like.dtype, device=like.device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise unfit(site.name, numbers, "numbers or a tensor of them") from error


def _codes(site: Categorical, word: Word, like: Tensor) -> tuple[Tensor, Tensor, int | None]:
    if isinstance(word, str):
        codes = torch.tensor([float(site.code(word))]).to(like)
        return codes, torch.ones_like(codes, dtype=torch.bool), None
    if isinstance(word, Tensor) and word.dim() == 1 and not word.is_floating_point():
        codes = word.to(like)
        known = torch.ones_like(codes, dtype=torch.bool)
        check_cells([site], codes.unsqueeze(1), known.unsqueeze(1))
        return codes, known, len(codes)
    if isinstance(word, Sequence) and all(label is None or isinstance(label, str) for label in word):
        codes = torch.tensor([0.0 if label is None else float(site.code(label)) for label in word]).to(like)
        known = torch.tensor([label is not None for label in word], device=like.device)
        return codes, known, len(codes)
    raise unfit(
        site.name, word, "a label (string), a list of labels, an integer tensor (B,) of codes, or OneOf / Not"
    )


def _learn_number(
    knowledge: Knowledge, index: int, site: Gaussian, word: Word, like: Tensor, width: int
) -> Knowledge:
    if isinstance(word, Between):
        low, high, batch = _pair(site, word.low, word.high, like)
        if not bool((low < high).all()):
            raise ImpossibleEvidenceError(f"site {site.name!r}: expected low < high, received {word!r}")
        zero = torch.zeros_like(low)
        return knowledge.with_soft(index, SoftNormal(zero, zero + torch.inf, zero, low, high), batch)
    if isinstance(word, Noisy):
        value, sigma, batch = _pair(site, word.value, word.sigma, like)
        if not bool((torch.isfinite(value) & torch.isfinite(sigma) & (sigma > 0)).all()):
            raise unfit(site.name, word, "a finite value and a finite sigma above zero")
        zero = torch.zeros_like(value)
        return knowledge.with_soft(
            index, SoftNormal(value, sigma.log(), zero, zero - torch.inf, zero + torch.inf), batch
        )
    if isinstance(word, bool) or not isinstance(word, int | float | Tensor):
        raise unfit(site.name, word, "a number, a tensor (B,), Between(low, high) or Noisy(value, sigma)")
    value, _, batch = _pair(site, word, 0.0, like)
    if not bool(torch.isfinite(value).all()):
        raise unfit(site.name, word, "finite numbers")
    return knowledge.with_exact(_column(index, value, torch.ones_like(value, dtype=torch.bool), width), batch)


def _pair(
    site: Gaussian, first: float | Tensor, second: float | Tensor, like: Tensor
) -> tuple[Tensor, Tensor, int | None]:
    a, b = _tensor(site, first, like), _tensor(site, second, like)
    if a.dim() > 1 or b.dim() > 1 or (a.dim() == b.dim() and a.shape != b.shape):
        raise unfit(site.name, (tuple(a.shape), tuple(b.shape)), "numbers or tensors of one shape (B,)")
    a, b = torch.broadcast_tensors(a, b)
    return a.reshape(-1), b.reshape(-1), None if a.dim() == 0 else len(a)


def _column(index: int, values: Tensor, known: Tensor, width: int) -> Exact:
    table = values.new_zeros(len(values), width)
    mask = torch.zeros(len(values), width, dtype=torch.bool, device=values.device)
    where = torch.tensor([index], device=values.device)
    return Exact(
        table.index_copy(1, where, values.unsqueeze(1)),
        mask.index_copy(1, where, known.unsqueeze(1)),
        {index},
    )
