"""Networks trained side by side: equal to separate ones, and to themselves in any company."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tutelage.config.canonical import canonical
from tutelage.config.chain import EpochStep, Start, Trajectory
from tutelage.config.schema import DataConfig, Sgd
from tutelage.data.sources import load_source
from tutelage.data.stream import Batch
from tutelage.data.world import make_world
from tutelage.models.build import build_model
from tutelage.models.predict import logits_of
from tutelage.store import Store
from tutelage.training.fused import GROUP, FusedNetwork, stack_images
from tutelage.training.fused_stepper import FusedStepper
from tutelage.training.loop import Stopped, train
from tutelage.training.optimizer import build_optimizer
from tutelage.training.run import Run
from tutelage.training.trainee import Trainee, weights_of

LOSS = canonical({"kd": {"temperature": 4}})
OTHER = canonical({"kd": {"temperature": 1}})
MODELS = [("plain-8-8-8", (8, 8, 1)), ("plain-4-12", (9, 7, 3)), ("wrn-10-0.25", (8, 8, 3))]


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def world():
    config = DataConfig(source="digits", train=100, validation=50, test=100, views="shift-1")
    return make_world(load_source(config, lambda kind, key: None), config, 1, 2)


def start(model="plain-8-8", **changes):
    values = {
        "data": "0" * 64, "views": "shift-1", "batch_size": 25, "model": model, "init_seed": 1,
        "stream_seed": 2, "optimizer": Sgd(), "stepper": "fused",
    }  # fmt: skip
    return Start(**{**values, **changes})


def trainees(name, shape, count, optimizer, dtype=torch.float64):
    made = []
    for seed in range(count):
        model = build_model(name, shape, 5, seed).to(dtype)
        made.append(Trainee(model, build_optimizer(optimizer, model.parameters())))
    return made


def batches(shape, count, steps, dtype=torch.float64):
    """Random batches: [step][trainee]."""
    height, width, channels = shape
    generator = torch.Generator().manual_seed(0)
    index = torch.arange(6)
    return [
        [
            Batch(
                index=index, view=index, pixels=torch.zeros(0),
                images=torch.randn(6, height, width, channels, generator=generator, dtype=dtype)
                .permute(0, 3, 1, 2),
                labels=torch.randint(0, 5, (6,), generator=generator),
            )
            for _ in range(count)
        ]
        for _ in range(steps)
    ]  # fmt: skip


def teacher(seed):
    table = torch.randn(6, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return lambda batch: table[batch.index]


def steps_of(count):
    """A different step for each: rates, weights, temperatures, and some without a teacher."""
    made = []
    for number in range(count):
        rate = 0.02 * (1 + number)
        if number % 3 == 2:
            made.append(EpochStep(rate, 1.0))
        else:
            loss = LOSS if number % 2 else OTHER
            made.append(EpochStep(rate, 0.1 + 0.1 * number, 0.9, loss, "teacher"))
    return made


@pytest.mark.parametrize(("name", "shape"), MODELS)
@pytest.mark.parametrize("optimizer", [Sgd(), Sgd(nesterov=False, momentum=0.8), Sgd(momentum=0.0)])
def test_ten_steps_in_float64_equal_those_of_separate_networks(name, shape, optimizer):
    count = 5
    together = trainees(name, shape, count, optimizer)
    apart = [copy.deepcopy(trainee.model) for trainee in together]
    steps, data = steps_of(count), batches(shape, count, 10)
    signals = [teacher(n) if step.distils else None for n, step in enumerate(steps)]
    fused = FusedStepper(together, start(name, label_smoothing=0.1))
    fused.begin(steps, signals)
    figures = torch.stack([fused.step(row) for row in data])
    fused.end(len(data))
    fused.release()
    for number, model in enumerate(apart):
        expected = train_by_hand(model.train(), steps[number], signals[number], optimizer,
                                 [row[number] for row in data])  # fmt: skip
        torch.testing.assert_close(figures[:, number], expected, rtol=1e-11, atol=1e-11)
        ours = together[number].model.state_dict()
        for key, value in model.state_dict().items():
            torch.testing.assert_close(ours[key], value, rtol=1e-12, atol=1e-12)


def train_by_hand(model, step, signal, config, data):
    """The figures of every step of one network, trained with PyTorch's own SGD and losses."""
    optimizer = torch.optim.SGD(
        model.parameters(), lr=step.lr, momentum=config.momentum, weight_decay=config.weight_decay,
        nesterov=config.nesterov and config.momentum > 0,
    )  # fmt: skip
    figures = []
    for batch in data:
        logits = model(batch.images)
        ce = F.cross_entropy(logits, batch.labels, label_smoothing=0.1)
        loss, kd, agreements = step.ce_weight * ce, torch.zeros(()), 0
        if signal is not None:
            target, tau = signal(batch), 4.0 if step.loss == LOSS else 1.0
            kd = tau**2 * F.kl_div((logits / tau).log_softmax(1), (target / tau).softmax(1),
                                   reduction="batchmean")  # fmt: skip
            loss = loss + step.kd_weight * kd
            agreements = (logits.argmax(1) == target.argmax(1)).sum().item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        errors = (logits.argmax(1) != batch.labels).sum().item()
        figures.append([loss.item(), ce.item(), kd.item(), errors, agreements])
    return torch.tensor(figures, dtype=torch.float64)


