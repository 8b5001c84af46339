"""Inception features and FID: local files, refused pickles, no network."""

import io
import math
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file

from tnprior_eval import (
    EvalError,
    Inception,
    InceptionFid,
    ShapeError,
    WeightsUnavailableError,
    inception_fid,
)
from tnprior_eval import inception as module

extractor = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A randomly initialised Inception-v3 in both file formats."""
    folder = tmp_path_factory.mktemp("inception")

    class Blank(extractor.FeatureExtractorInceptionV3):
        def load_state_dict(self, state_dict, *args, **kwargs):
            return super().load_state_dict(self.state_dict())

    buffer = io.BytesIO()
    torch.save({}, buffer)
    buffer.seek(0)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        network = Blank("inception-v3-compat", ["2048"], feature_extractor_weights_path=buffer)
    save_file(network.state_dict(), folder / "weights.safetensors")
    torch.save(network.state_dict(), folder / module.FILE)
    return folder


def images(n, channels=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, channels, 12, 12), generator=generator, dtype=torch.uint8)


def test_safetensors_give_the_features_of_torch_fidelity(weights):
    inception = Inception.load(weights / "weights.safetensors", device=str(torch.get_default_device()))
    found = inception.features(images(2))
    oracle = extractor.FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(weights / module.FILE)
    )
    torch.testing.assert_close(found, oracle(images(2))[0])
    assert found.shape == (2, 2048)
    assert inception.settings["weights"] == "custom"
    grey = images(1, channels=1)
    torch.testing.assert_close(inception.features(grey), inception.features(grey.repeat(1, 3, 1, 1)))
    with pytest.raises(ShapeError, match=r"tnprior_eval\.quantize"):
        inception.features(torch.rand(2, 3, 12, 12))


@pytest.mark.parametrize("dimension", [64, pytest.param(2048, marks=pytest.mark.slow)])
def test_fid_carries_its_protocol_and_is_no_classifier_distance(weights, dimension, monkeypatch):
    monkeypatch.setattr(inception_fid, "DIMENSION", dimension)
    inception = Inception.load(weights / "weights.safetensors")
    generator = torch.Generator().manual_seed(1)
    real, generated = (torch.rand(n, dimension, generator=generator) for n in (6, 5))
    metric, other = InceptionFid(inception), InceptionFid(inception)
    metric.update(real=real, generated=generated[:2])
    other.update(generated=generated[2:])
    metric.merge(other)
    result = metric.compute()
    x, y = real.double(), generated.double()
    x, y = x - x.mean(dim=0), y - y.mean(dim=0)
    cross = torch.linalg.matrix_norm(x @ y.T, ord="nuc") / math.sqrt(5 * 4)
    shift = (real.double().mean(dim=0) - generated.double().mean(dim=0)).square().sum()
    expected = shift + x.square().sum() / 5 + y.square().sum() / 4 - 2 * cross
    assert result.frechet.distance.value == pytest.approx(float(expected), rel=1e-9)
    assert result.to_dict()["metric"] == "inception-fid"
    assert [row.name for row in result.rows()] == ["inception-fid"]
    assert result.protocol.extractor == inception.extractor
    assert result.protocol.extractor.startswith("inception-v3:")
    assert result.protocol.settings["weights"] == "custom"
    assert (result.real, result.generated) == (6, 5)
    assert "torch-fidelity" in result.protocol.versions
    with pytest.raises(ShapeError, match=rf"generated as floats of shape \(n, {dimension}\)"):
        metric.update(generated=torch.rand(2, 128))


def test_the_official_file_is_read_only_by_its_hash(weights, monkeypatch):
    path = weights / module.FILE
    with pytest.raises(EvalError, match=r"not the official Inception file .* will not be unpickled"):
        Inception.load(path)
    digest = module._digest(path)
    monkeypatch.setattr(module, "SHA256", digest)
    inception = Inception.load(cache=weights, device=str(torch.get_default_device()))
    assert inception.settings["weights"] == "official"
    assert inception.extractor == f"inception-v3:{digest[:8]}"
    assert inception.features(images(1)).shape == (1, 2048)


def test_missing_weights_say_what_to_do(tmp_path):
    with pytest.raises(WeightsUnavailableError, match=r"found no file there"):
        Inception.load(tmp_path / "none.pth")
    with pytest.raises(
        WeightsUnavailableError, match=r"fetch https://github.com/toshas.* or allow the download"
    ):
        Inception.load(cache=tmp_path)


def test_a_failed_download_says_what_to_do(tmp_path, monkeypatch):
    def unreachable(url, *args, **kwargs):
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with pytest.raises(
        WeightsUnavailableError, match=r"could not download .*no route to host.* by other means"
    ):
        Inception.load(cache=tmp_path / "new", download=True)


def test_a_download_is_checked_against_the_whole_hash(tmp_path, monkeypatch, weights):
    asked = {}

    def fetch(url, destination, hash_prefix, progress):
        asked.update(url=url, hash=hash_prefix)
        (tmp_path / module.FILE).write_bytes((weights / module.FILE).read_bytes())

    monkeypatch.setattr(module, "SHA256", module._digest(weights / module.FILE))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    assert Inception.load(cache=tmp_path, download=True).settings["weights"] == "official"
    assert asked == {"url": module.URL, "hash": module.SHA256}


def test_damaged_and_foreign_safetensors_are_named(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"not tensors")
    with pytest.raises(EvalError, match="not a safetensors file or is damaged"):
        Inception.load(path)
    save_file({"x": torch.zeros(2)}, path)
    with pytest.raises(EvalError, match="does not hold the tensors of Inception-v3"):
        Inception.load(path)
