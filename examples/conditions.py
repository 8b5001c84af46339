"""Everything that can be known about a variable, and everything that can be asked afterwards; all of it exact.

python examples/conditions.py
"""

import torch

from tnprior_core import (
    Between,
    Categorical,
    Gaussian,
    ImpossibleEvidenceError,
    Likelihood,
    Noisy,
    Not,
    OneOf,
    TensorRingPrior,
    initialize_from_clusters,
)

# Two kinds of people: tall ones in hats, and short ones without; hair depends on both.
torch.manual_seed(0)
tall = torch.rand(4000) < 0.4
hat = (torch.rand(4000) < torch.where(tall, 0.8, 0.1)).long()
hair = torch.where(torch.rand(4000) < 0.7, tall.long(), 2 * hat)  # black, blond or brown
people = torch.stack([165 + 15 * tall + 6 * torch.randn(4000), 60 + 20 * tall + 8 * torch.randn(4000)], 1)
sites = [
    Gaussian("height", components=6),
    Gaussian("weight", components=6),
    Categorical("hair", ("black", "blond", "brown")),
    Categorical("hat", ("no", "yes")),
]
prior = TensorRingPrior(sites, rank=6)
codes = torch.stack([hair, hat], 1)
initialize_from_clusters(prior, people, codes, torch.ones_like(codes).bool())
with torch.no_grad():
    p = prior()

CONDITIONS = {
    "nothing": {},
    "a label": {"hat": "yes"},
    "one of several labels": {"hair": OneOf("blond", "brown")},
    "not this label": {"hair": Not("black")},
    "what a classifier says": {"hat": Likelihood([0.1, 0.9])},
    "a number": {"height": 183.0},
    "an interval": {"height": Between(180.0, float("inf"))},
    "a noisy measurement": {"height": Noisy(183.0, sigma=5.0)},
    "all at once": {"height": Noisy(183.0, sigma=5.0), "weight": Between(0.0, 70.0), "hair": Not("brown")},
}
print(f"{'what is known':24} log p(known)  p(hat)  mean height, weight  p(black, blond, brown)")
for name, words in CONDITIONS.items():
    q = p.condition(words)
    marginals = q.marginals()  # all of them from one backward pass
    means = ", ".join(f"{mean:6.1f}" for mean in q.mean.tolist())
    hair_probs = "  ".join(f"{prob:.2f}" for prob in marginals["hair"].probs.tolist())
    print(f"{name:24} {q.log_evidence:11.2f}  {marginals['hat'].probs[1]:6.2f}  {means:>19}  {hair_probs}")

print("\nConditions compose, in any order, and marginals are distributions again:")
q = p.condition({"hat": "yes"}).condition({"height": Between(160.0, 170.0)}).marginal(["weight", "hair"])
print(" ", q, "\n   five draws:", [[round(v) for v in row] for row in q.sample((5,), seed=0).tolist()])

print("\nOne condition per example, shared and missing ones mixed in one call:")
q = p.condition({"hat": ["yes", "no", None], "height": Noisy(torch.tensor([150.0, 165.0, 190.0]), 3.0)})
print("   log p(known):", [round(x, 2) for x in q.log_evidence.tolist()])
best = q.complete()
for code, log_prob in zip(best.codes.tolist(), best.log_prob.tolist(), strict=True):
    labels = {name: sites[2 + k].labels[code[k]] for k, name in enumerate(best.names)}
    print(f"   most probable completion {labels}, probability {torch.tensor(log_prob).exp():.2f}")

deviation = p.variance.sqrt()
correlation = p.covariance()[0, 1] / deviation.prod()
within = p.condition({"hat": "no"})
print(f"\nCorrelation of height and weight: {correlation:.2f}; among those without a hat: ", end="")
print(f"{within.covariance()[0, 1] / within.variance.sqrt().prod():.2f}")

try:
    p.condition({"hat": "no"}).condition({"hat": "yes"}).sample()
except ImpossibleEvidenceError as error:
    print("\nThe impossible is refused, never looped on:", error)
