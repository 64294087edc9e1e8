"""The graphed stepper: on a CPU the very step of the eager one; on a GPU a recording of it."""

from __future__ import annotations

import copy
import dataclasses
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tutelage.api import Study
from tutelage.config.canonical import canonical
from tutelage.config.chain import EpochStep, Start, Trajectory
from tutelage.config.schema import AdamW, DataConfig, Sgd
from tutelage.data.sources import load_source
from tutelage.data.world import make_world
from tutelage.models.build import build_model
from tutelage.store import Store
from tutelage.teachers.signals import LiveSignal
from tutelage.training.graphed import GraphedStepper
from tutelage.training.loop import Stopped, train, train_run
from tutelage.training.optimizer import build_optimizer, load_optimizer_arrays, optimizer_arrays
from tutelage.training.run import Run, make_stream
from tutelage.training.stepper import EagerStepper
from tutelage.training.trainee import weights_of

LOSS, SOFTER = (canonical({"kd": {"temperature": t}}) for t in (4, 8))
# Rate, weights, loss and whether there is a teacher change; one form of the step comes back.
EPOCHS = (
    EpochStep(0.05, 0.1, 0.9, LOSS, "teacher"),
    EpochStep(0.01, 0.3, 0.7, LOSS, "teacher"),
    EpochStep(0.02, 1.0),
    EpochStep(0.02, 0.5, 0.5, SOFTER, "teacher"),
    EpochStep(0.004, 0.2, 0.8, LOSS, "teacher"),
)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def world():
    config = DataConfig(source="digits", train=100, validation=50, test=100, views="shift-1")
    return make_world(load_source(config, lambda kind, key: None), config, 1, 2)


def start(world, **changes):
    values = {
        "data": world.training_fingerprint,
        "views": "shift-1",
        "batch_size": 10,
        "model": "wrn-10-1",
        "init_seed": 1,
        "stream_seed": 2,
        "optimizer": Sgd(),
        "stepper": "graphed",
    }
    return Start(**{**values, **changes})


def teacher(world, device="cpu"):
    return LiveSignal(build_model("plain-8-8", world.shape, world.classes, seed=9).to(device))


def network(world, begin, *, graphed=False):
    model = build_model(begin.model, world.shape, world.classes, begin.init_seed).to(begin.device)
    return model, build_optimizer(begin.optimizer, model.parameters(), graphed=graphed)


def eager(world, begin, epochs=EPOCHS):
    """Weights, optimizer and the figures of each epoch, as the eager stepper trains."""
    model, optimizer = network(world, begin)
    stepper, stream, figures = EagerStepper(model, optimizer, begin), make_stream(begin, world), []
    signal = teacher(world, begin.device)
    for number, step in enumerate(epochs):
        stepper.begin(step, signal)
        figures.append(sum(stepper.step(batch).double() for batch in stream.epoch(number)))
    return model, optimizer, torch.stack(figures)


def graphed(world, begin, epochs=EPOCHS, *, own_optimizer=True):
    """The same by the graphed stepper; with the eager one's optimizer unless `own_optimizer`."""
    model, optimizer = network(world, begin, graphed=own_optimizer)
    stepper, stream, figures = (
        GraphedStepper(model, optimizer, begin), make_stream(begin, world), [],
    )  # fmt: skip
    signal = teacher(world, begin.device)
    for number, step in enumerate(epochs):
        stepper.begin(step, signal)
        for batch in stream.epoch(number):
            stepper.step(batch)
        figures.append(stepper.figures())
    return model, optimizer, torch.stack(figures)


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def apart(world, begin, one, other):
    """How far two trained networks lie apart, as a share of the way that training went."""
    parts = [network(world, begin)[0], one, other]
    origin, one, other = (
        torch.cat([p.detach().cpu().flatten() for p in model.parameters()]) for model in parts
    )
    return float((one - other).norm() / (one - origin).norm())


# --- the step that is recorded, executed on the CPU ----------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"label_smoothing": 0.1},
        {"clip_norm": 0.5},
        {"optimizer": Sgd(momentum=0.0, nesterov=False)},
        {"optimizer": AdamW(lr=0.01)},
        {"precision": "bf16"},
    ],
)
def test_the_step_has_the_bits_of_the_eager_one(world, changes):
    begin = start(world, **changes)
    model, optimizer, figures = eager(world, begin)
    again, its_optimizer, its_figures = graphed(world, begin, own_optimizer=False)
    assert_equal(weights_of(model), weights_of(again))
    assert_equal(optimizer_arrays(optimizer), optimizer_arrays(its_optimizer))
    assert torch.equal(figures, its_figures)


