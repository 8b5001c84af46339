"""Your own autoencoder, with any prior in five lines (marked): eight-by-eight digits, most labels missing.

python examples/custom_network.py             trains for a few seconds, fills in labels, draws, and says how well
python examples/custom_network.py digits.png  also writes a grid of generated digits (needs matplotlib)
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.distributions import Normal

from tnprior_core import Categorical, Gaussian, TensorRingPrior, initialize_from_clusters

LATENTS = 8
torch.manual_seed(0)
x, label = (torch.as_tensor(column) for column in load_digits(return_X_y=True))
x, label = x.float() / 16, label.unsqueeze(1)
train, test = torch.arange(1400), torch.arange(1400, len(x))
seen = torch.rand(len(x), 1) < 0.3  # 70 % of the labels are missing

encoder = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 2 * LATENTS))
decoder = nn.Sequential(nn.Linear(LATENTS, 128), nn.ReLU(), nn.Linear(128, 64))

# One: say which variables there are. Two: choose a prior over all of them.
sites = [Gaussian(f"z{k}", components=10) for k in range(LATENTS)]
sites.append(Categorical("digit", tuple("0123456789")))
prior = TensorRingPrior(sites, rank=32)


def encode(rows):
    """Mean and standard deviation of q(z | x)."""
    mu, log_sigma = encoder(rows).chunk(2, 1)
    return mu, log_sigma.clamp(-4, 2).exp()


def bound(rows, codes, known):
    """E[log p(x | z) + log p(z, observed labels) - log q(z | x)], nats per image, one draw of z."""
    mu, sigma = encode(rows)
    z = mu + sigma * torch.randn_like(mu)
    log_x = Normal(decoder(z).sigmoid(), 0.15).log_prob(rows).sum(1)
    log_q = Normal(mu, sigma).log_prob(z).sum(1)
    # Three: latents and labels side by side, and which of them are known. Four: their log-density.
    values, mask = torch.cat([z, codes], 1), torch.cat([torch.ones_like(z).bool(), known], 1)
    return log_x + prior().log_prob(values, mask) - log_q


networks = [*encoder.parameters(), *decoder.parameters()]
optimizer = torch.optim.Adam([{"params": networks}, {"params": prior.parameters(), "lr": 1e-2}], lr=2e-3)
for epoch in range(25):
    if epoch == 15:  # the codes mean something by now: start the prior from their clusters
        with torch.no_grad():
            z = Normal(*encode(x[train])).sample()
        initialize_from_clusters(prior, z, label[train], seen[train], iterations=5)
    for batch in train[torch.randperm(len(train))].split(100):
        optimizer.zero_grad()
        (-bound(x[batch], label[batch], seen[batch]).mean()).backward()
        optimizer.step()

with torch.no_grad():
    none = torch.zeros(len(test), 1, dtype=torch.bool)
    print(f"bound on test images without labels: {bound(x[test], label[test], none).mean():.1f} nats")
    values = torch.cat([encode(x[test])[0], torch.zeros(len(test), 1)], 1)
    guess = prior().observe(values, torch.arange(LATENTS + 1) < LATENTS).marginal("digit").probs
    print(
        f"labels of test images filled in correctly: {(guess.argmax(1) == label[test, 0]).float().mean():.1%}"
    )
    print("the first of them, p(digit | image):", [f"{p:.2f}" for p in guess[0].tolist()])
    # Five: condition on anything, then sample.
    z = prior().condition({"digit": torch.arange(10)}).sample((8,), seed=0)[..., :LATENTS]
    images = decoder(z).sigmoid().view(8, 10, 8, 8)
    nearest = torch.cdist(images.view(-1, 64), x[test]).argmin(1).view(8, 10)
    agree = label[test, 0][nearest] == torch.arange(10)
    print(f"generated digits whose nearest real image has the requested label: {agree.float().mean():.1%}")
    if len(sys.argv) > 1:
        from matplotlib import pyplot

        pyplot.imsave(sys.argv[1], images.permute(0, 2, 1, 3).reshape(64, 80).numpy(), cmap="gray")
        print("wrote", sys.argv[1])