@pytest.mark.parametrize(("name", "shape"), MODELS)
def test_the_forward_pass_is_that_of_each_network(name, shape):
    models = [build_model(name, shape, 5, seed).double() for seed in range(3)]
    twins = copy.deepcopy(models)
    images = [row.images for row in batches(shape, 3, 1)[0]]
    network = FusedNetwork(models)
    together = network.module(stack_images(images))
    assert together.shape == (GROUP, 6, 5)
    for number, twin in enumerate(twins):
        expected = twin.train()(images[number])
        torch.testing.assert_close(together[number], expected, rtol=1e-12, atol=1e-12)


def test_models_share_memory_until_they_are_released():
    models = [build_model("plain-4-4", (8, 8, 1), 10, seed) for seed in range(3)]
    before = [{k: v.clone() for k, v in m.state_dict().items()} for m in models]
    network = FusedNetwork(models)
    for model, old in zip(models, before, strict=True):
        assert all(torch.equal(v, old[k]) for k, v in model.state_dict().items())
    network.parameters.add_(1)
    network.module.train()(torch.randn(5, GROUP, 8, 8))
    network.count_batches(1)
    for model, old in zip(models, before, strict=True):
        for name, parameter in model.named_parameters():
            assert torch.equal(parameter, old[name] + 1)
        for name, buffer in model.named_buffers():
            assert not torch.equal(buffer, old[name])
    network.release()
    network.parameters.zero_()
    for model, old in zip(models, before, strict=True):
        for name, parameter in model.named_parameters():
            assert torch.equal(parameter, old[name] + 1)
            assert parameter.is_contiguous(memory_format=torch.channels_last) or parameter.dim() < 4


def test_what_cannot_be_fused_says_so():
    for module in (nn.Conv2d(1, 2, 3), nn.PReLU(), nn.Conv2d(2, 2, 3, groups=2, bias=False)):
        with pytest.raises(TypeError, match="cannot be fused"):
            FusedNetwork([nn.Sequential(module)])
    with pytest.raises(ValueError, match="not 9"):
        FusedNetwork([build_model("plain-4", (8, 8, 1), 10, 0)] * 9)


class Oracle:
    def __call__(self, batch):
        return 5.0 * F.one_hot(batch.labels, 10).float()


