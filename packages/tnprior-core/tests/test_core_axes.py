"""Axes that tell labels apart: the directions in closed form, where they go, and what a prior gains behind them."""

import pytest
import torch

from tnprior_core import (
    Categorical,
    FactorRingPrior,
    FlowPrior,
    Gaussian,
    GaussianMixturePrior,
    LinearMap,
    QueryError,
    ShapeError,
    SiteError,
    StandardNormalPrior,
    TensorRingPrior,
    TensorTrainPrior,
    attribute_axes,
    initialize_from_axes,
    initialize_from_clusters,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def mixed(count=4000, size=6, seed=0):
    """Codes whose two labels and one nuisance of great variance lie along oblique directions."""
    noise = torch.randn(count, size, generator=generator(seed))
    codes = torch.randint(2, (count, 2), generator=generator(seed + 1))
    noise[:, :2] = 0.5 * noise[:, :2] + 2.0 * codes - 1
    noise[:, 2] *= 4
    return noise @ torch.randn(size, size, generator=generator(99)).mT, codes


def every(codes):
    return torch.ones_like(codes, dtype=torch.bool)


def seen(codes, share):
    return torch.rand(codes.shape, generator=generator(5)) < share


class TestAttributeAxes:
    def test_two_labels_against_fisher(self):
        z, codes = mixed()
        found = attribute_axes(z, codes, every(codes))
        for a in range(2):
            groups = [z[codes[:, a] == label].double() for label in (0, 1)]
            within = sum((g - g.mean(0)).mT @ (g - g.mean(0)) for g in groups) / len(z)
            fisher = torch.linalg.solve(within, groups[1].mean(0) - groups[0].mean(0))
            # The shrinkage of the covariance is all that differs.
            assert torch.cosine_similarity(found.matrix[a], fisher, 0).abs() > 0.99
        assert found.attribute == (0, 1, None, None, None, None)

    def test_the_others_are_principal_axes_of_what_is_left(self):
        z, codes = mixed()
        matrix = attribute_axes(z, codes, every(codes)).matrix
        first, rest = matrix[:2], matrix[2:]
        torch.testing.assert_close(rest @ rest.mT, torch.eye(4, dtype=torch.float64))
        torch.testing.assert_close(rest @ first.mT, torch.zeros(4, 2, dtype=torch.float64))
        covariance = torch.cov((z.double() @ rest.mT).mT)
        variance = covariance.diagonal()
        assert (covariance - variance.diag()).abs().max() < 1e-9 * variance.max()
        assert bool((variance.diff() < 0).all())

    def test_without_attributes_they_are_the_principal_axes(self):
        z, _ = mixed()
        none = torch.zeros(len(z), 0, dtype=torch.long)
        found = attribute_axes(z, none, none.bool())
        covariance = torch.cov((z.double() @ found.matrix.mT).mT)
        assert (covariance - covariance.diagonal().diag()).abs().max() < 1e-9 * covariance.max()
        assert found.attribute == (None,) * 6

    def test_many_labels_have_one_axis_less_than_labels_and_no_more_than_there_are_latents(self):
        places = 3 * torch.randn(4, 5, generator=generator(1))
        codes = torch.randint(4, (2000, 1), generator=generator(2))
        z = places[codes[:, 0]] + torch.randn(2000, 5, generator=generator(3))
        assert attribute_axes(z, codes, every(codes)).attribute == (0, 0, 0, None, None)
        assert attribute_axes(z[:, :2], codes, every(codes)).attribute == (0, 0)

    def test_a_label_that_was_seen_once_has_no_covariance_and_does_not_count(self):
        z, codes = mixed()
        once = codes[:, :1].clone()
        once[0] = 2
        expected = attribute_axes(z[1:], codes[1:, :1], every(codes[1:, :1]))
        found = attribute_axes(z, once, every(once))
        assert found.attribute == expected.attribute
        torch.testing.assert_close(found.matrix[0], expected.matrix[0])
        single = torch.arange(3)[:, None]
        assert attribute_axes(z[:3, :2], single, every(single)).attribute == (None, None)

    def test_hidden_labels_do_not_count(self):
        z, codes = mixed()
        observed = seen(codes, 0.5)
        lies = torch.where(observed, codes, 1 - codes)
        expected = attribute_axes(z, codes, observed)
        assert torch.equal(attribute_axes(z, lies, observed).matrix, expected.matrix)

    @pytest.mark.parametrize("case", ["one label", "hidden", "twice", "constant column", "one row"])
    def test_an_attribute_that_tells_nothing_new_has_no_axis_and_the_map_stays_invertible(self, case):
        z, codes = mixed(400)
        observed = every(codes)
        if case == "one label":
            codes = codes * torch.tensor([1, 0])
        elif case == "hidden":
            observed = observed & torch.tensor([True, False])
        elif case == "twice":
            codes = codes[:, :1].repeat(1, 2)
        elif case == "constant column":
            z[:, 3] = 1.0
        else:
            z, codes, observed = z[:1], codes[:1], observed[:1]
        found = attribute_axes(z, codes, observed)
        assert found.attribute.count(1) == (case == "constant column")
        assert torch.linalg.cond(found.matrix) < 100

    def test_tables_that_do_not_match_are_refused(self):
        z, codes = mixed(50)
        for wrong, observed in ((codes[:49], every(codes[:49])), (codes, every(codes[:, :1]))):
            with pytest.raises(ShapeError, match="50 rows"):
                attribute_axes(z, wrong, observed)


class TestInitializeFromAxes:
    @staticmethod
    def prior(kind="train", rank=4):
        sites = [Categorical("a"), *(Gaussian(f"z{i}", 6) for i in range(6)), Categorical("b")]
        bases = {
            "train": lambda: TensorTrainPrior(sites, rank),
            "ring": lambda: TensorRingPrior(sites, rank, factored=True),
            "mixture": lambda: GaussianMixturePrior(sites, components=rank),
            "factor ring": lambda: FactorRingPrior(sites, components=rank),
        }
        return FlowPrior(bases[kind](), LinearMap(6))

    @staticmethod
    def table(z, codes):
        return torch.cat([codes[:, :1], z, codes[:, 1:]], 1).float()

    @pytest.mark.parametrize("kind", ["train", "ring", "mixture", "factor ring"])
    def test_codes_and_labels_are_known_better_than_from_clusters_alone(self, kind):
        (z, codes), (unseen, truth) = mixed(), mixed(1000, seed=7)
        turned = self.prior(kind)
        initialize_from_axes(turned, z, codes, seen(codes, 0.7), seed=0)
        plain = self.prior(kind).base
        initialize_from_clusters(plain, z, codes, seen(codes, 0.7), seed=0)
        values = self.table(unseen, truth)
        with torch.no_grad():
            gain = turned().log_prob(values).mean() - plain().log_prob(values).mean()
        assert gain > 1
        latents = torch.tensor([False, *[True] * 6, False])
        posterior = turned().observe(values, latents).marginals()
        for a, name in enumerate("ab"):
            # With two deviations between a place and the border the best possible answer is right on 0.977.
            assert (posterior[name].probs.argmax(1) == truth[:, a]).double().mean() > 0.93

    def test_every_attribute_is_next_to_its_axis(self):
        z, codes = mixed()
        prior = self.prior()
        initialize_from_axes(prior, z, codes, every(codes), seed=0)
        expected = attribute_axes(z, codes, every(codes)).matrix.float()
        torch.testing.assert_close(prior.flow.matrix[[0, 5]], expected[:2])

    def test_the_same_seed_gives_the_same_prior_and_the_weights_hold_the_map(self):
        z, codes = mixed(500)
        priors = [self.prior() for _ in range(2)]
        for prior in priors:
            initialize_from_axes(prior, z, codes, every(codes), seed=3)
        fresh = self.prior()
        fresh.load_state_dict(priors[0].state_dict())
        values = self.table(z, codes)
        for other in (priors[1], fresh):
            assert torch.equal(other().log_prob(values), priors[0]().log_prob(values))

    def test_what_cannot_be_turned_is_refused(self):
        z, codes = mixed(100)
        for prior in (self.prior().base, FlowPrior(self.prior().base)):
            with pytest.raises(SiteError, match="LinearMap"):
                initialize_from_axes(prior, z, codes, every(codes))
        normal = FlowPrior(StandardNormalPrior(self.prior().sites), LinearMap(6))
        with pytest.raises(SiteError, match="train, ring, factor ring or mixture"):
            initialize_from_axes(normal, z, codes, every(codes))
        prior, before = self.prior(), self.prior().state_dict()
        with pytest.raises(ShapeError, match="latent codes"):
            initialize_from_axes(prior, z[:, :5], codes, every(codes))
        with pytest.raises(ShapeError, match="integer code"):
            initialize_from_axes(prior, z, codes + 1, every(codes))
        assert all(torch.equal(value, before[name]) for name, value in prior.state_dict().items())


class TestLinearMap:
    def test_there_and_back_and_the_determinant(self):
        turned = LinearMap(5)
        matrix = torch.randn(5, 5, generator=generator(4))
        turned.assign(matrix)
        z = torch.randn(7, 5, generator=generator(5))
        found = turned(z)
        torch.testing.assert_close(found.value, z @ matrix.mT)
        torch.testing.assert_close(found.log_det, matrix.det().abs().log().expand(7))
        torch.testing.assert_close(turned.inverse(found.value), z, atol=1e-5, rtol=1e-4)

    def test_a_standard_normal_behind_it_against_a_multivariate_normal(self):
        prior = FlowPrior(StandardNormalPrior([Gaussian(f"z{i}") for i in range(4)]), LinearMap(4)).double()
        matrix = torch.randn(4, 4, generator=generator(6), dtype=torch.float64)
        prior.flow.assign(matrix)
        oracle = torch.distributions.MultivariateNormal(
            torch.zeros(4, dtype=torch.float64), precision_matrix=matrix.mT @ matrix
        )
        z = torch.randn(9, 4, generator=generator(7), dtype=torch.float64)
        torch.testing.assert_close(prior().log_prob(z), oracle.log_prob(z))
        drawn = prior().sample((40_000,), seed=0)
        error = (torch.cov(drawn.mT) - oracle.covariance_matrix).abs().max()
        assert error < 0.05 * oracle.covariance_matrix.abs().max()

    def test_moments_are_those_of_the_latents_and_not_of_the_base(self):
        """Against the base's, turned back, and against samples."""
        sites = [
            Gaussian("z0", components=2),
            Categorical("hat"),
            Gaussian("z1", components=2),
            Gaussian("z2"),
        ]
        prior = FlowPrior(TensorTrainPrior(sites, rank=2, seed=3), LinearMap(3)).double()
        prior.flow.assign(torch.randn(3, 3, generator=generator(8), dtype=torch.float64))
        back = prior.flow.matrix.inverse()
        for p in (prior(), prior().condition({"hat": "1"})):
            centre, spread = p.base.mean, p.base.covariance()
            torch.testing.assert_close(p.mean, back @ centre)
            torch.testing.assert_close(p.covariance(), back @ spread @ back.mT)
            torch.testing.assert_close(p.variance, p.covariance().diagonal())
            torch.testing.assert_close(p.covariance(["z2", "z0"]), p.covariance()[[2, 0]][:, [2, 0]])
            drawn = p.sample((200_000,), seed=0)[:, [0, 2, 3]]
            torch.testing.assert_close(drawn.mean(0), p.mean, atol=0.02, rtol=0.01)
            torch.testing.assert_close(torch.cov(drawn.mT), p.covariance(), atol=0.03, rtol=0.02)
        table = torch.tensor([[0.5, 0.0, -1.0, 2.0], [0.0, 1.0, 0.0, 0.0]], dtype=torch.float64)
        seen = prior().observe(table, torch.tensor([[True, False, True, True], [False, True, False, False]]))
        torch.testing.assert_close(seen.mean[0], table[0, [0, 2, 3]])
        assert seen.covariance()[0].abs().max() < 1e-9
        torch.testing.assert_close(seen.mean[1], prior().condition({"hat": "1"}).mean)
        with pytest.raises(QueryError, match="expected continuous sites, received 'hat'"):
            prior().covariance(["hat"])

    def test_samples_do_not_depend_on_how_many_are_drawn(self):
        z, codes = mixed(500)
        prior = TestInitializeFromAxes.prior()
        initialize_from_axes(prior, z, codes, every(codes))
        many = prior().sample((1000,), seed=1)
        assert torch.equal(prior().sample((3,), seed=1), many[:3])

    @pytest.mark.parametrize("wrong", [torch.ones(3, 3), torch.eye(2)])
    def test_what_has_no_inverse_is_refused(self, wrong):
        turned = LinearMap(3)
        with pytest.raises(ShapeError, match="invertible matrix"):
            turned.assign(wrong)
        assert torch.equal(turned.matrix, torch.eye(3))
