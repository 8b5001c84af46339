"""The judge: shapes, determinism, what it learns, what it stores."""

import gzip
import json
import os
import struct
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tnprior_eval import (
    Classifier,
    ClassifierConfig,
    ClassifierFileError,
    EvalError,
    ShapeError,
    TrainingSettings,
    cached_classifier,
    evaluate_classifier,
    load_classifier,
    save_classifier,
    train_classifier,
    training_key,
)
from tnprior_eval.classifier_training import masked_cross_entropy

QUICK = TrainingSettings(steps=40, batch=64)


def bars(n, seed, size=8):
    """Noisy images with a bright row (attribute 1, four places) and a bright left or right half (attribute 2)."""
    generator = torch.Generator().manual_seed(seed)
    codes = torch.stack([torch.randint(0, c, (n,), generator=generator) for c in (4, 2)], dim=1)
    x = torch.randint(0, 60, (n, 1, size, size), generator=generator)
    for i, (row, half) in enumerate(codes.tolist()):
        x[i, 0, row * size // 4 + 1] += 120
        x[i, 0, :, half * size // 2 : (half + 1) * size // 2] += 60
    return x.to(torch.uint8), codes, torch.rand(n, 2, generator=generator) < 0.7


@pytest.fixture(scope="module")
def trained():
    x, codes, observed = bars(600, 0)
    return train_classifier(x, codes, observed, [4, 2], names=["row", "half"], settings=QUICK)


@pytest.mark.parametrize(
    "shape", [(1, 8, 8), (3, 8, 8), (1, 11, 9), (1, 28, 28), (3, 32, 32), (3, 64, 64), (3, 40, 100)]
)
def test_any_image_size(shape):
    classifier = Classifier(ClassifierConfig(("a", "b"), (2, 5), *shape))
    x = torch.randint(0, 256, (3, *shape), dtype=torch.uint8)
    assert [tuple(table.shape) for table in classifier(x)] == [(3, 2), (3, 5)]
    assert classifier.features(x).shape == (3, 128)
    assert classifier.answers(x).shape == (3, 2)


def test_it_learns_from_partial_labels(trained):
    classifier, record = trained
    x, codes, _ = bars(500, 1)
    result = evaluate_classifier(classifier, x, codes, torch.ones_like(codes, dtype=torch.bool))
    assert result.overall.value > 0.97
    assert result.protocol.extractor == classifier.extractor
    assert record.trained_on + record.held_out == 600
    assert record.low <= record.accuracy <= record.high
    assert set(record.attributes) == {"row", "half"}


def test_an_answer_does_not_depend_on_its_batch(trained):
    classifier, _ = trained
    x, _, _ = bars(50, 2)
    classifier.train()  # the judge uses its running statistics whatever the mode
    together = classifier.features(x)
    apart = torch.cat([classifier.features(image[None]) for image in x])
    torch.testing.assert_close(together, apart, atol=1e-4, rtol=1e-4)
    assert classifier.training
    torch.testing.assert_close(classifier.features(x, batch=7), together, atol=1e-4, rtol=1e-4)
    classifier.eval()


def test_the_same_seed_gives_the_same_weights_and_leaves_the_world_alone():
    x, codes, observed = bars(120, 3)
    settings = TrainingSettings(steps=4, batch=16)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, _ = train_classifier(x, codes, observed, [4, 2], settings=settings)
    assert torch.equal(torch.rand(1), expected)
    second, _ = train_classifier(x, codes, observed, [4, 2], settings=settings)
    third, _ = train_classifier(
        x, codes, observed, [4, 2], settings=TrainingSettings(steps=4, batch=16, seed=1)
    )
    assert first.extractor == second.extractor != third.extractor


def test_labels_that_are_not_observed_change_nothing():
    x, codes, observed = bars(120, 4)
    settings = TrainingSettings(steps=4, batch=16)
    hidden = torch.where(observed, codes, torch.randint(0, 2, codes.shape))
    first, one = train_classifier(x, codes, observed, [4, 2], settings=settings)
    second, two = train_classifier(x, hidden, observed, [4, 2], settings=settings)
    assert first.extractor == second.extractor
    assert one.key == two.key


def test_masked_loss_is_the_mean_over_observed_labels():
    logits = [torch.randn(6, 3, requires_grad=True), torch.randn(6, 2, requires_grad=True)]
    codes = torch.tensor([[0, 1], [2, 0], [1, 1], [9, 9], [0, 0], [1, 0]])
    observed = torch.tensor([[1, 1], [1, 0], [0, 1], [0, 0], [1, 1], [0, 0]], dtype=torch.bool)
    terms = [
        -table[i].log_softmax(0)[codes[i, a]]
        for a, table in enumerate(logits)
        for i in range(6)
        if observed[i, a]
    ]
    torch.testing.assert_close(masked_cross_entropy(logits, codes, observed), torch.stack(terms).mean())
    nothing = masked_cross_entropy(logits, codes, torch.zeros_like(observed))
    nothing.backward()
    assert nothing.item() == 0.0
    assert not logits[0].grad.any()


def test_training_stops_early_and_says_so():
    x, codes, observed = bars(200, 5)
    codes = codes[torch.randperm(200, generator=torch.Generator().manual_seed(0))]  # nothing to learn
    seen = []
    settings = TrainingSettings(steps=200, batch=32, checks=50, patience=3)
    _, record = train_classifier(x, codes, observed, [4, 2], settings=settings, progress=seen.append)
    assert record.steps_run < 200
    assert record.steps_run == seen[-1].step
    assert [report.held_out_loss > seen[-4].held_out_loss for report in seen[-3:]] == [True] * 3


def test_file_round_trip(trained, tmp_path):
    classifier, record = trained
    save_classifier(classifier, record, tmp_path / "judge.safetensors")
    loaded, loaded_record = load_classifier(tmp_path / "judge.safetensors")
    x, _, _ = bars(20, 6)
    assert torch.equal(loaded.features(x), classifier.features(x))
    assert loaded.extractor == classifier.extractor
    assert loaded.config == classifier.config
    assert loaded_record == record
    assert [path.name for path in tmp_path.iterdir()] == ["judge.safetensors"]


def test_damaged_and_foreign_files_are_named(trained, tmp_path):
    path = tmp_path / "judge.safetensors"
    with pytest.raises(ClassifierFileError, match="cannot read a classifier from"):
        load_classifier(path)
    save_classifier(*trained, path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ClassifierFileError, match="cannot read a classifier from"):
        load_classifier(path)
    save_file({"x": torch.zeros(2)}, path)
    with pytest.raises(ClassifierFileError, match="holds tensors but no classifier"):
        load_classifier(path)
    save_file({"x": torch.zeros(2)}, path, metadata={"tnprior_eval": json.dumps({"format": 99})})
    with pytest.raises(ClassifierFileError, match="expected format 1, received 99"):
        load_classifier(path)
    save_file({"x": torch.zeros(2)}, path, metadata={"tnprior_eval": "[1"})
    with pytest.raises(ClassifierFileError, match="delete it and train again"):
        load_classifier(path)


def test_the_cache_trains_once_and_knows_its_data(tmp_path):
    x, codes, observed = bars(60, 7)
    settings = TrainingSettings(steps=2, batch=16)
    calls = []
    arguments = {"settings": settings, "progress": calls.append}
    first, _ = cached_classifier(tmp_path / "cache", x, codes, observed, [4, 2], **arguments)
    trained_once = len(calls)
    second, record = cached_classifier(tmp_path / "cache", x, codes, observed, [4, 2], **arguments)
    assert len(calls) == trained_once > 0
    assert first.extractor == second.extractor
    assert record.key == training_key(x, codes, observed, [4, 2], settings)
    path = next((tmp_path / "cache").iterdir())
    path.write_bytes(b"damaged")
    cached_classifier(tmp_path / "cache", x, codes, observed, [4, 2], **arguments)
    assert len(calls) == 2 * trained_once
    cached_classifier(tmp_path / "cache", 255 - x, codes, observed, [4, 2], **arguments)
    assert len(calls) == 3 * trained_once
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_wrong_input_is_named(trained):
    classifier, _ = trained
    x, codes, observed = bars(30, 8)
    with pytest.raises(ShapeError, match=r"uint8 of shape \(n, 1 or 3, H, W\), received torch.float32"):
        classifier.features(x / 255)
    with pytest.raises(ShapeError, match=r"images of shape \(1, 8, 8\), received \(1, 7, 8\)"):
        classifier.answers(x[:, :, 1:])
    with pytest.raises(ShapeError, match="at least 8 x 8 pixels, received 1 x 4 x 8"):
        train_classifier(x[:, :, :4], codes, observed, [4, 2])
    with pytest.raises(ShapeError, match="between 0 and 2, received 3"):
        train_classifier(x, codes, torch.ones_like(observed), [3, 2])
    with pytest.raises(EvalError, match="at least 20 images and one observed label"):
        train_classifier(x, codes, torch.zeros_like(observed), [4, 2])
    with pytest.raises(ShapeError, match="at least two labels"):
        ClassifierConfig(("a",), (1,), 1, 8, 8)
    with pytest.raises(EvalError, match="expected 2 names"):
        train_classifier(x, codes, observed, [4, 2], names=["row"])
    with pytest.raises(EvalError, match="at least one step"):
        TrainingSettings(steps=0)


def test_a_diverged_run_and_a_part_without_labels_are_errors():
    x, codes, observed = bars(60, 10)
    with pytest.raises(EvalError, match="diverged; lower the learning rate"):
        train_classifier(x, codes, observed, [4, 2], settings=TrainingSettings(steps=6, learning_rate=1e30))
    one = torch.zeros_like(observed)
    one[0, 0] = True
    with pytest.raises(EvalError, match=r"held-out share of 0\.1 and in the rest, received none"):
        train_classifier(x, codes, one, [4, 2], settings=QUICK)


def test_progress_reports_mean_losses():
    x, codes, observed = bars(60, 11)
    seen = []
    settings = TrainingSettings(steps=7, batch=16, checks=2)  # checks at 3, 6 and, with one step, 7
    train_classifier(x, codes, observed, [4, 2], settings=settings, progress=seen.append)
    assert [report.step for report in seen] == [3, 6, 7]
    assert all(0.3 < report.loss < 3.0 for report in seen)


def test_mirroring_is_seen_only_where_it_is_asked_for():
    """With mirrored training images left and right cannot be told apart; without, they can."""
    x, codes, _ = bars(400, 9)
    seen = torch.tensor([[False, True]]).expand(400, 2)
    accuracies = []
    for flip in (False, True):
        settings = TrainingSettings(steps=30, batch=64, flip=flip)
        classifier, _ = train_classifier(x, codes, seen, [4, 2], settings=settings)
        accuracies.append(evaluate_classifier(classifier, x, codes, seen).overall.value)
    assert accuracies[0] > 0.95
    assert accuracies[1] < 0.8


def test_handwritten_digits():
    datasets = pytest.importorskip("sklearn.datasets")
    digits = datasets.load_digits()
    x = torch.from_numpy(digits.images * 255 / 16).round().to(torch.uint8)[:, None]
    codes = torch.from_numpy(digits.target).long()[:, None]
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0)).to(x.device)
    train, test = order[:1437], order[1437:]
    seen = torch.ones_like(codes, dtype=torch.bool)
    settings = TrainingSettings(steps=150)
    classifier, _ = train_classifier(x[train], codes[train], seen[train], [10], settings=settings)
    assert evaluate_classifier(classifier, x[test], codes[test], seen[test]).overall.value >= 0.97