@pytest.mark.parametrize("optimizer", [Sgd(), AdamW(lr=0.01)])
def test_the_optimizer_of_graphs_makes_the_same_updates(world, optimizer):
    """Up to rounding: it is one kernel, and its rate a float32 number in memory."""
    begin = start(world, optimizer=optimizer)
    model, one, figures = eager(world, begin, EPOCHS[1:2])  # ten steps
    again, other, its_figures = graphed(world, begin, EPOCHS[1:2])
    assert all(isinstance(group["lr"], torch.Tensor) for group in other.param_groups)
    assert optimizer_arrays(one).keys() == optimizer_arrays(other).keys()
    assert apart(world, begin, model, again) < 1e-4
    assert torch.allclose(figures[:, :3], its_figures[:, :3], rtol=1e-4)


@pytest.mark.parametrize("optimizer", [Sgd(), AdamW(lr=0.01)])
@pytest.mark.parametrize("trained", [False, True])
def test_preparing_a_step_leaves_everything_as_it_was(world, optimizer, trained):
    begin = start(world, optimizer=optimizer)
    model, made = network(world, begin, graphed=True)
    stepper = GraphedStepper(model, made, begin)
    batch, signal = next(make_stream(begin, world).epoch(0)), teacher(world)
    if trained:
        stepper.begin(EPOCHS[2], None)
        stepper.step(batch)
    stepper.begin(EPOCHS[0], signal)
    stepper._take(batch, signal(batch))
    weights, states = copy.deepcopy(weights_of(model)), copy.deepcopy(optimizer_arrays(made))
    random, sums = torch.get_rng_state(), stepper.figures()
    stepper._rehearse()
    assert_equal(weights_of(model), weights)
    after = optimizer_arrays(made)
    assert_equal(after, states if trained else {name: 0 * value for name, value in after.items()})
    assert len(after) == (1 if isinstance(optimizer, Sgd) else 3) * len(list(model.parameters()))
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.equal(stepper.figures(), sums)


def test_each_form_of_the_step_is_prepared_once(world, monkeypatch):
    prepared = []
    recorded = GraphedStepper._recorded
    monkeypatch.setattr(
        GraphedStepper, "_recorded", lambda self: prepared.append(self._loss) or recorded(self)
    )
    graphed(world, start(world))
    assert prepared == [LOSS, None, SOFTER]


def test_what_the_step_reads_stays_in_its_place(world):
    """A recorded step knows addresses, not variables."""
    begin = start(world)
    model, optimizer = network(world, begin, graphed=True)
    stepper, stream, signal = (
        GraphedStepper(model, optimizer, begin), make_stream(begin, world), teacher(world),
    )  # fmt: skip
    places = set()
    for number, step in enumerate(EPOCHS):
        stepper.begin(step, signal)
        for batch in stream.epoch(number):
            stepper.step(batch)
            read = [
                stepper._batch.images, stepper._batch.labels, stepper._target, stepper._sums,
                *stepper._eager.weights, optimizer.param_groups[0]["lr"], *model.parameters(),
                *(value for values in optimizer.state.values() for value in values.values()),
            ]  # fmt: skip
            places.add(tuple(tensor.data_ptr() for tensor in read))
            assert torch.equal(stepper._batch.images, batch.images)
            assert stepper._batch.images.stride() == batch.images.stride()
    assert len(places) == 1
    assert stepper._eager.weights[1] == torch.tensor(0.8)
    assert optimizer.param_groups[0]["lr"] == torch.tensor(0.004)


def test_a_recording_is_replayed_once_a_step_and_streams_wait_for_each_other(world, monkeypatch):
    """With a stand-in for CUDA: what is recorded is not executed, and a replay executes it."""
    log, step, recording = [], GraphedStepper._update, []

    def stream(name):
        return SimpleNamespace(wait_stream=lambda _: log.append(name), device="cpu")

    @contextmanager
    def record(graph, stream):
        recording.append(graph)
        yield
        recording.clear()

    def replay():
        log.append("replay")
        step(stepper)

    monkeypatch.setattr(torch.cuda, "current_stream", lambda: stream("caller"))
    monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "graph", record)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(replay=replay))
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices: nullcontext())
    monkeypatch.setattr(GraphedStepper, "_update", lambda self: recording or step(self))
    begin = start(world)
    model, optimizer = network(world, begin)
    stepper = GraphedStepper(model, optimizer, begin)
    stepper._stream, data, signal = stream("own"), make_stream(begin, world), teacher(world)
    for number, epoch in enumerate(EPOCHS):
        stepper.begin(epoch, signal)
        for batch in data.epoch(number):
            log.clear()
            stepper.step(batch)
            # The batch before is read; this one is there; the step.
            assert log[0] == "caller"
            assert log[-2:] == ["own", "replay"]
            assert log.count("replay") == 1
        log.clear()
        stepper.figures()
        assert log == ["caller"]
    assert_equal(weights_of(model), weights_of(eager(world, begin)[0]))


