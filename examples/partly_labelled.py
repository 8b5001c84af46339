"""A table with holes: learn the joint distribution from what is there, fill in the rest with probabilities.

python examples/partly_labelled.py            two moons, three attributes, 60 % of the cells missing
python examples/partly_labelled.py moons.png  also draws the density and what it knows (needs matplotlib)
"""

import sys

import torch
from sklearn.datasets import make_moons

from tnprior_core import Categorical, Gaussian, TensorTrainPrior, information_order, initialize_from_clusters

torch.manual_seed(0)
points, moon = make_moons(3000, noise=0.08, random_state=0)
z, moon = torch.as_tensor(points).float(), torch.as_tensor(moon)
third = (3 * (z[:, 0] + 1.3) / 3.7).long().clamp(0, 2)  # left, middle, right
noisy = torch.where(torch.rand(3000) < 0.8, moon, 1 - moon)  # the moon, wrong one time in five
codes = torch.stack([moon, third, noisy], 1)
observed = torch.rand(codes.shape) < 0.4
train, test = slice(0, 2000), slice(2000, None)

sites = [
    Gaussian("x", 16),
    Gaussian("y", 16),
    Categorical("moon", ("upper", "lower")),
    Categorical("third", ("left", "middle", "right")),
    Categorical("noisy", ("upper", "lower")),
]
order = information_order(sites, z[train], codes[train], observed[train])
prior = TensorTrainPrior(sites, rank=16, order=order)
print("chain:", " - ".join(sites[at].name for at in prior.order))

values = torch.cat([z, codes.float()], 1)
known = torch.cat([torch.ones_like(z).bool(), observed], 1)


def report(name):
    """Held-out log-density of what is observed, and how well the hidden cells are filled in."""
    with torch.no_grad():
        p = prior()
        nats = p.log_prob(values[test], known[test]).mean()
        marginals = p.observe(values[test], known[test]).marginals(["moon", "third", "noisy"])
    words = []
    for column, (attribute, marginal) in enumerate(marginals.items()):
        hidden = ~observed[test][:, column]
        right = marginal.probs.argmax(1)[hidden] == codes[test][hidden, column]
        promised = marginal.probs.amax(1)[hidden].mean()
        words.append(f"{attribute} {right.float().mean():.1%} right, {promised:.1%} promised")
    print(f"{name:16} {nats:6.2f} nats   " + "; ".join(words))


report("noise")
initialize_from_clusters(prior, z[train], codes[train], observed[train])
report("from clusters")
optimizer = torch.optim.Adam(prior.parameters(), 0.02)
for _ in range(300):
    batch = torch.randint(2000, (250,))
    optimizer.zero_grad()
    (-prior().log_prob(values[batch], known[batch]).mean()).backward()
    optimizer.step()
report("trained")

with torch.no_grad():
    p = prior()
    q = p.condition({"x": 0.5})
    told = q.condition({"noisy": "lower"}).marginal("moon").probs[1]
    print(f"at x = 0.5: p(lower) = {q.marginal('moon').probs[1]:.2f}; told by the noisy one: {told:.2f}")
    q = p.condition({"moon": "upper", "third": "left"})
    print(f"left third of the upper moon: p = {q.log_evidence.exp():.2f}, mean y = {q.mean[1]:.2f}")
    if len(sys.argv) > 1:
        from matplotlib import pyplot

        draws = p.sample((3000,), seed=0)
        _, axes = pyplot.subplots(1, 2, figsize=(9, 4), sharex=True, sharey=True)
        axes[0].scatter(*z.mT, c=moon, s=2)
        axes[1].scatter(*draws[:, :2].mT, c=draws[:, 2], s=2)
        pyplot.savefig(sys.argv[1])
        print("wrote", sys.argv[1])
