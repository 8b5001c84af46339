"""A CUDA device for machines that have none: its tensors compute on the CPU and keep the rules of a device.

What a real device refuses is refused here: operands on two devices, a generator of the CPU, numpy's view of its
memory. So is what it lets pass and punishes later, a copy to the CPU that nobody waits for. Its random numbers come
from a stream of its own, and a seed starts it elsewhere than the CPU's; it cumulates in another order. What only
hardware has does not show: its kernels, its speed, its rounding. Tests marked `gpu` run on it where there is no CUDA
device, and any test with `pytest --device cuda`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack
from torch.utils._device import DeviceContext, _device_constructors
from torch.utils._python_dispatch import TorchDispatchMode

THERE = torch.device("cuda", 0)
_HERE = torch.device("cpu")
_ACROSS = {"aten::copy_", "aten::_to_copy", "aten::set_"}
"""What may have operands on two devices."""
_INDEXED = {
    "aten::index": 1,
    "aten::index_put": 1,
    "aten::index_put_": 1,
    "aten::_index_put_impl_": 1,
    "aten::index_fill_": 2,  # what torch 2.15 makes of `x[index] = number`
}
"""What takes indices from the CPU, too, and which argument they are."""
_REAL_PARSE = torch._C._nn._parse_to
_RANDOM = {torch.rand, torch.randn, torch.randint, torch.randperm, torch.normal}
_OTHER_SEED = 0x5DEECE66D
_state = threading.local()


class Far(torch.Tensor):
    """A tensor of the simulated device; `held` is where its numbers are."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor, requires_grad: bool = False) -> Far:
        """Wrap a tensor of the CPU."""
        held = held.detach()
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            requires_grad=requires_grad,
            dispatch_sizes_strides_policy="sizes",  # torch squeezes and resizes in place
        )
        made.held = held
        return made

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        """As torch prints a tensor of a device."""
        return f"{repr(self.held)[:-1]}, device='{THERE}')"

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Far, (self.held.clone(), self.requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> torch.Tensor:
        """Copy the numbers; a parameter stays one."""
        if id(self) not in memo:
            if not self.is_leaf:
                raise RuntimeError("expected a leaf tensor to copy, received one of a graph; detach it first")
            copied = Far(self.held.clone(), self.requires_grad)
            is_parameter = isinstance(self, torch.nn.Parameter)
            memo[id(self)] = torch.nn.Parameter(copied, self.requires_grad) if is_parameter else copied
        found: torch.Tensor = memo[id(self)]
        return found

    device = property(lambda self: THERE)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)

    def to(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        return _to(self, *args, **kwargs)

    def cuda(self, *_: Any, **__: Any) -> torch.Tensor:
        return self

    def cpu(self, *_: Any, **__: Any) -> torch.Tensor:
        return _to(self, _HERE)

    def tolist(self) -> Any:
        return self.held.tolist()

    def data_ptr(self) -> int:
        return self.held.data_ptr()

    def untyped_storage(self) -> torch.UntypedStorage:
        return self.held.untyped_storage()

    def new_tensor(self, data: Any, *, dtype: torch.dtype | None = None, **_: Any) -> torch.Tensor:
        return Far(torch.tensor(data, dtype=dtype or self.dtype, device=_HERE))

    def numpy(self, *_: Any, **__: Any) -> Any:
        """Refuse, as a device does."""
        raise TypeError(f"can't convert {THERE} device type tensor to numpy; use Tensor.cpu() first")

    __array__ = numpy

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _MOVES:
            return _MOVES[func](*args, **(kwargs or {}))
        with _inside(), torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name
        _require_one_device(name, args, kwargs)
        given: dict[int, Far] = {}

        def held(leaf: Any) -> Any:
            if not isinstance(leaf, Far):
                return leaf
            given[id(leaf.held)] = leaf
            return leaf.held

        here = {key: _each(held, value) for key, value in kwargs.items()}
        if here.get("device") is not None:
            # Of torch's own making: it takes these tensors for the CPU's. What a caller wants moved, `_to` moves.
            here["device"] = _HERE
        by_halves = name == "aten::cumsum" and args[0].is_floating_point() and not here
        with _own_stream() if torch.Tag.nondeterministic_seeded in func.tags else contextlib.nullcontext():
            result = (_cumulated if by_halves else func)(*[_each(held, value) for value in args], **here)
        if name == "aten::copy_" and not isinstance(args[0], Far):
            return args[0]
        return _each(lambda leaf: given[id(leaf)] if id(leaf) in given else _far(leaf), result)


def _each(change: Callable[[Any], Any], value: Any) -> Any:
    """Apply to a value, or to those of a list: torch's operations nest no deeper."""
    if isinstance(value, list | tuple):
        return type(value)(_each(change, part) for part in value)
    return change(value)


def _leaves(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _leaves(value)
        else:
            yield value


def _far(leaf: Any) -> Any:
    return Far(leaf) if isinstance(leaf, torch.Tensor) and not isinstance(leaf, Far) else leaf


def _require_one_device(name: str, args: Any, kwargs: Any) -> None:
    """What a kernel of a device refuses: tensors elsewhere (numbers are welcome), generators of the CPU."""
    if name in _ACROSS:
        return
    if name in _INDEXED:
        args = (*args[: _INDEXED[name]], *args[_INDEXED[name] + 1 :])
    for leaf in _leaves((*args, *kwargs.values())):
        if isinstance(leaf, torch.Tensor) and not isinstance(leaf, Far) and leaf.dim() > 0:
            raise RuntimeError(
                f"{name}: expected all tensors on {THERE}, received one of shape {list(leaf.shape)} on the CPU"
            )
        if isinstance(leaf, torch.Generator):
            raise RuntimeError(f"{name}: expected a generator of {THERE}, received one of {leaf.device}")


@contextlib.contextmanager
def _inside() -> Iterator[None]:
    """While torch itself works on tensors of the device, what it makes for itself is there, too."""
    before = getattr(_state, "inside", False)
    _state.inside = True
    try:
        yield
    finally:
        _state.inside = before


def _cumulated(x: torch.Tensor, dim: int) -> torch.Tensor:
    """A cumulative sum in an order of a device's: sums of one, two, four, ... numbers are added."""
    total, step = x, 1
    while step < x.shape[dim]:
        earlier = total.narrow(dim, 0, x.shape[dim] - step)
        total = torch.cat(
            [total.narrow(dim, 0, step), total.narrow(dim, step, earlier.shape[dim]) + earlier], dim
        )
        step *= 2
    return total


class _Stream:
    """The random stream of the device."""

    generator = torch.Generator(device="cpu")

    @classmethod
    def seed(cls, seed: int) -> None:
        """Start from other numbers than the CPU's do, as its kernels draw others."""
        cls.generator.manual_seed(int(seed) % 2**63 ^ _OTHER_SEED)


@contextlib.contextmanager
def _own_stream() -> Iterator[None]:
    """What is drawn within is drawn from the stream of the device."""
    before = torch.default_generator.get_state()
    torch.default_generator.set_state(_Stream.generator.get_state())
    try:
        yield
    finally:
        _Stream.generator.set_state(torch.default_generator.get_state())
        torch.default_generator.set_state(before)


class _Factories(TorchDispatchMode):
    """Tensors that torch makes inside an operation on the device are of the device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Far) or not getattr(_state, "inside", False):
            return result
        made = not any(isinstance(leaf, torch.Tensor) for leaf in _leaves((*args, *(kwargs or {}).values())))
        return _far(result) if made else result


class _Placement(TorchFunctionMode):
    """`device="cuda"` in any call of torch's means the simulated one."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _MOVES:
            return _MOVES[func](*args, **kwargs)
        wanted = kwargs.get("device")
        if wanted is None and func in _device_constructors():
            wanted = _device_of_context()
        if wanted is not None and torch.device(wanted).type == "cuda":
            generator = kwargs.get("generator")
            if generator is not None:
                raise RuntimeError(f"expected a generator of {THERE}, received one of {generator.device}")
            with _own_stream() if func in _RANDOM else contextlib.nullcontext():
                return _each(_far_alike, func(*args, **{**kwargs, "device": _HERE}))
        return func(*args, **kwargs)


def _device_of_context() -> torch.device | None:
    """What `with torch.device(...):` around a call says, which would be asked last of all."""
    modes = reversed(_get_current_function_mode_stack())
    return next((mode.device for mode in modes if isinstance(mode, DeviceContext)), None)


def _far_alike(leaf: Any) -> Any:
    if isinstance(leaf, torch.Tensor) and not isinstance(leaf, Far):
        return Far(leaf, leaf.requires_grad)
    return leaf


def _to(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """`Tensor.to` in its three forms, to and from the simulated device."""
    place = kwargs.pop("device", None)
    rest = []
    for arg in args:
        if isinstance(arg, str | torch.device | int) and not isinstance(arg, bool) and not rest:
            place = arg
        elif isinstance(arg, torch.Tensor):
            place, kwargs = arg.device, {**kwargs, "dtype": arg.dtype}
        else:
            rest.append(arg)
    hurried = kwargs.pop("non_blocking", False) or any(arg is True for arg in rest)
    rest = [arg for arg in rest if not isinstance(arg, bool)]
    there = isinstance(tensor, Far) if place is None else torch.device(place).type == "cuda"
    if hurried and isinstance(tensor, Far) and not there:
        raise RuntimeError(
            "a copy to the CPU that nobody waits for (non_blocking) may be read before it is there"
        )
    if there != isinstance(tensor, Far):
        tensor = _Send.apply(tensor) if there else _Fetch.apply(tensor)
        kwargs.pop("copy", None)
    return _plain_to(tensor, *rest, **kwargs) if rest or kwargs else tensor


def _plain_to(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    if isinstance(tensor, Far):
        with _inside(), torch._C.DisableTorchFunctionSubclass():
            return torch.Tensor.to(tensor, *args, **kwargs)
    return torch.Tensor.to(tensor, *args, **kwargs)


class _Send(torch.autograd.Function):
    """From the CPU to the device."""

    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor) -> torch.Tensor:
        return Far(tensor.clone())

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        return grad.held.clone() if isinstance(grad, Far) else grad


class _Fetch(torch.autograd.Function):
    """From the device to the CPU."""

    @staticmethod
    def forward(ctx: Any, tensor: Far) -> torch.Tensor:
        return tensor.held.clone()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        return _far(grad)


def _set_data(tensor: torch.Tensor, data: torch.Tensor) -> None:
    """A tensor that `Module.to` moves stays the object that it is."""
    if isinstance(tensor, Far) and isinstance(data, Far) and tensor.dtype == data.dtype:
        tensor.held = data.held
        return
    if not isinstance(tensor, Far) and not isinstance(data, Far):
        torch.Tensor.data.__set__(tensor, data)
        return
    moved = data.detach().requires_grad_(tensor.requires_grad)
    if isinstance(tensor, torch.nn.Parameter):
        moved = torch.nn.Parameter(moved, requires_grad=tensor.requires_grad)
    gradient, tensor.grad = tensor.grad, None
    torch.utils.swap_tensors(tensor, moved)
    tensor.grad = None if gradient is None else _to(gradient, tensor.device)


def _parse_to(*args: Any, **kwargs: Any) -> Any:
    """What `Module.to` was asked for; a tensor as an argument stands for its device and dtype."""
    tensors = [arg for arg in (*args, *kwargs.values()) if isinstance(arg, Far)]
    if tensors:
        return THERE, tensors[0].dtype, False, None
    return _REAL_PARSE(*args, **kwargs)


_MOVES: dict[Any, Any] = {
    torch.Tensor.to: _to,
    torch.Tensor.cuda: lambda tensor, *_, **__: _to(tensor, THERE),
    torch.Tensor.cpu: lambda tensor, *_, **__: _to(tensor, _HERE),
    torch.Tensor.data.__set__: _set_data,
}
_DEVICE = {
    "is_available": lambda: True,
    "is_initialized": lambda: True,
    "device_count": lambda: 1,
    "current_device": lambda: 0,
    "_lazy_init": lambda: None,
    "set_device": lambda _: None,
    "device": lambda _: contextlib.nullcontext(),
    "synchronize": lambda _=None: None,
    "empty_cache": lambda: None,
    "get_device_name": lambda _=None: "simulated",
    "get_device_properties": lambda _=None: SimpleNamespace(
        total_memory=1 << 34, major=9, minor=0, name="simulated"
    ),
    "get_device_capability": lambda _=None: (9, 0),
    "mem_get_info": lambda _=None: (1 << 34, 1 << 34),
    "memory_allocated": lambda _=None: 0,
    "max_memory_allocated": lambda _=None: 0,
    "reset_peak_memory_stats": lambda _=None: None,
    "get_rng_state": lambda _=None: _Stream.generator.get_state(),
    "set_rng_state": lambda state, _=None: _Stream.generator.set_state(state),
    "manual_seed": _Stream.seed,
    "manual_seed_all": _Stream.seed,
    "is_bf16_supported": lambda *_, **__: True,
    "is_current_stream_capturing": lambda: False,
}
"""What `torch.cuda` answers."""


@contextlib.contextmanager
def simulated_cuda() -> Iterator[None]:
    """Within it this thread has a CUDA device, `cuda:0`.

    >>> with simulated_cuda():
    ...     print(torch.ones(2, device="cuda").sum().device)
    cuda:0
    """
    with (
        mock.patch.multiple(torch.cuda, **_DEVICE),
        mock.patch.object(torch.accelerator, "current_accelerator", return_value=None),
        mock.patch.object(torch._C._nn, "_parse_to", _parse_to),
        _Factories(),
        _Placement(),
    ):
        yield
