"""Images to PNG files, and many of them to one grid."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from tnprior_cli.atomic import replacing_file

Pixels = npt.NDArray[np.uint8]
_GAP, _TILE, _SHEET = 2, 80, 768


def save_png(image: Pixels, path: Path) -> None:
    """Writes one image (C, H, W), C = 1 or 3."""
    _picture(image).save(path, format="PNG")


def save_grid(rows: Sequence[Pixels], path: Path) -> None:
    """Writes rows of images, each (n, C, H, W), as one picture; images under 80 pixels are magnified."""
    images = [row for row in rows if len(row)]
    if not images:
        return
    channels, height, width = images[0].shape[1:]
    scale = max(1, -(-_TILE // max(height, width)))
    height, width = height * scale, width * scale
    columns = max(len(row) for row in images)
    shape = (channels, len(images) * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP)
    sheet = np.full(shape, 255, dtype=np.uint8)
    for r, row in enumerate(images):
        for c, image in enumerate(row):
            top, left = _GAP + r * (height + _GAP), _GAP + c * (width + _GAP)
            sheet[:, top : top + height, left : left + width] = image.repeat(scale, 1).repeat(scale, 2)
    save_png(sheet, path)


def save_grid_picture(sheet: Pixels, path: Path) -> None:
    """Writes a finished grid (C, height, width), small ones magnified, under a temporary name first."""
    scale = max(1, _SHEET // max(sheet.shape[1:]))
    with replacing_file(path) as temporary:
        save_png(sheet.repeat(scale, 1).repeat(scale, 2), temporary)


def square_rows(images: Pixels) -> list[Pixels]:
    """Images (n, C, H, W) as the rows of a nearly square grid."""
    columns = max(1, int(np.ceil(np.sqrt(len(images)))))
    return [images[start : start + columns] for start in range(0, len(images), columns)]


def _picture(image: Pixels) -> Image.Image:
    if image.shape[0] == 1:
        return Image.fromarray(image[0])
    return Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
