"""One training loop for every model that declares its objectives, exact to the bit when it is resumed."""

from tnprior_models.training.config import TrainConfig
from tnprior_models.training.data import Examples, TensorData
from tnprior_models.training.distributed import process_group
from tnprior_models.training.environment import environment
from tnprior_models.training.interrupt import TrainingInterrupted
from tnprior_models.training.launch import launch
from tnprior_models.training.metrics_log import MetricsLog, read_metrics
from tnprior_models.training.refitting import Refit
from tnprior_models.training.run import Callback, Progress, Run, StopReason
from tnprior_models.training.samples import SampleGrids, image_grid
from tnprior_models.training.schedule import Constant, Cosine, Schedule, Warmup
from tnprior_models.training.tensorboard_log import TensorBoardLog
from tnprior_models.training.terms import NonFiniteLossError
from tnprior_models.training.trainer import Trainer, TrainResult

__all__ = [
    "Callback",
    "Constant",
    "Cosine",
    "Examples",
    "MetricsLog",
    "NonFiniteLossError",
    "Progress",
    "Refit",
    "Run",
    "SampleGrids",
    "Schedule",
    "StopReason",
    "TensorBoardLog",
    "TensorData",
    "TrainConfig",
    "TrainResult",
    "Trainer",
    "TrainingInterrupted",
    "Warmup",
    "environment",
    "image_grid",
    "launch",
    "process_group",
    "read_metrics",
]
