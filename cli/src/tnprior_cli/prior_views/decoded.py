"""Site values to pictures, whatever kind of model decodes them."""

from typing import Any

import torch
from torch import Tensor

from tnprior_cli.pictures import Pixels
from tnprior_eval import quantize
from tnprior_models import DecodesValues, require
from tnprior_models.decoding import decode_in_blocks


@torch.no_grad()
def decode_values(model: Any, values: Tensor) -> Pixels:
    """The objects (n, C, H, W) of rows of site values (n, K); row i does not depend on how many there are."""
    x = decode_in_blocks(require(model, DecodesValues).decode_values, values, first=0)
    pixels: Pixels = quantize(x).cpu().numpy()
    return pixels
