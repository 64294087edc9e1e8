"""What losses say of arguments that cannot be: whole sentences, with what was found."""

from __future__ import annotations

import re
from functools import partial

import pytest
import torch

from tutelage.losses import CRD, FitNets, annealing, at, dist, dkd, kd, mse, rkd, sp, standardise
from tutelage.losses.checks import rounding

LOGITS = torch.zeros(4, 3)
LABELS = torch.zeros(4, dtype=torch.int64)
MAPS = torch.zeros(4, 2, 3, 3)
NAN = torch.tensor([[0.0, float("nan"), float("inf")]] * 4)
OF_LOGITS = {
    "kd": partial(kd, temperature=4.0),
    "mse": mse,
    "dist": dist,
    "annealing": partial(annealing, factor=0.5),
    "dkd": lambda student, teacher: dkd(student, teacher, LABELS[: len(student)]),
}
OF_FEATURES = {
    "sp": sp,
    "rkd": rkd,
    "crd": lambda student, teacher: CRD((3, 3), 9)(student, teacher, LABELS),
}


def says(sentence):
    return pytest.raises(ValueError, match=f"^{re.escape(sentence)}$")


@pytest.mark.parametrize("name", OF_LOGITS)
@pytest.mark.parametrize(
    ("student", "teacher", "rest"),
    [
        ((4, 3), (4, 5), "[4, 3], the teacher's [4, 5] (so 3 classes against 5)."),
        ((4, 3), (5, 3), "[4, 3], the teacher's [5, 3]."),
        ((3,), (3,), "[3], the teacher's [3]."),
        ((3,), (2, 4), "[3], the teacher's [2, 4]."),
        ((2, 4), (3,), "[2, 4], the teacher's [3]."),
    ],
)
def test_shapes_of_logits(name, student, teacher, rest):
    head = f"{name} needs the logits of student and teacher in one shape [batch, classes]; the "
    with says(f"{head}student's are {rest}"):
        OF_LOGITS[name](torch.zeros(student), torch.zeros(teacher))


@pytest.mark.parametrize("name", OF_LOGITS)
@pytest.mark.parametrize("shape", [(0, 3), (4, 0)])
def test_empty_batches(name, shape):
    with says(f"{name} has no mean over an empty batch {list(shape)}."):
        OF_LOGITS[name](torch.zeros(shape), torch.zeros(shape))


@pytest.mark.parametrize("name", OF_LOGITS)
def test_logits_of_a_teacher_that_are_not_finite(name):
    with says(f"{name} needs finite logits of the teacher; 8 of 12 are not."):
        OF_LOGITS[name](LOGITS, NAN)


@pytest.mark.parametrize(
    ("labels", "rest"),
    [
        (LABELS[:3], "they are int64 [3]."),
        (LABELS.float(), "they are float32 [4]."),
        (LABELS[:, None], "they are int64 [4, 1]."),
    ],
)
def test_labels_of_another_kind(labels, rest):
    with says(f"dkd needs labels int64 [4] for logits [4, 3]; {rest}"):
        dkd(LOGITS, LOGITS, labels)


def test_labels_of_networks_side_by_side():
    logits = torch.zeros(2, 4, 3)
    with says("dkd needs labels int64 [2, 4] for logits [2, 4, 3]; they are int64 [4]."):
        dkd(logits, logits, LABELS)


