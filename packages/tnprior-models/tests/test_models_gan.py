"""The GAN: its players' losses, what moves whom, clipping, labels, and a resume to the bit."""

import copy
import signal

import pytest
import torch
from torch import nn

from tnprior_core import (
    Categorical,
    Gaussian,
    StandardNormalPrior,
    TensorRingPrior,
    initialize_from_labels,
    interleaved_order,
)
from tnprior_models import (
    Callback,
    ModelError,
    Samples,
    TrainConfig,
    Trainer,
    TrainingInterrupted,
    abilities,
    load_training_state,
    require,
)
from tnprior_models.checkpoint.tree import flatten
from tnprior_models.estimators import Pathwise, Reinforce, ReparametrizedMeans
from tnprior_models.games import (
    ClippedWasserstein,
    MinMax,
    NonSaturating,
    PenalizedWasserstein,
    clipped_after_step,
)
from tnprior_models.gan import GAN
from tnprior_models.label_games import JudgedLabels, ReadLabels
from tnprior_models.nets import ConvCritic, ConvGenerator, DenseCritic, DenseGenerator
from tnprior_models.training import TensorData

SHAPE, D, LABELS = (1, 8, 8), 3, 5
LATENTS = [Gaussian(f"z{i}", components=3) for i in range(D)]
SITES = [Categorical("hat", ("no", "yes")), *LATENTS, Categorical("digit", ("a", "b", "c"))]
GAMES = {
    "minmax": MinMax(),
    "nonsaturating": NonSaturating(critic_steps=2),
    "flat at real objects": NonSaturating(weight=0.3),
    "clipped": ClippedWasserstein(critic_steps=2),
    "penalized": PenalizedWasserstein(critic_steps=3),
}


def labelled(game=None, estimator=None, **options):
    torch.manual_seed(0)
    nets = ConvGenerator(SHAPE, D, width=4), ConvCritic(SHAPE, labels=LABELS, width=4)
    return GAN(*nets, TensorRingPrior(SITES, rank=2), game, estimator, **options)


def plain(game=None, estimator=None, **options):
    torch.manual_seed(0)
    nets = DenseGenerator(D, 2, width=8), DenseCritic(2, width=8)
    return GAN(*nets, TensorRingPrior(LATENTS, rank=2), game, estimator, **options)


def batch(rows=6, seed=0, missing=0.5):
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(rows, *SHAPE, generator=g)
    codes = torch.stack([torch.randint(n, (rows,), generator=g) for n in (2, 3)], dim=1)
    return x, codes, torch.rand(rows, 2, generator=g) >= missing


def points(rows=6):
    return torch.rand(rows, 2), torch.zeros(rows, 0).long(), torch.zeros(rows, 0).bool()


@pytest.mark.parametrize("game", GAMES)
def test_every_player_has_its_turn_and_its_parameters(game):
    gan = labelled(GAMES[game])
    objectives = gan.objectives()
    pace = GAMES[game].critic_steps
    assert [(o.name, o.every) for o in objectives] == [("critic", 1), ("generator", pace), ("prior", pace)]
    owned = [{id(p) for p in o.tensors()} for o in objectives]
    assert owned == [{id(p) for p in part.parameters()} for part in (gan.critic, gan.generator, gan.prior)]


@pytest.mark.parametrize(
    "estimator", [Reinforce(), ReparametrizedMeans(), Pathwise()], ids=lambda e: type(e).__name__
)
@pytest.mark.parametrize("game", GAMES)
def test_gradients_reach_every_parameter_of_the_player(game, estimator):
    gan, data = labelled(GAMES[game], estimator), batch(rows=8)
    for objective in gan.objectives():
        gan.zero_grad()
        terms = objective.loss(data)
        terms["loss"].backward()
        assert all(torch.isfinite(value) for value in terms.values()), objective.name
        for parameter in objective.tensors():
            assert parameter.grad is not None
            assert parameter.grad.abs().sum() > 0


