"""Files that are never half-written, and every kind of damage named in one line."""

import contextlib
import errno
import json
import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from torch.optim.swa_utils import AveragedModel

from tnprior_models import (
    CheckpointError,
    ModelError,
    load_training_state,
    load_weights,
    read_metadata,
    save_training_state,
    save_weights,
)
from tnprior_models.checkpoint import has_training_state, remove_partial_files, replace_file

STATE = {
    "epoch": 3,
    "best": float("inf"),
    "rates": [0.1, 1 / 3],
    "betas": (0.9, 0.999),
    "nothing": None,
    "weights": {"a.b": torch.arange(6.0).reshape(2, 3), "a": {"b": torch.tensor(True)}},
    "words": torch.tensor([1, 2], dtype=torch.uint8),
}


class Net(nn.Module):
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.body = nn.Linear(2, width)
        self.head = nn.Linear(width, 2)
        self.register_buffer("order", torch.tensor([1, 0]))


def same(one: object, two: object) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(two, torch.Tensor) and one.dtype == two.dtype and torch.equal(one.cpu(), two.cpu())
    if isinstance(one, dict):
        return isinstance(two, dict) and one.keys() == two.keys() and all(same(one[k], two[k]) for k in one)
    if isinstance(one, list | tuple):
        return type(one) is type(two) and len(one) == len(two) and all(map(same, one, two))
    return type(one) is type(two) and one == two


# ---------------------------------------------------------------- round trips

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
tensors = st.lists(st.floats(-1, 1, width=32), max_size=3).map(torch.tensor)
trees = st.recursive(
    leaves | tensors,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text("ab.", max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=60)
@given(tree=st.dictionaries(st.text("ab.", max_size=3), trees, max_size=4))
def test_any_state_comes_back_as_it_was(tmp_path_factory, tree):
    directory = tmp_path_factory.mktemp("state")
    save_training_state(directory, tree)
    assert same(load_training_state(directory), tree)


def test_a_state_is_replaced_and_nothing_is_left_over(tmp_path):
    assert not has_training_state(tmp_path)
    save_training_state(tmp_path, STATE)
    save_training_state(tmp_path, {**STATE, "weights": {"a": torch.zeros(2)}, "epoch": 4})
    assert load_training_state(tmp_path)["epoch"] == 4
    assert len(list(tmp_path.iterdir())) == 2


def test_weights_of_wrapped_models_have_the_names_of_the_bare_one(tmp_path):
    net = Net()
    compiled = torch.compile(net, backend="eager")
    averaged = AveragedModel(net)
    for number, model in enumerate((net, compiled, averaged)):
        path = save_weights(tmp_path / f"{number}.safetensors", model, {"rank": 4})
        assert sorted(load_file(path)) == sorted(net.state_dict())
        with safe_open(path, "pt") as file:
            assert file.metadata()["format"] == "pt"
            assert json.loads(file.metadata()["tnprior"])["content"] == {"rank": 4}
        other = Net()
        assert load_weights(path, torch.compile(other, backend="eager")) == {"rank": 4}
        assert read_metadata(path) == {"rank": 4}
        assert same(dict(other.state_dict()), dict(net.state_dict()))


def test_metadata_comes_back_as_json_reads_it(tmp_path):
    metadata = {"b": (1, 2), "a": {10: "x", 9: None}, "rate": 1 / 3}
    path = save_weights(tmp_path / "w.safetensors", Net(), metadata)
    expected = json.loads(json.dumps(metadata))
    assert load_weights(path, Net()) == read_metadata(path) == expected


def test_shared_and_strided_tensors_are_stored(tmp_path):
    net = Net()
    net.head.weight = nn.Parameter(net.body.weight.detach().t())
    tied = nn.ModuleDict({"one": net, "two": net})
    path = save_weights(tmp_path / "w.safetensors", tied)
    tensors = load_file(path)
    assert torch.equal(tensors["one.head.weight"], tensors["two.body.weight"].t())


def test_state_that_cannot_be_stored_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"the state 'a\.1' is a set"):
        save_training_state(tmp_path, {"a": [1, {2}]})
    with pytest.raises(ModelError, match="the metadata of weights must be plain JSON"):
        save_weights(tmp_path / "w.safetensors", Net(), {"x": {1}})
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- damage


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return save_weights(tmp_path / "model.safetensors", Net())


