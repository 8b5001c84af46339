"""Labels that a critic judges with their objects: the score, the space of both, its slope."""

import pytest
import torch
from torch import nn

from tnprior_core import Categorical, Gaussian, TensorRingPrior
from tnprior_models import ModelError
from tnprior_models.games import NonSaturating, PenalizedWasserstein
from tnprior_models.gan import GAN
from tnprior_models.label_games import JudgedLabels
from tnprior_models.labelled_pairs import LabelledPairs
from tnprior_models.nets import ConvCritic, ConvGenerator

SHAPE, D, LABELS = (1, 8, 8), 3, 5
LATENTS = [Gaussian(f"z{i}", components=3) for i in range(D)]
SITES = [Categorical("hat", ("no", "yes")), *LATENTS, Categorical("digit", ("a", "b", "c"))]


def labelled(game=None, **options):
    torch.manual_seed(0)
    nets = ConvGenerator(SHAPE, D, width=4), ConvCritic(SHAPE, labels=LABELS, width=4)
    return GAN(*nets, TensorRingPrior(SITES, rank=2), game, **options)


def batch(rows=6):
    g = torch.Generator().manual_seed(0)
    codes = torch.stack([torch.randint(n, (rows,), generator=g) for n in (2, 3)], dim=1)
    return torch.rand(rows, *SHAPE, generator=g), codes, torch.rand(rows, 2, generator=g) >= 0.5


def judged_score(gan, x, codes, observed):
    """`s(x) + sum_a l_a(x)[y_a]` over the observed attributes, from the critic's outputs one by one."""
    outputs = gan.critic(x)
    tables = outputs[:, 1:3], outputs[:, 3:]
    rows = [
        outputs[i, 0] + sum(table[i, codes[i, a]] for a, table in enumerate(tables) if observed[i, a])
        for i in range(len(x))
    ]
    return torch.stack(rows)


def test_labels_may_be_judged_together_with_their_objects():
    gan, (x, codes, observed) = labelled(NonSaturating(weight=0.3), labels=JudgedLabels()), batch()
    log = nn.functional.logsigmoid
    torch.manual_seed(3)
    found = gan.critic_loss((x, codes, observed))
    torch.manual_seed(3)
    values = gan.prior().sample((len(x),))
    fake, drawn = gan.decode_values(values), gan.layout.codes_of(values)
    real_score = judged_score(gan, x, codes, observed)
    fake_score = judged_score(gan, fake, drawn, observed)  # the same labels are hidden
    inputs = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(judged_score(gan, inputs, codes, observed).sum(), inputs)
    penalty = 0.3 * slope.flatten(1).square().sum(1).mean()
    torch.testing.assert_close(found["penalty"], penalty)
    torch.testing.assert_close(found["loss"], penalty - (log(real_score).mean() + log(-fake_score).mean()))
    assert "log_labels" not in found
    everything = torch.ones_like(observed)
    for loss in (gan.generator_loss, gan.prior_loss):
        torch.manual_seed(3)
        cost = loss((x, codes, observed))["cost"]
        torch.testing.assert_close(cost, -log(judged_score(gan, fake, drawn, everything)).mean())


def drawn_for(gan, codes, observed):
    """Site values of the prior given the observed labels: hat, three latents, digit."""
    values = torch.cat([codes[:, :1], torch.zeros(len(codes), D), codes[:, 1:]], 1).float()
    known = torch.zeros_like(values, dtype=torch.bool)
    known[:, [0, -1]] = observed
    return gan.prior().observe(values, observed=known).sample((1,))[0]


def test_labels_may_be_judged_in_objects_that_are_generated_for_them():
    gan, (x, codes, observed) = labelled(labels=JudgedLabels(matched=True)), batch()
    torch.manual_seed(3)
    found = gan.critic_loss((x, codes, observed))
    torch.manual_seed(3)
    fake = gan.decode_values(drawn_for(gan, codes, observed))
    scores = [judged_score(gan, objects, codes, observed).mean() for objects in (x, fake)]
    torch.testing.assert_close(found["loss"] - found["penalty"], scores[1] - scores[0])


class Linear(nn.Module):
    """A critic with one slope everywhere, and logits that are the same for all objects."""

    def __init__(self, along, constants, *, learns=False):
        super().__init__()
        self.along, self.constants = nn.Parameter(along), nn.Parameter(constants, requires_grad=learns)

    def forward(self, x):
        return torch.cat([(x.flatten(1) @ self.along)[:, None], self.constants.expand(len(x), -1)], dim=1)


