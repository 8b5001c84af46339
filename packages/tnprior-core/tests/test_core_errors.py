"""What a user gets wrong, and the sentence that says what was expected, what was received and what is allowed."""

import pytest
import torch

from tnprior_core import (
    Between,
    BlockRing,
    Categorical,
    EvidenceError,
    FactorRingPrior,
    Gaussian,
    GaussianMixturePrior,
    ImpossibleEvidenceError,
    Legs,
    Likelihood,
    Mixture,
    Noisy,
    Not,
    OneOf,
    QueryError,
    ShapeError,
    SiteError,
    StandardNormalPrior,
    TensorRing,
    TensorRingPrior,
    TensorTrain,
    TensorTrainPrior,
    TnpriorError,
)

NAN, INF = float("nan"), float("inf")
SITES = [Gaussian("z0", 3), Categorical("hair", ("black", "blond", "brown")), Categorical("hat")]
LABELS = "expected a label .string., a list of labels, an integer tensor .B,. of codes, or OneOf / Not"
NUMBERS = r"expected a number, a tensor \(B,\), Between\(low, high\) or Noisy\(value, sigma\)"


@pytest.fixture(scope="module")
def p():
    with torch.no_grad():
        return TensorTrainPrior(SITES, rank=2)()


WORDS = {
    "unknown site": ("har", "blond", SiteError, "there is no site 'har'; did you mean 'hair'. Allowed: z0, hair, hat"),
    "unknown label": ("hair", "blnd", EvidenceError, "'hair' has no label 'blnd'; did you mean 'blond'"),
    "nothing close": ("hair", "x", EvidenceError, "'hair' has no label 'x'; Allowed: black, blond, brown"),
    "unknown label in a set": ("hair", OneOf("blond", "gren"), EvidenceError, "no label 'gren'"),
    "unknown label in a list": ("hair", ["blond", "gren"], EvidenceError, "no label 'gren'"),
    "unknown label in a negation": ("hair", Not("gren"), EvidenceError, "no label 'gren'"),
    "number for a label": ("hair", 1, EvidenceError, f"'hair': {LABELS}, received 1"),
    "interval for a label": ("hair", Between(0.0, 1.0), EvidenceError, f"{LABELS}, received Between"),
    "floats for codes": ("hair", torch.tensor([0.0, 1.0]), EvidenceError, LABELS),
    "table of codes": ("hair", torch.tensor([[0, 1]]), EvidenceError, LABELS),
    "code out of range": (
        "hair",
        torch.tensor([0, 3]),
        ShapeError,
        r"'hair', example 1: expected an integer code 0 ... 2, received 3; mark missing cells as False",
    ),
    "negative code": ("hat", torch.tensor([-1]), ShapeError, "expected an integer code 0 ... 1, received -1"),
    "empty set": ("hair", OneOf(), ImpossibleEvidenceError, r"OneOf\(labels=\(\)\) leaves no label"),
    "everything negated": ("hat", Not("0", "1"), ImpossibleEvidenceError, "leaves no label"),
    "too few weights": (
        "hair",
        Likelihood([0.5, 0.5]),
        EvidenceError,
        r"expected weights of shape \(3,\) or \(B, 3\), received \(2,\)",
    ),
    "negative weight": ("hat", Likelihood([-0.1, 1.0]), EvidenceError, "finite weights, none of them negative"),
    "weight that is not a number": ("hat", Likelihood([NAN, 1.0]), EvidenceError, "finite weights"),
    "infinite weight": ("hat", Likelihood([INF, 1.0]), EvidenceError, "finite weights"),
    "ragged weights": ("hat", Likelihood([[1.0], [1.0, 2.0]]), EvidenceError, "expected numbers or a tensor"),
    "all weights zero": (
        "hat",
        Likelihood([[1.0, 0.0], [0.0, 0.0]]),
        ImpossibleEvidenceError,
        "expected a weight above zero, received all zeros",
    ),
    "label for a number": ("z0", "1", EvidenceError, f"'z0': {NUMBERS}, received '1'"),
    "set for a number": ("z0", OneOf("1"), EvidenceError, f"{NUMBERS}, received OneOf"),
    "truth for a number": ("z0", True, EvidenceError, f"{NUMBERS}, received True"),
    "likelihood for a number": ("z0", Likelihood([1.0]), EvidenceError, NUMBERS),
    "not a number": ("z0", NAN, EvidenceError, "expected finite numbers, received nan"),
    "infinite number": ("z0", torch.tensor([0.0, INF]), EvidenceError, "expected finite numbers"),
    "table of numbers": ("z0", torch.zeros(2, 2), EvidenceError, r"tensors of one shape \(B,\)"),
    "interval upside down": ("z0", Between(2.0, 1.0), ImpossibleEvidenceError, "expected low < high, received Betw"),
    "interval of a point": ("z0", Between(1.0, 1.0), ImpossibleEvidenceError, "expected low < high"),
    "interval without end": ("z0", Between(NAN, 1.0), ImpossibleEvidenceError, "expected low < high"),
    "ends of two batches": (
        "z0",
        Between(torch.zeros(2), torch.ones(3)),
        EvidenceError,
        r"one shape \(B,\), received \(\(2,\), \(3,\)\)",
    ),
    "negative noise": ("z0", Noisy(0.0, -1.0), EvidenceError, "a finite sigma above zero, received Noisy"),
    "no noise": ("z0", Noisy(0.0, 0.0), EvidenceError, "a finite sigma above zero"),
    "endless noise": ("z0", Noisy(0.0, INF), EvidenceError, "a finite sigma above zero"),
}  # fmt: skip


