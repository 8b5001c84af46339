"""Exact tensor-train and tensor-ring distributions over latent codes and attributes.

A prior is an `nn.Module` whose `forward()` returns a distribution. A distribution answers queries with
distributions. Log-probabilities are in nats.

Names of axes in the shapes of signatures and docstrings, the same everywhere:

====  =======================================================================================
B     examples of a batch: one row of evidence each; `batch_shape` is () or (B,)
S     draws
K     sites in declared order, `event_shape` (K,); k is one of them
N     components of a continuous site or labels of a categorical one: states of a core's index
C     labels of a categorical site; components of a mixture; clusters (said where it occurs)
m     bond size (rank): a core is (N_k, m_k, m_{k+1})
U     points of a place, in a ring whose cores are block-diagonal
G     sites of one kind and size, kept in one tensor
n     examples of the table that an initialisation reads
d     latent codes, the continuous sites of a prior
A     attributes, the categorical sites of a prior
Be    B, or 1 where the batch shares the evidence
====  =======================================================================================
"""

from tnprior_core.completion import Completion
from tnprior_core.cores import Exp, Softplus, Square
from tnprior_core.coupling import LatentMap
from tnprior_core.distributions.base import SiteDistribution
from tnprior_core.distributions.blocks import BlockRing
from tnprior_core.distributions.flow import Flow
from tnprior_core.distributions.mixture import Mixture
from tnprior_core.distributions.network import TensorRing, TensorTrain
from tnprior_core.errors import (
    EvidenceError,
    ImpossibleEvidenceError,
    QueryError,
    ShapeError,
    SiteError,
    TnpriorError,
)
from tnprior_core.evidence import Between, Likelihood, Noisy, Not, OneOf
from tnprior_core.initialize.axes import Axes, attribute_axes, initialize_from_axes
from tnprior_core.initialize.clusters import initialize_from_clusters
from tnprior_core.initialize.labels import initialize_from_labels
from tnprior_core.initialize.mixtures import fit_mixtures, initialize_from_mixtures
from tnprior_core.initialize.near_normal import initialize_near_normal, standard_mixture
from tnprior_core.initialize.ordering import (
    information_order,
    interleaved_order,
    mutual_information,
    random_order,
)
from tnprior_core.legs import GaussianLegs, LabelLegs, Legs
from tnprior_core.linear_map import LinearMap
from tnprior_core.priors.base import Prior
from tnprior_core.priors.components import ComponentsPrior
from tnprior_core.priors.factor_ring import FactorRingPrior
from tnprior_core.priors.flow import FlowPrior
from tnprior_core.priors.mixture import GaussianMixturePrior, StandardNormalPrior
from tnprior_core.priors.network import NetworkPrior, TensorRingPrior, TensorTrainPrior
from tnprior_core.priors.vamp import VampPrior
from tnprior_core.rosenblatt import inverse_rosenblatt, rosenblatt
from tnprior_core.sites import Categorical, Gaussian
from tnprior_core.univariate import NormalMixture

__all__ = [
    "Axes",
    "Between",
    "BlockRing",
    "Categorical",
    "Completion",
    "ComponentsPrior",
    "EvidenceError",
    "Exp",
    "FactorRingPrior",
    "Flow",
    "FlowPrior",
    "Gaussian",
    "GaussianLegs",
    "GaussianMixturePrior",
    "ImpossibleEvidenceError",
    "LabelLegs",
    "LatentMap",
    "Legs",
    "Likelihood",
    "LinearMap",
    "Mixture",
    "NetworkPrior",
    "Noisy",
    "NormalMixture",
    "Not",
    "OneOf",
    "Prior",
    "QueryError",
    "ShapeError",
    "SiteDistribution",
    "SiteError",
    "Softplus",
    "Square",
    "StandardNormalPrior",
    "TensorRing",
    "TensorRingPrior",
    "TensorTrain",
    "TensorTrainPrior",
    "TnpriorError",
    "VampPrior",
    "attribute_axes",
    "fit_mixtures",
    "information_order",
    "initialize_from_axes",
    "initialize_from_clusters",
    "initialize_from_labels",
    "initialize_from_mixtures",
    "initialize_near_normal",
    "interleaved_order",
    "inverse_rosenblatt",
    "mutual_information",
    "random_order",
    "rosenblatt",
    "standard_mixture",
]
