"""A whole test run on one device: what a test makes without naming a device is made there."""

from __future__ import annotations

from typing import Any

from torch.overrides import TorchFunctionMode
from torch.utils._device import DeviceContext, _device_constructors


class DefaultDevice(DeviceContext):  # type: ignore[misc]  # so that torch.get_default_device finds it
    """As `torch.set_default_device`, but numbers from a generator of the CPU are drawn there and moved.

    So a test has the same numbers on every device.
    """

    def __enter__(self) -> DefaultDevice:
        """Come before a simulated device, which answers what this asks for."""
        return TorchFunctionMode.__enter__(self)

    def __exit__(self, *error: Any) -> None:
        """End."""
        TorchFunctionMode.__exit__(self, *error)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Add the device where a call makes a tensor and names none."""
        kwargs = kwargs or {}
        if func not in _device_constructors() or kwargs.get("device") is not None:
            return func(*args, **kwargs)
        generator = kwargs.get("generator")
        if generator is not None and generator.device != self.device:
            return func(*args, **kwargs).to(self.device)
        return func(*args, **{**kwargs, "device": self.device})
