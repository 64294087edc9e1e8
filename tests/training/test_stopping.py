"""When a student has been taught enough: the rules on histories made by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tutelage.config.canonical import canonical
from tutelage.config.chain import EpochStep
from tutelage.losses import kd
from tutelage.training.stopping import coming_step, gradient_cosine, taught_epochs


def epochs(signal, rates, patience=3, threshold=0.0, watched_from=0):
    rule = canonical({"adaptive": signal, "patience": patience, "threshold": threshold})
    steps = []
    for epoch, rate in enumerate(rates):
        watched = epoch >= watched_from
        steps.append(EpochStep(rate, 0.1, 0.9, "loss", "t", rule=rule if watched else None,
                               otherwise=EpochStep(rate, 1.0) if watched else None))  # fmt: skip
    return steps


def cosines(*values):
    return [{"lr": 0.1, "val_error": 50.0, "gradient_cosine": value} for value in values]


def errors(rates, *values):
    return [{"lr": rate, "val_error": value} for rate, value in zip(rates, values, strict=False)]


@pytest.mark.parametrize(
    ("values", "stops"),
    [
        ((0.5, -0.1, -0.1, 0.2, -0.1, -0.1), None),  # never three in a row
        ((0.5, -0.1, -0.1, -0.1, 0.2, -0.1), 4),
        ((-0.1, -0.1, -0.1, 0.9, 0.9, 0.9), 3),
        ((0.0, 0.0, 0.0, 0.0, 0.0, 0.0), None),  # at the threshold is not below it
    ],
)
def test_opposed_gradients_count_in_a_row(values, stops):
    assert taught_epochs(epochs("gradients", [0.1] * 8), cosines(*values)) == stops


def test_what_came_before_the_rule_does_not_count():
    before = [{"lr": 0.1, "val_error": 50.0}] * 2  # nothing was measured
    steps = epochs("gradients", [0.1] * 8, watched_from=2)
    assert taught_epochs(steps, [*before, *cosines(-1, -1)]) is None
    assert taught_epochs(steps, [*before, *cosines(-1, -1, -1)]) == 5


RATES = [0.1, 0.1, 0.1, 0.02, 0.02, 0.02, 0.02, 0.004]


@pytest.mark.parametrize(
    ("values", "stops"),
    [
        ((50, 60, 70, 30, 29, 28, 27, 26), None),  # rising at the first rate, falling since
        ((50, 49, 48, 30, 29, 30, 27, 28), 6),  # 30, 29, 30: level
        ((50, 49, 48, 30, 29, 28, 31, 28), 7),  # 29, 28, 31
        ((50, 49, 48, 30, 29, 28, 27, 99), None),  # not across a decay
    ],
)
def test_validation_error_counts_after_a_decay_at_one_rate(values, stops):
    assert taught_epochs(epochs("validation", RATES), errors(RATES, *values)) == stops


def test_the_slope_is_that_of_least_squares():
    values = [40.0, 37.0, 37.5, 36.0, 35.9]
    rates = [0.1, *[0.02] * 5]
    slope = np.polyfit(range(5), values, 1)[0]
    history = errors(rates, 50.0, *values)
    for threshold, stops in ((slope + 1e-9, None), (slope - 1e-9, 6)):
        assert taught_epochs(epochs("validation", rates, 5, threshold), history) == stops


def test_once_met_the_rule_stays_met_and_the_epochs_do_otherwise():
    steps = epochs("gradients", [0.1] * 8)
    history = cosines(-1, -1, -1)
    for done in range(3):
        assert coming_step(steps, history[:done]) == steps[done]
    while len(history) < 8:
        step = coming_step(steps, history)
        assert step == EpochStep(0.1, 1.0) == steps[len(history)].otherwise
        history.append({"lr": 0.1, "val_error": 1.0})  # nothing is measured any more


def test_the_cosine_is_that_of_the_gradients_of_each_image():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 6, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    target = torch.randn(3, 6, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 5, (3, 6), generator=generator)
    ce = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    found = gradient_cosine(logits, ce.view(3, 6).mean(1), kd(logits, target, 4.0))
    z, q = logits.detach().numpy(), target.numpy()

    def softmax(values):
        powers = np.exp(values - values.max(-1, keepdims=True))
        return powers / powers.sum(-1, keepdims=True)

    ours = softmax(z) - np.eye(5)[labels.numpy()]  # of -log p_y
    theirs = softmax(z / 4) - softmax(q / 4)  # of the divergence, up to a factor
    norms = np.linalg.norm(ours, axis=-1) * np.linalg.norm(theirs, axis=-1)
    expected = ((ours * theirs).sum(-1) / norms).mean(-1)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10)
    assert found.shape == (3,)
    assert not found.requires_grad


def test_a_teacher_that_says_the_labels_agrees_with_them_and_its_opposite_does_not():
    logits = torch.zeros(4, 3, requires_grad=True)
    labels = torch.tensor([0, 1, 2, 0])
    said = 9.0 * F.one_hot(labels, 3)
    for target, sign in ((said, 1.0), (-said, -1.0)):
        ce = F.cross_entropy(logits, labels)
        assert float(gradient_cosine(logits, ce, kd(logits, target, 1.0))) == pytest.approx(sign)
