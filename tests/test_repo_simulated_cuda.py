"""The simulated CUDA device keeps the rules of a real one, so that tests on it can fail where those would."""

import copy
import pickle

import pytest
import torch
from simulated_cuda import simulated_cuda
from torch import nn

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a real device")


@pytest.fixture(autouse=True)
def device():
    with simulated_cuda():
        yield


MIXED = {
    "a sum": lambda there, here: there + here,
    "a product": lambda there, here: here @ there.outer(there),
    "in place": lambda there, here: there.mul_(here),
    "where": lambda there, here: torch.where(there > 0, there, here),
    "cat": lambda there, here: torch.cat([there, here]),
    "gather": lambda there, here: there.gather(0, here.long()),
    "an index on the device into a tensor of the CPU": lambda there, here: here[there.long()],
    "a layer": lambda there, here: nn.Linear(3, 3)(there),
    "a generator of the CPU": lambda there, here: torch.rand(
        3, generator=torch.Generator(), device=there.device
    ),
    "the same in place": lambda there, here: there.normal_(generator=torch.Generator()),
}


@pytest.mark.parametrize("name", MIXED)
def test_two_devices_do_not_meet(name):
    with pytest.raises(RuntimeError, match=r"expected (all tensors on|a generator of) cuda:0"):
        MIXED[name](torch.zeros(3, device="cuda"), torch.zeros(3))


@pytest.mark.parametrize("look", [torch.Tensor.numpy, torch.Tensor.__array__, lambda x: x.numpy()])
def test_numpy_does_not_see_it(look):
    with pytest.raises((TypeError, RuntimeError)):
        look(torch.ones(3, device="cuda"))


def test_numbers_of_no_dimension_and_indices_of_the_cpu_are_welcome():
    x = torch.arange(3.0, device="cuda")
    assert (x * torch.tensor(2.0)).tolist() == [0, 2, 4]
    assert x[torch.tensor([2, 0])].tolist() == [2, 0]
    x[torch.tensor([1])] = 7.0
    assert x.copy_(torch.tensor([1.0, 5, 3])).tolist() == [1, 5, 3]


def test_it_says_where_it_is():
    x = torch.ones(2, device="cuda")
    assert (x.is_cuda, x.is_cpu, x.device) == (True, False, torch.device("cuda", 0))
    assert (torch.cuda.is_available(), torch.cuda.device_count()) == (True, 1)
    assert all(
        made.is_cuda for made in (x.new_zeros(2), torch.ones_like(x), x.new_tensor([1]), x[0], x.double())
    )
    assert not x.cpu().is_cuda
    assert x.cpu().cuda().to("cpu").to(x).is_cuda
    with torch.device("cuda"):
        assert torch.zeros(1).is_cuda
    assert not torch.zeros(1).is_cuda


def test_a_module_moves_as_the_object_that_it_is_and_learns_as_on_the_cpu():
    here = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(), nn.LayerNorm(12), nn.Linear(12, 2))
    x, there = torch.randn(5, 1, 4, 4), copy.deepcopy(here)
    before = list(there.parameters())
    there.cuda()
    assert all(one is other and one.is_cuda for one, other in zip(before, there.parameters(), strict=True))
    for net, data in ((here, x), (there, x.cuda())):
        optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            net(data).square().sum().backward()
            optimizer.step()
    for name, value in there.state_dict().items():
        torch.testing.assert_close(value.cpu(), here.state_dict()[name])
    restored = pickle.loads(pickle.dumps(there))
    assert torch.equal(restored(x.cuda()), there(x.cuda()))
    assert all(parameter.dtype == torch.float64 for parameter in copy.deepcopy(there).double().parameters())
    here.load_state_dict(there.state_dict())
    torch.testing.assert_close(here(x), there.cpu()(x))


def test_gradients_cross_the_border():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    (x.cuda() * torch.tensor([3.0, 4.0], device="cuda")).cpu().sum().backward()
    assert x.grad.tolist() == [3, 4]
    assert not x.grad.is_cuda


def test_it_draws_from_a_stream_of_its_own():
    torch.manual_seed(0)
    here, there = torch.rand(3), torch.rand(3, device="cuda")
    assert not torch.equal(here, there.cpu())
    torch.manual_seed(0)
    assert torch.equal(torch.rand(3, device="cuda"), there)
    assert torch.equal(torch.rand(3), here)
    state = torch.cuda.get_rng_state()
    drawn = [torch.randn_like(there), torch.empty(2, device="cuda").exponential_(), nn.Dropout()(there)]
    after = torch.rand(3)
    torch.cuda.set_rng_state(state)
    again = [torch.randn_like(there), torch.empty(2, device="cuda").exponential_(), nn.Dropout()(there)]
    assert all(torch.equal(one, other) for one, other in zip(drawn, again, strict=True))
    torch.manual_seed(0)
    torch.rand(3)
    assert torch.equal(torch.rand(3), after)


def test_nobody_reads_a_copy_before_it_is_there():
    there = torch.ones(3, device="cuda")
    with pytest.raises(RuntimeError, match="non_blocking"):
        there.to("cpu", non_blocking=True)
    assert torch.ones(3).to("cuda", non_blocking=True).is_cuda