@pytest.mark.slow
def test_mnist():
    root = (
        Path(os.environ.get("TNPRIOR_DATA_ROOT", Path(__file__).parents[4] / "shared" / "data"))
        / "MNIST"
        / "raw"
    )
    if not root.is_dir():
        pytest.skip(f"no MNIST under {root}; set TNPRIOR_DATA_ROOT")
    x, codes = (
        idx(root / "train-images-idx3-ubyte.gz")[:, None],
        idx(root / "train-labels-idx1-ubyte.gz")[:, None],
    )
    seen = torch.ones_like(codes, dtype=torch.bool)
    classifier, _ = train_classifier(x, codes, seen, [10], names=["digit"])
    x, codes = (
        idx(root / "t10k-images-idx3-ubyte.gz")[:, None],
        idx(root / "t10k-labels-idx1-ubyte.gz")[:, None],
    )
    assert evaluate_classifier(classifier, x, codes, seen[: len(x)]).overall.value >= 0.99


def idx(path):
    """The array in a gzipped IDX file of bytes."""
    content = gzip.decompress(path.read_bytes())
    shape = struct.unpack(f">{content[3]}I", content[4 : 4 + 4 * content[3]])
    return torch.frombuffer(bytearray(content[4 + 4 * content[3] :]), dtype=torch.uint8).reshape(shape)


