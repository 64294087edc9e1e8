"""A step that compares features: what it computes, what it leaves alone."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tutelage.config.canonical import canonical
from tutelage.config.chain import EpochStep, Start
from tutelage.config.schema import Sgd
from tutelage.data.stream import Batch
from tutelage.losses import at, kd
from tutelage.models.build import build_model
from tutelage.teachers.signals import FeatureSignal, ScaledSignal
from tutelage.training.stepper import EagerStepper

AT = canonical({"at": {"weight": 100.0}})
KD = canonical({"kd": {"temperature": 4}})
ENDS = {"at": ("groups.0", "groups.1", "groups.2")}


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def start(**options):
    return Start(data="d", views="none", batch_size=8, model="wrn-10-0.5", init_seed=0,
                 stream_seed=0, optimizer=Sgd(lr=0.1), **options)  # fmt: skip


def batch(seed=0):
    rng = np.random.default_rng(seed)
    images = torch.from_numpy(rng.normal(size=(8, 3, 16, 16)).astype(np.float32))
    labels = torch.from_numpy(rng.integers(0, 10, 8))
    return Batch(labels, labels, torch.empty(0), images, labels)


def student(seed=0):
    return build_model("wrn-10-0.5", (16, 16, 3), 10, seed)


def teacher():
    return build_model("wrn-16-1", (16, 16, 3), 10, 1)


def stages(model, images):
    """The logits and the ends of the stages, without any hook."""
    hidden, maps = model.stem(images), []
    for group in model.groups:
        hidden = group(hidden)
        maps.append(hidden)
    return model.head(F.relu(model.norm(hidden)).mean((2, 3))), maps


def trained(step, signal, steps=3, **options):
    model = student()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    stepper = EagerStepper(model, optimizer, start(**options))
    stepper.begin(step, signal)
    figures = [stepper.step(batch(number)) for number in range(steps)]
    return model, torch.stack(figures)


@pytest.mark.parametrize("kd_weight", [0.0, 0.9])
def test_it_is_the_step_that_one_would_write(kd_weight):
    step = EpochStep(0.1, 0.5, kd_weight, KD if kd_weight else None, "t", AT)
    model, figures = trained(step, ScaledSignal(FeatureSignal(teacher(), ENDS), 1.0))
    own, other = student().train(), teacher().eval()
    optimizer = torch.optim.SGD(own.parameters(), lr=0.1)
    for number in range(3):
        seen = batch(number)
        logits, maps = stages(own, seen.images)
        with torch.no_grad():
            target, likewise = stages(other, seen.images)
        ce, alike = F.cross_entropy(logits, seen.labels), at(maps, likewise)
        taught = kd(logits, target, 4.0)
        loss = 0.5 * ce + kd_weight * taught + 100.0 * alike
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert figures[number][0].item() == pytest.approx(loss.item(), rel=1e-5)
        assert figures[number][5].item() == pytest.approx(alike.item(), rel=1e-5)
        agreements = (logits.argmax(1) == target.argmax(1)).sum().item()
        assert figures[number][4].item() == agreements
    for mine, theirs in zip(model.state_dict().values(), own.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


def test_the_student_runs_once_and_the_teacher_stays_as_it_was():
    tutor, model = teacher().train(), student()
    before = copy.deepcopy(tutor.state_dict())
    signal = FeatureSignal(tutor, ENDS)
    runs = []
    model.stem.register_forward_hook(lambda *_: runs.append("student"))
    tutor.stem.register_forward_hook(lambda *_: runs.append("teacher"))
    keys = list(model.state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    stepper = EagerStepper(model, optimizer, start())
    stepper.begin(EpochStep(0.1, 1.0, 0.0, None, "t", AT), signal)
    stepper.step(batch())
    assert sorted(runs) == ["student", "teacher"]
    # After the distillation, nobody is asked, and nothing is read.
    stepper.begin(EpochStep(0.1, 1.0), None)
    stepper.step(batch())
    assert sorted(runs) == ["student", "student", "teacher"]
    assert not any(parameter.requires_grad for parameter in tutor.parameters())
    assert all(parameter.grad is None for parameter in tutor.parameters())
    assert not tutor.training
    assert all(torch.equal(value, before[name]) for name, value in tutor.state_dict().items())
    assert list(model.state_dict()) == keys
    assert not any(
        module._forward_hooks for name, module in model.named_modules() if name != "stem"
    )


def test_an_evaluation_between_steps_keeps_nothing_and_changes_nothing():
    step = EpochStep(0.1, 0.5, 0.9, KD, "t", AT)
    undisturbed, _ = trained(step, FeatureSignal(teacher(), ENDS))
    model = student()
    stepper = EagerStepper(model, torch.optim.SGD(model.parameters(), lr=0.1), start())
    stepper.begin(step, FeatureSignal(teacher(), ENDS))
    for number in range(3):
        stepper.step(batch(number))
        model.eval()
        with torch.no_grad():
            for _ in range(2):
                model(batch(9).images)
        model.train()
    assert all(
        torch.equal(mine, theirs)
        for mine, theirs in zip(
            model.state_dict().values(), undisturbed.state_dict().values(), strict=True
        )
    )


def test_the_features_pull_the_student_s_towards_the_teacher_s():
    tutor, seen = teacher(), batch()
    model = student()
    stepper = EagerStepper(model, torch.optim.SGD(model.parameters(), lr=0.1), start())
    stepper.begin(EpochStep(0.1, 1e-6, 0.0, None, "t", AT), FeatureSignal(tutor, ENDS))
    alike = [stepper.step(seen)[5].item() for _ in range(60)]
    assert alike[-1] < 0.5 * alike[0]


def test_bf16_and_a_factor_on_the_logits():
    step = EpochStep(0.1, 0.5, 0.9, KD, "t", AT)
    _, exact = trained(step, FeatureSignal(teacher(), ENDS), steps=1)
    _, short = trained(step, FeatureSignal(teacher(), ENDS, "bf16"), steps=1, precision="bf16")
    assert short.dtype == torch.float32
    torch.testing.assert_close(short[0, :3], exact[0, :3], rtol=0.05, atol=0.01)
    torch.testing.assert_close(short[0, 5], exact[0, 5], rtol=0.05, atol=0.01)
    signal = FeatureSignal(teacher(), ENDS)
    logits, maps = signal.heard(batch())
    scaled, same = ScaledSignal(signal, 2.5).heard(batch())
    assert torch.equal(scaled, logits * 2.5)
    assert all(torch.equal(one, other) for one, other in zip(maps["at"], same["at"], strict=True))


def test_modules_can_be_named():
    form = canonical({"at": {"weight": 1.0, "student": ["groups.2", "stem"], "teacher": []}})
    paths = {"at": ("groups.2", "stem")}
    _, figures = trained(EpochStep(0.1, 1.0, 0.0, None, "t", form),
                         FeatureSignal(teacher(), paths), steps=1)  # fmt: skip
    own, other = student().train(), teacher().eval()
    with torch.no_grad():
        images = batch().images
        expected = at([stages(own, images)[1][2], own.stem(images)],
                      [stages(other, images)[1][2], other.stem(images)])  # fmt: skip
    assert figures[0, 5].item() == pytest.approx(expected.item(), rel=1e-5)