@pytest.mark.parametrize("key", ["mixup", "cutmix", "ema"])
def test_what_changes_with_every_step_is_not_recorded(world, key):
    begin = start(world, **{key: 0.5})
    with pytest.raises(ValueError, match="not graphed"):
        GraphedStepper(*network(world, begin), begin)


@pytest.mark.parametrize("is_graphed", [False, True])
def test_a_restored_optimizer_lies_in_memory_as_it_did(world, is_graphed):
    """Kernels for many tensors at once ask for one layout, or take a slower way."""
    begin = start(world)
    model, optimizer = network(world, begin, graphed=is_graphed)
    batch = next(make_stream(begin, world).epoch(0))
    EagerStepper(model, optimizer, begin).begin(EPOCHS[2], None)
    model(batch.images).sum().backward()
    optimizer.step()
    kept = optimizer_arrays(optimizer)
    load_optimizer_arrays(optimizer, kept)
    assert_equal(optimizer_arrays(optimizer), kept)
    for parameter, values in optimizer.state.items():
        assert values["momentum_buffer"].stride() == parameter.stride()


# --- runs ----------------------------------------------------------------------------------------


def train_all(folder, world, starts, epochs, stop=lambda: False, signals=None):
    store = Store.open(folder)
    device = starts[0].device
    runs = [
        Run(store, Trajectory(s, epochs), world, signals or {"teacher": teacher(world, device)})
        for s in starts
    ]
    records = {}
    train(runs, stop=stop, finished=lambda number, record: records.update({number: record}))
    return [records[number].result for number in range(len(starts))]


def students(world, count, **changes):
    return [
        start(world, init_seed=s, stream_seed=s % 2, model="plain-4-4", **changes)
        for s in range(count)
    ]


def test_students_side_by_side_are_as_alone(world, tmp_path):
    starts = students(world, 3)
    together = train_all(tmp_path / "together", world, starts, EPOCHS)
    alone = [train_all(tmp_path / f"{s.init_seed}", world, [s], EPOCHS)[0] for s in starts]
    assert together == alone
    assert len({result["blobs"]["final"] for result in together}) == 3


def test_who_hears_one_teacher_on_one_stream_shares_its_answers(world, tmp_path):
    asked, live = [], teacher(world)
    signals = {"teacher": lambda batch: asked.append(batch) or live(batch)}
    starts = students(world, 4)  # of two streams
    train_all(tmp_path / "s", world, starts, EPOCHS[:2], signals=signals)
    assert len(asked) == 2 * 2 * 10  # streams, epochs, batches


@pytest.mark.parametrize("optimizer", [Sgd(), AdamW(lr=0.01)])
def test_a_graphed_run_left_after_every_epoch_ends_as_an_undisturbed_one(
    world, tmp_path, optimizer
):
    starts = students(world, 2, optimizer=optimizer)
    whole = train_all(tmp_path / "whole", world, starts, EPOCHS)
    for _ in range(len(EPOCHS) - 1):
        with pytest.raises(Stopped):
            train_all(tmp_path / "left", world, starts, EPOCHS, stop=lambda: True)
    assert train_all(tmp_path / "left", world, starts, EPOCHS, stop=lambda: True) == whole


def test_a_graphed_run_is_another_run_and_learns_the_same(world, tmp_path):
    store, signals = Store.open(tmp_path / "s"), {"teacher": teacher(world)}
    one, other = (
        train_run(store, Trajectory(start(world, stepper=s), EPOCHS), world, signals)
        for s in ("eager", "graphed")
    )
    assert one.id != other.id
    for row, its in zip(one.result["history"], other.result["history"], strict=True):
        assert {k: v is None for k, v in row.items()} == {k: v is None for k, v in its.items()}
        assert row["loss"] == pytest.approx(its["loss"], rel=1e-3)


