"""For every test run: check the shapes that signatures promise, and say which test files are slow."""

from collections import Counter
from importlib.util import find_spec

import pytest

PACKAGES = ("tnprior_core", "tnprior_models", "tnprior_data", "tnprior_eval", "tnprior_cli")
SLOW_FILE = 30.0  # seconds
spent: Counter[str] = Counter()

if find_spec("jaxtyping") and find_spec("beartype"):  # a package alone may have neither
    from jaxtyping import install_import_hook

    install_import_hook(PACKAGES, "signature_check.check")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    spent[report.nodeid.split("::")[0]] += report.duration


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("seconds per file")
    for name, seconds in spent.most_common(10):
        remark = f"  over {SLOW_FILE:.0f} s: mark its longest tests slow" if seconds > SLOW_FILE else ""
        terminalreporter.write_line(f"{seconds:8.1f}  {name}{remark}")