def runs_of(store, world, count, model="plain-8-8", **options):
    """Runs of different lengths, rates, seeds and losses; every third has no teacher."""
    made = []
    for number in range(count):
        begin = start(model, init_seed=number, stream_seed=100 + number // 2)
        steps = [EpochStep(0.05 / (1 + number), 1.0)] * (2 + number % 3)
        if number % 3:
            taught = EpochStep(0.03, 0.1, 0.9, LOSS if number % 2 else OTHER, "teacher")
            steps = [taught, *steps]
        made.append(Run(store, Trajectory(begin, tuple(steps)), world, {"teacher": Oracle()},
                        **options))  # fmt: skip
    return made


def outcomes(runs, **options):
    records = {}
    train(runs, finished=lambda number, record: records.update({number: record}), **options)
    return {number: (record.id, record.result) for number, record in records.items()}


@pytest.mark.parametrize("model", ["plain-8-8", "plain-4-4", "wrn-10-0.25", "plain-16-16"])
def test_a_run_is_the_same_bits_whatever_company_it_is_trained_in(world, tmp_path, model):
    together = outcomes(runs_of(Store.open(tmp_path / "a"), world, 11, model))
    assert sorted(together) == list(range(11))
    assert len({result["blobs"]["final"] for _, result in together.values()}) == 11
    alone = {}
    for number in (0, 1, 5, 10):
        run = runs_of(Store.open(tmp_path / "b"), world, 11, model)[number]
        alone[number] = outcomes([run])[0]
    assert alone == {number: together[number] for number in alone}
    order = [9, 3, 7, 0, 1, 10, 2, 8]
    some = runs_of(Store.open(tmp_path / "c"), world, 11, model)
    shuffled = outcomes([some[number] for number in order])
    assert {order[n]: found for n, found in shuffled.items()} == {n: together[n] for n in order}


FORMS = [
    {"mse": {}},
    {"dist": {"inter_weight": 1.0, "intra_weight": 1.0, "temperature": 4.0}},
    {"dkd": {"non_target_weight": 8.0, "target_weight": 1.0, "temperature": 4.0}},
    {"annealing": {"factor": 0.3}},
    {"kd": {"temperature": 2.0}, "standardise": True},
]


@pytest.mark.parametrize("form", FORMS, ids="-".join)
def test_with_every_loss_a_run_is_the_same_bits_whatever_company_it_is_trained_in(
    world, tmp_path, form
):
    def runs(folder):
        made = []
        for number in range(10):
            loss = canonical(form if number != 4 else {"kd": {"temperature": 3.0}})
            taught = EpochStep(0.02, 0.5, 0.05 if "mse" in form else 0.5, loss, "teacher")
            begin = start("plain-8-8", init_seed=number, stream_seed=100 + number // 2)
            made.append(Run(Store.open(tmp_path / folder), Trajectory(begin, (taught,) * 2), world,
                            {"teacher": Oracle()}))  # fmt: skip
        return made

    together = outcomes(runs("a"))
    assert {result["status"] for _, result in together.values()} == {"done"}
    assert len({result["blobs"]["final"] for _, result in together.values()}) == 10
    for order in ([3], [4, 3], [9, 3, 0, 5, 2], [8, 7, 6, 5, 3, 2, 1, 0]):
        some = runs(f"b{len(order)}")
        found = outcomes([some[number] for number in order])
        assert {order[n]: each for n, each in found.items()} == {n: together[n] for n in order}


def test_runs_left_after_an_epoch_go_on_with_the_same_bits(world, tmp_path):
    whole = outcomes(runs_of(Store.open(tmp_path / "a"), world, 5))
    store, asked = Store.open(tmp_path / "b"), iter([False, True])
    first = runs_of(store, world, 5)
    with pytest.raises(Stopped):
        outcomes(first, stop=lambda: next(asked))
    again = runs_of(store, world, 5)
    assert {run.began_at for run in again} <= {0, 2}
    assert any(run.began_at == 2 for run in again)
    order = [3, 1, 4, 0, 2]  # and in another company
    resumed = outcomes([again[number] for number in order])
    assert {order[n]: found for n, found in resumed.items()} == whole


def test_one_that_diverges_takes_nobody_with_it(world, tmp_path):
    def runs(folder, rate):
        made = runs_of(Store.open(tmp_path / folder), world, 4)
        wild = Trajectory(start(init_seed=50), (EpochStep(rate, 1.0),) * 3)
        return [*made, Run(Store.open(tmp_path / folder), wild, world, {})]

    wild, tame = outcomes(runs("a", 1e30)), outcomes(runs("b", 0.01))
    assert wild[4][1]["status"] == "diverged"
    assert tame[4][1]["status"] == "done"
    assert {n: wild[n] for n in range(4)} == {n: tame[n] for n in range(4)}


def test_validation_errors_are_those_of_the_network_alone(world, tmp_path):
    runs = runs_of(Store.open(tmp_path / "a"), world, 3)
    for number, (_, result) in outcomes(runs).items():
        model = runs[number].trainee.model
        logits = logits_of(model, world.validation, world.mean, world.std)
        wrong = 100 * np.mean(logits.argmax(1) != world.validation.labels)
        assert result["history"][-1]["val_error"] == pytest.approx(wrong)
        batches = runs[number].stream.batches_per_epoch * result["epochs"]
        counters = [v for k, v in weights_of(model).items() if k.endswith("num_batches_tracked")]
        assert counters == [batches] * len(counters)
