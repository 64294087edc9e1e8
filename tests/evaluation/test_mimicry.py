"""Agreement, and KL split into scale and shape, against SciPy and PyTorch."""

import math
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar
from scipy.special import log_softmax, rel_entr, softmax

from tutelage.config.metrics import METRICS
from tutelage.evaluation.mimicry import FACTOR_BOUNDS, TEMPERATURES, mimicry
from tutelage.losses import kd

torch.set_num_threads(1)


def pair(images=300, classes=10, seed=0, confidence=4.0, fidelity=0.6, noise=1.0):
    """Logits of a student that follows a teacher imperfectly."""
    rng = np.random.default_rng(seed)
    teacher = rng.normal(size=(images, classes)) * confidence
    student = fidelity * teacher + rng.normal(size=(images, classes)) * noise
    return student, teacher


def confident(images=300, classes=10, seed=0, student=8.0, teacher=15.0, noise=1.0):
    """A teacher that is certain, as on its own training images, and a student that is right."""
    rng = np.random.default_rng(seed)
    target = np.eye(classes)[rng.integers(0, classes, images)]
    return tuple(c * target + noise * rng.normal(size=target.shape) for c in (student, teacher))


def reference_kl(student, teacher, temperature, factor=1.0):
    """KL by SciPy."""
    p, q = softmax(teacher / temperature, axis=1), softmax(factor * student / temperature, axis=1)
    return rel_entr(p, q).sum(axis=1).mean()


def reference_slope(factor, student, teacher, temperature):
    """Derivative of the KL in the factor: how far the mean logit under q lies above that under p"""
    u = student / temperature
    p, q = softmax(teacher / temperature, axis=1), softmax(factor * u, axis=1)
    return ((q - p) * u).sum(axis=1).mean()


PAIRS = {
    "usual": pair(),
    "one image": pair(images=1),
    "two classes": pair(classes=2, seed=1),
    "many classes": pair(classes=100, seed=2),
    "poor student": pair(fidelity=0.05, seed=3),
    "too confident": pair(fidelity=3.0, seed=4),
    "soft": pair(confidence=0.3, noise=0.1, seed=5),
    "certain teacher": confident(),
    "very certain teacher": confident(teacher=25.0),
    "certain student": confident(student=25.0),
    "certain teacher, unsure student": confident(student=0.7, noise=0.05),
}


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("name", PAIRS)
def test_the_split_is_what_scipy_finds(name, temperature):
    student, teacher = PAIRS[name]
    found = mimicry(student, teacher)
    kl = reference_kl(student, teacher, temperature)
    best = minimize_scalar(
        lambda log_s: reference_kl(student, teacher, temperature, math.exp(log_s)),
        bounds=np.log(FACTOR_BOUNDS),
        method="bounded",
        options={"xatol": 1e-12, "maxiter": 1000},
    )
    shape = min(best.fun, kl)
    assert found[f"kl_t{temperature}"] == pytest.approx(kl, abs=1e-10)
    assert found[f"kl_shape_t{temperature}"] == pytest.approx(shape, abs=1e-10)
    assert found[f"kl_scale_t{temperature}"] == pytest.approx(kl - shape, abs=1e-10)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("name", ["usual", "two classes", "poor student", "soft", "too confident"])
def test_the_factor_is_where_the_slope_vanishes(name, temperature):
    student, teacher = PAIRS[name]
    root = brentq(
        reference_slope,
        *FACTOR_BOUNDS,
        args=(student, teacher, temperature),
        xtol=1e-13,
        rtol=1e-13,  # pyright: ignore[reportArgumentType]
    )
    assert mimicry(student, teacher)[f"factor_t{temperature}"] == pytest.approx(root, rel=1e-9)


def test_a_logistic_case_in_closed_form():
    # Student log-odds 1, teacher's 3: one factor repairs all; with a second image of log-odds -1
    # and 3, the best factor is that of the mean probability, here where q = (p1 + 1 - p2) / 2.
    p = 1 / (1 + math.exp(-3))
    found = mimicry([[1.0, 0.0], [0.0, 1.0]], [[3.0, 0.0], [2.0, 0.0]])
    p2 = 1 / (1 + math.exp(-2))
    q = (p + 1 - p2) / 2
    assert found["factor_t1"] == pytest.approx(math.log(q / (1 - q)), rel=1e-10)
    assert found["agreement"] == 50