def test_a_penalty_may_count_labels_as_directions():
    """One linear critic by hand: the slope is that along the object and along the labels that are known."""
    gan, (x, codes, observed) = labelled(PenalizedWasserstein(), labels=JudgedLabels(distance=2.0)), batch()
    along, constants = torch.randn(x[0].numel()), torch.tensor([0.5, -0.1, 1.0, 3.0, -2.0])
    gan.critic = Linear(along, constants)
    centred = torch.cat([part - part.mean() for part in constants.split([2, 3])])
    squares = torch.stack([part.square().sum() for part in centred.split([2, 3])])
    slopes = (along.square().sum() + (observed * squares).sum(1) / 2.0**2).sqrt()
    torch.manual_seed(3)
    found = gan.critic_loss((x, codes, observed))
    torch.testing.assert_close(found["penalty"], 10 * (slopes - 1).square().mean())
    far = labelled(PenalizedWasserstein(), labels=JudgedLabels(distance=1e6))
    near = labelled(PenalizedWasserstein(), labels=JudgedLabels())
    penalties = []
    for each in (far, near):  # labels that are endlessly far apart are no directions
        torch.manual_seed(3)
        each.critic = Linear(along, constants)
        penalties.append(each.critic_loss((x, codes, observed))["penalty"])
    torch.testing.assert_close(*penalties)


def test_pairs_have_the_score_of_their_objects_and_labels():
    gan, (x, codes, observed) = labelled(), batch()
    space = LabelledPairs(gan.rows, SHAPE, observed, 3.0)
    points = space.join(x, torch.where(observed, codes, torch.tensor(-99)))
    assert torch.equal(points, space.join(x, codes))
    found = space.scores(lambda u: (gan.critic(u)[:, 0], gan.critic(u)[:, 1:]))(points)
    torch.testing.assert_close(found, judged_score(gan, x, codes, observed))


@pytest.mark.parametrize(
    "labels", [JudgedLabels(), JudgedLabels(distance=1.0), JudgedLabels(matched=True)], ids=str
)
def test_labels_that_are_drawn_too_often_bring_a_critic_no_endless_gain(labels):
    """Objects alike and labels that are not: a penalty on objects alone lets the score of a label fall for ever."""
    game = PenalizedWasserstein(learning_rate=0.1)
    gan = labelled(game, labels=labels)
    critic = gan.critic = Linear(torch.zeros(64), torch.zeros(LABELS), learns=True)
    x, codes, observed = torch.zeros(16, *SHAPE), torch.zeros(16, 2).long(), torch.ones(16, 2).bool()
    optimizer = game.critic_optimizer([critic.constants])
    for _ in range(50):
        optimizer.zero_grad()
        gan.critic_loss((x, codes, observed))["loss"].backward()
        optimizer.step()
    largest = critic.constants.detach().abs().max().item()
    assert (largest < 1.5) == (labels != JudgedLabels())


class Kept(nn.Module):
    """A critic that remembers what it judged."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append(x.detach())
        return x.new_zeros(len(x), 1 + LABELS)


def test_matched_objects_are_drawn_for_the_labels_of_the_real_ones():
    """Means of p(z | y_ob), hat observed or hidden, against those of the objects: the generator shows its code."""
    torch.manual_seed(0)
    prior = TensorRingPrior(SITES, rank=3)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(torch.randn_like(parameter))
    gan, rows = GAN(nn.Identity(), Kept(), prior, NonSaturating(), labels=JudgedLabels(matched=True)), 20_000
    codes = torch.tensor([1, 2]).repeat(rows, 1)
    observed = torch.tensor([True, True]).repeat(rows, 1)
    observed[: rows // 2, 0] = False
    gan.critic_loss((torch.zeros(rows, D), codes, observed))
    hidden, shown = gan.critic.seen[1].split(rows // 2)
    for seen, given in ((hidden, {"digit": "c"}), (shown, {"hat": "yes", "digit": "c"})):
        p = gan.prior().condition(given).marginal([site.name for site in LATENTS])
        error = (p.covariance().diagonal() / len(seen)).sqrt()
        assert ((seen.mean(0) - p.mean) / error).abs().max() < 5
    means = [gan.prior().condition({"digit": label}).mean for label in "ac"]
    assert (means[0] - means[1]).abs().max() > 0.05  # so that labels make a difference


def test_labels_lie_some_way_apart():
    with pytest.raises(ModelError, match="expected distance > 0 or None, received 0"):
        JudgedLabels(distance=0)
