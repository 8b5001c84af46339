"""The judge: a convolutional classifier with one answer per attribute, and a feature space for distances."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from tnprior_eval.checks import check_images, check_names
from tnprior_eval.errors import EvalError, ShapeError

SMALLEST = 8  # pixels a side
COARSEST = 4  # convolutions halve the image down to at most this many pixels a side
WIDEST = 128  # channels


@dataclass(frozen=True)
class ClassifierConfig:
    """Shape of a classifier.

    Args:
        names: the A attributes.
        label_counts: number of labels C_a of each, at least 2.
        channels: 1 or 3.
        height, width: of the images, at least 8.
        base: channels after the first convolution; they double at each halving, up to 128.
        dimension: number d of features.
        mirror: whether to judge each image together with its mirror image: the features are the mean of both, and
            so, the heads being linear, are the logits.
    """

    names: tuple[str, ...]
    label_counts: tuple[int, ...]
    channels: int
    height: int
    width: int
    base: int = 24
    dimension: int = 128
    mirror: bool = False

    def __post_init__(self) -> None:
        check_names(self.names)
        if len(self.label_counts) != len(self.names) or min(self.label_counts) < 2:
            raise ShapeError(
                f"expected at least two labels for each of {list(self.names)}, received {list(self.label_counts)}"
            )
        if min(self.height, self.width) < SMALLEST or self.channels not in (1, 3):
            raise ShapeError(
                f"expected images with 1 or 3 channels and at least {SMALLEST} x {SMALLEST} pixels, "
                f"received {self.channels} x {self.height} x {self.width}"
            )


class Judgement(NamedTuple):
    """What a classifier makes of n images in one pass: features (n, d), probabilities (n, C_a) of each attribute."""

    features: Float[Tensor, "n d"]
    probabilities: tuple[Float[Tensor, "n _"], ...]

    @property
    def answers(self) -> Int64[Tensor, "n A"]:
        """The most probable codes."""
        return torch.stack([table.argmax(dim=1) for table in self.probabilities], dim=1)


class Classifier(nn.Module):
    """Residual convolutions, d features, one softmax per attribute.

    Large images (24 pixels and more) are halved by the first convolution already. Batch normalisation uses the
    running statistics in `features` and `answers`, so an answer does not depend on the batch around it.

    Args:
        config: shape of the images and the attributes.

    >>> config = ClassifierConfig(("digit",), (10,), channels=1, height=8, width=8)
    >>> classifier = Classifier(config)
    >>> classifier.answers(torch.zeros(5, 1, 8, 8, dtype=torch.uint8)).shape
    torch.Size([5, 1])
    """

    mean: Float[Tensor, "C 1 1"]
    deviation: Float[Tensor, "C 1 1"]

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.full((config.channels, 1, 1), 127.5))
        self.register_buffer("deviation", torch.full((config.channels, 1, 1), 127.5))
        self.trunk = _trunk(config)
        self.heads = nn.ModuleList(nn.Linear(config.dimension, count) for count in config.label_counts)

    def forward(self, x: UInt8[Tensor, "n C H W"]) -> tuple[Float[Tensor, "n _"], ...]:
        """Logits (n, C_a) of each attribute for uint8 images (n, C, H, W)."""
        features = self._embed(x)
        return tuple(head(features) for head in self.heads)

    def judge(self, x: Tensor, *, batch: int = 500) -> Judgement:
        """Features and probabilities of uint8 images (n, C, H, W), on the CPU; raises `ShapeError` for other images.

        Costs as much as one of the two alone.
        """
        parts = self._judge(x, batch)
        tables = zip(*(logits for _, logits in parts), strict=True)
        probabilities = tuple(torch.cat(column).softmax(dim=1) for column in tables)
        return Judgement(torch.cat([features for features, _ in parts]), probabilities)

    def features(self, x: Tensor, *, batch: int = 500) -> Float[Tensor, "n d"]:
        """Features (n, d) of uint8 images (n, C, H, W), on the CPU; raises `ShapeError` for other images."""
        return self.judge(x, batch=batch).features

    def probabilities(self, x: Tensor, *, batch: int = 500) -> tuple[Float[Tensor, "n _"], ...]:
        """Probabilities (n, C_a) of each attribute, on the CPU; raises `ShapeError` for other images."""
        return self.judge(x, batch=batch).probabilities

    def answers(self, x: Tensor, *, batch: int = 500) -> Int64[Tensor, "n A"]:
        """Most probable codes, int64 (n, A), on the CPU; raises `ShapeError` for other images."""
        return self.judge(x, batch=batch).answers

    @property
    def extractor(self) -> str:
        """`classifier:` and the first digits of the SHA-256 of the weights."""
        digest = hashlib.sha256()
        for name, tensor in self.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return f"classifier:{digest.hexdigest()[:12]}"

    @torch.no_grad()
    def _judge(self, x: Tensor, batch: int) -> list[tuple[Tensor, tuple[Tensor, ...]]]:
        """Features and logits of batches, with running statistics whatever mode the module is in."""
        self._check(x)
        device, training = self.mean.device, self.training
        self.eval()
        try:
            features = [self._seen(part.to(device)) for part in x.split(batch)]
            return [(f.cpu(), tuple(head(f).cpu() for head in self.heads)) for f in features]
        finally:
            self.train(training)

    def _check(self, x: Tensor) -> None:
        check_images("images", x)
        wanted = (self.config.channels, self.config.height, self.config.width)
        if x.shape[1:] != wanted:
            raise ShapeError(f"expected images of shape {wanted}, received {tuple(x.shape[1:])}")

    def _seen(self, x: UInt8[Tensor, "n C H W"]) -> Float[Tensor, "n d"]:
        features = self._embed(x)
        return (features + self._embed(x.flip(-1))) / 2 if self.config.mirror else features

    def _embed(self, x: UInt8[Tensor, "n C H W"]) -> Float[Tensor, "n d"]:
        scaled = (x.float() - self.mean) / self.deviation
        features: Tensor = self.trunk(scaled.contiguous(memory_format=torch.channels_last))
        return features


class _Residual(nn.Module):
    """A halving convolution and a second one beside a short cut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.halve = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
        self.halve_norm = nn.BatchNorm2d(outputs)
        self.refine = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.refine_norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Float[Tensor, "n C H W"]) -> Float[Tensor, "n wider h w"]:
        halved = F.relu(self.halve_norm(self.halve(x)))
        return F.relu(halved + self.refine_norm(self.refine(halved)))


