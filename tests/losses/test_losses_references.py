"""Each loss of logits against the independent references: values and gradients, float64."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import reference
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tutelage.losses import annealing, dist, dkd, kd, mse, standardise

torch.set_num_threads(1)


@dataclass(frozen=True)
class Problem:
    """Logits of both [B, C], labels, and the options of every loss."""

    student: np.ndarray
    teacher: np.ndarray
    labels: list[int]
    temperature: float
    weights: tuple[float, float]
    factor: float


@st.composite
def problems(draw, most_images=9, most_classes=11):
    images, classes = draw(st.integers(1, most_images)), draw(st.integers(2, most_classes))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    weight = st.sampled_from([0.0, 0.3, 1.0, 8.0])
    return Problem(
        student=rng.normal(size=(images, classes)) * draw(st.floats(0.3, 3)) + rng.normal(),
        teacher=rng.normal(size=(images, classes)) * draw(st.floats(0.3, 3)) + rng.normal(),
        labels=rng.integers(0, classes, images).tolist(),
        temperature=draw(st.floats(1, 20)),
        weights=(draw(weight), draw(weight)),
        factor=draw(st.floats(0.01, 1)),
    )


# Of functions by name, student, teacher, labels and a problem's options: both sides are called so.
CALLS = {
    "kd": lambda f, s, t, y, x: f["kd"](s, t, x.temperature),
    "mse": lambda f, s, t, y, x: f["mse"](s, t),
    "annealing": lambda f, s, t, y, x: f["annealing"](s, t, x.factor),
    "dist": lambda f, s, t, y, x: f["dist"](s, t, x.temperature, *x.weights),
    "dkd": lambda f, s, t, y, x: f["dkd"](s, t, y, x.temperature, *x.weights),
    "standardised kd": lambda f, s, t, y, x: f["kd"](
        f["standardise"](s), f["standardise"](t), x.temperature
    ),
    "standardised dkd": lambda f, s, t, y, x: f["dkd"](
        f["standardise"](s), f["standardise"](t), y, x.temperature, *x.weights
    ),
    "standardised dist": lambda f, s, t, y, x: f["dist"](
        f["standardise"](s), f["standardise"](t), x.temperature, *x.weights
    ),
}
OURS = {function.__name__: function for function in (kd, mse, annealing, dist, dkd, standardise)}
THEIRS = {name: getattr(reference, name) for name in OURS}


def assume_well_posed(name, problem):
    """No spread is so near to 0 that a correlation, or a standardised row, is mostly rounding.

    Two standardised classes are always the same two numbers, so `dist` needs a third there.
    """
    standardised = name.startswith("standardised")
    for logits in (problem.student, problem.teacher):
        assume(not standardised or logits.std(axis=1).min() > 0.2)
        if name.endswith("dist"):
            assume(not standardised or logits.shape[1] > 2)
            z = reference.standardise(logits) if standardised else logits
            p = np.array([reference.probabilities(row, problem.temperature) for row in z])
            seen = p * p.shape[1] * problem.temperature  # about 1 + z, at a high temperature
            assume(np.ptp(seen, axis=1).min() > 0.1)
            assume(len(p) == 1 or np.ptp(seen, axis=0).min() > 0.1)


def ours(name, problem, student):
    """Our loss of a tensor of logits."""
    teacher, labels = torch.tensor(problem.teacher), torch.tensor(problem.labels)
    return CALLS[name](OURS, student, teacher, labels, problem)


def theirs(name, problem, student):
    """The reference's loss of an array of logits."""
    return CALLS[name](THEIRS, student, problem.teacher, problem.labels, problem)


@pytest.mark.parametrize("name", CALLS)
@given(problem=problems())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_values(name, problem):
    assume_well_posed(name, problem)
    value = ours(name, problem, torch.tensor(problem.student)).item()
    expected = theirs(name, problem, problem.student)
    # Pearson's r has an absolute error, which tau^2 multiplies.
    assert value == pytest.approx(expected, rel=1e-10, abs=1e-12 * problem.temperature**2)


@pytest.mark.parametrize("name", CALLS)
@given(problem=problems(most_images=3, most_classes=4))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_gradients(name, problem):
    assume_well_posed(name, problem)
    student = torch.tensor(problem.student, requires_grad=True)
    ours(name, problem, student).backward()
    expected = reference.slope(lambda z: theirs(name, problem, z), problem.student)
    size = max(1.0, np.abs(expected).max(), problem.temperature**2)
    np.testing.assert_allclose(student.grad.numpy(), expected, rtol=0, atol=2e-8 * size)


