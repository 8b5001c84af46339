"""Codes that are grids: neighbours in a code are neighbours in the image, and cells share their layers."""

from itertools import pairwise, product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import silu

from tnprior_models import ConvDecoder, ConvEncoder, ModelError
from tnprior_models.nets import Cells, CellsToCode, CodeToCells, Pyramid, closed_walk

SHAPE = (1, 28, 28)


@given(height=st.integers(1, 12), width=st.integers(1, 12))
def test_a_walk_visits_every_cell_once_in_steps_to_a_neighbour(height, width):
    walk = closed_walk(height, width)
    assert sorted(walk) == [(row, column) for row in range(height) for column in range(width)]
    assert all(distance(*step) == 1 for step in pairwise(walk))
    if min(height, width) > 1 and height * width % 2 == 0:
        assert distance(walk[-1], walk[0]) == 1


def distance(one, other):
    return abs(one[0] - other[0]) + abs(one[1] - other[1])


def test_the_numbers_of_a_cell_follow_each_other_and_cells_follow_the_walk():
    cells = Cells(Pyramid((1, 33, 45), 4), latent_size=90)
    assert cells.shape == (3, 5, 6)
    grid = torch.rand(2, 3, 5, 6)
    by_hand = torch.cat([grid[:, :, row, column] for row, column in closed_walk(5, 6)], dim=1)
    assert torch.equal(cells.to_code(grid), by_hand)
    assert torch.equal(cells.to_grid(by_hand), grid)


def test_every_cell_goes_through_the_same_dense_layers_and_knows_its_place():
    torch.manual_seed(0)
    pyramid = Pyramid(SHAPE, 4)
    layers = CellsToCode(pyramid, 32, hidden=6).double()
    torch.nn.init.normal_(layers.place)
    grid = torch.rand(3, pyramid.channels[-1], 4, 4, dtype=torch.float64)
    first, last = layers.first, layers.last[1]
    answers = []
    for row, column in closed_walk(4, 4):
        cell = grid[:, :, row, column] @ first.weight[:, :, 0, 0].T + first.bias
        cell = silu(cell + layers.place[:, row, column])
        answers.append(cell @ last.weight[:, :, 0, 0].T + last.bias)
    by_hand = torch.cat([answer[:, :2] for answer in answers] + [answer[:, 2:] for answer in answers], dim=1)
    torch.testing.assert_close(layers(grid.flatten(1)), by_hand, rtol=1e-12, atol=1e-12)


def test_a_cell_is_decoded_with_its_neighbours_and_its_place():
    torch.manual_seed(0)
    pyramid = Pyramid(SHAPE, 4)
    layers = CodeToCells(pyramid, 32, hidden=6).double()
    torch.nn.init.normal_(layers.place)
    code = torch.rand(3, 32, dtype=torch.float64)
    numbers = {cell: code[:, 2 * at : 2 * at + 2] for at, cell in enumerate(closed_walk(4, 4))}
    cells = []
    for row, column in sorted(numbers):
        cell = layers.first.bias + layers.place[:, row, column]
        for down, right in product(range(3), range(3)):
            seen = numbers.get((row + down - 1, column + right - 1))
            if seen is not None:
                cell = cell + seen @ layers.first.weight[:, :, down, right].T
        cells.append(silu(cell) @ layers.last[1].weight[:, :, 0, 0].T + layers.last[1].bias)
    by_hand = silu(layers.last[2](torch.stack(cells, dim=2))).flatten(1)
    torch.testing.assert_close(layers(code), by_hand, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("net", [ConvEncoder, ConvDecoder])
@pytest.mark.parametrize("latents", [8, 20])
def test_latents_that_cells_cannot_share_evenly_are_refused(net, latents):
    with pytest.raises(ModelError, match=rf"a multiple of 16 latents.*4 x 4 cells, received {latents}"):
        net(SHAPE, latents, spatial=True)


def test_the_order_of_a_code_is_no_weight():
    state = ConvEncoder(SHAPE, 16, width=4, spatial=True).state_dict()
    assert not any("there" in name or "back" in name for name in state)


@pytest.mark.gpu
def test_what_is_made_within_a_device_computes_there_what_the_cpu_does():
    def made():
        return [
            net(SHAPE, 32, width=4, hidden=6, spatial=True).double() for net in (ConvEncoder, ConvDecoder)
        ]

    torch.manual_seed(0)
    nets, x = made(), torch.rand(3, *SHAPE, dtype=torch.float64)
    with torch.device("cuda"):
        far = made()
    for there, here in zip(far, nets, strict=True):
        there.load_state_dict(here.state_dict())
    code = nets[0](x)[0]
    torch.testing.assert_close(far[0](x.cuda())[0].cpu(), code, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(far[1](code.cuda()).cpu(), nets[1](code), rtol=1e-8, atol=1e-8)