@settings(max_examples=30)
@given(share=st.floats(0, 0.999))
def test_truncated_weights(tmp_path_factory, share):
    path = save_weights(tmp_path_factory.mktemp("cut") / "model.safetensors", Net())
    payload = path.read_bytes()
    path.write_bytes(payload[: int(share * len(payload))])
    net = Net()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(CheckpointError, match="not a complete safetensors file"):
        load_weights(path, net)
    assert same(dict(net.state_dict()), before)


@settings(max_examples=40)
@given(where=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_never_goes_unnoticed(tmp_path_factory, where, bit):
    """Either an error, or (spaces that pad the header, say) exactly the same weights."""
    net = Net()
    path = save_weights(tmp_path_factory.mktemp("flip") / "model.safetensors", net)
    payload = bytearray(path.read_bytes())
    payload[where % len(payload)] ^= 1 << bit
    path.write_bytes(payload)
    other = Net()
    try:
        load_weights(path, other)
    except CheckpointError:
        return
    assert same(dict(other.state_dict()), dict(net.state_dict()))


def test_weights_of_another_model(weights):
    with pytest.raises(CheckpointError, match=r"body.weight has shape \(3, 2\), expected \(5, 2\)"):
        load_weights(weights, Net(width=5))
    with pytest.raises(CheckpointError, match=r"missing weight; missing bias; unexpected .* and \d more"):
        load_weights(weights, nn.Linear(2, 2))


def test_absent_foreign_and_newer_weights(tmp_path, weights):
    with pytest.raises(CheckpointError, match=r"cannot read .*none.safetensors: No such file"):
        load_weights(tmp_path / "none.safetensors", Net())
    with pytest.raises(CheckpointError, match="No such file"):
        read_metadata(tmp_path / "none.safetensors")
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(CheckpointError, match="not written by tnprior"):
        load_weights(tmp_path / "foreign.safetensors", Net())
    payload = weights.read_bytes().replace(b'\\"version\\": 1', b'\\"version\\": 9')
    weights.write_bytes(payload)
    with pytest.raises(
        CheckpointError, match="'weights' in format version 9, expected 'weights' in version 1"
    ):
        load_weights(weights, Net())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[: len(text) // 2], "not a readable training state"),
        (lambda text: "", "not a readable training state"),
        (lambda text: "[1, 2]", "not a readable training state"),
        (lambda text: text.replace('"epoch": 3', '"epoch": 8'), "damaged"),
        (lambda text: text.replace('"version": 1', '"version": 2'), "in format version 2, expected"),
        (lambda text: text.replace('"tensors": "tensors-', '"tensors": "other-'), "cannot read .*other-"),
    ],
)
def test_damaged_state(tmp_path, damage, message):
    save_training_state(tmp_path, STATE)
    path = tmp_path / "state.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(CheckpointError, match=message):
        load_training_state(tmp_path)


def test_damaged_tensors_of_a_state(tmp_path):
    save_training_state(tmp_path, STATE)
    path = next(tmp_path.glob("tensors-*"))
    payload = path.read_bytes()
    path.write_bytes(payload[:-3])
    with pytest.raises(CheckpointError, match=f"{path.name} is not a complete safetensors file"):
        load_training_state(tmp_path)
    path.write_bytes(payload[:-1] + bytes([payload[-1] ^ 1]))
    with pytest.raises(CheckpointError, match=f"{path.name} is damaged"):
        load_training_state(tmp_path)
    path.unlink()
    with pytest.raises(CheckpointError, match="No such file"):
        load_training_state(tmp_path)