@given(problem=problems(), shift=st.floats(-20, 20), factor=st.floats(0.01, 50))
@settings(max_examples=40, deadline=None)
def test_standardised_logits(problem, shift, factor):
    logits = problem.student * factor + shift
    found = standardise(torch.tensor(logits)).numpy()
    np.testing.assert_allclose(found, reference.standardise(logits), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", CALLS)
@given(problem=problems())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_single_precision_is_near(name, problem):
    """The same logits, rounded to float32 for both sides."""
    assume_well_posed(name, problem)
    student, teacher = (z.astype(np.float32) for z in (problem.student, problem.teacher))
    single = CALLS[name](
        OURS, torch.tensor(student), torch.tensor(teacher), torch.tensor(problem.labels), problem
    )
    double = CALLS[name](
        THEIRS, student.astype(float), teacher.astype(float), problem.labels, problem
    )
    # KL of two nearly equal distributions is a small rest of large terms, which tau^2 multiplies.
    assert single.dtype == torch.float32
    assert single.item() == pytest.approx(double, rel=2e-5, abs=2e-5 * problem.temperature**2)


@pytest.mark.parametrize("name", CALLS)
@given(problem=problems(), seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_order_and_repetition_do_not_matter(name, problem, seed):
    assume_well_posed(name, problem)
    value = ours(name, problem, torch.tensor(problem.student)).item()
    rng = np.random.default_rng(seed)
    images, classes = (rng.permutation(count) for count in problem.student.shape)
    twice = np.tile(np.arange(len(images)), 2)
    renamed = np.argsort(classes)  # where each class went
    for moved in (
        replace(
            problem,
            student=problem.student[:, classes],
            teacher=problem.teacher[:, classes],
            labels=renamed[problem.labels].tolist(),
        ),
        *(
            replace(
                problem,
                student=problem.student[rows],
                teacher=problem.teacher[rows],
                labels=np.array(problem.labels)[rows].tolist(),
            )
            for rows in (images, twice)
        ),
    ):
        changed = ours(name, moved, torch.tensor(moved.student)).item()
        # Repeated, one image is still no spread: the classes of `dist` stay silent.
        assert changed == pytest.approx(value, rel=1e-10, abs=1e-12 * problem.temperature**2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", CALLS)
@given(
    seed=st.integers(0, 10_000),
    leading=st.sampled_from([(1,), (3,), (8,), (2, 3)]),
    images=st.sampled_from([1, 2, 7, 16, 33, 128]),
    classes=st.sampled_from([2, 3, 10, 17, 100]),
)
@settings(max_examples=10, deadline=None)
def test_leading_dimensions_have_a_loss_each(name, dtype, seed, leading, images, classes):
    """Bit for bit those of single calls: runs that train side by side must not differ for it."""
    generator = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(2, *leading, images, classes, generator=generator, dtype=dtype)
    labels = torch.randint(0, classes, (*leading, images), generator=generator)
    options = Problem(np.empty(0), np.empty(0), [], 4.0, (1.0, 8.0), 0.3)
    together = CALLS[name](OURS, student, teacher, labels, options)
    assert together.shape == leading
    for index in np.ndindex(leading):
        alone = CALLS[name](OURS, student[index], teacher[index], labels[index], options)
        assert torch.equal(together[index], alone)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_a_confident_teacher(temperature):
    """Probabilities down to e^-60, where 1 - p of the label has no digit left."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 20).tolist()
    teacher = 60.0 * np.eye(10)[labels] + rng.normal(size=(20, 10))
    student = 40.0 * np.eye(10)[rng.integers(0, 10, 20)] + rng.normal(size=(20, 10))
    tensors = torch.tensor(student), torch.tensor(teacher)
    found = dkd(*tensors, torch.tensor(labels), temperature, 1.0, 8.0).item()
    expected = reference.dkd(student, teacher, labels, temperature, 1.0, 8.0)
    assert found == pytest.approx(expected, rel=1e-12)
    expected = reference.kd(student, teacher, temperature)
    assert kd(*tensors, temperature).item() == pytest.approx(expected, rel=1e-12)


def test_the_references_tell_what_is_known_in_closed_form():
    """A reference that is wrong in the same way as ours would hide it."""
    assert reference.kd([[0.0, 0.0]], [[2 * np.log(3), 0.0]], 2.0) == pytest.approx(
        4 * (0.75 * np.log(1.5) + 0.25 * np.log(0.5)), rel=1e-14
    )
    assert reference.mse([[1.0, 2.0], [3.0, 4.0]], [[0.0, 4.0], [3.0, 1.0]]) == 7.0
    assert reference.pearson_distance([1.0, 2.0, 3.0], [3.0, 1.0, 2.0]) == pytest.approx(1.5)
    cubic = reference.slope(lambda z: float((z**3).sum()), np.array([[2.0, -1.0]]))
    np.testing.assert_allclose(cubic, [[12.0, 3.0]], rtol=1e-10)
