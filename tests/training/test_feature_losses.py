"""Losses of features that are trained themselves: what a step does, and whose their weights are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tutelage.config.canonical import canonical, derive_seed
from tutelage.config.chain import EpochStep, Start
from tutelage.config.schema import AdamW, Sgd
from tutelage.data.stream import Batch
from tutelage.losses import CRD, FitNets, rkd, sp
from tutelage.models.build import build_model
from tutelage.teachers.signals import FeatureSignal
from tutelage.training.average import WeightAverage
from tutelage.training.feature_losses import FeatureLosses
from tutelage.training.optimizer import build_optimizer
from tutelage.training.stepper import EagerStepper
from tutelage.training.trainee import Trainee

IMAGES, BATCH = 24, 6
LABELS = np.arange(IMAGES) % 4
PATHS = {"sp": ["stages.1"], "fitnets": ["stages.1"], "rkd": ["head:input"],
         "crd": ["head:input"]}  # fmt: skip
FORMS = {
    "sp": {"weight": 30.0},
    "fitnets": {"weight": 2.0},
    "rkd": {"weight": 0.5, "distance_weight": 25.0, "angle_weight": 50.0},
    "crd": {"weight": 0.8, "dimensions": 8, "negatives": 5, "temperature": 0.2, "momentum": 0.5},
}
SGD = Sgd(lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-2)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def start(optimizer=SGD, **options):
    return Start(data="d", views="none", batch_size=BATCH, model="plain-4-6", init_seed=3,
                 stream_seed=5, optimizer=optimizer, **options)  # fmt: skip


def batch(number=0, epoch=0):
    rng = np.random.default_rng([number, epoch])
    images = torch.from_numpy(rng.normal(size=(BATCH, 1, 8, 8)).astype(np.float32))
    index = torch.from_numpy(rng.permutation(IMAGES)[:BATCH])
    labels = torch.from_numpy(LABELS)[index]
    return Batch(index, index, torch.empty(0), images, labels, epoch=epoch, number=number)


def student():
    return build_model("plain-4-6", (8, 8, 1), 4, 3)


def teacher():
    return build_model("plain-5-8", (8, 8, 1), 4, 1)


def step_of(*names, lr=0.05):
    form = canonical({name: FORMS[name] for name in names}) if names else None
    return EpochStep(lr, 1.0, 0.0, None, "t" if names else None, form)


class Training:
    """A trainee and its stepper, as the loop has them."""

    def __init__(self, **options):
        self.start, model = start(**options), student()
        optimizer = build_optimizer(self.start.optimizer, model.parameters())
        average = WeightAverage(model, self.start.ema) if self.start.ema else None
        losses = FeatureLosses(self.start, LABELS)
        self.trainee = Trainee(model, optimizer, average, losses)
        self.stepper = EagerStepper(model, optimizer, self.start, average, losses)
        self.signal = FeatureSignal(teacher(), PATHS)

    def epoch(self, step, epoch=0, steps=3):
        self.stepper.begin(step, self.signal if step.distils else None, updates=epoch * steps)
        figures = [self.stepper.step(batch(number, epoch)) for number in range(steps)]
        return torch.stack(figures)


def same(one, other):
    assert one.keys() == other.keys()
    return all(np.array_equal(one[key], other[key]) for key in one)


def shown(model, images):
    """The logits, the end of the second stage and the embedding, without any hook."""
    maps = model.stages(images)
    embedding = maps.mean((2, 3))
    return model.head(embedding), maps, embedding


@pytest.mark.parametrize("clip_norm", [None, 0.5])
@pytest.mark.parametrize("optimizer", [SGD, AdamW(lr=0.01, weight_decay=0.1)])
def test_it_is_the_loop_that_one_would_write(optimizer, clip_norm):
    """Student, regressor and embeddings under one optimizer; the fault is a regressor that is in
    none, and so stays random."""
    names = ("crd", "fitnets", "rkd", "sp")
    step = step_of(*names)
    training = Training(optimizer=optimizer, clip_norm=clip_norm)
    figures = torch.cat([training.epoch(step, epoch) for epoch in range(2)])
    own, other = student().train(), teacher().eval()
    hint = FitNets(6, 8, torch.Generator().manual_seed(derive_seed(3, "loss", "fitnets")))
    options = {key: value for key, value in FORMS["crd"].items() if key != "weight"}
    generator = torch.Generator().manual_seed(derive_seed(3, "loss", "crd"))
    contrast = CRD((6, 8), IMAGES, torch.from_numpy(LABELS), **options, generator=generator)
    parameters = [*own.parameters(), *hint.parameters(), *contrast.parameters()]
    joint = build_optimizer(optimizer.model_copy(update={"lr": 0.05}), parameters)
    for number, figure in enumerate(figures):
        seen = batch(number % 3, number // 3)
        logits, maps, embedding = shown(own, seen.images)
        with torch.no_grad():
            _, their_maps, their_embedding = shown(other, seen.images)
        seed = derive_seed(5, "crd", number // 3, number % 3)
        places = contrast.draw(seen.index, torch.Generator().manual_seed(seed))
        losses = [
            contrast(embedding, their_embedding, seen.index, places),
            hint(maps, their_maps),
            rkd(embedding, their_embedding),
            sp(maps, their_maps),
        ]
        loss = F.cross_entropy(logits, seen.labels)
        loss = loss + sum(FORMS[n]["weight"] * x for n, x in zip(names, losses, strict=True))
        joint.zero_grad()
        loss.backward()
        if clip_norm:
            norm = torch.nn.utils.clip_grad_norm_(parameters, clip_norm)
            assert norm > clip_norm
        joint.step()
        assert figure[0].item() == pytest.approx(loss.item(), rel=1e-4)
        expected = torch.stack(losses).detach()
        torch.testing.assert_close(figure[5:], expected, rtol=1e-3, atol=1e-5)
    found = training.trainee.arrays()
    for name, value in own.state_dict().items():
        np.testing.assert_allclose(found[f"model/{name}"], value, rtol=1e-3, atol=1e-5)
    for prefix, module in (("fitnets/module/0.", hint), ("crd/module/", contrast)):
        for name, value in module.state_dict().items():
            key = f"loss/{prefix}{name}"
            np.testing.assert_allclose(found[key], value.numpy(), rtol=1e-3, atol=1e-5)


def test_what_is_trained_stays_outside_the_student():
    training = Training(ema=0.9)
    keys = list(training.trainee.model.state_dict())
    training.epoch(step_of("fitnets", "crd"))
    trainee = training.trainee
    assert list(trainee.model.state_dict()) == list(trainee.delivered.state_dict()) == keys
    assert keys == list(student().state_dict())
    assert len(trainee.optimizer.state) == len([*trainee.model.parameters()])
    groups = {key.split("/")[1] for key in trainee.arrays() if key.startswith("loss/")}
    assert groups == {"fitnets", "crd"}
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in trainee.model.modules())


def test_epochs_that_do_not_name_a_loss_leave_it_alone():
    """No step, no weight decay, no momentum, nothing remembered, nobody asked."""
    training = Training()
    training.epoch(step_of("fitnets", "crd"))
    losses = training.trainee.losses
    before = {key: value.copy() for key, value in losses.arrays().items()}
    training.epoch(step_of(), 1)
    assert same(losses.arrays(), before)
    training.epoch(step_of("fitnets"), 2)
    after = losses.arrays()
    changed = {key.split("/")[0] for key in after if not np.array_equal(after[key], before[key])}
    assert changed == {"fitnets"}


def test_a_loss_is_the_same_in_whatever_company_it_begins():
    """Neither the student's weights nor another loss's initial ones are others for it."""
    alone, both = Training(), Training()
    assert same(alone.trainee.arrays(), both.trainee.arrays())
    for training, names in ((alone, ["crd"]), (both, ["crd", "fitnets", "rkd"])):
        state = torch.get_rng_state()
        training.figures = training.epoch(step_of(*names), steps=1)
        assert torch.equal(torch.get_rng_state(), state)
    assert alone.figures[0, 5] == both.figures[0, 5]
    memories = [t.trainee.arrays()["loss/crd/module/memories"] for t in (alone, both)]
    assert np.array_equal(*memories)
    other = Training()
    other.start = replace(other.start, init_seed=4)
    other.trainee.losses._start = other.start
    other.epoch(step_of("crd"), steps=1)
    assert not np.array_equal(other.trainee.arrays()["loss/crd/module/memories"], memories[0])


def test_a_run_without_the_loss_trains_as_ever():
    plain, after = Training(), Training()
    plain.epoch(step_of())
    after.epoch(step_of())
    assert not any(key.startswith("loss/") for key in after.trainee.arrays())
    assert same(plain.trainee.arrays(), after.trainee.arrays())


@pytest.mark.parametrize("optimizer", [SGD, AdamW(lr=0.01, weight_decay=0.1)])
@pytest.mark.parametrize("between", [("fitnets", "crd"), ()])
def test_it_goes_on_where_it_was_left_bit_by_bit(optimizer, between):
    """Also over an epoch that makes no use of it, in whose checkpoint it still is."""
    steps = [step_of("fitnets", "crd"), step_of(*between), step_of("fitnets", "crd", lr=0.01)]
    whole = Training(optimizer=optimizer)
    kept = []
    for number, step in enumerate(steps):
        whole.epoch(step, number)
        arrays = {key: value.copy() for key, value in whole.trainee.arrays().items()}
        kept.append(arrays)
    for left in (0, 1):
        again = Training(optimizer=optimizer)
        again.epoch(step_of("fitnets"), 7)  # whatever it did before
        meta = {"epoch": left + 1, "best_epoch": 0, "history": [], "seconds": [], "inherited": 0,
                "run": "r"}  # fmt: skip
        again.trainee.restore(kept[left], meta, "r")
        assert same(again.trainee.arrays(), kept[left])
        for number in range(left + 1, 3):
            again.epoch(steps[number], number)
            assert same(again.trainee.arrays(), kept[number])


def test_a_module_left_in_evaluation_mode_is_trained_all_the_same():
    """The fault: a criterion with a memory or BatchNorm that was once put into evaluation mode."""
    one, other = Training(), Training()
    for training in (one, other):
        training.epoch(step_of("crd", "fitnets"))
    for trained in other.trainee.losses._trained.values():
        trained.module.eval()
    for training in (one, other):
        training.epoch(step_of("crd", "fitnets"), 1)
    assert same(one.trainee.arrays(), other.trainee.arrays())


def test_the_regressor_learns_and_the_teacher_does_not():
    training = Training(optimizer=Sgd(lr=0.05))
    tutor = training.signal.model
    before = {name: value.clone() for name, value in tutor.state_dict().items()}
    first = training.epoch(step_of("fitnets"), steps=1)[0, 5].item()
    for _ in range(30):
        last = training.epoch(step_of("fitnets"), steps=1)[0, 5].item()
    assert last < 0.5 * first
    assert all(torch.equal(value, before[name]) for name, value in tutor.state_dict().items())
    assert not tutor.training
    assert not any(parameter.requires_grad for parameter in tutor.parameters())


def test_each_negative_is_of_another_class_and_drawn_anew():
    training, drawn = Training(), []
    training.epoch(step_of("crd"), steps=1)
    crd = training.trainee.losses._trained["crd"].module
    draw = crd.draw
    crd.draw = lambda *given: drawn.append((given[0], draw(*given))) or drawn[-1][1]
    for epoch in (1, 2):
        training.epoch(step_of("crd"), epoch)
    assert len(drawn) == 6
    labels = torch.from_numpy(LABELS)
    for index, places in drawn:
        assert (labels[places] != labels[index][:, None]).all()
    assert len({tuple(places.flatten().tolist()) for _, places in drawn}) == 6
    again = Training()  # the same, whatever came before
    again.epoch(step_of("crd"), 2, steps=1)
    repeated = []
    crd = again.trainee.losses._trained["crd"].module
    likewise = crd.draw
    crd.draw = lambda *given: repeated.append(likewise(*given)) or repeated[-1]
    again.epoch(step_of("crd"), 1, steps=1)
    assert torch.equal(repeated[0], drawn[0][1])


def test_bf16_is_near():
    names = ("crd", "fitnets", "rkd", "sp")
    exact = Training().epoch(step_of(*names), steps=1)
    training = Training(precision="bf16")
    training.signal = FeatureSignal(teacher(), PATHS, "bf16")
    short = training.epoch(step_of(*names), steps=1)
    assert short.dtype == torch.float32
    torch.testing.assert_close(short[0, 5:], exact[0, 5:], rtol=0.1, atol=0.01)