# ---------------------------------------------------------------- disks that refuse


def listing(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


@pytest.fixture
def small_files():
    """A kernel limit of 20 kB per file, as a quota would set it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_too_large_for_the_disk(tmp_path, small_files):
    save_training_state(tmp_path, STATE)
    save_weights(tmp_path / "model.safetensors", Net())
    files = listing(tmp_path)
    with pytest.raises(ModelError, match=r"cannot write .*tensors-.*File too large.*is intact"):
        save_training_state(tmp_path, {"epoch": 9, "weights": torch.zeros(100_000)})
    with pytest.raises(ModelError, match=r"cannot write .*model.safetensors"):
        save_weights(tmp_path / "model.safetensors", nn.Linear(1000, 100))
    assert listing(tmp_path) == files
    assert same(load_training_state(tmp_path), STATE)
    load_weights(tmp_path / "model.safetensors", Net())


@pytest.fixture
def tiny_disk(tmp_path: Path):
    """A real file system of 256 kB."""
    mount = tmp_path / "disk"
    mount.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(mount)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("mounting a small tmpfs needs root")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


def test_a_full_disk(tiny_disk):
    save_training_state(tiny_disk, STATE)
    files = listing(tiny_disk)
    with pytest.raises(ModelError, match="No space left on device"):
        save_training_state(tiny_disk, {"weights": torch.rand(100_000)})
    assert listing(tiny_disk) == files
    assert same(load_training_state(tiny_disk), STATE)


def test_a_full_device_is_an_error_of_ours(tmp_path):
    """/dev/full refuses every byte: the link stands for the temporary file of this process."""
    target = tmp_path / "model.safetensors"
    (tmp_path / f".tnprior-model.safetensors-{os.getpid()}.partial").symlink_to("/dev/full")
    with pytest.raises(ModelError, match="No space left on device") as caught:
        save_weights(target, Net())
    assert caught.value.__cause__.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_a_file(tmp_path):
    (tmp_path / "run").write_text("here")
    with pytest.raises(ModelError, match="cannot write"):
        save_training_state(tmp_path / "run", STATE)


def test_only_our_own_leftovers_are_cleaned(tmp_path):
    (tmp_path / ".tnprior-model.safetensors-17.partial").write_text("half")
    for name in (".tnprior-notes", "x.partial", "model.safetensors.tmp"):
        (tmp_path / name).write_text("somebody's")
    remove_partial_files(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".tnprior-notes",
        "model.safetensors.tmp",
        "x.partial",
    ]


WRITER = """
import sys, torch
from pathlib import Path
from tnprior_models.checkpoint import save_training_state
for number in range(10**9):
    save_training_state(Path(sys.argv[1]), {"number": number, "weights": torch.full((20000,), float(number))})
    if number == 0:
        sys.stdout.write("ready\\n"); sys.stdout.flush()
"""


@pytest.mark.parametrize("thorough", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_writer_killed_at_any_moment_leaves_a_whole_state(tmp_path, thorough):
    """One process that only writes, so that most kills hit a write."""
    generator = random.Random(0)
    for _ in range(1 + 4 * thorough):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
        process.stdout.readline()
        for _ in range(10):  # the state is whole while it is being replaced, too
            time.sleep(generator.uniform(0, 0.02))
            with contextlib.suppress(CheckpointError):  # replaced between two reads: its tensors are gone
                state = load_training_state(tmp_path)
                assert torch.all(state["weights"] == state["number"])
        process.kill()
        process.communicate()
        state = load_training_state(tmp_path)
        assert torch.all(state["weights"] == state["number"])
        remove_partial_files(tmp_path)


def test_replace_file_creates_directories(tmp_path):
    replace_file(tmp_path / "a" / "b" / "c.json", b"{}")
    assert (tmp_path / "a/b/c.json").read_bytes() == b"{}"
    assert listing(tmp_path) == ["a/b/c.json"]