def test_optimisers_are_those_of_the_papers():
    for gan, kind, rate, betas in (
        (plain(), torch.optim.Adam, 1e-4, (0.5, 0.9)),
        (plain(NonSaturating()), torch.optim.Adam, 1e-4, (0.0, 0.99)),
        (plain(ClippedWasserstein()), torch.optim.RMSprop, 5e-5, None),
    ):
        critic, generator, prior = (objective.build_optimizer() for objective in gan.objectives())
        assert type(critic) is type(generator) is kind
        assert critic.defaults["lr"] == generator.defaults["lr"] == rate
        assert type(prior) is torch.optim.Adam
        assert critic.defaults.get("betas") == generator.defaults.get("betas") == betas


def test_a_prior_without_parameters_does_not_play():
    torch.manual_seed(0)
    gan = GAN(DenseGenerator(D, 2), DenseCritic(2), StandardNormalPrior(LATENTS))
    assert [objective.name for objective in gan.objectives()] == ["critic", "generator"]
    frozen = plain()
    frozen.prior.requires_grad_(False)
    assert [objective.name for objective in frozen.objectives()] == ["critic", "generator"]


def test_the_losses_are_those_of_the_game():
    gan, data = plain(NonSaturating()), points(4)
    torch.manual_seed(3)
    found = gan.critic_loss(data)["loss"]
    torch.manual_seed(3)
    fake = gan.decode(gan.prior().sample((4,)))
    real_score, fake_score = gan.critic(data[0])[:, 0], gan.critic(fake)[:, 0]
    log = nn.functional.logsigmoid
    torch.testing.assert_close(found, -(log(real_score).mean() + log(-fake_score).mean()))
    torch.manual_seed(3)
    torch.testing.assert_close(gan.generator_loss(data)["loss"], -log(fake_score).mean())
    torch.manual_seed(3)
    torch.testing.assert_close(gan.prior_loss(data)["loss"], -log(fake_score).mean())


def test_the_label_terms_are_likelihoods_of_observed_labels():
    gan, (x, codes, observed) = labelled(labels=ReadLabels(2.0)), batch()
    torch.manual_seed(0)
    terms = gan.critic_loss((x, codes, observed))
    logits = gan.critic(x)[:, 1:]
    by_attribute = [logits[:, :2].log_softmax(-1), logits[:, 2:].log_softmax(-1)]
    expected = sum(
        (table.gather(1, codes[:, a : a + 1])[:, 0] * observed[:, a]).mean()
        for a, table in enumerate(by_attribute)
    )
    torch.testing.assert_close(terms["log_labels"], expected)
    parts = terms["fake"] - terms["real"] + terms["penalty"] - 2 * expected
    torch.testing.assert_close(terms["loss"], parts)
    p = gan.prior()
    values = torch.cat([codes[:, :1], torch.zeros(len(x), D), codes[:, 1:]], 1).float()
    mask = torch.zeros_like(values, dtype=torch.bool)
    mask[:, [0, -1]] = observed
    evidence = gan.prior_loss((x, codes, observed))["log_evidence"]
    torch.testing.assert_close(evidence, p.log_prob(values, observed=mask).mean())


@pytest.mark.parametrize(
    "labels",
    [ReadLabels(), JudgedLabels(), JudgedLabels(distance=2.0), JudgedLabels(matched=True)],
    ids=str,
)
def test_unobserved_slots_may_hold_anything(labels):
    gan, (x, codes, observed) = labelled(labels=labels), batch()
    garbage = torch.where(observed, codes, torch.tensor(-99))
    for objective in gan.objectives():
        found = []
        for table in (codes, garbage):
            torch.manual_seed(4)
            found.append(objective.loss((x, table, observed))["loss"])
        assert torch.equal(*found), objective.name


def test_half_precision_nets_keep_scores_and_likelihoods_in_full_precision():
    gan, data = labelled(), batch(rows=8)
    for objective in gan.objectives():
        found = []
        for enabled in (False, True):
            torch.manual_seed(0)
            with torch.autocast(torch.get_default_device().type, dtype=torch.bfloat16, enabled=enabled):
                found.append(objective.loss(data))
        assert {value.dtype for value in found[1].values()} == {torch.float32}
        found[1]["loss"].backward()
        assert found[1]["loss"].item() == pytest.approx(found[0]["loss"].item(), rel=0.05, abs=0.05)


