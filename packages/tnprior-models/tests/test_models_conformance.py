"""Every family of models passes one suite; adding a family is one line in the table (tests/support/families.py)."""

import copy
from functools import partial

import pytest
import torch
from families import MODELS, SAMPLERS, SHAPE, TRAINED, built

from tnprior_core import OneOf, TnpriorError
from tnprior_models import BestOf, ModelError, MultimodalVAE, ReadsLabels


@pytest.fixture(params=MODELS)
def make(request):
    return partial(built, MODELS, request.param)


@pytest.fixture(params=SAMPLERS)
def make_sampler(request):
    """Every family that draws objects, those that cannot encode one too."""
    return partial(built, SAMPLERS, request.param)


@pytest.fixture(params=TRAINED)
def make_reader(request):
    """Every family that draws objects and reads their labels, as likely or as clear as they are."""
    return partial(built, TRAINED, request.param)


def batch(rows=6, seed=0, missing=0.5):
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(rows, *SHAPE, generator=g, dtype=torch.float64)
    codes = torch.stack([torch.randint(n, (rows,), generator=g) for n in (2, 3)], dim=1)
    return x, codes, torch.rand(rows, 2, generator=g) >= missing


def test_gradients_reach_every_parameter(make):
    model = make(attribute_weight=2.0)
    model.loss(batch(rows=31))["loss"].backward()  # labels in equal parts would teach a uniform prior nothing
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_unobserved_slots_may_hold_anything(make):
    model, (x, codes, observed) = make(attribute_weight=3.0), batch()
    garbage = torch.where(observed, codes, torch.tensor(-99))
    results = []
    for table in (codes, garbage):
        model.zero_grad()
        torch.manual_seed(4)
        terms = model.loss((x, table, observed))
        terms["loss"].backward()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        found = (terms["loss"].detach(), gradient, *model.impute(x, table, observed))
        torch.manual_seed(5)
        results.append((*found, model.log_weights(x, table, observed, 3), model.draws(x, table, observed, 2)))
    for clean, dirty in zip(*results, strict=True):
        assert torch.isfinite(dirty).all()
        torch.testing.assert_close(clean, dirty, rtol=0, atol=0)


def test_the_bound_is_the_mean_of_the_log_weights(make):
    model, data = make(samples=400), batch(rows=2)
    with torch.no_grad():
        torch.manual_seed(0)
        bound = model.loss(data)["bound"]
        weights = model.log_weights(*data, 400)
    error = (weights.std(0) / 400**0.5).mean().item()
    assert bound.item() == pytest.approx(weights.mean().item(), abs=8 * error)


def test_a_sample_is_the_same_whatever_request_it_is_part_of(make_sampler):
    model = make_sampler()
    whole = model.sample(150, {"digit": "b"}, seed=5)
    for first, n in ((0, 1), (63, 2), (100, 50), (149, 1)):
        part = model.sample(n, {"digit": "b"}, seed=5, first=first)
        near = 1e-12 if whole.x.is_cuda else 0.0  # priors with networks round by the batch there
        for found, expected in ((part.values, whole.values), (part.x, whole.x)):
            torch.testing.assert_close(found, expected[first : first + n], rtol=near, atol=near)


def test_samples_obey_the_condition_and_report_its_probability(make_sampler):
    model = make_sampler()
    drawn = model.sample(40, {"digit": "b"}, seed=0)
    assert drawn.x.shape == (40, *SHAPE)
    assert 0 <= drawn.x.min() <= drawn.x.max() <= 1
    assert (drawn.values[:, -1] == 1).all()
    expected = model.prior().marginal("digit").probs[1].log()
    estimated = isinstance(model, MultimodalVAE)
    torch.testing.assert_close(drawn.log_evidence, expected, rtol=0, atol=0.05 if estimated else 1e-10)
    free = model.sample(40, seed=0)
    assert free.log_evidence.item() == pytest.approx(0, abs=1e-10)
    assert len(free.values[:, -1].unique()) > 1


def test_unseeded_samples_follow_torchs_generator(make_sampler):
    model = make_sampler()
    torch.manual_seed(9)
    one = model.sample(3).x
    two = model.sample(3).x
    torch.manual_seed(9)
    assert torch.equal(model.sample(3).x, one)
    assert not torch.equal(one, two)


