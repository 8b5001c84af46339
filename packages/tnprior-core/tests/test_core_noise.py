"""Noise: a function of seed, stream and sample number, and nothing else."""

import pytest
import torch
from scipy.stats import kstest

from tnprior_core.noise import BLOCK, draw_noise, fresh_seed


@pytest.mark.parametrize(
    ("first", "count"), [(0, 1), (0, 128), (1, 300), (127, 2), (128, 128), (500, 77), (255, 0)]
)
def test_a_sample_does_not_depend_on_its_company(first, count):
    whole = draw_noise(3, 2, 640, seed=11)
    part = draw_noise(3, 2, count, seed=11, first=first)
    assert torch.equal(part.uniform, whole.uniform[:, first : first + count])
    assert torch.equal(part.normal, whole.normal[:, first : first + count])


@pytest.mark.parametrize(("uniforms", "normals"), [(0, 0), (1, 0), (0, 1), (3, 5)])
def test_shapes(uniforms, normals):
    noise = draw_noise(uniforms, normals, 2 * BLOCK + 1, seed=0)
    assert noise.uniform.shape == (uniforms, 2 * BLOCK + 1)
    assert noise.normal.shape == (normals, 2 * BLOCK + 1)


@pytest.mark.parametrize("other", [{"seed": 1}, {"stream": 1}, {"first": BLOCK}])
def test_other_seeds_streams_and_blocks_are_unrelated(other):
    one = draw_noise(50, 50, BLOCK, seed=0)
    two = draw_noise(50, 50, BLOCK, **{"seed": 0} | other)
    for a, b in zip(one, two, strict=True):
        correlation = torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]
        assert abs(correlation) < 0.05  # four standard deviations of 6400 independent pairs


def test_laws():
    noise = draw_noise(40, 40, 1000, seed=5)
    assert noise.uniform.min() >= 0
    assert noise.uniform.max() < 1
    assert kstest(noise.uniform.flatten().cpu().numpy(), "uniform").pvalue > 1e-3
    assert kstest(noise.normal.flatten().cpu().numpy(), "norm").pvalue > 1e-3


def test_neighbouring_rows_and_columns_are_independent():
    uniform = draw_noise(100, 0, 1280, seed=9).uniform - 0.5
    for a, b in [(uniform[1:], uniform[:-1]), (uniform[:, 1:], uniform[:, :-1])]:
        assert abs((a * b).mean() * 12) < 0.015


def test_large_and_negative_seeds():
    for seed in (-1, 2**63, 2**200 + 1):
        assert torch.isfinite(draw_noise(1, 1, 5, seed=seed).normal).all()


def test_unseeded_samples_follow_the_global_generator():
    torch.manual_seed(4)
    first = fresh_seed()
    torch.manual_seed(4)
    assert fresh_seed() == first != fresh_seed()
