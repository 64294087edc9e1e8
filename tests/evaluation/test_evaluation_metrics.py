"""Error, likelihood and calibration against scikit-learn, torchmetrics and hand counts."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import entropy
from sklearn.metrics import (
    brier_score_loss,
    confusion_matrix,
    log_loss,
    recall_score,
    top_k_accuracy_score,
    zero_one_loss,
)
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_calibration_error,
)

from tutelage.config.metrics import METRICS
from tutelage.evaluation.metrics import METRIC_VERSION, class_errors, metrics

torch.set_num_threads(1)


def sample(images=500, classes=10, seed=0, scale=2.0):
    """Logits that are right more often than not, as stored (float32), and labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, images)
    logits = rng.normal(size=(images, classes)) * scale
    logits[np.arange(images), labels] += scale
    return logits.astype(np.float32), labels


CASES = [(500, 10, 0, 2.0), (37, 3, 1, 1.0), (1, 7, 2, 1.0), (400, 100, 3, 0.5), (300, 6, 4, 20.0)]


@pytest.mark.parametrize("case", CASES)
def test_against_scikit_learn(case):
    logits, labels = sample(*case)
    p, every = softmax(logits.astype(np.float64), axis=1), np.arange(logits.shape[1])
    found = metrics(logits, labels)
    wrong = 100 * zero_one_loss(labels, logits.argmax(1))
    assert found["error"] == pytest.approx(wrong, abs=1e-9)
    if len(every) > 5:
        top5 = top_k_accuracy_score(labels, logits, k=5, labels=every)
        assert found["top5"] == pytest.approx(100 * (1 - top5), abs=1e-9)
    if p.min() > 1e-15:  # scikit-learn clips there
        assert found["nll"] == pytest.approx(log_loss(labels, p, labels=every), rel=1e-9)
    brier = brier_score_loss(labels, p, labels=every, scale_by_half=False)
    assert found["brier"] == pytest.approx(brier, rel=1e-9)
    assert found["entropy"] == pytest.approx(entropy(p, axis=1).mean(), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_errors_by_class_against_scikit_learn(case):
    logits, labels = sample(*case)
    classes = logits.shape[1]
    guesses, every = logits.argmax(1), range(classes)
    recall = recall_score(labels, guesses, average=None, labels=every, zero_division=np.nan)
    found = class_errors(logits, labels)
    assert len(found) == classes
    present = set(labels.tolist())
    for label, (error, right) in enumerate(zip(found, recall, strict=True)):
        expected = None if label not in present else pytest.approx(100 * (1 - right), abs=1e-9)
        assert error == expected
    balanced = 100 * (1 - np.nanmean([recall[label] for label in present]))
    assert metrics(logits, labels)["balanced_error"] == pytest.approx(balanced, abs=1e-9)


def test_balanced_error_counts_every_class_alike():
    logits = np.zeros((10, 3))
    logits[:, 0] = 1.0  # everything is called class 0
    labels = np.array([0] * 8 + [1] * 2)
    assert class_errors(logits, labels) == [0.0, 100.0, None]
    found = metrics(logits, labels)
    assert found["error"] == pytest.approx(20.0)
    assert found["balanced_error"] == pytest.approx(50.0)


def test_equally_large_classes_make_both_errors_equal():
    logits, _ = sample(600, 6, 9)
    labels = np.arange(600) % 6
    found = metrics(logits, labels)
    assert found["balanced_error"] == pytest.approx(found["error"], abs=1e-9)
    table = confusion_matrix(labels, logits.argmax(1))
    by_hand = 100 * (1 - np.diag(table) / table.sum(1))
    assert class_errors(logits, labels) == pytest.approx(by_hand.tolist())


@pytest.mark.parametrize("case", CASES)
def test_against_torchmetrics(case):
    logits, labels = sample(*case)
    classes = logits.shape[1]
    p, y = torch.from_numpy(logits).double().softmax(1), torch.from_numpy(labels)
    found = metrics(logits, labels)
    right = multiclass_accuracy(p, y, classes, average="micro").item()
    assert found["error"] == pytest.approx(100 * (1 - right), abs=1e-4)
    if classes > 5:
        right = multiclass_accuracy(p, y, classes, average="micro", top_k=5).item()
        assert found["top5"] == pytest.approx(100 * (1 - right), abs=1e-4)
    ece = multiclass_calibration_error(p, y, classes, n_bins=15, norm="l1").item()
    assert found["ece"] == pytest.approx(100 * ece, abs=1e-4)


def test_a_case_counted_by_hand():
    # p = (3/4, 1/4) three times, labels 0, 0, 1: confidence 3/4, accuracy 2/3, one bin.
    logits = np.full((3, 2), [math.log(3), 0.0])
    found = metrics(logits, [0, 0, 1])
    third = 100 / 3
    assert found["error"] == pytest.approx(third)
    assert found["ece"] == pytest.approx(100 * (0.75 - 2 / 3))
    assert found["nll"] == pytest.approx((2 * math.log(4 / 3) + math.log(4)) / 3)
    assert found["brier"] == pytest.approx((2 * 2 * 0.25**2 + 2 * 0.75**2) / 3)
    assert found["entropy"] == pytest.approx(0.75 * math.log(4 / 3) + 0.25 * math.log(4))
    assert "top5" not in found


def test_bins_do_not_cancel_across_each_other():
    # Two images surely right at confidence 0.6, two wrong at 0.9: 0.4/2 + 0.9/2, not less.
    logits = np.log([[0.6, 0.4], [0.6, 0.4], [0.9, 0.1], [0.9, 0.1]])
    assert metrics(logits, [0, 0, 1, 1])["ece"] == pytest.approx(100 * (0.4 + 0.9) / 2)


@given(seed=st.integers(0, 10_000), shift=st.floats(-1e3, 1e3))
@settings(max_examples=30, deadline=None)
def test_repetition_order_and_a_constant_change_nothing(seed, shift):
    logits, labels = sample(30, 7, seed)
    logits = logits.astype(np.float64)
    found = metrics(logits, labels)
    rng = np.random.default_rng(seed)
    images, classes = rng.permutation(30), rng.permutation(7)
    for same in (
        metrics(np.vstack([logits, logits]), np.concatenate([labels, labels])),
        metrics(logits[images], labels[images]),
        metrics(logits[:, classes], classes.argsort()[labels]),
        metrics(logits + shift, labels),
    ):
        assert same == pytest.approx(found, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("classes", [2, 5, 6, 10])
def test_constant_logits(classes):
    labels = np.arange(3 * classes) % classes
    found = metrics(np.ones((3 * classes, classes)), labels)
    chance = 100 * (1 - 1 / classes)
    assert found["error"] == pytest.approx(chance)
    assert found["nll"] == pytest.approx(math.log(classes))
    assert found["entropy"] == pytest.approx(math.log(classes))
    assert found["brier"] == pytest.approx(1 - 1 / classes)
    assert found["ece"] == pytest.approx(0, abs=1e-9)
    if classes > 5:
        assert found["top5"] == pytest.approx(100 * (1 - 5 / classes))


@pytest.mark.parametrize("size", [1e4, 1e30, 3e38])
def test_huge_logits_stay_finite(size):
    logits = (np.eye(10) * size).astype(np.float32)
    right, wrong = metrics(logits, np.arange(10)), metrics(logits, (np.arange(10) + 1) % 10)
    assert all(math.isfinite(value) for value in (*right.values(), *wrong.values()))
    assert set(right.values()) == {0}
    assert wrong["nll"] == pytest.approx(size, rel=1e-6)
    assert (wrong["error"], wrong["ece"], wrong["brier"]) == (100, 100, 2)


def test_values_are_plain_floats_without_negative_zero():
    found = metrics(np.eye(10) * 1e4, np.arange(10))
    assert all(type(value) is float for value in found.values())
    assert all(math.copysign(1, value) == 1 for value in found.values())
    assert isinstance(METRIC_VERSION, int)


def test_every_figure_that_claims_name_is_there():
    found = metrics(*sample())
    named = {name.removeprefix("val_") for name in METRICS if name.startswith("val_")}
    assert named <= set(found)


@pytest.mark.parametrize(
    ("logits", "labels", "words"),
    [
        (np.zeros((0, 3)), np.zeros(0, int), "images, classes"),
        (np.zeros(3), np.zeros(3, int), "images, classes"),
        (np.full((2, 3), np.nan), [0, 1], "finite"),
        (np.full((2, 3), np.inf), [0, 1], "finite"),
        (np.zeros((2, 3)), [0, 1, 2], r"\[2, 3\].*\[3\]"),
        (np.zeros((2, 3)), [0.0, 1.0], "whole numbers"),
        (np.zeros((2, 3)), [0, 3], r"0\.\.2"),
        (np.zeros((2, 3)), [-1, 0], r"-1\.\.0"),
    ],
)
def test_what_makes_no_sense_is_refused(logits, labels, words):
    with pytest.raises(ValueError, match=words):
        metrics(logits, labels)
