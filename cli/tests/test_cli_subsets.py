"""Which conditions are looked at closely, what the model itself says of them, and who mirrors images."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from tnprior_cli.evaluation.judge import mirrors
from tnprior_cli.evaluation.own import own_entropies
from tnprior_cli.evaluation.subsets import FACES, chosen_subsets, common_subsets
from tnprior_cli.given import describe, parse_given
from tnprior_core import Categorical, Gaussian, OneOf, TensorRingPrior, TensorTrainPrior
from tnprior_data import Attribute, AttributeTable, Dataset, card, faces_distribution, load

SITES = [
    Gaussian("z0", components=3),
    Categorical("hat", ("0", "1")),
    Gaussian("z1", components=2),
    Categorical("hair", ("black", "blond", "red")),
    Categorical("male", ("0", "1")),
]
LABELS = {"hat": ("0", "1"), "hair": ("black", "blond", "red"), "male": ("0", "1")}


class Model(nn.Module):
    """Nothing but a prior."""

    def __init__(self, prior: nn.Module) -> None:
        super().__init__()
        self.prior = prior


@torch.no_grad()
def enumerated(prior: nn.Module, allowed: dict[str, set[str]], name: str) -> float:
    """H(name | condition) by summing over every table of labels, the latents summed out."""
    mass: dict[str, float] = {}
    for labels in itertools.product(*LABELS.values()):
        table = dict(zip(LABELS, labels, strict=True))
        if any(table[key] not in wanted for key, wanted in allowed.items()):
            continue
        row = [float(LABELS[s.name].index(table[s.name])) if s.name in LABELS else math.nan for s in SITES]
        values = torch.tensor(row)
        p = float(prior().log_prob(values, observed=~values.isnan()).exp())
        mass[table[name]] = mass.get(table[name], 0.0) + p
    total = sum(mass.values())
    return -sum(p / total * math.log(p / total) for p in mass.values())


@pytest.mark.parametrize("kind", [TensorTrainPrior, TensorRingPrior])
def test_the_models_own_entropy_is_that_of_enumeration(kind: type) -> None:
    prior = kind(SITES, 3, seed=1)
    given = {"hair": OneOf("black", "red"), "male": "1"}
    allowed = {"hair": {"black", "red"}, "male": {"1"}}
    found = own_entropies(Model(prior), given, ["hat", "hair"])
    for name, value in found.items():
        assert value == pytest.approx(enumerated(prior, allowed, name), abs=1e-5)
    alone = own_entropies(Model(prior), {}, list(LABELS))
    assert set(alone) == set(LABELS)
    assert alone["hair"] == pytest.approx(enumerated(prior, {}, "hair"), abs=1e-5)


def test_a_model_without_a_prior_over_the_attributes_says_nothing() -> None:
    assert own_entropies(nn.Linear(1, 1), {"hat": "1"}, ["male"]) == {}
    latents = TensorTrainPrior([Gaussian("z0", 2), Gaussian("z1", 2)], 2)
    assert own_entropies(Model(latents), {"hat": "1"}, ["male"]) == {}
    assert own_entropies(Model(latents), {}, []) == {}


def table_of(codes: torch.Tensor, schema: tuple) -> AttributeTable:
    names = tuple(map(str, range(len(codes))))
    return AttributeTable(names, schema, codes, torch.ones_like(codes, dtype=torch.bool))


def test_the_conditions_of_the_papers_come_where_the_attributes_are_there() -> None:
    schema = card("celeba").schema
    empty = table_of(torch.zeros(0, len(schema), dtype=torch.int64), schema)
    found = chosen_subsets((), schema, empty)
    assert [item.title for item in found] == [title for title, _ in FACES]
    assert describe(found[-1].condition) == "Attractive=1,No_Beard=0,Male=1,Wearing_Hat=1"
    without = tuple(a for a in schema if a.name != "Eyeglasses")
    titles = [item.title for item in chosen_subsets((), without, empty)]
    assert titles == ["young man", "smiling woman wearing hat", "attractive bearded man wearing hat"]


def test_the_drawn_faces_say_the_phrases_by_their_aliases() -> None:
    schema = faces_distribution().schema
    found = chosen_subsets((), schema, table_of(torch.zeros(0, len(schema), dtype=torch.int64), schema))
    assert [describe(item.condition) for item in found] == [
        *(
            "male=1,young=1",
            "male=0,smiling=1,glasses=1",
            "male=0,smiling=1,hat=1",
            "male=0,blond=1,glasses=1",
        )
    ]


def test_the_users_conditions_come_first() -> None:
    schema = card("celeba").schema
    given = (parse_given(["Bald=1,Male=0"]),)
    found = chosen_subsets(given, schema, table_of(torch.zeros(0, len(schema), dtype=torch.int64), schema))
    assert [(item.title, item.condition) for item in found] == [("Bald=1,Male=0", given[0])]


def test_other_data_get_pairs_and_triples_that_are_not_too_rare() -> None:
    schema = tuple(Attribute(name, ("no", "yes")) for name in "abcde")
    generator = torch.Generator().manual_seed(0)
    shares = torch.tensor([0.5, 0.4, 0.6, 0.3, 0.001])
    codes = (torch.rand(4000, 5, generator=generator) < shares).long()
    found = common_subsets(schema, table_of(codes, schema))
    assert [len(item.condition) for item in found] == [2, 2, 3, 3]
    assert len({describe(item.condition) for item in found}) == 4
    for item in found:
        columns = ["abcde".index(term.name) for term in item.condition]
        assert all(term.labels == ("yes",) for term in item.condition)
        assert 0.01 <= float(codes[:, columns].all(dim=1).double().mean()) <= 0.5
    assert {term.name for item in found[:2] for term in item.condition} == set("abcd")
    assert found == common_subsets(schema, table_of(codes, schema))


def test_two_attributes_leave_no_subset_with_something_free() -> None:
    schema = tuple(Attribute(name, ("0", "1")) for name in "ab")
    assert common_subsets(schema, table_of(torch.ones(10, 2, dtype=torch.int64), schema)) == ()


def test_faces_are_mirrored_and_digits_are_not() -> None:
    digits = load("digits")
    assert not mirrors(digits)
    celeba = card("celeba")
    table = table_of(torch.zeros(2, 3, dtype=torch.int64), celeba.schema[3:6])
    faces = Dataset(celeba, "train", torch.zeros(2, 3, 8, 8, dtype=torch.uint8), table, table.observed)
    assert mirrors(faces)
    drawn = card("faces")
    table = table_of(torch.zeros(2, len(drawn.schema), dtype=torch.int64), drawn.schema)
    assert not mirrors(replace(faces, card=drawn, truth=table, observed=table.observed))
