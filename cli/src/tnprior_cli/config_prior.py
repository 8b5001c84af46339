"""The settings of a prior, and which of them go together."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from tnprior_cli.config_section import Count, Positive, Purity, Section, Share, Weight, Whole

_PRIOR_WORDS = {
    "train": "tensor-train",
    "ring": "tensor-ring",
    "factor-ring": "factor-ring",
    "mixture": "Gaussian-mixture",
    "vamp": "variational-mixture",
    "normal": "standard normal",
}
_SIZES = {"components": 10, "rank": 16, "spread": 1.5}
_POINTS = 5
"""Usual rank of a factor ring: points of the factor in each of its places."""
_MOST_POINTS = 256
"""Of a place, as its prior allows."""


class PriorSection(Section):
    """The joint distribution of codes and attributes."""

    kind: Annotated[
        Literal["train", "ring", "factor-ring", "mixture", "vamp", "normal"],
        Field(description="family of the prior"),
    ] = "train"
    fixed: Annotated[bool, Field(description="keep the prior as it starts; the networks adapt to it")] = False
    flow: Annotated[
        Whole, Field(description="coupling layers between the prior and the code; 0 for none")
    ] = 0
    flow_hidden: Annotated[Count, Field(description="units of the networks in a coupling layer")] = 64
    components: Annotated[
        Count | None,
        Field(
            description="Gaussians per latent, or of the whole mixture; places; pseudo-inputs; none for normal"
        ),
    ] = None
    width: Annotated[
        Positive,
        Field(
            description="of the Gaussians at the start, in units of their distance, of a mixture's as it is"
        ),
    ] = 1.0
    rank: Annotated[
        Count | None,
        Field(
            description="bond dimension, in a factor ring of each place: points of its factor; in normal of the "
            "attributes' own train, none: independent labels"
        ),
    ] = None
    factors: Annotated[
        Count, Field(description="of a factor-ring, in every place; a bond index of one is a point of each")
    ] = 1
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
            description="what the cores start from; none: labels, every attribute at places of its own, but noise for "
            "a mixture; normal: close to N(0, I)"
        ),
    ] = None
    spread: Annotated[
        Weight | None,
        Field(
            description="how far apart the labels start; with start=normal the bond indices, below 1; none for normal"
        ),
    ] = None
    leak: Annotated[
        Share | None,
        Field(
            description="how often the chain changes its bond index at the start, per site; 1: latents independent of "
            "each other; none: 0.05, from labels 0.02"
        ),
    ] = None
    purity: Annotated[
        Purity | None,
        Field(description="how sure a bond index or component is of its label at the start; none: 0.9"),
    ] = None
    switch: Annotated[
        Share | None,
        Field(
            description="how often it changes among those of one label, per site; 1: latents independent given the "
            "labels; none: never"
        ),
    ] = None
    initialize: Annotated[
        Literal["axes", "clusters", "mixtures"] | None,
        Field(
            description="how the codes shape a refitted prior, axes: by clusters along axes that tell labels apart; "
            "none: never"
        ),
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
        if self.kind == "factor-ring":
            rank = f"{self.components} places"
            components = f"{self.factors} factor{'s' * (self.factors > 1)} of {self.rank} points"
        else:
            rank = f"rank {self.rank}" if self.rank and self.kind not in ("mixture", "vamp") else ""
            components = f"{self.components} components" if self.components else ""
        rank += " in factored cores" if self.factored else ""
        flow = f"behind {self.flow} coupling layers" if self.flow else ""
        return ", ".join(part for part in (rank, components, flow) if part)

    @model_validator(mode="before")
    @classmethod
    def _sized(cls, values: Any) -> Any:
        """What a kind of prior has a size of, and was not given, has its usual value."""
        if not isinstance(values, dict) or values.get("kind") == "normal":
            return values
        points = {"rank": _POINTS} if values.get("kind") == "factor-ring" else {}
        return {**_SIZES, **points, **values}

    @model_validator(mode="after")
    def _fits(self) -> Self:
        refitted = self.initialize is not None or self.settle or self.finish
        ordered = self.order not in (None, "given")
        if self.kind == "normal":
            self._normal(refitted=bool(refitted), ordered=ordered)
        elif None in (self.components, self.rank, self.spread):
            raise ValueError(f"a {self.kind} needs a number for {', '.join(_SIZES)}")
        if self.kind == "factor-ring":
            self._factor_ring()
        elif self.factors != 1:
            raise ValueError(f"a {self.kind} has no factors; set factors to 1, or kind to factor-ring")
        starts = ("normal",) if self.kind == "mixture" else ("labels", "normal")
        if self.kind in ("mixture", "vamp") and (
            ordered or self.start in starts or self.initialize == "mixtures"
        ):
            start = "noise or labels" if self.kind == "mixture" else "noise"
            raise ValueError(
                f"a {self.kind} has no order, starts from {start} and is refitted from clusters at most; set order and "
                "start to none, initialize to axes, clusters or none"
            )
        if self.initialize is not None and (self.kind == "vamp" or self.flow):
            raise ValueError(
                "a prior behind an encoder or a flow has no codes to start from; set initialize to none"
            )
        if self.factored and self.kind not in ("train", "ring"):
            raise ValueError(f"a {self.kind} has no cores to factor; set factored to false")
        self._starts()
        if self.attribute_weight is not None and (self.fixed or self.kind == "vamp"):
            raise ValueError(
                "a fixed prior learns nothing and a vamp prior by its model's encoder; set attribute_weight to none"
            )
        if self.fixed and refitted:
            raise ValueError("a fixed prior is not refitted; set initialize to none, settle and finish to 0")
        if self.order == "information" and self.initialize is None:
            raise ValueError(
                "the order by information is found when the prior is refitted; set initialize too"
            )
        if self.order == "information" and self.initialize == "axes":
            raise ValueError(
                "the order by information is that of codes as they are; set initialize to clusters or mixtures"
            )
        return self

    def _starts(self) -> None:
        if self.width != 1 and self.kind in ("normal", "vamp"):
            raise ValueError(f"a {self.kind} has no Gaussians of a width of their own; set width to 1")
        by_labels = self.start == "labels" or (self.kind in ("train", "ring") and self.start is None)
        if self.spread == 0 and by_labels:
            raise ValueError("labels that start at one place are not told apart; set start to noise instead")
        if self.start == "normal" and (self.spread or 0) >= 1:
            raise ValueError(
                "clusters that are N(0, I) together lie less than 1 apart; set spread to 0 (one piece) or about 0.6"
            )
        if self.leak is not None and (
            self.kind not in ("train", "ring") or self.start == "noise" or not self.spread
        ):
            raise ValueError(
                "only bond indices that start at places of their own can change; set leak to none, or start to "
                "labels or normal and spread above 0"
            )
        if self.purity is not None and not by_labels:
            raise ValueError("only what starts from labels is sure of one; set purity to none")
        if self.switch and not (by_labels and self.kind in ("train", "ring")):
            raise ValueError(
                "only bond indices that start from labels switch among those of one; set switch to none"
            )
        if self.width != 1 and self.start == "normal":
            raise ValueError("a start close to N(0, I) has widths of its own; set width to 1")

    def _factor_ring(self) -> None:
        if self.rank is not None and self.rank < 2:
            raise ValueError("a factor has at least two points; set rank to 2 or more, or kind to mixture")
        if self.rank is not None and self.rank**self.factors > _MOST_POINTS:
            raise ValueError(
                f"a place has rank^factors points, at most {_MOST_POINTS}; set rank or factors to less"
            )
        if self.start == "normal" or self.initialize == "mixtures" or self.order == "information":
            raise ValueError(
                "a factor-ring starts from noise or labels, is refitted from clusters and has the order it is given; "
                "set start to none, noise or labels, initialize to axes, clusters or none, order to another or none"
            )

    def _normal(self, *, refitted: bool, ordered: bool) -> None:
        sized = self.components is not None or self.spread is not None
        if sized or refitted or ordered or self.start in ("labels", "normal"):
            raise ValueError(
                "a standard normal has no components, order or start and is not refitted; set "
                "components, spread, order, start and initialize to none, settle and finish to 0"
            )
