"""What the encoder reads back of generated objects: its value, whom its gradient moves, that it teaches."""

import pytest
import torch
from torch.distributions import Independent, Normal

from tnprior_core import Categorical, GaussianMixturePrior, TensorTrainPrior
from tnprior_core import Gaussian as Latent
from tnprior_models import VAE, Bernoulli, ConvDecoder, ConvEncoder, ModelError, label_information

SITES = [*(Latent(f"z{i}", components=3) for i in range(2)), Categorical("kind", ("a", "b", "c"))]


def make(prior=None, **options):
    torch.manual_seed(0)
    nets = (net((1, 8, 8), 2, width=8, hidden=16) for net in (ConvEncoder, ConvDecoder))
    return VAE(*nets, TensorTrainPrior(SITES, rank=3) if prior is None else prior, Bernoulli(), **options)


def batch(rows=8):
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(rows, 1, 8, 8, generator=generator)
    codes = torch.randint(3, (rows, 1), generator=generator)
    return x, codes, torch.ones_like(codes, dtype=torch.bool)


def gradients(model):
    torch.manual_seed(2)
    terms = model.loss(batch())
    terms["loss"].backward()
    return terms, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_a_decoder_that_shows_the_label_is_read_back():
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(3, (4000, 1), generator=generator)
    places = torch.tensor([-4.0, 0.0, 4.0])

    def encode(x):
        return Independent(Normal(x, 1.0), 1)

    def log_labels(z, codes):
        densities = Normal(places, 1.0).log_prob(z)
        return densities.log_softmax(1).gather(1, codes)[:, 0]

    torch.manual_seed(0)
    shown = label_information(places[codes], codes, decode=lambda z: z, encode=encode, log_labels=log_labels)
    hidden = label_information(
        places[codes], codes, decode=torch.zeros_like, encode=encode, log_labels=log_labels
    )
    # Quadrature of E log p(y|z') for three equally likely normals, one at a time.
    grid = torch.linspace(-16, 16, 20001, dtype=torch.float64)
    posterior = Normal(places.double(), 1.0).log_prob(grid[:, None]).log_softmax(1)
    weights = Normal(places.double(), 1.0).log_prob(grid[:, None]).exp() * (grid[1] - grid[0])
    exact = (weights * posterior).sum(0)
    expected = sum(exact[k].item() * (codes == k).double().mean().item() for k in range(3))
    assert shown.item() == pytest.approx(expected, abs=0.02)
    assert hidden < shown - 1


def test_its_gradient_moves_the_decoder_alone():
    _, without = gradients(make(attribute_weight=2.0))
    terms, with_it = gradients(make(attribute_weight=2.0, information_weight=5.0))
    assert torch.isfinite(terms["information"])
    moved = {
        name.split(".")[0]
        for name, gradient in with_it.items()
        if not torch.allclose(gradient, without[name], atol=1e-5, rtol=1e-4)
    }
    assert moved == {"decoder"}


def test_the_bound_is_what_it_was_and_the_loss_has_the_term():
    terms, _ = gradients(make(attribute_weight=2.0, information_weight=5.0))
    plain, _ = gradients(make(attribute_weight=2.0))
    assert terms["bound"].item() == pytest.approx(plain["bound"].item(), rel=1e-6)
    assert terms["loss"].item() == pytest.approx(
        plain["loss"].item() - 5 * terms["information"].item(), rel=1e-5
    )
    assert terms["information"] <= 0


def test_it_teaches_the_decoder_to_show_the_label():
    """Places shown at a tenth of their distance are confused; the gradient pulls them apart."""
    codes = torch.randint(2, (2000, 1), generator=torch.Generator().manual_seed(0))
    z, shown = 4.0 * codes - 2.0, torch.tensor(0.1, requires_grad=True)
    optimizer = torch.optim.Adam([shown], lr=0.1)
    for _ in range(30):
        optimizer.zero_grad()
        loss = -label_information(
            z,
            codes,
            decode=lambda z: shown * z,
            encode=lambda x: Independent(Normal(x, 1.0), 1),
            log_labels=lambda z, codes: torch.nn.functional.logsigmoid(4.0 * z * (2 * codes - 1))[:, 0],
        )
        loss.backward()
        optimizer.step()
    assert shown > 1.0


def test_a_negative_weight_is_refused():
    with pytest.raises(ModelError, match="information_weight=-1"):
        make(information_weight=-1.0)


def test_a_label_that_the_prior_hardly_ever_draws_is_asked_for():
    model = make(GaussianMixturePrior(SITES, components=4), information_weight=1.0)
    with torch.no_grad():
        model.prior.label_logits["n3"][..., 2] -= 60.0
    assert model.prior().marginal("kind").probs[2] < 1e-20
    read = []
    for seed in range(24):
        torch.manual_seed(seed)
        read.append(model.loss(batch())["information"].item())
    # No code makes such a label probable: log p(label | z) tells that it was asked for, in a third of the steps.
    asked = sum(value < -20 for value in read)
    assert 3 <= asked <= 14