def test_it_is_the_loss_without_its_temperature_squared():
    student, teacher = pair()
    found = mimicry(student, teacher)
    for temperature in TEMPERATURES:
        loss = kd(torch.tensor(student), torch.tensor(teacher), temperature).item()
        assert found[f"kl_t{temperature}"] == pytest.approx(loss / temperature**2, rel=1e-12)


@pytest.mark.parametrize("scale", [0.002, 0.3, 1.0, 5.0, 900.0])
def test_a_difference_in_scale_alone_has_no_shape(scale):
    _, teacher = pair()
    offsets = np.linspace(-5, 5, len(teacher))[:, None]  # softmax does not see them
    found = mimicry(scale * teacher + offsets, teacher)
    assert found["agreement"] == 100
    for t in TEMPERATURES:
        assert found[f"kl_shape_t{t}"] == pytest.approx(0, abs=1e-12)
        assert found[f"factor_t{t}"] == pytest.approx(1 / scale, rel=1e-9)
        assert found[f"kl_scale_t{t}"] == found[f"kl_t{t}"] - found[f"kl_shape_t{t}"]
        assert scale == 1 or found[f"kl_scale_t{t}"] > 1e-2


def test_a_perfect_student():
    _, teacher = pair()
    found = mimicry(teacher, teacher)
    for t in TEMPERATURES:
        assert found[f"factor_t{t}"] == pytest.approx(1, rel=1e-9)
        for part in ("kl", "kl_scale", "kl_shape"):
            assert found[f"{part}_t{t}"] == pytest.approx(0, abs=1e-14)


@given(seed=st.integers(0, 10_000), scale=st.floats(0.05, 20), confidence=st.floats(0.1, 15))
@settings(max_examples=40, deadline=None)
def test_what_holds_always(seed, scale, confidence):
    student, teacher = pair(40, 4, seed, confidence)
    found = mimicry(student, teacher)
    scaled = mimicry(scale * student, teacher)
    rng = np.random.default_rng(seed)
    order, twice = rng.permutation(4), np.repeat(np.arange(40), 2)
    renamed = mimicry(student[:, order], teacher[:, order])
    doubled = mimicry(student[twice], teacher[twice])
    for t in TEMPERATURES:
        kl, shape, apart = (found[f"{part}_t{t}"] for part in ("kl", "kl_shape", "kl_scale"))
        assert 0 <= shape <= kl
        assert apart == kl - shape
        # The shape part does not see the student's confidence; the factor makes up for it.
        factors = found[f"factor_t{t}"], scaled[f"factor_t{t}"]
        if not set(factors) & set(FACTOR_BOUNDS):
            assert scaled[f"kl_shape_t{t}"] == pytest.approx(shape, abs=1e-10)
            assert factors[0] / factors[1] == pytest.approx(scale, rel=1e-6)
    assert renamed == pytest.approx(found, rel=1e-8, abs=1e-12)
    assert doubled == pytest.approx(found, rel=1e-8, abs=1e-12)


def degenerate():
    rng = np.random.default_rng(0)
    right = np.eye(10)[np.arange(200) % 10]
    noise = rng.normal(size=right.shape)
    nothing = np.zeros_like(right)
    return {
        # name: student, teacher, factor at temperature 1 (None: not asked), shape part
        "constant student": (nothing, noise, 1.0, None),
        "constant teacher": (noise, nothing, FACTOR_BOUNDS[0], None),
        "both constant": (nothing + 3, nothing - 2, 1.0, 0.0),
        "student opposite": (-noise, noise, FACTOR_BOUNDS[0], None),
        "one-hot teacher": (3 * right + 0.3 * noise, 1e4 * right, FACTOR_BOUNDS[1], 0.0),
        "one-hot teacher, weak student": (1e-5 * right, 1e4 * right, FACTOR_BOUNDS[1], None),
        "one-hot teacher, student wrong": (np.roll(right, 1, axis=1), 1e4 * right, None, None),
        "nearly one-hot teacher": (3 * right + 0.3 * noise, 40 * right, None, None),
        "one-hot both": (1e4 * right, 1e4 * right, 1.0, 0.0),
        "one-hot both, unequal": (1e4 * np.roll(right, 1, axis=1), 1e4 * right, None, None),
        "student at 1e4": (1e4 * noise, noise, None, None),
        "student beyond the bounds": (1e5 * noise, noise, FACTOR_BOUNDS[0], None),
        "teacher at 1e4": (noise, 1e4 * noise, FACTOR_BOUNDS[1], None),
        "largest of single precision": (3e38 * noise.clip(-1, 1), -3e38 * right, None, None),
        "smallest numbers": (1e-300 * noise, 1e-300 * right, None, 0.0),
    }