# --- on a GPU ------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize("optimizer", [Sgd(), AdamW(lr=0.01)])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_graph_trains_as_the_eager_step_does(world, optimizer, precision):
    """Ten steps of each form."""
    begin = start(world, optimizer=optimizer, precision=precision, device="cuda")
    model, _, figures = eager(world, begin, EPOCHS[1:3])
    again, _, its_figures = graphed(world, begin, EPOCHS[1:3])
    near = 0.01 if precision == "fp32" else 0.2
    assert apart(world, begin, model, again) < near
    assert torch.allclose(figures[:, :3], its_figures[:, :3], rtol=near)


@pytest.mark.gpu
@pytest.mark.parametrize("optimizer", [Sgd(), AdamW(lr=0.01)])
def test_recording_changes_no_weights(world, optimizer):
    begin = start(world, optimizer=optimizer, device="cuda")
    model, made = network(world, begin, graphed=True)
    stepper, before = GraphedStepper(model, made, begin), weights_of(model)
    batch = next(make_stream(begin, world).epoch(0))
    stepper.begin(EPOCHS[2], None)
    stepper._take(batch, None)
    stepper._recorded()
    torch.cuda.synchronize()
    assert_equal(weights_of(model), before)
    assert not any(value.any() for value in optimizer_arrays(made).values())
    assert not stepper.figures().any()


@pytest.mark.gpu
def test_students_on_streams_are_as_alone(world, tmp_path):
    starts = students(world, 8, device="cuda")
    together = train_all(tmp_path / "together", world, starts, EPOCHS)
    for begin, result in zip(starts, together, strict=True):
        (alone,) = train_all(tmp_path / f"{begin.init_seed}", world, [begin], EPOCHS)
        for row, its in zip(result["history"], alone["history"], strict=True):
            assert row["loss"] == pytest.approx(its["loss"], rel=1e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_small_study_runs_on_a_gpu(tmp_path, precision):
    study = Study(
        name="tiny",
        data={"source": "digits", "train": 200, "validation": 50, "test": 100, "views": "shift-1"},
        recipe={"epochs": 6, "batch_size": 25, "precision": precision},
        student={"model": "plain-8-8"},
        teachers={
            "large": {"model": "wrn-10-1"},
            "early": {"of": "large", "stop": {"compressed": 0.5}},
        },
        conditions={
            "kd": {"teacher": ["large", "early"]},
            "eskd": {"teacher": "large", "distill_until": 0.5},
            "mixed": {"teacher": "large", "recipe": {"mixup": 0.4, "ema": 0.9}},
        },
        replicates={"count": 2, "students": 2},
    )
    result = study.run(tmp_path / "store", workers=0, device="cuda")
    assert not result.failures
    assert result.trained == len(result.context.plan.nodes)
    steppers = {key: node.start.stepper for key, node in result.context.plan.nodes.items()}
    assert steppers["r0/kd/large/s0"] == "graphed"
    assert steppers["r0/mixed/s0"] == "eager"
    assert all(run["test_error"] < 80 for run in result.runs)
    again = study.run(tmp_path / "store", workers=0, device="cuda")
    assert again.trained == 0


def test_who_is_graphed(world):
    """On a GPU, all whose step is always the same; the CPU knows no graphs."""
    from tutelage.config.expand import expand
    from tutelage.config.load import validate
    from tutelage.study.plan import make_plan

    config = validate({
        "name": "tiny", "data": {"source": "digits"}, "student": {"model": "plain-4-4"},
        "recipe": {"epochs": 2},
        "conditions": {
            "adam": {"recipe": {"optimizer": {"adamw": {}}, "clip_norm": 1.0}},
            **{key: {"recipe": {key: 0.5}} for key in ("mixup", "cutmix", "ema")},
        },
        "replicates": {"count": 1, "students": 2},
    })  # fmt: skip
    for device, expected in (
        ("cuda", {"adam": "graphed", "mixup": "eager", "cutmix": "eager", "ema": "eager"}),
        ("cpu", dict.fromkeys(("adam", "mixup", "cutmix", "ema"), "eager")),
    ):
        plan = make_plan(config, expand(config), ["0" * 64], device)
        found = {key: plan.nodes[f"r0/{key}/s0"].start.stepper for key in expected}
        assert found == expected
        cohort = plan.cohort("r0/adam/s0")
        assert cohort == plan.cohort("r0/adam/s1") or device == "cpu"
        assert cohort.most == (8 if device == "cuda" else 1)


def test_the_stepper_is_part_of_the_identity(world):
    one, other = start(world), dataclasses.replace(start(world), stepper="eager")
    assert Trajectory(one, EPOCHS).id != Trajectory(other, EPOCHS).id
