"""Metrics for conditional generation and imputation, each reporting the protocol it was measured with."""

from tnprior_eval.accuracy import Accuracy, AccuracyResult, accuracy
from tnprior_eval.bounds import BoundResult, ExampleBounds, LikelihoodBound, importance_bounds
from tnprior_eval.calibration import Calibration, CalibrationResult, CalibrationScores
from tnprior_eval.classifier import Classifier, ClassifierConfig, Judgement
from tnprior_eval.classifier_file import cached_classifier, load_classifier, save_classifier
from tnprior_eval.classifier_frechet import ClassifierFrechet, ClassifierFrechetResult
from tnprior_eval.classifier_training import (
    TrainingProgress,
    TrainingRecord,
    TrainingSettings,
    evaluate_classifier,
    train_classifier,
    training_key,
)
from tnprior_eval.diversity import Diversity, DiversityResult, Entropy, entropy_of_counts
from tnprior_eval.errors import ClassifierFileError, EvalError, ShapeError, WeightsUnavailableError
from tnprior_eval.estimate import Estimate, Interval, mean_estimate, proportion, wilson_interval
from tnprior_eval.frechet import JackknifeDistance, frechet_distance
from tnprior_eval.images import quantize
from tnprior_eval.imputation import Imputation, ImputationResult, majority_codes
from tnprior_eval.inception import Inception
from tnprior_eval.inception_fid import InceptionFid, InceptionFidResult
from tnprior_eval.kernel_distance import KernelDistance, KernelDistanceResult, kernel_distance
from tnprior_eval.moments import GroupedMoments, Moments
from tnprior_eval.pixels import ContinuousPixels, DiscretePixels, PixelConvention
from tnprior_eval.precision_recall import PrecisionRecall, PrecisionRecallResult, inside_balls
from tnprior_eval.protocol import Protocol, versions
from tnprior_eval.reliability import Reliability
from tnprior_eval.report import Report
from tnprior_eval.result import Result, Row
from tnprior_eval.subset_condition import SubsetCondition, SubsetConditionResult
from tnprior_eval.vendi_score import VendiScore, VendiScoreResult, vendi_score
from tnprior_eval.violation import (
    ConditionViolation,
    GivenCount,
    ViolationResult,
    broken_requests,
    condition_violation,
)

__all__ = [
    "Accuracy",
    "AccuracyResult",
    "BoundResult",
    "Calibration",
    "CalibrationResult",
    "CalibrationScores",
    "Classifier",
    "ClassifierConfig",
    "ClassifierFileError",
    "ClassifierFrechet",
    "ClassifierFrechetResult",
    "ConditionViolation",
    "ContinuousPixels",
    "DiscretePixels",
    "Diversity",
    "DiversityResult",
    "Entropy",
    "Estimate",
    "EvalError",
    "ExampleBounds",
    "GivenCount",
    "GroupedMoments",
    "Imputation",
    "ImputationResult",
    "Inception",
    "InceptionFid",
    "InceptionFidResult",
    "Interval",
    "JackknifeDistance",
    "Judgement",
    "KernelDistance",
    "KernelDistanceResult",
    "LikelihoodBound",
    "Moments",
    "PixelConvention",
    "PrecisionRecall",
    "PrecisionRecallResult",
    "Protocol",
    "Reliability",
    "Report",
    "Result",
    "Row",
    "ShapeError",
    "SubsetCondition",
    "SubsetConditionResult",
    "TrainingProgress",
    "TrainingRecord",
    "TrainingSettings",
    "VendiScore",
    "VendiScoreResult",
    "ViolationResult",
    "WeightsUnavailableError",
    "accuracy",
    "broken_requests",
    "cached_classifier",
    "condition_violation",
    "entropy_of_counts",
    "evaluate_classifier",
    "frechet_distance",
    "importance_bounds",
    "inside_balls",
    "kernel_distance",
    "load_classifier",
    "majority_codes",
    "mean_estimate",
    "proportion",
    "quantize",
    "save_classifier",
    "train_classifier",
    "training_key",
    "vendi_score",
    "versions",
    "wilson_interval",
]
