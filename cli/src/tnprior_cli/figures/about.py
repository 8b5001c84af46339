"""What the model is, in two sentences."""

from tnprior_cli.evaluation.subject import Subject
from tnprior_models import BoundsLikelihood, HasPrior, Imputes, Samples


def about(subject: Subject) -> tuple[str, str]:
    """What it is and what it was trained on; what it can do."""
    return _what(subject), _abilities(subject)


def _what(subject: Subject) -> str:
    config, objects, data = subject.run.config, subject.run.objects, subject.train
    channels, height, width = objects.shape
    joint = " over latents and attributes" if config.prior.kind != "normal" and objects.names else ""
    prior = f" and a {config.prior.words()} prior{joint}" if isinstance(subject.model, HasPrior) else ""
    parameters = sum(p.numel() for p in subject.model.parameters())
    hidden = f", {config.data.missing:.0%} of whose labels were hidden from it" if config.data.missing else ""
    names = listed(objects.names)
    attributes = (
        f"{len(objects.names)} attributes ({names})" if len(objects.names) > 1 else f"the attribute {names}"
    )
    labelled = f" with {attributes}{hidden}" if objects.names else ""
    return (
        f"A {config.model.family.upper()} with {config.model.latents} latents{prior} ({parameters:,} parameters), "
        f"trained on {len(data):,} images of “{data.card.name}” ({height} x {width} pixels, "
        f"{'gray' if channels == 1 else 'colour'}){labelled}."
    )


def _abilities(subject: Subject) -> str:
    known = (
        (Samples, "generates images for any subset of the attributes, the rest left free"),
        (Imputes, "fills in the missing attributes of an image with probabilities"),
        (BoundsLikelihood, "bounds the likelihood of an image"),
    )
    able = [words for protocol, words in known if isinstance(subject.model, protocol)]
    return f"It {listed(able)}." if able else "It can be asked for nothing that is measured here."


def listed(words: "list[str] | tuple[str, ...]", most: int = 12) -> str:
    """The words with commas and an `and`; those past the first few are counted.

    >>> listed(["a", "b", "c"]), listed(["a"])
    ('a, b and c', 'a')
    """
    shown = list(words) if len(words) <= most else [*words[:most], f"{len(words) - most} more"]
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1]))) if shown else ""