@pytest.mark.parametrize("name", WORDS)
def test_wrong_words(p, name):
    site, word, error, message = WORDS[name]
    with pytest.raises(error, match=message) as caught:
        p.condition({site: word})
    assert isinstance(caught.value, TnpriorError)


def test_sizes_of_batches_must_agree(p):
    with pytest.raises(ShapeError, match="expected evidence for 3 examples, as before, received it for 2"):
        p.condition({"hair": torch.tensor([0, 1, 2]), "hat": ["0", "1"]})
    q = p.condition({"hair": torch.tensor([0, 1, 2])})
    with pytest.raises(ShapeError, match="expected evidence for 3 examples"):
        q.condition({"z0": Noisy(torch.zeros(2), 1.0)})
    with pytest.raises(ShapeError, match=r"batch_shape \(3,\) to broadcast"):
        q.observe(torch.zeros(2, 3))


def test_a_hidden_site_is_unknown(p):
    with pytest.raises(SiteError, match="there is no site 'z0'; Allowed: hair"):
        p.marginal(["hair"]).condition({"z0": 0.0})


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda p: p.log_prob(torch.zeros(4)), ShapeError, r"expected values of shape \(..., 3\), received \(4,\)"),
        (lambda p: p.observe(torch.zeros(3)), ShapeError, r"expected values of shape \(B, 3\), received \(3,\)"),
        (
            lambda p: p.log_prob(torch.zeros(2, 3), torch.ones(4, 3).bool()),
            ShapeError,
            r"expected values \(2, 3\), observed \(4, 3\)",
        ),
        (
            lambda p: p.log_prob(torch.tensor([[0.0, 1.5, 0.0]])),
            ShapeError,
            "'hair', example 0: expected an integer code 0 ... 2, received 1.5",
        ),
        (lambda p: p.log_prob(torch.tensor([NAN, 1, 0])), ShapeError, "example 0: expected a number, received nan"),
        (lambda p: p.marginal("hta"), SiteError, "there is no site 'hta'; did you mean 'hat'"),
        (lambda p: p.marginal(["hat", "hat"]), QueryError, "expected different site names, at least one"),
        (lambda p: p.marginal([]), QueryError, "expected different site names, at least one"),
        (lambda p: p.covariance(["z0", "hat"]), QueryError, "expected continuous sites, received 'hat'"),
        (lambda p: p.complete(["z0"]), QueryError, "expected at least one categorical site"),
        (lambda p: p.complete(limit=0), QueryError, "expected limit >= 1, received 0"),
        (lambda p: p.expand((3,)), QueryError, "has no expand, received .3,.; `observe` a table"),
    ],
)  # fmt: skip
def test_wrong_queries(p, ask, error, message):
    with pytest.raises(error, match=message):
        ask(p)


