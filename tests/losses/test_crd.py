"""Contrastive distillation: loops in NumPy, a hand computation, its memory and its negatives."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.losses import CRD

torch.set_num_threads(1)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def embedded(features, weight, bias):
    return unit(np.stack([weight @ row.reshape(-1) + bias for row in features]))


def reference(loss, student, teacher, index, negatives):
    """The loss with the probabilities written out, and the memories afterwards."""
    state = {name: value.numpy().astype(np.float64) for name, value in loss.state_dict().items()}
    anchors = [
        embedded(features, state[f"{who}_weight"], state[f"{who}_bias"])
        for who, features in (("student", student), ("teacher", teacher))
    ]
    memories, images, k = state["memories"], state["memories"].shape[1], negatives.shape[1]
    total = 0.0
    for anchor, memory, z in zip(anchors, memories[::-1], state["constants"], strict=True):
        likeness = np.array([
            [math.exp(row @ memory[place] / loss.temperature) for place in (own, *others)]
            for row, own, others in zip(anchor, index, negatives, strict=True)
        ])  # fmt: skip
        p = likeness / (z or images * likeness.mean())
        h, rest = p / (p + k / images), k / images / (p + k / images)  # 1 - h, without its rounding
        total -= (np.log(h[:, 0]) + np.log(rest[:, 1:]).sum(1)).mean()
    for anchor, memory in zip(anchors, memories, strict=True):
        memory[index] = unit(loss.momentum * memory[index] + (1 - loss.momentum) * anchor)
    return total, memories


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5), st.integers(1, 6), st.floats(0.05, 2), st.floats(0, 0.9),
       st.integers(0, 2**31))  # fmt: skip
def test_it_is_what_the_probabilities_give(batch, negatives, temperature, momentum, seed):
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    loss = CRD((6, 4), 9, dimensions=5, negatives=negatives, temperature=temperature,
               momentum=momentum).double()  # fmt: skip
    for _ in range(3):  # the first sets Z; each remembers
        student, teacher = rng.normal(size=(batch, 3, 1, 2)), rng.normal(size=(batch, 4))
        index = rng.permutation(9)[:batch]
        places = loss.draw(torch.from_numpy(index))
        expected, memories = reference(loss, student, teacher, index, places.numpy())
        found = loss(*(torch.from_numpy(each) for each in (student, teacher, index)), places)
        assert found.item() == pytest.approx(expected, rel=1e-9)
        np.testing.assert_allclose(loss.memories.numpy(), memories, rtol=1e-12, atol=1e-14)


def test_its_gradients_are_those_of_finite_differences():
    torch.manual_seed(0)
    loss = CRD((3, 4), 7, dimensions=4, negatives=3, temperature=0.5).double()
    student = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    teacher, index = torch.randn(2, 4, dtype=torch.float64), torch.tensor([2, 5])
    places = loss.draw(index)
    loss(student, teacher, index, places)
    loss.eval()  # so that every evaluation has one memory

    def value(student, *_):
        return loss(student, teacher, index, places)

    assert torch.autograd.gradcheck(value, (student, *loss.parameters()))


def test_the_probability_of_the_positive_by_hand():
    # Two images, one negative, memories along the axes; the identity embeds.
    loss = CRD((2, 2), 2, dimensions=2, temperature=0.5)
    eye = torch.eye(2)
    loss.load_state_dict({
        "student_weight": eye, "teacher_weight": eye, "student_bias": torch.zeros(2),
        "teacher_bias": torch.zeros(2), "memories": torch.stack((eye, eye)),
        "constants": torch.tensor([4.0, 8.0]),
    })  # fmt: skip
    found = loss(torch.tensor([[5.0, 0.0]]), torch.tensor([[0.1, 0.0]]), torch.tensor([0]))
    total = 0.0
    for z in (4.0, 8.0):
        positive, negative = math.exp(1 / 0.5) / z, math.exp(0) / z
        total -= math.log(positive / (positive + 1 / 2))
        total -= math.log(1 - negative / (negative + 1 / 2))
    assert found.item() == pytest.approx(total)
    assert torch.equal(loss.memories, torch.stack((eye, eye)))  # mixed with itself


def test_the_constants_are_set_once_by_the_first_call():
    torch.manual_seed(0)
    loss = CRD((3, 3), 10, dimensions=4, negatives=5)
    assert torch.count_nonzero(loss.constants) == 0
    index = torch.arange(4)
    loss(torch.randn(4, 3), torch.randn(4, 3), index)
    first = loss.constants.clone()
    assert (first > 0).all()
    loss(10 * torch.randn(4, 3), torch.randn(4, 3), index)
    assert torch.equal(loss.constants, first)


def test_negatives_are_of_other_classes_different_and_uniform():
    labels = torch.tensor([0] * 3 + [1] * 5 + [2] * 4)
    loss = CRD((2, 2), 12, labels, negatives=6)
    generator, counts = torch.Generator().manual_seed(0), torch.zeros(12, 12)
    index = torch.tensor([0, 4, 11, 5])
    for _ in range(2000):
        places = loss.draw(index, generator)
        assert places.shape == (4, 6)
        assert all(len(set(row)) == 6 for row in places.tolist())
        assert (labels[places] != labels[index][:, None]).all()
        assert torch.equal(places[1], places[3])  # of one class
        for image, row in zip(index, places, strict=True):
            counts[image, row] += 1
    for image in index:
        others = labels != labels[image]
        expected = 2000 * 6 / others.sum()
        assert (counts[image, others] - expected).abs().max() < 5 * expected**0.5


def test_the_positive_is_never_among_the_negatives():
    # The fault: drawing from all images, the image itself is pushed away as well.
    for labels in (None, torch.arange(9) % 2):
        loss = CRD((2, 2), 9, labels)
        assert loss.negatives == (8 if labels is None else 4)  # all that there are
        index = torch.randperm(9)[:5]
        for _ in range(50):
            places = loss.draw(index)
            assert not (places == index[:, None]).any()
            assert all(len(set(row)) == loss.negatives for row in places.tolist())


def test_how_many_negatives_there_are():
    assert CRD((1, 1), 20_000, dimensions=1).negatives == 16384
    assert CRD((1, 1), 100, dimensions=1).negatives == 99
    labels = torch.arange(100) // 70
    assert CRD((1, 1), 100, labels, dimensions=1).negatives == 30
    assert CRD((1, 1), 100, labels, dimensions=1, negatives=7).negatives == 7


def test_draws_and_weights_come_from_a_generator_and_nothing_else_is_drawn():
    before = torch.get_rng_state()
    one, same = (CRD((5, 3), 30, torch.arange(30) % 3, dimensions=8, negatives=4,
                     generator=torch.Generator().manual_seed(1)) for _ in range(2))  # fmt: skip
    index = torch.tensor([3, 9, 10])
    draws = [one.draw(index, torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    for mine, theirs in zip(one.state_dict().values(), same.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)
    assert list(one.state_dict()) == ["student_weight", "teacher_weight", "student_bias",
                                      "teacher_bias", "memories", "constants"]  # fmt: skip
    assert one.memories.norm(dim=2).mean().item() == pytest.approx(1, abs=0.1)


def test_in_evaluation_nothing_is_remembered_and_in_training_it_is():
    torch.manual_seed(0)
    loss = CRD((3, 3), 10, dimensions=4, negatives=5)
    index, before = torch.tensor([1, 7]), loss.memories.clone()
    loss.eval()
    loss(torch.randn(2, 3), torch.randn(2, 3), index)
    assert torch.equal(loss.memories, before)
    loss.train()
    loss(torch.randn(2, 3), torch.randn(2, 3), index)
    changed = (loss.memories != before).any(2)
    assert changed.nonzero()[:, 1].tolist() == [1, 7, 1, 7]
    torch.testing.assert_close(loss.memories[:, index].norm(dim=2), torch.ones(2, 2))


def test_no_gradient_reaches_the_teacher_and_both_layers_have_one():
    torch.manual_seed(0)
    student, teacher = torch.randn(3, 4, requires_grad=True), torch.randn(3, 2, requires_grad=True)
    loss = CRD((4, 2), 10, dimensions=4, negatives=5)
    loss(student, teacher, torch.tensor([0, 4, 2])).backward()
    assert teacher.grad is None
    assert all(leaf.grad.abs().sum() > 0 for leaf in (student, *loss.parameters()))


def test_training_tells_images_apart():
    # A student whose features are a rotation of the teacher's learns to find its own.
    torch.manual_seed(0)
    teacher = torch.randn(40, 6)
    student = teacher @ torch.linalg.qr(torch.randn(6, 6)).Q
    loss = CRD((6, 6), 40, dimensions=16)
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.01)
    seen = []
    for _ in range(100):
        value = loss(student, teacher, torch.arange(40))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        seen.append(value.item())
    # Each anchor without any knowledge: 40 terms of a probability of about one half.
    assert seen[-1] < 0.3 * seen[0]
    near = torch.nn.functional.linear(student, loss.student_weight, loss.student_bias)
    found = (near @ loss.memories[1].T).argmax(1)
    assert (found == torch.arange(40)).float().mean() > 0.9


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(dtype):
    torch.manual_seed(0)
    loss = CRD((4, 2), 10, dimensions=4, negatives=5).eval()
    student, teacher, index = torch.randn(3, 4).to(dtype), torch.randn(3, 2).to(dtype), [0, 4, 2]
    index = torch.tensor(index)
    places = loss.draw(index)
    found = loss(student, teacher, index, places)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(
        loss(student.float(), teacher.float(), index, places).item()
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temperature": 0.0}, "temperature above 0"),
        ({"negatives": 0}, "number of negatives above 0"),
        ({"dimensions": 0}, "number of dimensions above 0"),
        ({"momentum": 1.0}, "momentum from 0 to below 1, not 1.0"),
        ({"labels": torch.zeros(4, dtype=torch.int64)}, r"labels \[5\].*they are \[4\]"),
        ({"labels": torch.zeros(5, dtype=torch.int64)}, "all 5 are of one"),
        ({"images": 1}, "there is one alone"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        CRD(**({"features": (3, 3), "images": 5} | options))


@pytest.mark.parametrize(
    ("student", "teacher", "index", "words"),
    [
        (torch.ones(2, 3), torch.ones(3, 4), [0, 1], r"\[2, 3\], the teacher's \[3, 4\]"),
        (torch.ones(2, 5), torch.ones(2, 4), [0, 1], r"embeds 3 features .* student's are \[2, 5"),
        (torch.ones(2, 3), torch.ones(2, 5), [0, 1], r"embeds 4 features .* teacher's are \[2, 5"),
        (torch.ones(2, 3), torch.ones(2, 4), [0], r"places int64 \[2\].* they are int64 \[1\]"),
        (torch.ones(2, 3), torch.ones(2, 4), [0.0, 1.0], r"they are float32 \[2\]"),
        (torch.ones(2, 3), torch.full((2, 4), torch.inf), [0, 1], "finite features of the teach"),
    ],
)
def test_what_does_not_fit_is_named(student, teacher, index, words):
    with pytest.raises(ValueError, match=words):
        CRD((3, 4), 5)(student, teacher, torch.tensor(index))


def test_features_in_double_precision_are_contrasted_in_it():
    generator = torch.Generator().manual_seed(0)
    loss = CRD((3, 4), 6, negatives=3, dimensions=5, generator=generator).eval()
    student = torch.randn(2, 3, generator=generator, dtype=torch.float64)
    teacher = torch.randn(2, 4, generator=generator, dtype=torch.float64)
    index, negatives = torch.tensor([0, 1]), torch.tensor([[2, 3, 4], [3, 4, 5]])
    double = copy.deepcopy(loss).double()
    found = loss(student, teacher, index, negatives)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, double(student, teacher, index, negatives), rtol=1e-6, atol=0)


def test_its_layers_and_memories_are_drawn_within_their_bounds():
    loss = CRD((16, 100), 400, generator=torch.Generator().manual_seed(0))
    for parameter, bound in ((loss.student_weight, 1 / 4), (loss.teacher_weight, 1 / 10),
                             (loss.memories, (3 / 128) ** 0.5)):  # fmt: skip
        size = parameter.detach().abs().max().item()
        assert 0.98 * bound < size <= bound
    assert loss.student_weight.shape == (128, 16)
    assert loss.memories.shape == (2, 400, 128)
    assert not loss.student_bias.any()


def test_negatives_without_labels_are_drawn_by_the_generator_alone():
    loss, index = CRD((3, 3), 200, negatives=20), torch.tensor([5, 7])
    drawn = [loss.draw(index, torch.Generator().manual_seed(1)) for _ in range(2)]
    assert torch.equal(*drawn)
    state = torch.get_rng_state()
    loss.draw(index, torch.Generator().manual_seed(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(loss.draw(index, torch.Generator().manual_seed(2)), drawn[0])


def test_labels_are_no_part_of_its_state():
    labels = torch.arange(6) % 2
    assert set(CRD((3, 3), 6, labels).state_dict()) == {
        "memories", "constants", "student_weight", "teacher_weight", "student_bias", "teacher_bias",
    }  # fmt: skip
