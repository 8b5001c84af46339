"""Values computed by brute force outside this library, for one train and one ring of three sites."""

import pytest
import torch

from tnprior_core import Categorical, Gaussian, Legs, TensorRing, TensorTrain

STATES, BONDS = (3, 2, 4), (2, 3, 2, 2)
Z = torch.tensor([[0.3, -0.2, 1.1]], dtype=torch.float64)

GOLDEN = {
    TensorRing: {
        "Z": 7593,
        "F(0,1,2)": 249,
        "log p(z)": -3.4261630182,
        "log p(z1,z3)": -2.6442465388,
        "log p(z2)": -0.7838531379,
        "p(s2|z1)": (0.45470696, 0.54529304),
        "p(s2|z1,z3)": (0.44983622, 0.55016378),
        "p(y)": (0.278941, 0.260635, 0.197550, 0.262874),
        "log p(z1,z2,y=2)": -3.5147365551,
        "p(y|z1,z2)": (0.281964, 0.261847, 0.200875, 0.255314),
    },
    TensorTrain: {
        "Z": 15210,
        "F(0,1,2)": 542,
        "log p(z)": -3.4199147443,
        "log p(z1,z3)": -2.6350755295,
        "log p(z2)": -0.7848932468,
        "p(s2|z1)": (0.45871067, 0.54128933),
        "p(s2|z1,z3)": (0.45448358, 0.54551642),
        "p(y)": (0.287442, 0.246811, 0.206180, 0.259566),
        "log p(z1,z2,y=2)": -3.4764426307,
        "p(y|z1,z2)": (0.289317, 0.248887, 0.208457, 0.253339),
    },
}
# Printed digits bound what can be compared: ten decimals of a logarithm, eight or six of a probability.
CLOSE, CLOSE_8, CLOSE_6 = ({"rtol": 0, "atol": atol} for atol in (1e-8, 6e-9, 6e-7))


def build(kind, *, labels=False):
    sites = [Gaussian(f"z{k + 1}", count) for k, count in enumerate(STATES)]
    components = {}
    for k, site in enumerate(sites):
        s = torch.arange(STATES[k], dtype=torch.float64)
        components[site.name] = (s - 1 + 0.1 * k, (0.5 + 0.1 * s).log())
    if labels:
        sites[2] = Categorical("y", tuple("0123"))
    cores = []
    for k, count in enumerate(STATES):
        s, i, j = torch.meshgrid(*map(torch.arange, (count, BONDS[k], BONDS[k + 1])), indexing="ij")
        cores.append((1 + (3 * k + 2 * s + i + 2 * j) % 5).double())
    return kind(Legs.of(sites, components), cores)


def observed(*sites):
    return torch.tensor([[k + 1 in sites for k in range(3)]])


@pytest.fixture(params=GOLDEN, ids=lambda kind: kind.__name__)
def kind(request):
    return request.param


def test_weights(kind):
    p, discrete = build(kind), TensorRing if kind is TensorRing else TensorTrain
    torch.testing.assert_close(p.log_normalizer.exp().item(), float(GOLDEN[kind]["Z"]), rtol=1e-12, atol=0)
    # The same cores over labels: the probability of one tuple is F / Z.
    sites = [Categorical(f"s{k}", tuple("abcd"[:count])) for k, count in enumerate(STATES)]
    labels = discrete(Legs.of(sites, {}), p.cores)
    mass = labels.log_prob(torch.tensor([0.0, 1.0, 2.0]).double()).exp() * GOLDEN[kind]["Z"]
    torch.testing.assert_close(mass.item(), float(GOLDEN[kind]["F(0,1,2)"]), rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("name", "sites"), [("log p(z)", (1, 2, 3)), ("log p(z1,z3)", (1, 3)), ("log p(z2)", (2,))]
)
def test_densities(kind, name, sites):
    found = build(kind).log_prob(Z, observed(*sites)).item()
    torch.testing.assert_close(found, GOLDEN[kind][name], **CLOSE)


@pytest.mark.parametrize(("name", "sites"), [("p(s2|z1)", (1,)), ("p(s2|z1,z3)", (1, 3))])
def test_component_posteriors(kind, name, sites):
    q = build(kind).observe(Z, observed(*sites))
    expected = torch.tensor([GOLDEN[kind][name]], dtype=torch.float64)
    torch.testing.assert_close(q.component_posteriors()["z2"], expected, **CLOSE_8)
    torch.testing.assert_close(q.marginal("z2").weights, expected, **CLOSE_8)


def test_labels(kind):
    p = build(kind, labels=True)
    expected = {
        name: torch.tensor(GOLDEN[kind][name], dtype=torch.float64) for name in ("p(y)", "p(y|z1,z2)")
    }
    torch.testing.assert_close(p.marginal("y").probs, expected["p(y)"], **CLOSE_6)
    given = p.condition({"z1": 0.3, "z2": -0.2})
    torch.testing.assert_close(given.marginal("y").probs, expected["p(y|z1,z2)"], **CLOSE_6)
    joint = given.condition({"y": "2"}).log_evidence.item()
    torch.testing.assert_close(joint, GOLDEN[kind]["log p(z1,z2,y=2)"], **CLOSE)
