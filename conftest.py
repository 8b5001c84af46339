"""For every test run: its device, the shapes that signatures promise, and which test files are slow."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from importlib.util import find_spec

import pytest
import torch
from default_device import DefaultDevice
from hypothesis import settings
from simulated_cuda import simulated_cuda

PACKAGES = ("tnprior_core", "tnprior_models", "tnprior_data", "tnprior_eval", "tnprior_cli")
SLOW_FILE = 30.0  # seconds
spent: Counter[str] = Counter()

# On a shared machine the time of one example says nothing.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")

if find_spec("jaxtyping") and find_spec("beartype"):  # a package alone may have neither
    from jaxtyping import install_import_hook

    install_import_hook(PACKAGES, "signature_check.check")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--device", help="where tests make tensors; a CUDA device that is not there is simulated"
    )
    parser.addoption(
        "--simulated", action="store_true", help="a CUDA device is found, if only a simulated one"
    )


def pytest_configure(config: pytest.Config) -> None:
    device, modes = config.getoption("device"), ExitStack()
    wanted = config.getoption("simulated") or (device and torch.device(device).type == "cuda")
    if torch.cuda.is_available():  # whose convolutions by default round to TF32 and add in any order
        torch.backends.cudnn.set_flags(_deterministic=True, _allow_tf32=False)
    elif wanted:
        modes.enter_context(simulated_cuda())
    if device:
        modes.enter_context(DefaultDevice(device))
    config.add_cleanup(modes.close)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available() and torch.cuda.get_device_name() == "simulated":
        for item in items:
            if item.get_closest_marker("inference_mode"):
                item.add_marker(pytest.mark.skip("the simulated device makes no tensors in inference mode"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    with (
        simulated_cuda()
        if item.get_closest_marker("gpu") and not torch.cuda.is_available()
        else nullcontext()
    ):
        return (yield)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    spent[report.nodeid.split("::")[0]] += report.duration


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("seconds per file")
    for name, seconds in spent.most_common(10):
        remark = f"  over {SLOW_FILE:.0f} s: mark its longest tests slow" if seconds > SLOW_FILE else ""
        terminalreporter.write_line(f"{seconds:8.1f}  {name}{remark}")
