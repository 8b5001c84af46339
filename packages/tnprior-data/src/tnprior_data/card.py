"""What a data set is, where it comes from and on what terms."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from .schema import Schema


@dataclass(frozen=True)
class Card:
    """The facts about a data set.

    Args:
        name: what `load` takes.
        description: one sentence.
        licence: terms of use.
        citation: whom to cite.
        homepage: where it comes from.
        schema: the attributes, their labels and aliases.
        splits: names of the splits, "train" first.
        shape: (C, H, W) of an image as loaded by default; None where the files decide.
        files: names of the files it is read from; empty for embedded data.
        sha256: checksums of those files where known, file name -> hexadecimal digest.
        md5: likewise; torchvision publishes MD5 only.
        size: side length images are resized to by default, None for no resizing.
    """

    name: str
    description: str
    licence: str
    citation: str
    schema: Schema
    splits: tuple[str, ...] = ("train", "test")
    homepage: str = ""
    shape: tuple[int, int, int] | None = None
    files: tuple[str, ...] = ()
    sha256: Mapping[str, str] = field(default_factory=dict)
    md5: Mapping[str, str] = field(default_factory=dict)
    size: int | None = None

    @property
    def aliases(self) -> dict[str, str]:
        """Alias -> attribute name, for every alias of the schema."""
        return {alias: a.name for a in self.schema for alias in a.aliases}
