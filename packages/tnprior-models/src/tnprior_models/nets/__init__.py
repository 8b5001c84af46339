"""Networks: tensors in, tensors out; no losses, no priors."""

from tnprior_models.nets.batch_deviation import BatchDeviation
from tnprior_models.nets.bounded import floor_softly, limit_softly
from tnprior_models.nets.cell_layers import CellsToCode, CodeToCells
from tnprior_models.nets.cells import Cells, closed_walk
from tnprior_models.nets.conv_critic import ConvCritic, PixelLayerNorm, image_layer_norm
from tnprior_models.nets.conv_decoder import ConvDecoder
from tnprior_models.nets.conv_encoder import ConvEncoder
from tnprior_models.nets.conv_features import ConvFeatures
from tnprior_models.nets.conv_generator import ConvGenerator, shuffled_doubling, transposed_doubling
from tnprior_models.nets.dense_adversaries import DenseCritic, DenseGenerator
from tnprior_models.nets.dense_head import DenseHead, LabelledCode
from tnprior_models.nets.fine_critic import FineCritic
from tnprior_models.nets.label_codes import DenseCode, LabelCode, LabelExperts
from tnprior_models.nets.pyramid import Normalization, Pyramid

__all__ = [
    "BatchDeviation",
    "Cells",
    "CellsToCode",
    "CodeToCells",
    "ConvCritic",
    "ConvDecoder",
    "ConvEncoder",
    "ConvFeatures",
    "ConvGenerator",
    "DenseCode",
    "DenseCritic",
    "DenseGenerator",
    "DenseHead",
    "FineCritic",
    "LabelCode",
    "LabelExperts",
    "LabelledCode",
    "Normalization",
    "PixelLayerNorm",
    "Pyramid",
    "closed_walk",
    "floor_softly",
    "image_layer_norm",
    "limit_softly",
    "shuffled_doubling",
    "transposed_doubling",
]