@pytest.mark.gpu
def test_training_on_a_gpu():
    x, codes, observed = bars(600, 0)
    state = torch.cuda.get_rng_state()
    classifier, record = train_classifier(x, codes, observed, [4, 2], settings=QUICK, device="cuda")
    assert torch.equal(torch.cuda.get_rng_state(), state)
    assert record.accuracy > 0.95
    assert classifier.features(x).device.type == "cpu"


def test_one_pass_gives_features_probabilities_and_answers(trained):
    classifier, _ = trained
    x, _, _ = bars(30, 5)
    judged = classifier.judge(x, batch=7)
    torch.testing.assert_close(judged.features, classifier.features(x, batch=7))
    assert torch.equal(judged.answers, classifier.answers(x, batch=7))
    assert [table.shape for table in judged.probabilities] == [(30, 4), (30, 2)]


def test_a_judge_of_mirrored_images_gives_both_the_same_answer():
    config = ClassifierConfig(("row",), (4,), 1, 8, 8)
    once, twice = Classifier(config), Classifier(replace(config, mirror=True))
    twice.load_state_dict(once.state_dict())
    x, _, _ = bars(20, 6)
    expected = (once.judge(x).features + once.judge(x.flip(-1)).features) / 2
    torch.testing.assert_close(twice.judge(x).features, expected)
    assert torch.equal(twice.judge(x).features, twice.judge(x.flip(-1)).features)
    head = once.heads[0]
    answer = head(expected.to(head.weight.device)).softmax(1).to(expected.device)
    torch.testing.assert_close(twice.judge(x).probabilities[0], answer)


def test_mirroring_is_part_of_what_is_kept(tmp_path):
    x, codes, observed = bars(60, 7)
    settings = TrainingSettings(steps=2, flip=True)
    classifier, record = train_classifier(x, codes, observed, [4, 2], settings=settings)
    assert classifier.config.mirror
    assert record.key != training_key(x, codes, observed, [4, 2], TrainingSettings(steps=2))
    save_classifier(classifier, record, tmp_path / "judge.safetensors")
    assert load_classifier(tmp_path / "judge.safetensors")[0].config.mirror
