"""Rows of images as one picture, with a heading, a name for each row and one for each column."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tnprior_cli.pictures import Pixels

_TILE, _GAP, _MARGIN = 80, 3, 10
_INK, _FAINT, _PAPER = (30, 30, 30), (110, 110, 110), (255, 255, 255)


class Sheet(NamedTuple):
    """What stands around the images: a heading, and a text for each row and column."""

    heading: str
    rows: Sequence[str]
    columns: Sequence[str]


def save_labelled_grid(images: Sequence[Pixels], sheet: Sheet, path: Path) -> None:
    """Writes rows of images, each (n, C, H, W), n = the number of columns; images under 80 pixels are magnified."""
    tiles = [[_tile(image) for image in row] for row in images]
    width, height = tiles[0][0].size
    small, large = _font(12), _font(15)
    left = _MARGIN + max(int(small.getlength(text)) for text in sheet.rows) + 8
    lines = _wrapped(sheet.heading, large, len(sheet.columns) * (width + _GAP) + left - _MARGIN)
    top = _MARGIN + 20 * len(lines) + 24
    size = (
        left + len(sheet.columns) * (width + _GAP) - _GAP + _MARGIN,
        top + len(tiles) * (height + _GAP) - _GAP + _MARGIN,
    )
    page = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(page)
    for at, line in enumerate(lines):
        draw.text((_MARGIN, _MARGIN + 20 * at), line, fill=_INK, font=large)
    for c, text in enumerate(sheet.columns):
        centre = left + c * (width + _GAP) + width // 2
        draw.text((centre, top - 5), _fitted(text, small, width), fill=_FAINT, font=small, anchor="ms")
    for r, (text, row) in enumerate(zip(sheet.rows, tiles, strict=True)):
        upper = top + r * (height + _GAP)
        draw.text((left - 8, upper + height // 2), text, fill=_FAINT, font=small, anchor="rm")
        for c, tile in enumerate(row):
            page.paste(tile, (left + c * (width + _GAP), upper))
    page.save(path, format="PNG")


def _tile(image: Pixels) -> Image.Image:
    scale = max(1, -(-_TILE // max(image.shape[1:])))
    large = image.repeat(scale, 1).repeat(scale, 2)
    if len(large) == 1:
        large = large.repeat(3, 0)
    return Image.fromarray(np.ascontiguousarray(large.transpose(1, 2, 0)))


def _font(size: int) -> ImageFont.FreeTypeFont:
    """The sans-serif letters that matplotlib brings: they know more alphabets than those of pillow."""
    from matplotlib import get_data_path

    return ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def _wrapped(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return [_fitted(line, font, width) for line in lines]


def _fitted(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """The text, cut with an ellipsis where it is wider than its place."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
