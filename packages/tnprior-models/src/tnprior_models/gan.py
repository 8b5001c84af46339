"""The generative adversarial network with any prior over latents and attributes, fixed or learned."""

from __future__ import annotations

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tnprior_models.errors import ModelError
from tnprior_models.estimators import Estimator, Reinforce
from tnprior_models.games import Game, PenalizedWasserstein
from tnprior_models.implicit import ImplicitModel
from tnprior_models.label_games import LabelGame, ReadLabels
from tnprior_models.label_rows import LabelRows
from tnprior_models.labelled_pairs import LabelledPairs
from tnprior_models.objective import Batch, Objective

__all__ = ["GAN"]


class GAN(ImplicitModel):
    """A GAN whose prior spans latents and attributes: `(z, y) ~ p(z, y)`, `x = G(z)`, judged by a critic.

    Three players take their steps in turn: the critic at every update; generator and prior at every
    `game.critic_steps`-th. Their losses, with d the cost that the game gives the critic's score of G(z):

    * critic: the game's loss and penalty, `- w log C(y_ob | x)` of the real objects' observed labels;
    * generator: `E[d - w log C(y | G(z))]` over joint draws of the prior;
    * prior: the same expectation by `estimator`, for p(z|y) alone, and `- log p(y_ob)`.

    So the labels keep the frequencies of the data and a missing one counts nowhere, while the latents learn
    where to put each label. Either C is the critic's own classifier, trained on real objects only (`ReadLabels`),
    or w is 0 and the critic's score is of objects with their labels (`JudgedLabels`). The prior steps only if it
    has parameters that need a gradient.

    Source: TRIP (Kuznetsov et al. 2019), equations 9 and 10; for the labels see `label_games`.

    Args:
        generator: codes (B, d) -> objects, images in [0, 1].
        critic: objects -> (B, 1 + L), a score and the logits of all attributes' labels side by side.
        prior: a module whose call returns a distribution over sites; its d continuous sites are the
            latents, its categorical ones the attributes, L labels in all.
        game: the family of losses with the optimisers of critic and generator.
        estimator: how the prior's gradient is found.
        labels: how the critic's label logits enter the game.
        prior_learning_rate: Adam's step size for the prior.

    Raises:
        ModelError: no continuous site, or a rate that is not positive.

    >>> from tnprior_core import Categorical, Gaussian, TensorRingPrior
    >>> from tnprior_models.nets import ConvCritic, ConvGenerator
    >>> sites = [Gaussian("z0", components=3), Gaussian("z1", components=3), Categorical("hat", ("0", "1"))]
    >>> gan = GAN(
    ...     ConvGenerator((1, 8, 8), latent_size=2, width=8),
    ...     ConvCritic((1, 8, 8), labels=2, width=8),
    ...     TensorRingPrior(sites, rank=3),
    ... )
    >>> [(objective.name, objective.every) for objective in gan.objectives()]
    [('critic', 1), ('generator', 5), ('prior', 5)]
    >>> gan.sample(5, {"hat": "1"}, seed=0).x.shape
    torch.Size([5, 1, 8, 8])
    """

    def __init__(
        self,
        generator: nn.Module,
        critic: nn.Module,
        prior: nn.Module,
        game: Game | None = None,
        estimator: Estimator | None = None,
        *,
        labels: LabelGame | None = None,
        prior_learning_rate: float = 1e-3,
    ) -> None:
        super().__init__(generator, prior)
        if prior_learning_rate <= 0:
            raise ModelError(f"expected prior_learning_rate > 0, received {prior_learning_rate}")
        self.critic = critic
        self.game: Game = PenalizedWasserstein() if game is None else game
        self.estimator: Estimator = Reinforce() if estimator is None else estimator
        self.rows = LabelRows(self.layout.categorical) if self.layout.categorical else None
        self.labels: LabelGame = ReadLabels() if labels is None else labels
        self.prior_learning_rate = prior_learning_rate

    def objectives(self) -> tuple[Objective, ...]:
        """Critic, generator and, if there is something to learn, prior, with an optimiser each."""
        game, pace = self.game, self.game.critic_steps
        players = [
            Objective("critic", _trained(self.critic), self.critic_loss, game.critic_optimizer),
            Objective(
                "generator", _trained(self.generator), self.generator_loss, game.generator_optimizer, pace
            ),
        ]
        if prior := _trained(self.prior):
            adam = partial(torch.optim.Adam, lr=self.prior_learning_rate)
            players.append(Objective("prior", prior, self.prior_loss, adam, pace))
        return tuple(players)

    def critic_loss(self, batch: Batch) -> dict[str, Tensor]:
        """What the critic minimises, and its parts: mean scores, penalty, log-likelihood of observed labels."""
        x, codes, observed = batch
        self.layout.check(codes, observed)
        with torch.no_grad():
            z, fake_codes = self._opponents(codes, observed)
            fake = self.decode(z).to(x.dtype)
        score, log_labels = self._judge(x, codes, observed)
        fake_score, _ = self._judge(fake, fake_codes, observed)
        terms = {"real": score.mean(), "fake": fake_score.mean()}
        loss = self.game.critic_loss(score, fake_score)
        if self.rows is None or self.labels.distance is None:
            penalty = self.game.penalty(lambda u: self._judge(u, codes, observed)[0], x, fake)
        else:
            space = LabelledPairs(self.rows, x.shape[1:], observed, self.labels.distance)
            penalty = self.game.penalty(
                space.scores(self._outputs), space.join(x, codes), space.join(fake, fake_codes)
            )
        if penalty is not None:
            terms["penalty"] = penalty
            loss = loss + penalty
        return {**terms, **self._with_labels(loss, log_labels)}

    def generator_loss(self, batch: Batch) -> dict[str, Tensor]:
        """What the generator minimises over as many draws of the prior as the batch has objects."""
        with torch.no_grad():
            values = self.prior().sample((batch[0].shape[0],))
        cost, log_labels = self._costs(values)
        return {"cost": cost.mean(), **self._with_labels(cost.mean(), log_labels)}

    def prior_loss(self, batch: Batch) -> dict[str, Tensor]:
        """What the prior minimises: the estimated cost of its draws, and `- log p(y_ob)` of the real objects."""
        x, codes, observed = batch
        self.layout.check(codes, observed)
        distribution = self.prior()
        estimated = self.estimator(distribution, x.shape[0], self.cost)
        terms = {"cost": estimated.cost.mean()}
        loss = estimated.loss
        if self.rows is not None:
            table, known = self._labels_alone(codes, observed)
            terms["log_evidence"] = distribution.log_prob(table, observed=known).mean()
            loss = loss - terms["log_evidence"]
        return {"loss": loss, **terms}

    def cost(self, values: Float[Tensor, "n K"]) -> Float[Tensor, " n"]:
        """`d - w log C(y | G(z))` of rows of site values, differentiable in latents and generator."""
        cost, log_labels = self._costs(values)
        return cost if log_labels is None else cost - self.labels.weight * log_labels

    @torch.no_grad()
    def read_labels(self, x: Float[Tensor, "B ..."]) -> list[Float[Tensor, "B _"]]:
        """How clearly each object shows the labels of every attribute: the softmax of the critic's logits.

        For comparing objects (`BestOf`). With `ReadLabels` it is the critic's own `C(y | x)`. With `JudgedLabels` the
        logits weigh the labels of real objects against those of generated ones: which of two objects shows a label
        better is told by them, how likely a label is of one object is not. Every object is judged by itself, however
        the critic looks at a batch in training.

        Raises:
            ModelError: a critic that gives another number of logits.
        """
        if self.rows is None:
            return []
        alone = torch.vmap(lambda one: self._outputs(one.unsqueeze(0))[1].squeeze(0))
        logits: Tensor = alone(x) if len(x) else x.new_zeros(0, self.rows.size)
        return list(self.rows.split(self.rows.log_probs(logits).exp()))

    def _opponents(self, codes: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        """Latents (B, d) and codes (B, A) of as many draws as there are objects: with their labels if matched."""
        distribution = self.prior()
        if self.rows is not None and self.labels.matched:
            table, known = self._labels_alone(codes, observed)
            values = distribution.observe(table, observed=known).sample((1,))[0]
        else:
            values = distribution.sample((len(codes),))
        return self.layout.latents_of(values), self.layout.codes_of(values)

    def _labels_alone(self, codes: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        """A table of site values (B, K) with the labels of objects, and which are known: no latent is."""
        z = torch.zeros(len(codes), self.layout.latent_size, device=codes.device)
        known = self.layout.mask(z, observed) & (self.layout.inverse >= self.layout.latent_size)
        return self.layout.join(z, codes), known

    def _judge(self, x: Tensor, codes: Tensor, observed: Tensor) -> tuple[Tensor, Tensor | None]:
        """Scores (B,) of objects with their observed labels, and `log C(y_ob | x)` (B,) if that is asked for."""
        score, logits = self._outputs(x)
        if self.rows is None:
            return score, None
        known = torch.where(observed, codes, torch.zeros_like(codes))
        score = self.labels.score(score, (self.rows.of_codes(logits, known) * observed).sum(-1))
        if not self.labels.weight:
            return score, None
        log_probs = self.rows.log_probs(logits)
        return score, (self.rows.of_codes(log_probs, known) * observed).sum(-1)

    def _outputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (B,) and label logits (B, L), at least single precision."""
        judged: Tensor = self.critic(x)
        width = 1 + (0 if self.rows is None else self.rows.size)
        if tuple(judged.shape) != (x.shape[0], width):
            raise ModelError(
                f"expected a critic with {width} outputs, a score and {width - 1} label logits, "
                f"received shape {tuple(judged.shape)} for {x.shape[0]} objects"
            )
        judged = judged.to(torch.promote_types(judged.dtype, torch.float32))
        return judged[:, 0], judged[:, 1:]

    def _costs(self, values: Tensor) -> tuple[Tensor, Tensor | None]:
        codes = self.layout.codes_of(values)
        x = self.decode(self.layout.latents_of(values))
        score, log_labels = self._judge(x, codes, torch.ones_like(codes, dtype=torch.bool))
        return self.game.cost(score), log_labels

    def _with_labels(self, loss: Tensor, log_labels: Tensor | None) -> dict[str, Tensor]:
        if log_labels is None:
            return {"loss": loss}
        told = log_labels.mean()
        return {"loss": loss - self.labels.weight * told, "log_labels": told}


def _trained(module: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in module.parameters() if parameter.requires_grad]
