"""Images as embedded PNG: a row of them with transparent gaps, in their own pixels."""

import base64
import io

import numpy as np
from PIL import Image
from torch import Tensor

from tnprior_cli.figures.exhibit import Picture

GAP = 2  # pixels of the page between images
TILE = 60  # pixels of the page that a side of a small image takes, about
LARGEST = 96


def strip(images: Tensor, alt: str) -> Picture:
    """A row of uint8 images (n, C, H, W), magnified by the page rather than in the file."""
    n, channels, height, width = images.shape
    scale = max(1, round(TILE / max(height, width)))
    gap = max(1, round(GAP / scale))
    sheet = np.zeros((height, n * (width + gap) - gap, channels + 1), dtype=np.uint8)
    for i, image in enumerate(images.permute(0, 2, 3, 1).numpy()):
        left = i * (width + gap)
        sheet[:, left : left + width, :channels] = image
        sheet[:, left : left + width, channels] = 255
    shrink = min(1.0, LARGEST / max(height, width))
    size = (round(sheet.shape[1] * scale * shrink), round(height * scale * shrink))
    return Picture(_uri(sheet), *size, alt)


def _uri(sheet: "np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]") -> str:
    """Two channels are gray with opacity, four are colour with opacity."""
    stream = io.BytesIO()
    Image.fromarray(sheet).save(stream, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
