"""The configuration of a prior that is fitted to a trained run, and the command line that asks for it."""

import json
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from tnprior_cli.config import FitSection, RunConfig
from tnprior_cli.config_prior import PriorSection
from tnprior_cli.errors import UsageError
from tnprior_cli.settings import changed_keys, check, override
from tnprior_cli.toml import NONE

PRIOR = {"kind": "train", "components": 20, "rank": 64, "initialize": "axes"}
"""The prior that is fitted unless settings say otherwise: larger than in joint training, where the codes come to
meet the prior, and turned to them; here they are what they are."""

FITTED_FAMILY = {"vae": "vae", "cvae": "cvae", "jmvae": "vae", "telbo": "vae", "gan": "gan"}
"""What a run of each family becomes. With a prior over codes and labels, the encoder of images and the decoder of a
jmvae or telbo are a vae; the encoders of labels, which the prior replaces, are left behind, as the critic of a gan is,
which has judged."""

LABELLED = ("cvae",)
"""Families whose networks that stay know the attributes."""

CHANGEABLE = (
    "description",
    "seed",
    "data.root",
    "data.attributes",
    "data.missing",
    "data.seed",
    "prior.",
    "fit.",
)
"""What may differ from the run: which labels are there, how many of them are seen, and the prior."""


def fitted_config(old: RunConfig, source: str, overrides: Iterable[str] = ()) -> tuple[RunConfig, FitSection]:
    """The configuration of a run with another prior, and in it the settings of the fit.

    Args:
        old: of the run whose networks stay.
        source: that run, as commands call it.
        overrides: `section.key=value` texts.

    Raises:
        UsageError: a setting that does not exist or that a fit cannot change, a gan without attributes.
    """
    family = old.model.family
    table = {
        **old.model_dump(mode="json"),
        "description": f"A prior fitted to the codes of {source}",
        "model": {**old.model.model_dump(), "family": FITTED_FAMILY[family], "alignment_weight": None},
        "prior": PRIOR,
        "fit": {"source": source},
    }
    start = check(table, source)
    new = check(override(table, overrides), "-s")
    if new.fit is None:
        raise UsageError("-s fit: a fit cannot go without its settings; expected -s fit.KEY=VALUE")
    may = [key for key in CHANGEABLE if key != "data.attributes" or family not in LABELLED]
    wrong = [key for key in changed_keys(start, new) if not key.startswith(tuple(may))]
    if wrong:
        raise UsageError(
            f"a fit keeps the data and the networks of {source}, so it cannot change {', '.join(wrong)}; "
            f"it may change {', '.join(may)}"
        )
    if family == "gan" and new.data.attributes == ():
        raise UsageError(
            f"the gan {source} knows the density of its own codes; a prior is fitted to it to know attributes too: "
            "name some with -s data.attributes=NAME,NAME, or all of the data set's with -s data.attributes=none"
        )
    if new.prior.kind == "normal":
        raise UsageError(
            "a standard normal has nothing to fit; expected train, ring, factor-ring or mixture as kind"
        )
    return new, new.fit


def fit_command(config: RunConfig, settings: FitSection, out: str) -> str:
    """The command line that makes the same fit once more."""
    usual = {"prior": PriorSection.model_validate(PRIOR), "fit": FitSection(source=settings.source)}
    words = ["tnp", "fit-prior", settings.source, "-o", out]
    names = config.data.attributes
    words += ["-s", f"data.attributes={NONE if names is None else json.dumps(names)}"]
    words += ["--missing", str(config.data.missing), "--seed", str(config.seed)]
    for name, section in (("prior", config.prior), ("fit", settings)):
        words += _changes(name, usual[name].model_dump(), section.model_dump())
    if config.data.seed:
        words += ["-s", f"data.seed={config.data.seed}"]
    return shlex.join(words)


def _changes(section: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """`-s section.key=value` for every setting that differs."""
    changed = {key: value for key, value in after.items() if value != before[key]}
    return [
        word
        for key, value in changed.items()
        for word in ("-s", f"{section}.{key}={NONE if value is None else value}")
    ]
