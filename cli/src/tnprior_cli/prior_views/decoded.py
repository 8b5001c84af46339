"""Site values to pictures, whatever kind of model decodes them."""

from typing import Any

import torch
from torch import Tensor

from tnprior_cli.pictures import Pixels
from tnprior_eval import quantize
from tnprior_models import Decodes, HasPrior, Samples, require
from tnprior_models.decoding import decode_in_blocks
from tnprior_models.layout import SiteLayout


@torch.no_grad()
def decode_values(model: Any, values: Tensor) -> Pixels:
    """The objects (n, C, H, W) of rows of site values (n, K); row i does not depend on how many there are."""
    if isinstance(model, Decodes):
        z = SiteLayout.of(require(model, HasPrior).prior).to(values.device).latents_of(values)
        x = decode_in_blocks(model.decode, z, first=0)
    else:
        # Such a decoder reads labels too. A sample given everything is the decoded row itself.
        x = require(model, Samples).sample(1, given=_all_of(model, values), seed=0).x[0]
    pixels: Pixels = quantize(x).cpu().numpy()
    return pixels


def _all_of(model: Any, values: Tensor) -> dict[str, Tensor]:
    layout = SiteLayout.of(model.prior)
    names = [site.name for site in model.prior.sites]
    codes = set(layout.attributes.tolist())
    return {
        name: values[:, at].round().long() if at in codes else values[:, at] for at, name in enumerate(names)
    }