@pytest.mark.parametrize(("first", "span"), [(3, "0 to 3"), (-1, "-1 to 0")])
def test_labels_that_are_no_class(first, span):
    labels = LABELS.clone()
    labels[0] = first
    with says(f"dkd needs labels from 0 to 2, for 3 classes; they go from {span}."):
        dkd(LOGITS, LOGITS, labels)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: kd(LOGITS, LOGITS, 0.0), "kd needs a finite temperature above 0, not 0.0."),
        (
            lambda: kd(LOGITS, LOGITS, float("inf")),
            "kd needs a finite temperature above 0, not inf.",
        ),
        (lambda: dist(LOGITS, LOGITS, -1.0), "dist needs a finite temperature above 0, not -1.0."),
        (
            lambda: dist(LOGITS, LOGITS, inter_weight=-1.0),
            "dist needs a finite inter_weight of at least 0, not -1.0.",
        ),
        (
            lambda: dist(LOGITS, LOGITS, intra_weight=float("inf")),
            "dist needs a finite intra_weight of at least 0, not inf.",
        ),
        (
            lambda: dkd(LOGITS, LOGITS, LABELS, temperature=0.0),
            "dkd needs a finite temperature above 0, not 0.0.",
        ),
        (
            lambda: dkd(LOGITS, LOGITS, LABELS, target_weight=-0.5),
            "dkd needs a finite target_weight of at least 0, not -0.5.",
        ),
        (
            lambda: dkd(LOGITS, LOGITS, LABELS, non_target_weight=float("nan")),
            "dkd needs a finite non_target_weight of at least 0, not nan.",
        ),
        (
            lambda: dkd(LOGITS[:, :1], LOGITS[:, :1], LABELS),
            "dkd needs at least two classes: there is no other than the label's.",
        ),
        (
            lambda: annealing(LOGITS, LOGITS, 0.0),
            "annealing needs a finite factor above 0, not 0.0.",
        ),
        (lambda: annealing(LOGITS, LOGITS, 1.5), "annealing needs a factor of at most 1, not 1.5."),
        (
            lambda: standardise(torch.zeros(4, 1)),
            "standardise needs at least two classes; the logits are [4, 1]: one number has no "
            "spread.",
        ),
        (
            lambda: standardise(torch.tensor(1.0)),
            "standardise needs at least two classes; the logits are []: one number has no spread.",
        ),
        (
            lambda: rkd(LOGITS, LOGITS, -1.0),
            "rkd needs a finite distance_weight of at least 0, not -1.0.",
        ),
        (
            lambda: rkd(LOGITS, LOGITS, 1.0, float("nan")),
            "rkd needs a finite angle_weight of at least 0, not nan.",
        ),
        (
            lambda: CRD((3, 3), 9, temperature=0.0),
            "crd needs a finite temperature above 0, not 0.0.",
        ),
        (
            lambda: CRD((3, 3), 9, dimensions=0),
            "crd needs a finite number of dimensions above 0, not 0.",
        ),
        (
            lambda: CRD((3, 3), 9, negatives=0),
            "crd needs a finite number of negatives above 0, not 0.",
        ),
        (lambda: CRD((3, 3), 9, momentum=1.0), "crd needs a momentum from 0 to below 1, not 1.0."),
        (
            lambda: CRD((3, 3), 9, momentum=-0.1),
            "crd needs a momentum from 0 to below 1, not -0.1.",
        ),
        (lambda: CRD((3, 3), 9, LABELS), "crd needs labels [9], one for each image; they are [4]."),
        (
            lambda: CRD((3, 3), 4, LABELS),
            "crd contrasts images of different classes, and all 4 are of one.",
        ),
        (lambda: CRD((3, 3), 1), "crd contrasts an image with others, and there is one alone."),
        (
            lambda: CRD((3, 3), 9)(LOGITS, LOGITS, LABELS[:2]),
            "crd needs the places int64 [4] of the images in the training set; they are int64 [2].",
        ),
        (
            lambda: CRD((3, 3), 9)(LOGITS, LOGITS, LABELS.float()),
            "crd needs the places int64 [4] of the images in the training set; they are float32 "
            "[4].",
        ),
        (
            lambda: CRD((5, 3), 9)(LOGITS, LOGITS, LABELS),
            "this layer embeds 5 features of an image; the student's are [4, 3].",
        ),
        (
            lambda: CRD((3, 5), 9)(LOGITS, LOGITS, LABELS),
            "this layer embeds 5 features of an image; the teacher's are [4, 3].",
        ),
        (
            lambda: FitNets(3, 2)(MAPS, MAPS),
            "this regressor leads from 3 to 2 channels; the student's maps are [4, 2, 3, 3], the "
            "teacher's [4, 2, 3, 3].",
        ),
        (
            lambda: FitNets(2, 2)(LOGITS, MAPS),
            "fitnets needs maps [batch, channels, height, width] of the same images; the student's "
            "are [4, 3], the teacher's [4, 2, 3, 3].",
        ),
        (
            lambda: at([MAPS], []),
            "at needs as many maps of the student as of the teacher; there are 1 and 0.",
        ),
        (
            lambda: at([], []),
            "at needs as many maps of the student as of the teacher; there are 0 and 0.",
        ),
    ],
)
def test_options_and_counts(call, sentence):
    with says(sentence):
        call()


