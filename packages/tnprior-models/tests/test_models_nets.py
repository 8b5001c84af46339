"""Convolutional nets: exact sizes, independence of the batch, gradients, clear errors."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tnprior_models import (
    ConvDecoder,
    ConvEncoder,
    ConvFeatures,
    ImageShapeError,
    ModelError,
)
from tnprior_models.nets import Pyramid, floor_softly, limit_softly

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 64, 64), (1, 9, 31), (3, 45, 33), (1, 100, 8)]


@pytest.fixture(params=[False, True], ids=["dense", "spatial"])
def pair(request):
    """An encoder and its decoder, and a length of code that they take: `pair(shape, **sizes)`."""

    def build(shape, **sizes):
        height, width = Pyramid(shape, 4, sizes.get("grid", 4)).sizes[-1]
        latents = 2 * height * width if request.param else 5
        nets = (net(shape, latents, spatial=request.param, **sizes) for net in (ConvEncoder, ConvDecoder))
        return *nets, latents

    return build


@pytest.mark.parametrize("grid", [4, 7])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_decoder_returns_exactly_the_size_the_encoder_reads(shape, grid, pair):
    encoder, decoder, latents = pair(shape, width=4, hidden=8, grid=grid)
    mu, log_sigma = encoder(torch.rand(2, *shape))
    assert mu.shape == log_sigma.shape == (2, latents)
    assert decoder(mu).shape == (2, *shape)


@settings(max_examples=60)
@given(height=st.integers(8, 300), width=st.integers(8, 300), grid=st.integers(1, 8))
def test_pyramid_ends_on_a_small_grid_and_never_halves_below_it(height, width, grid):
    pyramid = Pyramid((1, height, width), width=4, grid=grid)
    assert len(pyramid.strides) == 6
    assert min(pyramid.sizes[-1]) >= grid
    shorter = min(height, width)
    assert pyramid.strides.count(2) == 6 or math.ceil(min(pyramid.sizes[-1]) / 2) < grid
    for (before, _), (after, _), stride in zip(
        pyramid.sizes[:-1], pyramid.sizes[1:], pyramid.strides, strict=True
    ):
        assert after == math.ceil(before / stride)
    assert shorter >= min(pyramid.sizes[-1])


def test_six_convolutions_and_two_dense_layers_each_way():
    encoder = ConvEncoder((1, 28, 28), latent_size=3, width=8)
    decoder = ConvDecoder((1, 28, 28), latent_size=3, width=8)
    for net in (encoder, decoder):
        convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
        dense = [m for m in net.modules() if isinstance(m, nn.Linear)]
        assert (len(convolutions), len(dense)) == (6, 2)


def test_an_image_keeps_its_code_whatever_batch_it_is_in(pair):
    encoder = pair((1, 12, 12), width=8)[0].double()
    x = torch.rand(9, 1, 12, 12, dtype=torch.float64)
    alone, together = encoder(x[4:5])[0], encoder(x)[0][4:5]
    torch.testing.assert_close(alone, together, rtol=1e-12, atol=1e-12)


def test_gradients_reach_every_weight_of_both_nets(pair):
    encoder, decoder, _ = pair((3, 17, 17), width=8, hidden=16)
    mu, log_sigma = encoder(torch.rand(3, 3, 17, 17))
    (decoder(mu).square().sum() + log_sigma.square().sum()).backward()
    for name, parameter in [*encoder.named_parameters(), *decoder.named_parameters()]:
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_signal_survives_the_depth_at_initialisation(pair):
    torch.manual_seed(0)
    mu, _ = pair((1, 28, 28))[0](torch.rand(64, 1, 28, 28).bernoulli())
    assert 1e-3 < mu.std(dim=0).mean() < 10


def test_wrong_images_and_codes_are_refused_by_name_of_shape(pair):
    encoder, decoder, latents = pair((1, 28, 28), width=4)
    with pytest.raises(
        ImageShapeError, match=r"expected images of shape \(B, 1, 28, 28\), received \(2, 3, 28"
    ):
        encoder(torch.zeros(2, 3, 28, 28))
    with pytest.raises(ImageShapeError, match="received"):
        encoder(torch.zeros(28, 28))
    with pytest.raises(ModelError, match=rf"codes of shape \(B, {latents}\), received \(2, 3\)"):
        decoder(torch.zeros(2, 3))


@pytest.mark.parametrize("shape", [(1, 7, 28), (2, 28, 28), (28, 28)], ids=str)
def test_impossible_image_shapes_are_refused(shape):
    with pytest.raises(ModelError, match="1 or 3 channels and sides of at least 8"):
        ConvEncoder(shape, latent_size=4)


@pytest.mark.parametrize(("normalization", "together"), [("groups", 8), ("layer", 16)])
def test_channels_are_normalised_in_groups_or_together(normalization, together, pair):
    sizes = {"width": 16, "normalization": normalization}
    for net in (*pair((1, 8, 8), **sizes)[:2], ConvFeatures((1, 8, 8), **sizes)):
        norms = [m for m in net.modules() if isinstance(m, nn.GroupNorm)]
        assert {m.num_channels // m.num_groups for m in norms} == {together}


def test_a_width_of_zero_is_refused():
    with pytest.raises(ModelError, match="width of at least 1"):
        ConvEncoder((1, 8, 8), latent_size=4, width=0)
    with pytest.raises(ModelError, match="grid of at least 1 cell"):
        ConvDecoder((1, 8, 8), latent_size=4, grid=0)


@given(st.floats(-1e4, 1e4))
def test_soft_limits_hold_and_keep_a_gradient_beyond_them(value):
    raw = torch.tensor(value, dtype=torch.float64, requires_grad=True)
    limited = limit_softly(raw, -7.0, 3.0)
    assert -7.0 <= limited.item() <= 3.0001
    just_outside = torch.tensor([-12.0, 8.0], dtype=torch.float64, requires_grad=True)
    limit_softly(just_outside, -7.0, 3.0).sum().backward()
    assert (just_outside.grad > 0).all()


def test_soft_floor_is_the_identity_far_above_it():
    high = torch.tensor([20.0, 40.0], dtype=torch.float64)
    torch.testing.assert_close(floor_softly(high, -7.0), high, rtol=1e-11, atol=1e-11)