def test_a_condition_per_row_gives_objects_per_row(make_sampler):
    model = make_sampler()
    drawn = model.sample(4, {"digit": torch.tensor([2, 0])}, seed=0)
    assert drawn.x.shape == (4, 2, *SHAPE)
    assert drawn.values[..., -1].tolist() == [[2.0, 0.0]] * 4
    assert drawn.log_evidence.shape == (2,)


def labels_read(model, x):
    """What the model sees in each object by itself, attribute by attribute."""
    if isinstance(model, ReadsLabels):
        return model.read_labels(x)
    none = torch.zeros(len(x), 2, dtype=torch.long)
    return model.impute(x, none, none.bool())


def test_labels_are_read_off_every_object_by_itself(make_reader):
    model = make_reader()
    x = model.sample(7, seed=2).x
    together, alone = labels_read(model, x), [labels_read(model, x[i : i + 1]) for i in range(7)]
    for column, found in enumerate(together):
        assert found.shape == (7, (2, 3)[column])
        assert (found >= 0).all()
        torch.testing.assert_close(found, torch.cat([one[column] for one in alone]))
    assert [tuple(found.shape) for found in labels_read(model, x[:0])] == [(0, 2), (0, 3)]


def test_the_best_of_several_is_the_one_that_the_model_reads_best(make_reader):
    model, given = make_reader(), {"hat": ["yes", None, "no"], "digit": OneOf("a", "c")}
    drawn, kept = model.sample(6 * 4, given, seed=1), BestOf(model, 4).sample(6, given, seed=1)
    read = [labels_read(model, x) for x in drawn.x]
    hats = [torch.stack([hat[0, 1], hat.new_ones(()), hat[2, 0]]) for hat, _ in read]
    met = torch.stack([hat * digit[:, [0, 2]].sum(1) for hat, (_, digit) in zip(hats, read, strict=True)])
    met, tries, found = met.view(6, 4, 3), drawn.values.unflatten(0, (6, 4)), kept.values.unsqueeze(1)
    at = (tries == found).all(-1).int().argmax(1, keepdim=True)
    assert torch.equal(tries.gather(1, at.unsqueeze(-1).expand(-1, -1, -1, found.shape[-1])), found)
    torch.testing.assert_close(met.gather(1, at)[:, 0], met.amax(1))
    assert kept.x.shape == (6, *drawn.x.shape[1:])


def test_zero_objects_are_an_empty_answer(make_sampler):
    assert make_sampler().sample(0, seed=0).x.shape == (0, *SHAPE)


def test_observed_attributes_are_certain_and_kept(make):
    model, (x, codes, observed) = make(), batch()
    drawn = model.draws(x, codes, observed, 3)
    for column, probabilities in enumerate(model.impute(x, codes, observed)):
        assert probabilities.shape == (6, (2, 3)[column])
        torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(6, dtype=torch.float64))
        known = observed[:, column]
        kept = codes[known, column]
        assert torch.equal(probabilities[known].argmax(dim=1), kept)
        assert (probabilities[known].max(dim=1).values > 1 - 1e-9).all()
        assert (drawn[:, known, column] == kept).all()
    assert drawn.shape == (3, 6, 2)
    assert drawn.dtype == torch.int64


def test_draws_and_imputations_do_not_depend_on_the_batch(make):
    model, (x, codes, observed) = make(), batch(rows=8)
    whole = model.draws(x, codes, observed, 5, seed=3)
    part = model.draws(x[5:], codes[5:], observed[5:], 5, seed=3, first_row=5)
    assert torch.equal(whole[:, 5:], part)
    for all_rows, some in zip(
        model.impute(x, codes, observed, seed=1),
        model.impute(x[2:4], codes[2:4], observed[2:4], seed=1),
        strict=True,
    ):
        torch.testing.assert_close(all_rows[2:4], some, rtol=0, atol=1e-12)


def test_queries_leave_parameters_and_gradients_alone(make):
    model, (x, codes, observed) = make(), batch()
    before = copy.deepcopy(model.state_dict())
    model.sample(3, seed=0)
    model.impute(x, codes, observed)
    model.draws(x, codes, observed, 2)
    model.reconstruct(x)
    assert all(parameter.grad is None for parameter in model.parameters())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_state_survives_a_round_trip_and_a_copy(make):
    model, data = make(), batch()
    other = make()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1.0)
    other.load_state_dict(model.state_dict())
    for twin in (other, copy.deepcopy(model)):
        assert torch.equal(twin.sample(3, seed=1).x, model.sample(3, seed=1).x)
        for a, b in zip(twin.impute(*data), model.impute(*data), strict=True):
            assert torch.equal(a, b)


