"""Everything a training run is told, as frozen models: what is not a setting is an error."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tnprior_cli.config_prior import PriorSection
from tnprior_cli.config_section import (
    Count,
    Decay,
    Fraction,
    Fractions,
    Names,
    Positive,
    Section,
    Weight,
    Whole,
)


class DataSection(Section):
    """Which objects, which of their attributes, and how many labels are hidden."""

    name: Annotated[
        str, Field(description="a data set of `tnp data list`, or a folder or zip with metadata.csv")
    ]
    root: Annotated[str | None, Field(description="folder of the data files already on disk")] = None
    attributes: Annotated[Names | None, Field(description="only these attributes; all when none")] = None
    missing: Annotated[Fraction, Field(description="share of the labels to hide, drawn once")] = 0.0
    seed: Annotated[Whole, Field(description="seed of the hidden labels")] = 0
    size: Annotated[Count | None, Field(description="side to resize images to, in pixels")] = None
    crop: Annotated[
        Count | None, Field(description="side of the centred square cut out first, in pixels")
    ] = None


class ModelSection(Section):
    """The encoder, the decoder and the bound."""

    family: Annotated[
        Literal["vae", "cvae", "jmvae", "telbo", "gan"],
        Field(
            description="the kind of model; a cvae has labels in encoder and decoder, jmvae and telbo (a product of "
            "experts) a label encoder, a gan has no encoder"
        ),
    ] = "vae"
    latents: Annotated[Count, Field(description="dimensions of the code z")] = 16
    width: Annotated[Count, Field(description="channels of the first convolution")] = 32
    hidden: Annotated[Count, Field(description="units of the dense layers")] = 256
    spatial: Annotated[
        bool,
        Field(
            description="codes that are grids, latents for each cell of the last convolution, in a vae or with the "
            "fine networks of a gan; false: of the whole image"
        ),
    ] = False
    grid: Annotated[
        Count,
        Field(
            description="cells that the last convolution's shorter side has at least: images are halved as often as "
            "that allows"
        ),
    ] = 4
    normalization: Annotated[
        Literal["groups", "layer"],
        Field(
            description="of the channels, over groups of eight where the width allows it, or over all of them"
        ),
    ] = "groups"
    likelihood: Annotated[Literal["bernoulli", "gaussian"], Field(description="p(x|z)")] = "bernoulli"
    samples: Annotated[Count, Field(description="posterior samples per image and step")] = 1
    attribute_weight: Annotated[
        Weight, Field(description="weight of log p(y|z), 1 is the exact bound; in a cvae of log q(y|x)")
    ] = 1.0
    attribute_lead: Annotated[
        float,
        Field(ge=1, allow_inf_nan=False, description="in a vae, how many times that weight is at first"),
    ] = 1.0
    attribute_lead_updates: Annotated[
        Whole, Field(description="updates over which it falls to attribute_weight; 0 for none")
    ] = 0
    attribute_rescale: Annotated[
        bool, Field(description="divide those weights by the share of the labels that is observed")
    ] = False
    kl_weight: Annotated[Weight, Field(description="weight of the KL term; 1 is the exact bound")] = 1.0
    kl_warmup: Annotated[
        Whole, Field(description="updates over which the KL term's weight rises from a tenth of it")
    ] = 0
    information_weight: Annotated[
        Weight,
        Field(description="weight of the labels read back from generated objects, in a vae; 0 for none"),
    ] = 0.0
    alignment_weight: Annotated[
        Positive | None,
        Field(
            description="in a jmvae of its encoders' divergences (none: 0.1), in a telbo of log p(y|z) in the "
            "labels' own bound (none: 50)"
        ),
    ] = None
    parameters: Annotated[
        Count | None,
        Field(
            description="parameters in all, prior included: width and hidden follow from it; none: they are as set"
        ),
    ] = None


class TrainSection(Section):
    """The loop."""

    epochs: Annotated[Count, Field(description="passes over the data")] = 10
    batch_size: Annotated[Count, Field(description="objects per update")] = 128
    lr: Annotated[Positive, Field(description="Adam's step size for the networks")] = 1e-3
    prior_lr: Annotated[Positive, Field(description="Adam's step size for the prior")] = 1e-2
    schedule: Annotated[Literal["constant", "cosine"], Field(description="of both step sizes")] = "constant"
    warmup: Annotated[Whole, Field(description="updates over which the step sizes rise from zero")] = 0
    clip_norm: Annotated[Positive | None, Field(description="largest norm of a gradient")] = None
    ema_decay: Annotated[Decay | None, Field(description="decay of the averaged weights")] = None
    flip: Annotated[bool, Field(description="show every image mirrored with probability 1/2")] = False
    shift: Annotated[
        Whole, Field(description="show every image moved by up to this many pixels, edges repeated")
    ] = 0
    accumulate: Annotated[Count, Field(description="parts in which a batch is processed")] = 1
    bf16: Annotated[bool, Field(description="bfloat16 autocast")] = False
    compile: Annotated[bool, Field(description="compile the encoder and the decoder")] = False
    deterministic: Annotated[bool, Field(description="deterministic algorithms only")] = False
    validation: Annotated[Fraction, Field(description="share of the training set kept for validation")] = 0.1
    patience: Annotated[
        Count | None, Field(description="stop after so many validations without progress")
    ] = None
    max_minutes: Annotated[Positive | None, Field(description="stop, with a checkpoint, after this time")] = (
        None
    )
    checkpoint_epochs: Annotated[Count, Field(description="epochs between checkpoints")] = 1
    checkpoint_steps: Annotated[Count | None, Field(description="updates between further checkpoints")] = None
    grid_epochs: Annotated[Count, Field(description="epochs between sample grids")] = 5
    tensorboard: Annotated[bool, Field(description="also write TensorBoard logs")] = False


class GanSection(Section):
    """The game of a gan; nothing here concerns other families."""

    game: Annotated[
        Literal["wgan-gp", "wgan", "minmax", "nonsaturating"],
        Field(description="the losses of critic and generator"),
    ] = "wgan-gp"
    estimator: Annotated[
        Literal["pathwise", "means", "reinforce"],
        Field(
            description="gradient of the prior: along samples, along those of chosen components, by scores"
        ),
    ] = "pathwise"
    floor: Annotated[
        Weight,
        Field(description="of pathwise: a little bias against huge steps between components far apart"),
    ] = 0.01
    critic_steps: Annotated[
        Count | None, Field(description="updates of the critic for one of the others; none: the game's usual")
    ] = None
    labels: Annotated[
        Literal["read", "judged"],
        Field(
            description="whether the critic reads labels off objects, a classifier besides, or judges objects with "
            "their labels"
        ),
    ] = "read"
    label_weight: Annotated[
        Weight, Field(description="of labels that are read, in units of the critic's score")
    ] = 1.0
    label_distance: Annotated[
        Positive | None,
        Field(
            description="of two labels that are judged in wgan-gp, by that of a black and a white image: about as far "
            "as a label changes an image; none: the slope along labels is free, which needs gan.matched"
        ),
    ] = 0.06
    matched: Annotated[
        bool,
        Field(
            description="whether labels are judged in objects that are generated for those of the real ones"
        ),
    ] = False
    penalty: Annotated[
        Weight | None,
        Field(description="weight of the gradient penalty; none: 10 in wgan-gp, 0 in nonsaturating"),
    ] = None
    norm: Annotated[
        Literal["sample", "channel"],
        Field(
            description="whose gradient norm is penalised: a whole image's, or each pixel's over its channels"
        ),
    ] = "sample"
    betas: Annotated[
        Fractions | None,
        Field(description="of Adam, which both sides learn by; none: the game's usual"),
    ] = None
    clip: Annotated[Positive, Field(description="largest weight of the critic, in wgan")] = 0.01
    networks: Annotated[
        Literal["trip", "fine"],
        Field(
            description="generator and critic of TRIP, or the decoder of a vae and a critic that sees every pixel"
        ),
    ] = "trip"
    compares: Annotated[
        bool, Field(description="whether the fine critic sees how much the objects of a batch differ")
    ] = False
    doubling: Annotated[
        Literal["transposed", "shuffled"],
        Field(
            description="how the generator of TRIP doubles an image: 5x5 transposed, or 3x3 and pixels shuffled"
        ),
    ] = "transposed"


class FitSection(Section):
    """How `tnp fit-prior` fitted the prior to a model that was trained before."""

    source: Annotated[str, Field(description="the run whose networks these are")]
    steps: Annotated[Whole, Field(description="updates of the prior")] = 3000
    lr: Annotated[Positive, Field(description="Adam's step size at the start; it falls to zero")] = 5e-2
    batch_size: Annotated[Count, Field(description="codes per update")] = 256
    objects: Annotated[
        Count | None,
        Field(description="objects encoded at most, none for all; of a gan: generated, none for 100,000"),
    ] = None
    attribute_weight: Annotated[Weight, Field(description="weight of log p(y|z); 1 is the exact bound")] = (
        20.0
    )


class RunConfig(Section):
    """A whole run; `config.toml` in a run directory is this, resolved."""

    description: Annotated[str, Field(description="what it is for, in one line")] = ""
    seed: Annotated[Whole, Field(description="seed of everything random in training")] = 0
    data: DataSection
    model: ModelSection = ModelSection()
    prior: PriorSection = PriorSection()
    train: TrainSection = TrainSection()
    gan: GanSection = GanSection()
    fit: FitSection | None = None

    @model_validator(mode="after")
    def _separates(self) -> Self:
        if self.model.family == "cvae" and self.prior.kind == "vamp":
            raise ValueError(
                "a vamp prior asks an encoder of images alone, and that of a cvae sees labels too; choose another "
                "prior.kind"
            )
        if self.model.family in ("jmvae", "telbo"):
            self._decodes_labels()
        elif self.model.alignment_weight is not None:
            raise ValueError(
                f"a {self.model.family} has nothing to align; set model.alignment_weight to none"
            )
        apart = self.model.attribute_lead_updates or self.prior.attribute_weight is not None
        if self.model.family != "vae" and apart:
            raise ValueError(
                f"a {self.model.family} has one weight of its labels; set model.attribute_lead_updates to 0 and "
                "prior.attribute_weight to none"
            )
        if self.model.family == "gan":
            self._plays()
        elif self.model.spatial and self.model.family != "vae":
            raise ValueError(
                f"a {self.model.family} has codes of the whole image; set model.spatial to false"
            )
        return self

    def _decodes_labels(self) -> None:
        prior = self.prior
        if prior.kind != "normal" or prior.rank is not None or prior.flow or prior.fixed:
            raise ValueError(
                f"a {self.model.family} has N(0, I) codes and reads the labels off them; set prior.kind to normal, "
                "prior.components, rank and spread to none, flow to 0 and fixed to false"
            )

    def _plays(self) -> None:
        prior, train = self.prior, self.train
        if self.gan.networks == "fine" and self.gan.doubling != "transposed":
            raise ValueError("the fine networks double images in one way; leave gan.doubling transposed")
        plain = not self.model.spatial and self.model.normalization == "groups" and self.model.grid == 4
        if self.gan.networks != "fine" and not plain:
            raise ValueError(
                "the networks of TRIP have codes of the whole image and normalise in one way; leave model.spatial "
                "false, model.grid 4 and model.normalization groups, or set gan.networks to fine"
            )
        if self.gan.networks != "fine" and self.gan.compares:
            raise ValueError(
                "only the fine critic compares the objects of a batch; set gan.compares to false or gan.networks to "
                "fine"
            )
        if self.gan.betas is not None and self.gan.game == "wgan":
            raise ValueError("a wgan learns by RMSprop, which has no betas; set gan.betas to none")
        if self.gan.labels == "judged" and self.gan.label_weight != 1:
            raise ValueError(
                "labels that are judged with their objects have no weight; leave gan.label_weight 1"
            )
        judged = self.gan.labels == "judged" and self.gan.game == "wgan-gp"
        if self.gan.label_distance != 0.06 and not judged:
            raise ValueError(
                "only labels that are judged in wgan-gp have a distance; leave gan.label_distance 0.06"
            )
        if judged and self.gan.label_distance is None and not self.gan.matched:
            raise ValueError(
                "wgan-gp judges labels at a distance or in objects generated for them; set gan.label_distance to a "
                "number or gan.matched to true"
            )
        if self.gan.matched and self.gan.labels != "judged":
            raise ValueError(
                "only labels that are judged are matched; set gan.labels to judged or gan.matched to false"
            )
        if judged and self.gan.norm == "channel" and self.gan.label_distance is not None:
            raise ValueError(
                "labels at a distance have no channels to penalise; set gan.norm to sample, or gan.matched to true "
                "and gan.label_distance to none"
            )
        if prior.kind == "vamp":
            raise ValueError("a gan has no encoder, which a vamp prior asks; choose another prior.kind")
        if (prior.initialize is not None and self.fit is None) or prior.settle or prior.finish:
            raise ValueError(
                "a gan has no codes to refit its prior to; set prior.initialize to none, prior.settle and finish to 0"
            )
        if train.validation or train.patience:
            raise ValueError(
                "a gan has no bound to validate; set train.validation to 0 and train.patience to none"
            )