def test_labels_alone_teach_the_frequencies():
    """A critic and a generator that never learn: the prior finds p(y) of the observed labels."""
    gan = labelled(labels=ReadLabels(0.0), prior_learning_rate=0.05)
    x, _, _ = batch(rows=40)
    codes = torch.tensor([[0, 2]] * 10 + [[1, 2]] * 30)
    observed = torch.ones(40, 2, dtype=torch.bool)
    observed[20:, 1] = False
    prior = gan.objectives()[2]
    optimizer = prior.build_optimizer()
    for _ in range(60):
        optimizer.zero_grad()
        prior.loss((x, codes, observed))["loss"].backward()
        optimizer.step()
    marginals = gan.prior().marginals()
    assert marginals["hat"].probs[1].item() == pytest.approx(0.75, abs=0.05)
    assert marginals["digit"].probs[2].item() > 0.9


def test_clipping_happens_in_the_optimiser_and_only_to_the_critic():
    gan = plain(ClippedWasserstein(clip=0.02, learning_rate=0.1, critic_steps=1))
    data = TensorData(*points(16))
    Trainer(gan, TrainConfig(epochs=1, batch_size=8), data).fit()
    largest = [max(p.abs().max().item() for p in part.parameters()) for part in (gan.critic, gan.generator)]
    assert largest[0] == pytest.approx(0.02)
    assert largest[1] > 0.02


def test_a_clipped_optimiser_clamps_after_every_step():
    weight = nn.Parameter(torch.tensor([1.0, -1.0, 0.01]))
    optimizer = clipped_after_step(torch.optim.SGD([weight], lr=0.0), 0.1)
    weight.sum().backward()
    optimizer.step()
    assert weight.tolist() == pytest.approx([0.1, -0.1, 0.01])


class StopAt(Callback):
    def __init__(self, step):
        self.step = step

    def after_step(self, run):
        if run.progress.step == self.step:
            signal.raise_signal(signal.SIGINT)


def trainer(directory, gan, *callbacks):
    settings = TrainConfig(epochs=2, batch_size=8, ema_decay=0.9, accumulate=2)
    x, codes, observed = batch(rows=24)
    data = TensorData((255 * x).to(torch.uint8), codes, observed)
    return Trainer(gan, settings, data, directory, callbacks, validation=data)


@pytest.mark.parametrize("name", ["clipped", "penalized"])
def test_a_gan_resumes_to_the_bit(tmp_path, name):
    estimator = {"clipped": ReparametrizedMeans(), "penalized": Pathwise()}[name]
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    result = trainer(whole, labelled(GAMES[name], estimator)).fit()
    assert result.step == 6
    assert {"critic/loss", "generator/loss", "prior/loss", "validation/critic/loss"} <= set(result.metrics)
    with pytest.raises(TrainingInterrupted, match="step 4:"):
        trainer(stopped, labelled(GAMES[name], estimator), StopAt(4)).fit()
    other = labelled(GAMES[name], estimator)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1.0)
    trainer(stopped, other).resume()
    one, two = (
        flatten(load_training_state(run / "checkpoints" / "last")["learner"])[1] for run in (whole, stopped)
    )
    assert one.keys() == two.keys()
    assert [key for key, tensor in one.items() if not torch.equal(tensor, two[key])] == []


def test_only_every_so_many_updates_move_generator_and_prior():
    gan = plain(PenalizedWasserstein(critic_steps=3))
    before = copy.deepcopy(gan.state_dict())
    moved = []

    class Watch(Callback):
        def after_step(self, run):
            now = gan.state_dict()
            moved.append(
                {name.split(".")[0] for name in now if not torch.equal(now[name].cpu(), before[name].cpu())}
            )

    Trainer(gan, TrainConfig(epochs=1, batch_size=4), TensorData(*points(16)), None, [Watch()]).fit()
    assert moved == [
        {"critic"},
        {"critic"},
        {"critic", "generator", "prior"},
        {"critic", "generator", "prior"},
    ]