def test_unchecked_codes_have_probability_zero():
    """validate_args=False skips the reading of the values, as in torch; an impossible code is then impossible."""
    legs = Legs.of([Categorical("a"), Categorical("b")], {})
    cores = [torch.ones(2, 1, 1), torch.ones(2, 1, 1)]
    p = TensorTrain(legs, cores, validate_args=False)
    assert p.log_prob(torch.tensor([[0.0, 7.0]])).item() == -INF
    with pytest.raises(ShapeError):
        TensorTrain(legs, cores, validate_args=True).log_prob(torch.tensor([[0.0, 7.0]]))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Categorical("a", ("x",)), SiteError, "'a': expected at least two labels"),
        (lambda: Categorical("a", ("x", "x")), SiteError, "expected different strings as labels"),
        (lambda: Categorical(""), SiteError, "expected a name that is not empty, received ''"),
        (lambda: Gaussian("z", 0), SiteError, "'z': expected components >= 1, received 0"),
        (lambda: TensorTrainPrior([], rank=1), SiteError, "expected at least one site, received none"),
        (
            lambda: TensorTrainPrior([Gaussian("z"), Gaussian("z")], rank=1),
            SiteError,
            "expected different names, received 'z' more than once",
        ),
        (lambda: TensorTrainPrior(SITES, rank=0), ShapeError, "expected ranks >= 1, received 0"),
        (lambda: TensorTrainPrior(SITES, rank=[1, 2]), ShapeError, "expected one rank or 4 of them, received 2"),
        (lambda: TensorRingPrior(SITES, rank=[1, 2]), ShapeError, "expected one rank or 3 of them, received 2"),
        (
            lambda: TensorTrainPrior(SITES, rank=1, order=[0, 0, 1]),
            SiteError,
            r"expected each of 3 sites once in `order`, received \[0, 0, 1\]",
        ),
        (lambda: TensorTrainPrior(SITES, rank=1, order="random"), SiteError, "'random'; `random_order` makes"),
        (lambda: TensorTrainPrior(SITES, rank=1, order=["z0", "hair", "hut"]), SiteError, "did you mean 'hat'"),
        (lambda: FactorRingPrior(SITES, components=2, points=1), SiteError, "expected points >= 2, factors >= 1"),
        (lambda: FactorRingPrior(SITES, 2, points=2, factors=9), SiteError, r"<= 256, received 2 and 9"),
        (lambda: FactorRingPrior(SITES, components=0), SiteError, "expected components >= 1, received 0"),
        (
            lambda: FactorRingPrior(SITES, components=2, order=[0, 0, 1]),
            SiteError,
            r"expected each of 3 sites once in `order`, received \[0, 0, 1\]",
        ),
        (lambda: GaussianMixturePrior(SITES[1:], components=0), SiteError, "expected components >= 1, received 0"),
        (
            lambda: StandardNormalPrior([*SITES, SITES[0]]),
            SiteError,
            "expected different names",
        ),
        (
            lambda: StandardNormalPrior(SITES[:1], rank=2),
            SiteError,
            "expected attributes for a train of rank 2, received latents only",
        ),
    ],
)  # fmt: skip
def test_wrong_declarations(make, error, message):
    with pytest.raises(error, match=message):
        make()


LEGS = Legs.of([Categorical("a"), Categorical("b")], {})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TensorTrain(LEGS, [torch.ones(2, 1, 1)]), "expected one core for each of 2 sites, received 1"),
        (
            lambda: TensorTrain(LEGS, [torch.ones(3, 1, 1), torch.ones(2, 1, 1)]),
            r"'a': expected a core \(2, m, m'\), received \(3, 1, 1\)",
        ),
        (
            lambda: TensorTrain(LEGS, [torch.ones(2, 1, 2), torch.ones(2, 3, 1)]),
            r"'a': its core \(2, 1, 2\) does not fit the next one, \(2, 3, 1\)",
        ),
        (
            lambda: TensorRing(LEGS, [torch.ones(2, 1, 2), torch.ones(2, 2, 3)]),
            r"'b': its core \(2, 2, 3\) does not fit the next one, \(2, 1, 2\)",
        ),
        (
            lambda: TensorTrain(LEGS, [torch.ones(2, 1, 1)] * 2, order=[1, 1]),
            "expected one core for each of 2 sites",
        ),
        (
            lambda: BlockRing(LEGS, torch.zeros(1), torch.ones(1, 2), torch.ones(2, 1, 2, 2)),
            r"transitions of shapes \(\(1,\), \(1, 1, 2, 2\)\) with .*received \(\(1,\), \(2, 1, 2, 2\)\)",
        ),
        (
            lambda: BlockRing(LEGS, torch.zeros(3), torch.ones(3, 2), torch.ones(1, 3, 2, 2)),
            r"sites \['a'\]: expected 6 components, 2 for each of 3 places, received 2",
        ),
        (
            lambda: BlockRing(LEGS, torch.zeros(1), torch.ones(1, 2), torch.ones(1, 1, 2, 2), order=[1, 1]),
            r"expected each of 2 sites once in `order`, received \[1, 1\]",
        ),
        (lambda: Mixture(LEGS, torch.zeros(3)), r"sites \['a'\]: expected 3 components, received 2"),
        (lambda: Legs(LEGS.sites, LEGS.groups[:1]), "expected groups that cover each of 2 sites once, received"),
        (
            lambda: Legs.of([Gaussian("z", 2)], {"z": (torch.zeros(3), torch.zeros(3))}),
            r"'z': expected mean and log_sigma of shape \(2,\), received \(3,\) and \(3,\)",
        ),
    ],
)  # fmt: skip
def test_parts_that_do_not_fit(make, message):
    with pytest.raises(ShapeError, match=message):
        make()


def test_an_order_that_does_not_fit_changes_nothing():
    prior = TensorTrainPrior(SITES, rank=[1, 2, 3, 1])
    with pytest.raises(ShapeError, match="does not fit the next one"):
        prior.set_order(["hair", "z0", "hat"])
    assert prior.order == (0, 1, 2)
    assert prior().log_prob(torch.zeros(3)).isfinite()