@pytest.mark.parametrize("name", degenerate())
def test_degenerate_logits_give_finite_plain_numbers(name):
    student, teacher, factor, shape = degenerate()[name]
    found = mimicry(student, teacher)
    for key, value in found.items():
        assert type(value) is float, key
        assert math.isfinite(value), key
        assert value >= 0, key
    for t in TEMPERATURES:
        low, high = FACTOR_BOUNDS
        assert low <= found[f"factor_t{t}"] <= high
        log_q = log_softmax(student / t * found[f"factor_t{t}"], axis=1)
        log_p = log_softmax(teacher / t, axis=1)
        expected = (np.exp(log_p) * (log_p - log_q)).sum(axis=1).mean()
        assert found[f"kl_shape_t{t}"] == pytest.approx(expected, rel=1e-9, abs=1e-10)
        if factor is not None:
            assert found[f"factor_t{t}"] == factor
        if shape is not None:
            assert found[f"kl_shape_t{t}"] == pytest.approx(shape, abs=1e-12)


@pytest.mark.parametrize("name", degenerate())
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_no_factor_does_better_even_then(name, temperature):
    student, teacher, *_ = degenerate()[name]
    found = mimicry(student, teacher)
    log_p = log_softmax(teacher / temperature, axis=1)
    for factor in np.geomspace(*FACTOR_BOUNDS, 400):
        log_q = log_softmax(student / temperature * factor, axis=1)
        kl = (np.exp(log_p) * (log_p - log_q)).sum(axis=1).mean()
        assert found[f"kl_shape_t{temperature}"] <= kl * (1 + 1e-10) + 1e-10


def test_single_precision_logits_are_read_as_they_are():
    student, teacher = (z.astype(np.float32) for z in pair())
    assert mimicry(student, teacher) == mimicry(student.astype(float), teacher.astype(float))


def test_its_arguments_are_left_as_they_were():
    student, teacher = pair()
    before = student.copy(), teacher.copy()
    mimicry(student, teacher)
    assert (student == before[0]).all()
    assert (teacher == before[1]).all()


def test_every_figure_that_claims_name_is_there():
    figures = {"kl_t1", "kl_shape_t1", "kl_scale_t1", "kl_t4", "kl_shape_t4", "kl_scale_t4"}
    found = mimicry(*pair())
    assert set(found) == figures | {"agreement", "factor_t1", "factor_t4"}
    assert {f"train_{name}" for name in figures | {"agreement"}} <= set(METRICS)


@pytest.mark.parametrize(
    ("student", "teacher", "words"),
    [
        (np.zeros((2, 3)), np.zeros((2, 4)), r"\[2, 3\].*\[2, 4\]"),
        (np.zeros((2, 3)), np.zeros((3, 3)), r"\[2, 3\].*\[3, 3\]"),
        (np.zeros((0, 3)), np.zeros((0, 3)), "student's logits"),
        (np.zeros((2, 3)), np.full((2, 3), np.nan), "teacher's logits must be finite"),
        (np.full((2, 3), np.inf), np.zeros((2, 3)), "student's logits must be finite"),
    ],
)
def test_what_makes_no_sense_is_refused(student, teacher, words):
    with pytest.raises(ValueError, match=words):
        mimicry(student, teacher)


@pytest.mark.parametrize("make", [pair, confident])
def test_it_is_quick(make):
    """About 1 ms for 1000 images of 10 classes; the bound leaves room for a busy machine."""
    student, teacher = make(images=1000)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        mimicry(student, teacher)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.006
