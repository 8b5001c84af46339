"""Generators and critics: exact sizes, ranges, the paper's layers, independence of the batch."""

import pytest
import torch
from torch import nn

from tnprior_models import ImageShapeError, ModelError
from tnprior_models.nets import (
    BatchDeviation,
    ConvCritic,
    ConvGenerator,
    DenseCritic,
    DenseGenerator,
    FineCritic,
    PixelLayerNorm,
    image_layer_norm,
    shuffled_doubling,
    transposed_doubling,
)

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 64, 64), (1, 9, 31), (3, 45, 33), (1, 100, 8)]


@pytest.mark.parametrize("doubling", [transposed_doubling, shuffled_doubling], ids=lambda f: f.__name__)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_generator_and_critic_serve_any_size(shape, doubling):
    torch.manual_seed(0)
    x = ConvGenerator(shape, 5, width=4, doubling=doubling)(10 * torch.randn(2, 5))
    assert x.shape == (2, *shape)
    assert 0 <= x.min() < 0.5 < x.max() <= 1
    for critic in (ConvCritic(shape, labels=3, width=4), FineCritic(shape, labels=3, width=4)):
        assert critic(x).shape == (2, 4)


@pytest.mark.parametrize(
    ("doubling", "checkered"),
    [(transposed_doubling, True), (shuffled_doubling, False)],
    ids=["transposed", "shuffled"],
)
def test_only_a_transposed_convolution_sees_a_checkerboard(doubling, checkered):
    """With equal weights throughout, an even grid stays even, away from its border, or does not."""
    module = doubling(2, 3)
    for parameter in module.parameters():
        nn.init.ones_(parameter)
    inner = module(torch.ones(1, 2, 8, 8))[..., 4:-4, 4:-4]
    assert (inner.std() > 0) == checkered


def test_at_64_pixels_the_layers_are_the_papers():
    generator, critic = ConvGenerator((3, 64, 64), 128), ConvCritic((3, 64, 64))
    grown = [m for m in generator.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert [m.out_channels for m in grown] == [256, 128, 64, 3]
    assert {(m.kernel_size, m.stride) for m in grown} == {((5, 5), (2, 2))}
    assert generator.dense.weight.shape == (4 * 4 * 512, 128)
    assert generator.dense.bias is None
    shrunk = [m for m in critic.modules() if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in shrunk] == [64, 128, 256, 512]
    assert {(m.kernel_size, m.stride) for m in shrunk} == {((5, 5), (2, 2))}
    assert critic.dense.weight.shape == (1, 4 * 4 * 512)
    assert sum(isinstance(m, nn.GroupNorm) for m in critic.modules()) == 3
    assert [m.negative_slope for m in critic.modules() if isinstance(m, nn.LeakyReLU)] == [0.2] * 4
    small = ConvGenerator((3, 32, 32), 128)
    assert small.dense.weight.shape == (4 * 4 * 256, 128)


def test_weights_are_as_many_as_the_reference_counts():
    count = sum(
        p.numel()
        for net in (ConvGenerator((3, 64, 64), 128), ConvCritic((3, 64, 64)))
        for p in net.parameters()
    )
    assert count == pytest.approx(9.67e6, rel=0.01)


def test_a_fine_critic_skips_no_pixel_at_first_and_halves_afterwards():
    layers = [m for m in FineCritic((3, 64, 64), width=8).modules() if isinstance(m, nn.Conv2d)]
    assert [(m.kernel_size[0], m.stride[0], m.out_channels) for m in layers] == [
        (3, 1, 8),
        *[(4, 2, 16), (4, 2, 32), (4, 2, 32), (4, 2, 32)],
    ]
    assert FineCritic((1, 28, 28), width=8).dense.in_features == 32 * 7 * 7


def test_the_deviation_of_a_batch_is_that_of_its_definition():
    x = torch.randn(5, 3, 4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = BatchDeviation()(x)
    assert torch.equal(found[:, :3], x)
    torch.testing.assert_close(
        found[:, 3], torch.full((5, 4, 2), float(x.cpu().numpy().std(0).mean()), dtype=x.dtype)
    )


@pytest.mark.parametrize("size", [1, 4])
def test_a_critic_that_compares_can_be_trained_on_one_object_many_times(size):
    torch.manual_seed(0)
    critic = FineCritic((1, 8, 8), labels=2, width=4, compares=True)
    x = torch.rand(1, 1, 8, 8).expand(size, -1, -1, -1).clone().requires_grad_()
    score = critic(x)
    assert score.shape == (size, 3)
    score.sum().backward()
    assert all(bool(torch.isfinite(p.grad).all()) for p in [x, *critic.parameters()])


def test_a_critic_that_compares_tells_one_object_from_many():
    """Two batches with an image in common: its score differs with its company, and not otherwise."""
    torch.manual_seed(0)
    critic, x = FineCritic((1, 8, 8), width=4, compares=True), torch.rand(6, 1, 8, 8)
    one, many, turned = critic(x[:1].expand(6, -1, -1, -1))[0], critic(x)[0], critic(x.flip(0))[-1]
    assert not torch.allclose(one, many)
    torch.testing.assert_close(many, turned)


@pytest.mark.parametrize(
    "make",
    [
        *(
            lambda norm=norm: ConvCritic((3, 16, 12), width=4, norm=norm)
            for norm in (image_layer_norm, PixelLayerNorm, nn.Identity)
        ),
        lambda: FineCritic((3, 16, 12), width=4),
    ],
)
def test_no_score_depends_on_another_image(make):
    torch.manual_seed(0)
    critic = make().double()
    x = torch.rand(4, 3, 16, 12, dtype=torch.float64)
    torch.testing.assert_close(critic(x)[2:3], critic(x[2:3]), rtol=1e-10, atol=1e-12)


def test_the_pixels_of_the_published_norm_are_apart():
    x = torch.rand(2, 6, 3, 3, dtype=torch.float64)
    norm = PixelLayerNorm(6).double()
    moved = x.clone()
    moved[:, :, 0, 0] += 5 * torch.rand(6)
    same = norm(moved) == norm(x)
    assert same[:, :, 1:, :].all()
    assert not same[:, :, 0, 0].all()


def test_dense_nets_have_the_layers_asked_for():
    generator, critic = DenseGenerator(3, 2, width=16, depth=2), DenseCritic(2, labels=4, width=8, depth=1)
    assert [tuple(m.weight.shape) for m in generator.modules() if isinstance(m, nn.Linear)] == [
        (16, 3),
        (16, 16),
        (2, 16),
    ]
    assert critic(generator(torch.randn(7, 3))).shape == (7, 5)


def test_wrong_shapes_are_refused_with_what_was_expected():
    with pytest.raises(ModelError, match=r"expected codes of shape \(B, 5\), received \(2, 4\)"):
        ConvGenerator((1, 8, 8), 5, width=2)(torch.zeros(2, 4))
    with pytest.raises(ImageShapeError, match=r"\(B, 1, 8, 8\), received \(2, 1, 9, 8\)"):
        ConvCritic((1, 8, 8), width=2)(torch.zeros(2, 1, 9, 8))
    with pytest.raises(ModelError, match=r"vectors of shape \(B, 2\)"):
        DenseCritic(2)(torch.zeros(3, 3))
    with pytest.raises(ModelError, match="codes of shape"):
        DenseGenerator(2, 2)(torch.zeros(3, 3))
    with pytest.raises(ModelError, match="at least 8 pixels"):
        ConvGenerator((1, 7, 8), 5)
    with pytest.raises(ModelError, match="width=0"):
        DenseGenerator(2, 2, width=0)
