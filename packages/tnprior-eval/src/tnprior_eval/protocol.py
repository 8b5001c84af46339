"""How a number was measured: it travels with every result, because a number without it says little."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version

Setting = str | int | float | bool


def versions(*packages: str) -> dict[str, str]:
    """Installed versions of `tnprior-eval`, `torch` and the further distributions named.

    >>> sorted(versions("scipy"))
    ['scipy', 'tnprior-eval', 'torch']
    """
    return {name: _version(name) for name in ("tnprior-eval", "torch", *packages)}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What has to be the same for two numbers to be comparable.

    Args:
        extractor: name of the feature extractor or classifier, with the hash of its weights or training data.
        seed: seed of whatever was random, `None` when nothing was.
        settings: every choice that changes the number (bins, k, neighbours, convention, ...).
        versions: versions of the packages that computed it.

    >>> Protocol(extractor="classifier:1f3a", seed=0, settings={"bins": 15}, versions={}).describe()
    'extractor=classifier:1f3a, seed=0, bins=15'
    """

    extractor: str | None = None
    seed: int | None = None
    settings: Mapping[str, Setting] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=versions)

    def having(self, **settings: Setting) -> "Protocol":
        """The same protocol with these settings added.

        >>> Protocol(settings={"bins": 15}, versions={}).having(k=3).describe()
        'bins=15, k=3'
        """
        return replace(self, settings={**self.settings, **settings})

    def describe(self) -> str:
        """The protocol on one line, without the versions."""
        parts = [] if self.extractor is None else [f"extractor={self.extractor}"]
        parts += [] if self.seed is None else [f"seed={self.seed}"]
        return ", ".join(parts + [f"{name}={value}" for name, value in self.settings.items()])
