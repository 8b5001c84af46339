"""Everything a training run is told, as frozen models: what is not a setting is an error."""

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tnprior_cli.toml import NONE

Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Decay = Annotated[float, Field(gt=0, lt=1)]


def _listed(value: Any) -> Any:
    """`-s data.attributes=male,hat` and a TOML array mean the same."""
    if isinstance(value, str):
        return tuple(piece.strip() for piece in value.split(",") if piece.strip())
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class Section(BaseModel):
    """A table of settings: frozen, nothing unknown in it, and "none" where a setting may be absent."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _absent(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        optional = {
            name for name, field in cls.model_fields.items() if type(None) in get_args(field.annotation)
        }
        return {key: None if key in optional and value == NONE else value for key, value in values.items()}


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


_PRIOR_WORDS = {
    "train": "tensor-train",
    "ring": "tensor-ring",
    "mixture": "Gaussian-mixture",
    "vamp": "variational-mixture",
    "normal": "standard normal",
}
_SIZES = {"components": 10, "rank": 16, "spread": 1.5}


class PriorSection(Section):
    """The joint distribution of codes and attributes."""

    kind: Annotated[
        Literal["train", "ring", "mixture", "vamp", "normal"], Field(description="family of the prior")
    ] = "train"
    fixed: Annotated[bool, Field(description="keep the prior as it starts; the networks adapt to it")] = False
    flow: Annotated[
        Whole, Field(description="coupling layers between the prior and the code; 0 for none")
    ] = 0
    flow_hidden: Annotated[Count, Field(description="units of the networks in a coupling layer")] = 64
    components: Annotated[
        Count | None,
        Field(description="Gaussians per latent, or of the whole mixture; pseudo-inputs; none for normal"),
    ] = None
    width: Annotated[
        Positive,
        Field(
            description="of the Gaussians at the start, in units of their distance, of a mixture's as it is"
        ),
    ] = 1.0
    rank: Annotated[
        Count | None,
        Field(description="bond dimension; in normal of the attributes' own train, none: independent labels"),
    ] = None
    factored: Annotated[
        bool,
        Field(description="cores in two factors, as in a hidden Markov model: more rank for the parameters"),
    ] = False
    order: Annotated[
        Literal["given", "interleaved", "random", "information"] | None,
        Field(
            description="order of the sites along the chain; none: interleaved, each attribute among latents"
        ),
    ] = None
    start: Annotated[
        Literal["labels", "noise", "normal"] | None,
        Field(
            description="what the cores start from; none: labels, every attribute at places of its own; normal: "
            "close to N(0, I)"
        ),
    ] = None
    spread: Annotated[
        Weight | None,
        Field(
            description="how far apart the labels start; with start=normal the bond indices, below 1; none for normal"
        ),
    ] = None
    initialize: Annotated[
        Literal["clusters", "mixtures"] | None,
        Field(description="how the codes shape a refitted prior; none for never"),
    ] = None
    refit_first: Annotated[Whole, Field(description="epochs before the prior is first refitted")] = 1
    refit_every: Annotated[Whole, Field(description="epochs between later refits; 0 for none")] = 0
    refit_last: Annotated[Whole | None, Field(description="no refit after this many epochs")] = None
    polish: Annotated[Whole, Field(description="steps of training the prior alone after a refit")] = 300
    settle: Annotated[
        Whole, Field(description="steps of training the prior alone before every epoch but the first")
    ] = 0
    finish: Annotated[
        Whole, Field(description="steps of training the prior alone before the last epoch; 0 for none")
    ] = 0
    attribute_weight: Annotated[
        Weight | None,
        Field(description="weight of log p(y|z) in what the prior of a vae learns; none: the networks' own"),
    ] = None
    settle_weight: Annotated[
        Weight | None, Field(description="weight of log p(y|z) in settle and finish; none: the prior's own")
    ] = None

    def words(self) -> str:
        """What it is, as a text says it: "tensor-train"."""
        return f"fixed {_PRIOR_WORDS[self.kind]}" if self.fixed else _PRIOR_WORDS[self.kind]

    def size(self) -> str:
        """How large it is, in words: "rank 16, 10 components, behind 8 coupling layers"."""
        rank = f"rank {self.rank}" if self.rank and self.kind not in ("mixture", "vamp") else ""
        rank += " in factored cores" if self.factored else ""
        components = f"{self.components} components" if self.components else ""
        flow = f"behind {self.flow} coupling layers" if self.flow else ""
        return ", ".join(part for part in (rank, components, flow) if part)

    @model_validator(mode="before")
    @classmethod
    def _sized(cls, values: Any) -> Any:
        """What a kind of prior has a size of, and was not given, has its usual value."""
        if not isinstance(values, dict) or values.get("kind") == "normal":
            return values
        return {**_SIZES, **values}

    @model_validator(mode="after")
    def _fits(self) -> Self:
        refitted = self.initialize is not None or self.settle or self.finish
        ordered = self.order not in (None, "given")
        if self.kind == "normal":
            self._normal(refitted=bool(refitted), ordered=ordered)
        elif None in (self.components, self.rank, self.spread):
            raise ValueError(f"a {self.kind} needs a number for {', '.join(_SIZES)}")
        if self.kind in ("mixture", "vamp") and (
            ordered or self.start in ("labels", "normal") or self.initialize == "mixtures"
        ):
            raise ValueError(
                f"a {self.kind} has no order, starts from noise and is refitted from clusters at most; set order and "
                "start to none, initialize to clusters or none"
            )
        if self.initialize is not None and (self.kind == "vamp" or self.flow):
            raise ValueError(
                "a prior behind an encoder or a flow has no codes to start from; set initialize to none"
            )
        if self.factored and self.kind not in ("train", "ring"):
            raise ValueError(f"a {self.kind} has no cores to factor; set factored to false")
        self._starts()
        if self.fixed and refitted:
            raise ValueError("a fixed prior is not refitted; set initialize to none, settle and finish to 0")
        if self.order == "information" and self.initialize is None:
            raise ValueError(
                "the order by information is found when the prior is refitted; set initialize too"
            )
        return self

    def _starts(self) -> None:
        if self.width != 1 and self.kind in ("normal", "vamp"):
            raise ValueError(f"a {self.kind} has no Gaussians of a width of their own; set width to 1")
        if self.spread == 0 and self.start != "normal":
            raise ValueError("labels that start at one place are not told apart; set start to noise instead")
        if self.start == "normal" and (self.spread or 0) >= 1:
            raise ValueError(
                "clusters that are N(0, I) together lie less than 1 apart; set spread to 0 (one piece) or about 0.6"
            )
        if self.width != 1 and self.start == "normal":
            raise ValueError("a start close to N(0, I) has widths of its own; set width to 1")

    def _normal(self, *, refitted: bool, ordered: bool) -> None:
        sized = self.components is not None or self.spread is not None
        if sized or refitted or ordered or self.start in ("labels", "normal"):
            raise ValueError(
                "a standard normal has no components, order or start and is not refitted; set "
                "components, spread, order, start and initialize to none, settle and finish to 0"
            )


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
    label_weight: Annotated[Weight, Field(description="weight of the critic's reading of labels")] = 1.0
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
    clip: Annotated[Positive, Field(description="largest weight of the critic, in wgan")] = 0.01
    doubling: Annotated[
        Literal["transposed", "shuffled"],
        Field(
            description="how the generator doubles an image: 5x5 transposed as in TRIP, or 3x3 and pixels shuffled"
        ),
    ] = "transposed"


class FitSection(Section):
    """How `tnp fit-prior` fitted the prior to a model that was trained before."""

    source: Annotated[str, Field(description="the run whose networks these are")]
    steps: Annotated[Whole, Field(description="updates of the prior")] = 3000
    lr: Annotated[Positive, Field(description="Adam's step size at the start; it falls to zero")] = 5e-2
    batch_size: Annotated[Count, Field(description="codes per update")] = 256
    objects: Annotated[Count | None, Field(description="objects encoded at most; none for all")] = None
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
        if self.model.family != "vae" and self.prior.attribute_weight is not None:
            raise ValueError(
                f"a {self.model.family} weighs no labels apart in its prior; set prior.attribute_weight to none"
            )
        if self.model.family == "gan":
            self._plays()
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
        if prior.kind == "vamp":
            raise ValueError("a gan has no encoder, which a vamp prior asks; choose another prior.kind")
        if prior.initialize is not None or prior.settle or prior.finish:
            raise ValueError(
                "a gan has no codes to refit its prior to; set prior.initialize to none, prior.settle and finish to 0"
            )
        if train.validation or train.patience:
            raise ValueError(
                "a gan has no bound to validate; set train.validation to 0 and train.patience to none"
            )