@pytest.mark.parametrize("name", OF_FEATURES)
@pytest.mark.parametrize(
    ("student", "teacher"),
    [
        ((4, 3), (5, 3)),
        ((4,), (4, 3)),
        ((4, 3), (4,)),
        ((0, 3), (0, 3)),
        ((4, 0), (4, 3)),
        ((4, 3), (4, 0)),
    ],
)
def test_shapes_of_features(name, student, teacher):
    with says(
        f"{name} needs features [batch, ...] of the same images; the student's are "
        f"{list(student)}, the teacher's {list(teacher)}."
    ):
        OF_FEATURES[name](torch.zeros(student), torch.zeros(teacher))


@pytest.mark.parametrize("name", OF_FEATURES)
def test_features_of_a_teacher_that_are_not_finite(name):
    with says(f"{name} needs finite features of the teacher; 8 of 12 are not."):
        OF_FEATURES[name](LOGITS, NAN)


@pytest.mark.parametrize(
    ("student", "teacher"),
    [(MAPS[:, 0], MAPS), (MAPS, MAPS[:, 0]), (MAPS, MAPS[:3]), (MAPS[:0], MAPS[:0])],
)
def test_maps_of_attention_transfer(student, teacher):
    with says(
        "at needs maps [batch, channels, height, width] of the same images; the student's "
        f"are {list(student.shape)}, the teacher's {list(teacher.shape)}."
    ):
        at([student], [teacher])


def test_maps_of_a_teacher_that_are_not_finite():
    with says("at needs finite maps of the teacher."):
        at([MAPS], [MAPS / 0])


def test_logits_of_networks_side_by_side():
    head = "kd needs the logits of student and teacher in one shape [batch, classes]; the "
    student, teacher = torch.zeros(2, 4, 3), torch.zeros(2, 4, 5)
    with says(f"{head}student's are [2, 4, 3], the teacher's [2, 4, 5] (so 3 classes against 5)."):
        kd(student, teacher, 4.0)
    with says(f"{head}student's are [2, 4, 3], the teacher's [2, 5, 3]."):
        kd(student, torch.zeros(2, 5, 3), 4.0)
    for shape in ((2, 4, 0), (2, 0, 3)):
        with says(f"kd has no mean over an empty batch {list(shape)}."):
            kd(torch.zeros(shape), torch.zeros(shape), 4.0)


def test_maps_have_four_dimensions():
    deep = torch.zeros(4, 2, 3, 3, 3)
    with pytest.raises(ValueError, match="fitnets needs maps"):
        FitNets(2, 2)(deep, deep)


def test_a_length_that_is_rounding_is_told_row_by_row():
    rows = torch.tensor([[3.0, 4.0], [0.0, 0.0], [300.0, 400.0]])
    eps, tiny = torch.finfo(torch.float32).eps, torch.finfo(torch.float32).tiny
    expected = torch.tensor([5.0, 0.0, 500.0]) * 8 * eps + tiny**0.5
    torch.testing.assert_close(rounding(rows), expected, rtol=1e-6, atol=0)