def test_abilities_are_those_of_a_gan():
    assert abilities(labelled()) == (
        "Decodes",
        "DecodesValues",
        "HasPrior",
        "ReadsLabels",
        "Samples",
        "Trains",
    )
    assert require(labelled(), Samples).sample(2, {"hat": "yes"}, seed=0).x.shape == (2, *SHAPE)


@pytest.mark.parametrize("labels", [ReadLabels(), JudgedLabels()])
def test_labels_are_read_off_objects_by_the_critics_logits(labels):
    gan, (x, _, _) = labelled(labels=labels), batch()
    hat, digit = gan.read_labels(x)
    logits = gan.critic(x)[:, 1:]
    torch.testing.assert_close(hat, logits[:, :2].softmax(1))
    torch.testing.assert_close(digit, logits[:, 2:].softmax(1))
    assert not hat.requires_grad
    assert plain().read_labels(points()[0]) == []


def test_vectors_are_drawn_as_images_are():
    gan = plain()
    drawn = gan.sample(70, seed=1)
    assert drawn.x.shape == (70, 2)
    assert torch.equal(gan.sample(5, seed=1, first=63).x, drawn.x[63:68])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ReadLabels(-1.0), "weight >= 0.*-1.0"),
        (lambda: labelled(prior_learning_rate=0.0), "prior_learning_rate > 0"),
        (lambda: PenalizedWasserstein(slope=0.0), "slope > 0"),
        (lambda: NonSaturating(weight=-1.0), "weight >= 0"),
        (lambda: ClippedWasserstein(clip=0.0), "clip > 0"),
        (lambda: MinMax(critic_steps=0), "critic_steps >= 1"),
        (lambda: ClippedWasserstein(learning_rate=0.0), "learning_rate > 0"),
        (
            lambda: GAN(nn.Identity(), nn.Identity(), nn.Identity()),
            "expected a prior with `sites`.*received Identity",
        ),
        (lambda: plain().sample(-1), "n >= 0"),
        (lambda: plain().critic_loss(batch()), r"one column for each of \[\]"),
    ],
)
def test_impossible_requests_are_refused(make, message):
    with pytest.raises(ModelError, match=message):
        make()


def test_a_critic_without_the_label_logits_is_refused():
    torch.manual_seed(0)
    nets = ConvGenerator(SHAPE, D, width=4), ConvCritic(SHAPE, width=4)
    gan = GAN(*nets, TensorRingPrior(SITES, rank=2))
    with pytest.raises(ModelError, match="a critic with 6 outputs, a score and 5 label logits"):
        gan.critic_loss(batch())


@pytest.mark.slow
def test_a_conditional_gan_shows_the_label_asked_for():
    """Two labels, two halves of the plane, half of the labels missing: soon most samples obey."""
    torch.manual_seed(0)
    code = torch.randint(2, (1280,))
    x = torch.randn(1280, 2) * torch.tensor([0.3, 1.0]) + torch.stack([4.0 * code - 2, 0.0 * code], 1)
    data = TensorData(x, code[:, None], torch.rand(1280, 1) < 0.5)
    sites = [*[Gaussian(f"z{i}", 6) for i in range(4)], Categorical("side", ("left", "right"))]
    prior = TensorRingPrior(sites, rank=4, order=interleaved_order(sites))
    initialize_from_labels(prior, purity=0.98)
    nets = DenseGenerator(4, 2, width=32, depth=2), DenseCritic(2, labels=2, width=32, depth=2)
    game = PenalizedWasserstein(learning_rate=1e-3, critic_steps=2)
    gan = GAN(*nets, prior, game, Pathwise(floor=0.01), prior_learning_rate=5e-3)

    def obeyed(model):
        left, right = (model.sample(500, {"side": side}, seed=0).x[:, 0] for side in ("left", "right"))
        return {"left": (left < 0).float().mean(), "right": (right > 0).float().mean()}

    config = TrainConfig(epochs=15, batch_size=64, ema_decay=0.99, validate_epochs=15)
    found = Trainer(gan, config, data, evaluate=obeyed).fit().metrics
    assert min(found["validation/left"], found["validation/right"]) > 0.9
