"""Work in threads: those of torch, and threads of our own where torch has none to lend."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, get_native_id

import pytest
import torch

from tnprior_core import parts
from tnprior_core.parts import in_threads, once_in_threads, shares
from tnprior_core.torch_threads import torch_threads


@pytest.fixture(params=["torch", "own"])
def lender(request, monkeypatch):
    """Whose threads do the work."""
    if request.param == "own":
        monkeypatch.setattr(parts, "torch_threads", lambda: None)
    elif torch_threads() is None:
        pytest.skip("this torch lends no threads")
    return request.param


@pytest.mark.parametrize(("count", "lengths"), [(0, []), (3, [3]), (40, [24, 16]), (90, [32, 32, 26])])
def test_slices_of_threads(count, lengths, threads, lender):
    threads(2)
    found, cpu = [], torch.device("cpu")
    in_threads(found.append, shares(count, least=16, most=32, grain=8, device=cpu), cpu)
    found.sort(key=lambda part: part.start)
    assert [part.stop - part.start for part in found] == lengths
    assert [at for part in found for at in range(count)[part]] == list(range(count))


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts the threads that Linux lists")
def test_a_thread_has_its_operations_to_itself(threads, lender):
    """An operation that torch would share wakes no further thread."""
    threads(2)
    cpu, large, barrier = torch.device("cpu"), torch.ones(1 << 20, device="cpu"), Barrier(2)

    def work(part):
        barrier.wait(timeout=60)  # both threads are needed
        if part.stop == 4:
            large.mul(2)

    large.mul(2)
    in_threads(lambda part: barrier.wait(timeout=60), [slice(0, 2), slice(2, 4)], cpu)
    before = len(os.listdir("/proc/self/task"))
    for _ in range(4):
        in_threads(work, [slice(0, 2), slice(2, 4)], cpu)
    assert len(os.listdir("/proc/self/task")) == before
    assert torch.get_num_threads() == 2


def test_threads_stay_from_call_to_call(threads, lender):
    threads(2)
    seen = set()
    for _ in range(4):
        in_threads(lambda _: seen.add(get_native_id()), [slice(0, 2)] * 2, torch.device("cpu"))
    assert len(seen) <= 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_threads_of_its_own(lender):
    script = (
        """
import os, torch
from tnprior_core import parts
from tnprior_core.parts import in_threads

"""
        + ("parts.torch_threads = lambda: None" if lender == "own" else "")
        + """
torch.set_num_threads(2)
found, slices, cpu = torch.zeros(4), [slice(0, 2), slice(2, 4)], torch.device("cpu")
in_threads(lambda part: found[part].add_(1), slices, cpu)
child = os.fork()
if not child:
    in_threads(lambda part: found[part].add_(1), slices, cpu)
    os._exit(0 if found.tolist() == [2.0] * 4 else 1)
assert os.waitpid(child, 0)[1] == 0
"""
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=60).returncode == 0


def test_what_a_thread_raises_is_raised(threads, lender):
    threads(2)

    def fail(part):
        if part.start:
            raise ValueError(f"part {part.start}")

    with pytest.raises(ValueError, match="part 2"):
        in_threads(fail, [slice(0, 2), slice(2, 4)], torch.device("cpu"))
    found = []
    in_threads(found.append, [slice(0, 2), slice(2, 4)], torch.device("cpu"))
    assert len(found) == 2


def test_what_threads_share_is_made_once_and_awaited():
    made, seen = [], []

    def make():
        time.sleep(0.02)
        made.append(1)

    done = once_in_threads(make)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(lambda: (done(), seen.append(list(made))))
    assert seen == [[1]] * 4


def test_what_threads_share_is_tried_again_after_an_error():
    made = []

    def make():
        made.append(1)
        if len(made) == 1:
            raise ValueError("the first time")

    done = once_in_threads(make)
    with pytest.raises(ValueError, match="the first time"):
        done()
    done()
    done()
    assert len(made) == 2
