"""What is asked in `torch.inference_mode()` has the answers that it has outside, and leaves nothing broken behind."""

import pytest
import torch

from tnprior_core import (
    Between,
    Categorical,
    FactorRingPrior,
    FlowPrior,
    Gaussian,
    GaussianMixturePrior,
    OneOf,
    StandardNormalPrior,
    TensorRingPrior,
    TensorTrainPrior,
)

pytestmark = pytest.mark.inference_mode

SITES = [Gaussian("z0", 4), Gaussian("z1", 3), Categorical("hat"), Categorical("hair", ("a", "b", "c"))]
PRIORS = {
    "train": lambda: TensorTrainPrior(SITES, rank=3),
    "ring": lambda: TensorRingPrior(SITES, rank=3),
    "mixture": lambda: GaussianMixturePrior(SITES, components=5),
    "factor ring": lambda: FactorRingPrior(SITES, components=3, points=3),
    "normal": lambda: StandardNormalPrior(SITES),
    "flow": lambda: FlowPrior(TensorRingPrior(SITES, rank=3)),
}
VALUES = torch.tensor([[0.1, 0.2, 0.0, 0.0], [0.3, -0.4, 1.0, 2.0]])
LATENTS = torch.tensor([True, True, False, False])


def probabilities(marginals):
    return [marginals[name].probs for name in ("hat", "hair")]


QUERIES = {
    "log_prob": lambda p: p.log_prob(VALUES),
    "masked": lambda p: p.log_prob(VALUES, LATENTS),
    "evidence": lambda p: p.condition({"hair": OneOf("a", "b")}).log_evidence,
    "marginals": lambda p: probabilities(p.observe(VALUES, LATENTS).marginals(["hat", "hair"])),
    "components": lambda p: p.component_posteriors()["hat"],
    "completion": lambda p: p.observe(VALUES, LATENTS).complete(["hat", "hair"]).codes,
    "samples": lambda p: p.condition({"hat": "1"}).sample((600,), seed=1),
    "samples of rows": lambda p: p.observe(VALUES, ~LATENTS).sample((3,), seed=1),
}
# Behind a flow they have no closed form.
OF_LATENTS = {
    "interval": lambda p: p.condition({"z0": Between(-0.5, 1.0)}).log_evidence,
    "moments": lambda p: [p.mean, p.variance, p.covariance()],
}


@pytest.mark.parametrize(
    ("name", "query"),
    [(name, query) for name in PRIORS for query in (QUERIES if name == "flow" else QUERIES | OF_LATENTS)],
)
@pytest.mark.parametrize("made_inside", [True, False])
def test_answers_are_those_of_outside(name, query, made_inside):
    prior, ask = PRIORS[name](), (QUERIES | OF_LATENTS)[query]
    outside = prior()
    with torch.inference_mode():
        found = ask(prior() if made_inside else outside)
    expected = ask(outside)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", PRIORS)
def test_a_distribution_that_was_asked_there_still_has_gradients(name):
    prior = PRIORS[name]()
    p = prior()
    with torch.inference_mode():
        for ask in QUERIES.values():
            ask(p)
    p.log_prob(VALUES).sum().backward()
    assert all(parameter.grad is not None for parameter in prior.parameters())
