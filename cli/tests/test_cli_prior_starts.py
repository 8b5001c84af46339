"""Where a prior starts: what the settings of a start make of its distribution."""

import pytest
import torch

from tnprior_cli.attributes import Objects, RunAttribute
from tnprior_cli.priors import build_prior
from tnprior_cli.settings import resolve

DIGITS = Objects((1, 8, 8), (RunAttribute("digit", tuple("0123456789")),))


@pytest.mark.parametrize("spread", ["0", "0.6"])
def test_a_prior_may_start_close_to_a_standard_normal(spread: str) -> None:
    with torch.no_grad():
        p = build_prior(resolve("digits-ring", ["prior.start=normal", f"prior.spread={spread}"]), DIGITS)()
    assert p.mean.abs().max() < 0.2
    assert (p.variance - 1).abs().max() < 0.2


@pytest.mark.parametrize("leak", ["1", "0.5", "none"])
def test_a_chain_that_leaks_wholly_starts_with_independent_latents(leak: str) -> None:
    """The density of two latents against the product of their own."""
    settings = ["data.attributes=", "prior.start=normal", "prior.spread=0.8", f"prior.leak={leak}"]
    with torch.no_grad():
        p = build_prior(resolve("digits-ring", settings), Objects((1, 8, 8), ()))()
        z = torch.cartesian_prod(torch.linspace(-2, 2, 9), torch.linspace(-2, 2, 9))
        joint, own = p.marginal(["z0", "z1"]), [p.marginal(name) for name in ("z0", "z1")]
        gap = joint.log_prob(z) - own[0].log_prob(z[:, 0]) - own[1].log_prob(z[:, 1])
    assert (gap.abs().max() < 1e-4) == (leak == "1")


def test_the_leak_of_a_start_from_labels_is_a_setting() -> None:
    """The largest entry of a core beside a site of its own attribute is what stays of a bond index."""
    stays = []
    for leak in ("none", "0.02", "0.5", "1"):
        prior = build_prior(resolve("digits", [f"prior.leak={leak}"]), DIGITS)
        core = prior.cores()[1].detach().sum(0)
        stays.append(float(core.diagonal().sum() / core.sum()))
    assert stays[0] == stays[1] > stays[2] > stays[3]
    assert stays[3] == pytest.approx(1 / 20, abs=1e-6)


def test_bond_indices_of_a_label_switch_as_often_as_set() -> None:
    """What stays, summed over a core, is less where some switch, and those of one label are two of twenty."""
    stays = []
    for switch in ("none", "0.5", "1"):
        prior = build_prior(resolve("digits", ["prior.leak=1e-6", f"prior.switch={switch}"]), DIGITS)
        core = prior.cores()[1].detach().sum(0)
        stays.append(float(core.diagonal().sum() / core.sum()))
    assert stays == pytest.approx([1.0, 0.75, 0.5], abs=1e-4)


@pytest.mark.parametrize("kind", ["mixture", "factor-ring"])
@pytest.mark.parametrize(("start", "told"), [("none", False), ("noise", False), ("labels", True)])
def test_places_may_start_from_labels(kind: str, start: str, told: bool) -> None:
    """Only then does the digit change where the code is."""
    settings = [
        f"prior.kind={kind}",
        "prior.rank=5",
        "prior.components=40",
        f"prior.start={start}",
        "prior.spread=1.5",
    ]
    with torch.no_grad():
        p = build_prior(resolve("digits", settings), DIGITS)()
    means = torch.stack([p.condition({"digit": str(digit)}).mean for digit in range(10)])
    assert bool(means.std(0).mean() > 0.5) == told


@pytest.mark.parametrize("kind", [[], ["prior.kind=mixture", "prior.start=labels"]])
def test_what_starts_from_labels_is_as_sure_of_them_as_set(kind: list[str]) -> None:
    """The label read from a code that was drawn for it, at places so far apart that codes tell them."""
    sure = []
    for purity in ("none", "0.5", "1"):
        with torch.no_grad():
            p = build_prior(resolve("digits", [*kind, "prior.spread=3", f"prior.purity={purity}"]), DIGITS)()
        z = p.sample((500,), seed=0)[:, :16]
        codes = torch.cat([z, torch.full((500, 1), torch.nan)], 1)
        told = p.observe(codes, ~codes.isnan()).marginal("digit").probs
        sure.append(told.max(1).values.mean().item())
    assert sure[1] < sure[0] < sure[2]
    assert sure[1] == pytest.approx(0.5 + 0.5 / 10, abs=0.1)