def _trunk(config: ClassifierConfig) -> nn.Sequential:
    stride = 2 if min(config.height, config.width) >= 24 else 1
    channels, height, width = config.base, -(-config.height // stride), -(-config.width // stride)
    first = nn.Conv2d(config.channels, channels, 3, stride=stride, padding=1, bias=False)
    layers: list[nn.Module] = [first, nn.BatchNorm2d(channels), nn.ReLU()]
    while max(height, width) > COARSEST:
        wider = max(channels, min(2 * channels, WIDEST))
        layers.append(_Residual(channels, wider))
        channels, height, width = wider, -(-height // 2), -(-width // 2)
    dense = nn.Linear(channels * height * width, config.dimension, bias=False)
    layers += [nn.Flatten(), dense, nn.BatchNorm1d(config.dimension), nn.ReLU()]
    return nn.Sequential(*layers)


def classifier_config(
    x: Tensor, label_counts: Sequence[int], names: Sequence[str] | None, *, mirror: bool
) -> ClassifierConfig:
    """What images (n, C, H, W) and attributes ask for; names default to `attribute0`, ..."""
    check_images("images", x)
    channels, height, width = (int(size) for size in x.shape[1:])
    named = tuple(names) if names is not None else tuple(f"attribute{a}" for a in range(len(label_counts)))
    if len(named) != len(label_counts):
        raise EvalError(f"expected {len(label_counts)} names, received {list(named)}")
    counts = tuple(int(c) for c in label_counts)
    return ClassifierConfig(named, counts, channels, height, width, mirror=mirror)
