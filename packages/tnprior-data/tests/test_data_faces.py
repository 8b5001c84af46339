"""Drawn faces: the exact distribution of their attributes, and pictures in which every one can be seen."""

import itertools
import math
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tnprior_data import (
    Attribute,
    BinaryNetwork,
    DataError,
    Dataset,
    UnknownNameError,
    draw_faces,
    faces_distribution,
    load,
)
from tnprior_data.faces.canvas import Canvas
from tnprior_data.faces.draw import NUISANCES, draw
from tnprior_data.faces.network import Node

TRUTH = faces_distribution()
NAMES = tuple(attribute.name for attribute in TRUTH.schema)
A = len(NAMES)


def probability(codes: Mapping[str, int]) -> float:
    """The product of the tables, looked up one by one: the oracle for every query."""
    result = 1.0
    for node in TRUTH.nodes:
        index = int("".join(str(codes[parent]) for parent in node.parents) or "0", 2)
        one = node.probabilities[index]
        result *= one if codes[node.attribute.name] else 1 - one
    return result


STATES = [dict(zip(NAMES, codes, strict=True)) for codes in itertools.product((0, 1), repeat=A)]
WEIGHTS = [probability(state) for state in STATES]


# The distribution


def test_the_joint_is_the_product_of_the_tables() -> None:
    assert math.fsum(WEIGHTS) == pytest.approx(1, abs=1e-12)
    codes = torch.tensor([list(state.values()) for state in STATES])
    assert torch.allclose(TRUTH.log_prob(codes).exp(), torch.tensor(WEIGHTS, dtype=torch.float64), rtol=1e-12)
    assert torch.allclose(TRUTH.joint.flatten(), torch.tensor(WEIGHTS, dtype=torch.float64), rtol=1e-12)


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(("0", "1")), max_size=5))
def test_conditionals_are_exact(given_labels: dict[str, str]) -> None:
    fits = [all(state[name] == int(label) for name, label in given_labels.items()) for state in STATES]
    evidence = math.fsum(weight for weight, fit in zip(WEIGHTS, fits, strict=True) if fit)
    posterior = TRUTH.conditional(given_labels)
    assert posterior.log_evidence == pytest.approx(math.log(evidence), abs=1e-12)
    expected = [weight / evidence if fit else 0.0 for weight, fit in zip(WEIGHTS, fits, strict=True)]
    assert torch.allclose(posterior.joint.flatten(), torch.tensor(expected, dtype=torch.float64), rtol=1e-10)
    for name in NAMES:
        one = math.fsum(p for p, state in zip(expected, STATES, strict=True) if state[name])
        assert posterior.marginals[name].tolist() == pytest.approx([1 - one, one], abs=1e-12)


def test_the_attributes_depend_on_each_other_as_announced() -> None:
    def one(name: str, **labels: str) -> float:
        return TRUTH.conditional(labels).marginals[name][1].item()

    assert one("beard", male="1") > 10 * one("beard", male="0")
    assert one("earrings", male="0") > 5 * one("earrings", male="1")
    assert one("glasses", young="0") > 3 * one("glasses", young="1")
    assert one("male", beard="1", bowtie="1") > 0.95
    assert one("dark_skin", male="1") == pytest.approx(one("dark_skin"))


def test_the_issue_names_its_attributes() -> None:
    assert {"male", "hat", "glasses", "smiling", "beard", "blond"} <= set(NAMES)
    assert A >= 10
    assert all(attribute.labels == ("0", "1") for attribute in TRUTH.schema)


def test_bad_questions_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'beard'"):
        TRUTH.conditional({"beart": "1"})
    with pytest.raises(UnknownNameError, match="label of attribute 'hat' 'yes'"):
        TRUTH.conditional({"hat": "yes"})
    with pytest.raises(UnknownNameError, match="opposite of attribute 'male'"):
        TRUTH.conditional({"female": "1"})
    with pytest.raises(DataError, match=rf"expected codes \(\.\.\., {A}\); got shape \(3, 2\)"):
        TRUTH.log_prob(torch.zeros(3, 2, dtype=torch.int64))
    with pytest.raises(DataError, match="codes must be 0 or 1"):
        TRUTH.log_prob(torch.full((A,), 2))


def test_bad_networks_are_refused() -> None:
    hat = Attribute("hat", ("0", "1"))
    for node, message in (
        (Node(hat, ("male",), (0.1, 0.2)), "parent 'male' of 'hat' must come before"),
        (Node(hat, (), (0.1, 0.2)), "with 0 parents needs 1 probabilities"),
        (Node(hat, (), (1.0,)), "strictly between 0 and 1"),
        (Node(Attribute("digit", ("0", "1", "2")), (), (0.5,)), "must have two labels"),
    ):
        with pytest.raises(DataError, match=message):
            BinaryNetwork((node,))


# The data follow the distribution


@pytest.fixture(scope="module")
def train() -> Dataset:
    return load("faces")


def test_every_pair_is_as_frequent_as_it_should_be(train: Dataset) -> None:
    n = len(train)
    codes = train.codes.double()
    for a, b in itertools.combinations(range(A), 2):
        p = TRUTH.conditional({NAMES[a]: "1"})
        q = math.exp(p.log_evidence) * p.marginals[NAMES[b]][1].item()
        both = (codes[:, a] * codes[:, b]).sum().item()
        assert abs(both - n * q) < 5 * math.sqrt(n * q * (1 - q)), (NAMES[a], NAMES[b])


