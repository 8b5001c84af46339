"""What the page shows, as plain records; the template of each kind is named beside it."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Picture:
    """An embedded image: its data URI, its size on the page in pixels, and what it shows in words."""

    uri: str
    width: int
    height: int
    alt: str


@dataclass(frozen=True)
class Quantity:
    """A number of the report: its name there, the value in full, and as a person reads it."""

    name: str
    value: float
    text: str
    label: str = ""
    interval: str = ""


@dataclass(frozen=True)
class Plot:
    """A drawing, as the text of an SVG element."""

    template: ClassVar[str] = "plot.html"
    svg: str


@dataclass(frozen=True)
class Strip:
    """A row of images of one condition, with what was measured on it."""

    label: str
    picture: Picture
    condition: str = ""
    quantities: tuple[Quantity, ...] = ()


@dataclass(frozen=True)
class Strips:
    """Rows of images."""

    template: ClassVar[str] = "strips.html"
    rows: tuple[Strip, ...]


@dataclass(frozen=True)
class Bar:
    """A probability: of what, how much, what is true, and whether the model's answer is right."""

    label: str
    probability: float
    truth: str
    right: bool | None


@dataclass(frozen=True)
class Example:
    """An image and the probabilities of its attributes."""

    picture: Picture
    name: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Examples:
    """Several images with their bars."""

    template: ClassVar[str] = "examples.html"
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Cell:
    """A number, if there is one, and what stands below it; a quantity without a name is not in the report by itself."""

    quantity: Quantity | None
    beside: str = ""


@dataclass(frozen=True)
class Line:
    """A line of a table: its name, a cell for every column but the first, and whether it sums up the others."""

    name: str
    cells: tuple[Cell, ...]
    strong: bool = False


@dataclass(frozen=True)
class Table:
    """Heads, that of the names first, and lines."""

    template: ClassVar[str] = "table.html"
    heads: tuple[str, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Exhibit:
    """A figure: a short name for links, a title, what one sees in it, and a remark such as terms of use."""

    key: str
    title: str
    caption: str
    body: Plot | Strips | Examples | Table
    note: str = ""