def test_half_precision_nets_keep_the_probabilities_in_full_precision(make):
    model, (x, codes, observed) = make().float(), batch(missing=0.0)
    torch.manual_seed(0)
    with torch.autocast(torch.get_default_device().type, dtype=torch.bfloat16):
        terms = model.loss((x.float(), codes, observed))
    assert {value.dtype for value in terms.values()} == {torch.float32}
    torch.manual_seed(0)
    exact = model.loss((x.float(), codes, observed))
    assert terms["bound"].item() == pytest.approx(exact["bound"].item(), rel=0.1)


def test_reconstructions_are_images(make):
    model, (x, _, _) = make(), batch()
    shown = model.reconstruct(x)
    assert shown.shape == x.shape
    assert 0 <= shown.min() <= shown.max() <= 1


def test_the_prior_gets_its_own_learning_rate(make):
    model = make(learning_rate=1e-4, prior_learning_rate=0.02)
    (objective,) = model.objectives()
    rates = {group["name"]: group["lr"] for group in objective.build_optimizer().param_groups}
    assert rates == {"nets": 1e-4, "prior": 0.02}
    assert {id(p) for p in objective.tensors()} == {id(p) for p in model.parameters()}


def test_an_attribute_table_of_another_width_is_refused(make):
    model, (x, codes, observed) = make(), batch()
    narrow = (x, codes[:, :1], observed[:, :1])
    for ask in (
        lambda: model.loss(narrow),
        lambda: model.impute(*narrow),
        lambda: model.draws(*narrow, 1),
        lambda: model.log_weights(*narrow, 1),
    ):
        with pytest.raises(ModelError, match=r"one column for each of \['hat', 'digit'\], received \(6, 1\)"):
            ask()


def test_the_weight_of_the_divergence_rises_in_training_alone(make):
    def loss(model):
        torch.manual_seed(3)
        return model.loss(batch())["loss"].item()

    rising = make(kl_warmup=100)
    (objective,) = rising.objectives()
    assert loss(rising) == pytest.approx(loss(make()))
    for step, weight in ((0, 0.1), (50, 0.55), (100, 1.0), (1000, 1.0)):
        objective.begin(step)
        assert loss(rising.train()) == pytest.approx(loss(make(kl_weight=weight)))
        assert loss(rising.eval()) == pytest.approx(loss(make()))
    assert rising.state_dict().keys() == make().state_dict().keys()
    with pytest.raises(ModelError, match="0 updates or more, received -1"):
        make(kl_warmup=-1)


@pytest.mark.parametrize("bad", [{"attribute_weight": -1.0}, {"kl_weight": -0.1}, {"samples": 0}], ids=str)
def test_impossible_settings_are_refused(make, bad):
    with pytest.raises(ModelError, match="weights of at least 0"):
        make(**bad)


def test_unknown_conditions_and_counts_are_refused(make):
    model = make()
    with pytest.raises(TnpriorError, match="digit"):
        model.sample(1, {"digti": "a"})
    with pytest.raises(TnpriorError, match="'z'"):
        model.sample(1, {"digit": "z"})
    with pytest.raises(ModelError, match="n >= 0"):
        model.sample(-1)
    with pytest.raises(ModelError, match="k >= 1"):
        model.log_weights(*batch(), 0)


@pytest.mark.parametrize("name", TRAINED)
def test_objectives_own_their_parameters_and_are_finite(name):
    """What a training loop relies on: distinct names, no parameter moved by two, all of them by one."""
    torch.manual_seed(0)
    model, data = TRAINED[name]().double(), batch(rows=8)
    objectives = model.objectives()
    owned = [id(parameter) for objective in objectives for parameter in objective.tensors()]
    assert len(set(owned)) == len(owned)
    assert set(owned) == {id(parameter) for parameter in model.parameters()}
    assert len({objective.name for objective in objectives}) == len(objectives)
    for objective in objectives:
        terms = objective.loss(data)
        assert all(torch.isfinite(value) and value.shape == () for value in terms.values())
        terms["loss"].backward()


def test_weights_survive_a_round_trip_and_a_copy(make_sampler):
    model, other = make_sampler(), make_sampler()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1.0)
    other.load_state_dict(model.state_dict())
    for twin in (other, copy.deepcopy(model)):
        assert torch.equal(twin.sample(3, seed=1).x, model.sample(3, seed=1).x)
