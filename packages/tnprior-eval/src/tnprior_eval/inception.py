"""The Inception-v3 of the Fréchet Inception distance, from weights on this machine.

The official weights are a pickle, which can run any code when it is read. It is read only when its SHA-256 is
that of the published file; weights of one's own come as safetensors.
"""

import hashlib
import io
from pathlib import Path
from urllib.error import URLError

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from tnprior_eval.checks import check_images
from tnprior_eval.errors import EvalError, WeightsUnavailableError
from tnprior_eval.images import three_channels

FILE = "weights-inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
DIMENSION = 2048


class Inception:
    """Pooled features of Inception-v3; made by `Inception.load`.

    Args:
        network: `torch_fidelity`'s extractor with weights.
        identity: first digits of the SHA-256 of the weights file.
        official: whether the weights are the published ones, without which no number is comparable.

    >>> try:
    ...     Inception.load(Path("absent.safetensors"))
    ... except WeightsUnavailableError as error:
    ...     "absent.safetensors" in str(error)
    True
    """

    def __init__(self, network: nn.Module, *, identity: str, official: bool) -> None:
        self._network = network
        self.extractor = f"inception-v3:{identity}"
        self.settings: dict[str, str | int | float | bool] = {
            "weights": "official" if official else "custom",
            "resize": "299, bilinear as in TensorFlow 1",
        }

    @staticmethod
    def load(
        weights: Path | None = None, *, cache: Path | None = None, download: bool = False, device: str = "cpu"
    ) -> "Inception":
        """The extractor, from a file or the cache, or from the network where that is allowed.

        Args:
            weights: the official `.pth` file, or a `.safetensors` file with the same tensor names.
            cache: folder to look into and to download to; torch's own by default, where torch-fidelity
                keeps it.
            download: whether 91 MB may be fetched when no file is found.
            device: where to compute.

        Raises:
            WeightsUnavailableError: no file and no permission, or the download failed.
            EvalError: the file is not what it should be.
        """
        path = _find(weights, cache or Path(torch.hub.get_dir()) / "checkpoints", download=download)
        if path.suffix == ".safetensors":
            digest, source = _digest(path), _as_checkpoint(path)
        else:
            digest, source = _verified(path)
        network = _build(source, path).to(device)
        return Inception(network, identity=digest[:8], official=digest == SHA256)

    @torch.no_grad()
    def features(self, x: Tensor) -> Float[Tensor, "n 2048"]:
        """Features (n, 2048) of uint8 images (n, 1 or 3, H, W) of any size; grey is repeated.

        Raises:
            ShapeError: for other images; `quantize` makes uint8 of values in [0, 1].
        """
        check_images("images", x)
        device = next(self._network.parameters()).device
        features: Tensor = self._network(three_channels(x).to(device))[0]
        return features


def _find(weights: Path | None, cache: Path, *, download: bool) -> Path:
    if weights is not None:
        if not weights.is_file():
            raise WeightsUnavailableError(f"expected Inception weights at {weights}, found no file there")
        return weights
    path = cache / FILE
    if not path.is_file():
        if not download:
            raise WeightsUnavailableError(
                f"no Inception weights: expected {path}; fetch {URL} there on a machine with network, "
                "or name the file, or allow the download"
            )
        _download(path)
    return path


def _download(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(URL, str(path), hash_prefix=SHA256, progress=False)
    except (URLError, OSError, RuntimeError) as error:
        raise WeightsUnavailableError(
            f"could not download the Inception weights ({error}); "
            f"fetch {URL} by other means and name the file"
        ) from error


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _verified(path: Path) -> tuple[str, io.BytesIO]:
    """The bytes that were hashed, so that the file cannot change in between."""
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256:
        raise EvalError(
            f"{path} is not the official Inception file (expected SHA-256 {SHA256}, "
            f"received {digest}) and will not be unpickled; fetch {URL}, or give .safetensors"
        )
    return digest, io.BytesIO(content)


def _as_checkpoint(path: Path) -> io.BytesIO:
    """Safetensors in the form in which torch-fidelity takes weights."""
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise EvalError(f"{path} is not a safetensors file or is damaged ({error})") from error
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    buffer.seek(0)
    return buffer


def _build(source: io.BytesIO, path: Path) -> nn.Module:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    try:
        network: nn.Module = FeatureExtractorInceptionV3(
            "inception-v3-compat", [str(DIMENSION)], feature_extractor_weights_path=source
        )
    except RuntimeError as error:
        raise EvalError(f"{path} does not hold the tensors of Inception-v3: {str(error)[:300]}") from error
    return network
