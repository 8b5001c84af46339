"""The configuration of a prior that is fitted to a trained run, and the command line that asks for it."""

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

FITTED_FAMILY = {"vae": "vae", "cvae": "cvae", "jmvae": "vae", "telbo": "vae"}
"""What a run of each family with an encoder becomes. With a prior over codes and labels, the encoder of images and the
decoder of a jmvae or telbo are a vae; the encoders of labels, which the prior replaces, are left behind."""

CHANGEABLE = ("description", "seed", "data.root", "data.missing", "data.seed", "prior.", "fit.")
"""What may differ from the run: how much of the labels is seen, and the prior."""


def fitted_config(old: RunConfig, source: str, overrides: Iterable[str] = ()) -> tuple[RunConfig, FitSection]:
    """The configuration of a run with another prior, and in it the settings of the fit.

    Args:
        old: of the run whose networks stay.
        source: that run, as commands call it.
        overrides: `section.key=value` texts.

    Raises:
        UsageError: a run without an encoder, or a setting that does not exist or that a fit cannot change.
    """
    family = old.model.family
    if family not in FITTED_FAMILY:
        raise UsageError(
            f"expected a run with an encoder ({', '.join(FITTED_FAMILY)}), received the {family} {source}, which has "
            f"no codes to fit a prior to; the prior of a {family} is trained with its networks, by `tnp train`"
        )
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
    wrong = [key for key in changed_keys(start, new) if not key.startswith(CHANGEABLE)]
    if wrong:
        raise UsageError(
            f"a fit keeps the data and the networks of {source}, so it cannot change {', '.join(wrong)}; "
            f"it may change {', '.join(CHANGEABLE)}"
        )
    if new.prior.kind == "normal":
        raise UsageError("a standard normal has nothing to fit; expected prior.kind train, ring or mixture")
    return new, new.fit


def fit_command(config: RunConfig, settings: FitSection, out: str) -> str:
    """The command line that makes the same fit once more."""
    usual = {"prior": PriorSection.model_validate(PRIOR), "fit": FitSection(source=settings.source)}
    words = ["tnp", "fit-prior", settings.source, "-o", out]
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
