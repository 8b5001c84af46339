"""Are the filled-in attributes right, and are their probabilities?"""

import torch

from tnprior_cli.evaluation.subject import Subject
from tnprior_eval import Imputation, ImputationResult, Protocol, majority_codes


def imputation(subject: Subject) -> ImputationResult:
    """Accuracy and calibration on test images with every label hidden, beside the commonest training label."""
    train, truth = subject.train, subject.test.truth
    majority = majority_codes(train.codes, train.observed, subject.label_counts)
    protocol = Protocol(seed=subject.effort.seed, settings={"split": "test", "known": "the image alone"})
    metric = Imputation(subject.names, majority=majority, protocol=protocol)
    with torch.no_grad():
        for rows, batch in subject.test_pieces():
            metric.update(
                subject.model.impute(*batch, seed=subject.effort.seed),
                truth.codes[rows],
                truth.observed[rows],
            )
    return metric.compute()