def test_the_whole_joint_passes_a_chi_square_test(train: Dataset) -> None:
    """States expected fewer than 5 times are pooled; 5 sigma of the chi-square distribution."""
    n = len(train)
    index = (train.codes * 2 ** torch.arange(A - 1, -1, -1)).sum(1)
    seen = torch.bincount(index, minlength=2**A).double()
    expected = n * TRUTH.joint.flatten()
    often = expected >= 5
    observed = torch.cat((seen[often], seen[~often].sum()[None]))
    wanted = torch.cat((expected[often], expected[~often].sum()[None]))
    chi2, freedom = ((observed - wanted) ** 2 / wanted).sum().item(), len(wanted) - 1
    assert freedom > 300
    assert abs(chi2 - freedom) < 5 * math.sqrt(2 * freedom)


def test_ancestral_draws_follow_their_tables() -> None:
    n = 400_000
    u = torch.rand(n, A, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    codes = TRUTH.codes(u)
    for node in TRUTH.nodes:
        index = torch.zeros(n, dtype=torch.int64)
        for parent in node.parents:
            index = 2 * index + codes[:, NAMES.index(parent)]
        for combination, p in enumerate(node.probabilities):
            rows = index == combination
            ones, count = codes[rows, NAMES.index(node.attribute.name)].sum().item(), int(rows.sum())
            assert abs(ones - count * p) < 5 * math.sqrt(count * p * (1 - p))


def test_train_and_test_have_no_picture_in_common(train: Dataset) -> None:
    test = load("faces", split="test")
    both = torch.cat((train.x, test.x)).flatten(1)
    assert len(torch.unique(both, dim=0)) == len(both) == 12_000


# The pictures


def test_any_part_of_a_series_can_be_drawn_alone() -> None:
    images, codes = draw_faces(700, seed=3)
    for first, count in ((0, 10), (250, 20), (255, 1), (256, 256), (699, 1), (300, 0)):
        part, part_codes = draw_faces(count, seed=3, first=first)
        assert torch.equal(part, images[first : first + count])
        assert torch.equal(part_codes, codes[first : first + count])
    assert not torch.equal(images, draw_faces(700, seed=4)[0])
    with pytest.raises(DataError, match="must not be negative; got -1 and 0"):
        draw_faces(-1)


@pytest.fixture(scope="module")
def scenes() -> tuple[np.ndarray, np.ndarray]:
    """400 settings of all attributes at random (not from the network) and of the nuisances."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 2, (400, A)), rng.random((400, NUISANCES))


def drawn(codes: np.ndarray, u: np.ndarray) -> np.ndarray:
    return draw({name: codes[:, k] for k, name in enumerate(NAMES)}, u).astype(int)


@pytest.mark.parametrize("name", NAMES)
def test_an_attribute_shows_whatever_the_others_are(name: str, scenes: tuple[np.ndarray, np.ndarray]) -> None:
    """Flipping it alone changes at least seven pixels strongly, in every one of 400 random faces."""
    codes, u = scenes
    without, with_it = codes.copy(), codes.copy()
    without[:, NAMES.index(name)], with_it[:, NAMES.index(name)] = 0, 1
    change = np.abs(drawn(without, u) - drawn(with_it, u)).max(axis=1)
    assert ((change > 40).sum(axis=(1, 2)) >= 7).all()


def test_pictures_vary_besides_their_attributes(scenes: tuple[np.ndarray, np.ndarray]) -> None:
    codes, u = scenes
    same = drawn(np.repeat(codes[:1], len(u), axis=0), u)
    assert same.reshape(len(u), -1).std(axis=0).mean() > 20


def test_painting_in_windows_changes_nothing(
    scenes: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = drawn(*scenes)
    monkeypatch.setattr(Canvas, "near", lambda self, *_: self)
    assert np.array_equal(fast, drawn(*scenes))


def test_shapes_have_the_distances_they_claim() -> None:
    """On an untilted canvas of scale 1: a circle and a box exactly, an ellipse to first order at its edge."""
    canvas = Canvas(
        np.full((1, 2), 16.0, dtype=np.float32), np.ones(1, dtype=np.float32), np.zeros(1, dtype=np.float32)
    )
    x, y = canvas.x, canvas.y
    assert np.allclose(canvas.ellipse(1, 2, 5, 5), np.hypot(x - 1, y - 2) - 5, atol=1e-4)
    outside = np.hypot(np.maximum(np.abs(x) - 3, 0), np.maximum(np.abs(y) - 2, 0))
    box = canvas.box(0, 0, 3, 2)
    assert np.allclose(box[outside > 0], outside[outside > 0], atol=1e-5)
    assert (box[(np.abs(x) < 3) & (np.abs(y) < 2)] < 0).all()
    assert np.allclose(canvas.line((0, 0), (0, 4), 1.0)[:, 18, 16], np.hypot(0.5, 0) - 1, atol=1e-5)


@pytest.mark.slow
def test_a_small_network_recognises_every_attribute(train: Dataset) -> None:
    torch.manual_seed(0)
    test = load("faces", split="test")
    net = torch.nn.Sequential(
        *(layer for a, b in ((3, 24), (24, 48), (48, 64)) for layer in stage(a, b)),
        torch.nn.Flatten(),
        torch.nn.Linear(1024, 128),
        torch.nn.ReLU(),
        torch.nn.Linear(128, A),
    )
    steps = 7 * math.ceil(len(train) / 128)
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    x, y = train.x.float() / 255, train.codes.float()
    for _ in range(7):
        for rows in torch.randperm(len(x)).split(128):
            optimizer.zero_grad()
            torch.nn.functional.binary_cross_entropy_with_logits(net(x[rows]), y[rows]).backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        right = ((net(test.x.float() / 255) > 0) == test.codes.bool()).double().mean(0)
    assert dict(zip(NAMES, right.tolist(), strict=True)) == pytest.approx(dict.fromkeys(NAMES, 1.0), abs=0.02)


def stage(before: int, after: int) -> tuple[torch.nn.Module, ...]:
    return torch.nn.Conv2d(before, after, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2)
