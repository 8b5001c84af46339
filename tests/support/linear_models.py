"""Networks so simple that what they make of a normal code has a closed form or a quadrature."""

import torch
from torch import nn
from torch.distributions import Normal


class LinearCode(nn.Module):
    """q(z|x, y): a linear mean of pixels and labels, a constant width; not the exact posterior."""

    def __init__(self, matrix, log_sigma):
        super().__init__()
        self.matrix, self.log_sigma = nn.Parameter(matrix), nn.Parameter(log_sigma)

    def forward(self, features, rows):
        mu = torch.cat([features, rows], dim=1) @ self.matrix
        return mu, self.log_sigma.expand_as(mu)


class LinearDecoder(nn.Module):
    """decoded = W z + one shift for every label, as images of one row."""

    def __init__(self, matrix):
        super().__init__()
        self.matrix = nn.Parameter(matrix)

    def forward(self, inputs):
        return (inputs @ self.matrix)[:, None, None]


class PlainNormal(nn.Module):
    """Normal noise of known size around the decoded vector."""

    def __init__(self, sigma):
        super().__init__()
        self.sigma = sigma

    def log_prob(self, decoded, x):
        return Normal(decoded, self.sigma).log_prob(x).flatten(1).sum(dim=1)

    def mean(self, decoded):
        return decoded
