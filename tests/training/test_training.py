"""Training: the step against closed forms, resume and shared prefixes bit by bit, divergence."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tutelage.config.canonical import canonical
from tutelage.config.chain import EpochStep, Start, Trajectory
from tutelage.config.schema import AdamW, DataConfig, Sgd
from tutelage.data.mixing import Mixed
from tutelage.data.sources import load_source
from tutelage.data.stream import Batch, normalise
from tutelage.data.world import make_world
from tutelage.models.build import build_model
from tutelage.store import DamageWarning, Store
from tutelage.teachers.signals import LiveSignal
from tutelage.training.loop import Stopped, train_run
from tutelage.training.stepper import PARTS, EagerStepper

LOSS = canonical({"kd": {"temperature": 4}})


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def world():
    config = DataConfig(source="digits", train=100, validation=50, test=100, views="shift-1")
    return make_world(load_source(config, lambda kind, key: None), config, 1, 2)


@pytest.fixture
def store(tmp_path):
    return Store.open(tmp_path / "store")


def start(world, **changes):
    values = {
        "data": world.training_fingerprint,
        "views": "shift-1",
        "batch_size": 25,
        "model": "plain-4-4",
        "init_seed": 1,
        "stream_seed": 2,
        "optimizer": Sgd(),
    }
    return Start(**{**values, **changes})


def kd_steps(epochs, until=None, lr=0.05):
    until = epochs if until is None else until
    taught = EpochStep(lr, 0.1, 0.9, LOSS, "teacher")
    return tuple(taught if e < until else EpochStep(lr, 1.0) for e in range(epochs))


class Oracle:
    """A signal that knows the labels, and counts how often it is asked."""

    def __init__(self):
        self.asked = 0

    def __call__(self, batch):
        self.asked += 1
        return 5.0 * F.one_hot(batch.labels, 10).float()


def comparable(record):
    return (record.id, record.result)


# --- the step ------------------------------------------------------------------------------------


def batch_of(images, labels, mixed=None):
    index = torch.arange(len(labels))
    return Batch(
        index=index, view=torch.zeros_like(index), pixels=torch.zeros(0), images=images,
        labels=labels, mixed=mixed,
    )  # fmt: skip


def linear_step(world, step, signal=None, mixed=None, **changes):
    """One SGD step of a linear model; returns (weights before, gradient seen, figures)."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=9.9)
    stepper = EagerStepper(model, optimizer, start(world, **changes))
    images, labels = torch.randn(8, 1, 2, 3), torch.randint(0, 3, (8,))
    before = model[1].weight.detach().clone()
    stepper.begin(step, signal)
    figures = stepper.step(batch_of(images, labels, mixed))
    gradient = (before - model[1].weight.detach()) / step.lr
    return model, before, gradient, figures, images.flatten(1), labels


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def test_the_gradient_of_a_step_is_the_weighted_sum_of_both_closed_forms(world):
    teacher = torch.randn(8, 3, generator=torch.Generator().manual_seed(3))
    step = EpochStep(0.5, 0.3, 0.7, LOSS, "t")
    model, before, gradient, figures, x, y = linear_step(world, step, lambda batch: teacher)
    bias = model[1].bias.detach() + step.lr * model[1].bias.grad  # before the step
    z = (x @ before.T + bias).double().numpy()
    p, tau = np.eye(3)[y.numpy()], 4.0
    # d CE / dz = (softmax(z) - onehot) / B;  d tau^2 KL / dz = tau (softmax(z/tau) - p_T) / B
    ce = (softmax(z) - p) / 8
    kd = tau * (softmax(z / tau) - softmax(teacher.double().numpy() / tau)) / 8
    expected = (0.3 * ce + 0.7 * kd).T @ x.double().numpy()
    np.testing.assert_allclose(gradient.numpy(), expected, rtol=2e-4, atol=2e-6)
    parts = dict(zip(PARTS, figures.tolist(), strict=True))
    assert parts["loss"] == pytest.approx(0.3 * parts["ce"] + 0.7 * parts["kd"], rel=1e-5)
    assert parts["errors"] == np.sum(z.argmax(1) != y.numpy())
    assert parts["agreements"] == np.sum(z.argmax(1) == teacher.numpy().argmax(1))


def test_label_smoothing_moves_the_target_towards_uniform(world):
    step = EpochStep(0.5, 1.0)
    model, before, gradient, _, x, y = linear_step(world, step, label_smoothing=0.3)
    bias = model[1].bias.detach() + step.lr * model[1].bias.grad
    z = (x @ before.T + bias).double().numpy()
    target = 0.7 * np.eye(3)[y.numpy()] + 0.1
    expected = ((softmax(z) - target) / 8).T @ x.double().numpy()
    np.testing.assert_allclose(gradient.numpy(), expected, rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("share", [0.8, 0.3])
def test_of_a_mixed_image_both_labels_count_with_their_shares(world, share):
    others, step = torch.tensor([2, 0, 1, 1, 0, 2, 2, 0]), EpochStep(0.5, 1.0)
    model, before, gradient, figures, x, y = linear_step(
        world, step, mixed=Mixed(others, share), label_smoothing=0.3
    )
    bias = model[1].bias.detach() + step.lr * model[1].bias.grad
    z = (x @ before.T + bias).double().numpy()
    mixture = share * np.eye(3)[y.numpy()] + (1 - share) * np.eye(3)[others.numpy()]
    target = 0.7 * mixture + 0.1
    expected = ((softmax(z) - target) / 8).T @ x.double().numpy()
    np.testing.assert_allclose(gradient.numpy(), expected, rtol=2e-4, atol=2e-6)
    mostly = y if share > 0.5 else others
    assert figures[PARTS.index("errors")] == np.sum(z.argmax(1) != mostly.numpy())


@pytest.mark.parametrize("recipe", [{"mixup": 0.4}, {"cutmix": 1.0}])
def test_teacher_and_student_see_the_same_mixture(world, store, recipe):
    heard, live = [], LiveSignal(build_model("plain-4-4", world.shape, 10, seed=3))

    def signal(batch):
        heard.append((batch, live(batch)))
        return heard[-1][1]

    trajectory = Trajectory(start(world, **recipe), kd_steps(2))
    train_run(store, trajectory, world, {"teacher": signal})
    assert len(heard) == 8
    for batch, logits in heard:
        assert batch.mixed is not None
        images = normalise(batch.pixels, world.mean, world.std)
        assert torch.equal(images, batch.images)
        assert torch.equal(logits, live(dataclasses.replace(batch, images=images)))


def test_clipping_bounds_the_norm_of_the_gradient(world):
    _, _, free, _, _, _ = linear_step(world, EpochStep(0.5, 1.0))
    model, _, clipped, _, _, _ = linear_step(world, EpochStep(0.5, 1.0), clip_norm=0.01)
    total = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
    assert total == pytest.approx(0.01, rel=1e-4)
    assert F.cosine_similarity(free.flatten(), clipped.flatten(), dim=0) > 0.999


def test_a_step_leaves_the_model_in_training_mode(world):
    model, *_ = linear_step(world, EpochStep(0.5, 1.0))
    model.eval()
    stepper = EagerStepper(model, torch.optim.SGD(model.parameters(), lr=1.0), start(world))
    stepper.begin(EpochStep(0.5, 1.0), None)
    assert model.training


# --- runs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [Sgd(lr=0.05), AdamW(lr=0.01)])
def test_a_run_left_after_every_epoch_ends_as_an_undisturbed_one(world, tmp_path, optimizer):
    trajectory = Trajectory(start(world, optimizer=optimizer), kd_steps(5, until=3))
    signals = {"teacher": Oracle()}
    whole = train_run(Store.open(tmp_path / "a"), trajectory, world, signals)
    store = Store.open(tmp_path / "b")
    stops = 0
    for _ in range(10):
        try:
            record = train_run(store, trajectory, world, signals, stop=lambda: True)
            break
        except Stopped:
            stops += 1
    assert stops == 4
    assert comparable(record) == comparable(whole)
    assert not any(store.has_checkpoint(state) for state in trajectory.state_ids)


def test_the_same_run_twice_gives_the_same_bits(world, tmp_path):
    trajectory = Trajectory(start(world), kd_steps(3))
    records = [
        train_run(Store.open(tmp_path / name), trajectory, world, {"teacher": Oracle()})
        for name in "ab"
    ]
    assert comparable(records[0]) == comparable(records[1])


@pytest.mark.parametrize("field", ["init_seed", "stream_seed"])
def test_each_seed_changes_the_weights(world, tmp_path, field):
    store = Store.open(tmp_path / "s")
    trajectories = [
        Trajectory(start(world, **{field: seed}), (EpochStep(0.05, 1.0),)) for seed in (5, 6)
    ]
    finals = [train_run(store, t, world, {}).result["blobs"]["final"] for t in trajectories]
    assert finals[0] != finals[1]


def test_a_run_continues_from_the_prefix_of_another_and_ends_as_if_alone(world, tmp_path):
    kd = Trajectory(start(world), kd_steps(6))
    eskd = Trajectory(start(world), kd_steps(6, until=4))
    signals = {"teacher": Oracle()}
    alone = train_run(Store.open(tmp_path / "alone"), eskd, world, signals)
    store = Store.open(tmp_path / "shared")
    train_run(store, kd, world, signals, branches={4})
    assert kd.shared_with(eskd) == 4
    shared = train_run(store, eskd, world, signals)
    assert comparable(shared) == comparable(alone)
    seconds = shared.timing["epoch_s"]
    assert shared.timing["resumed_at"] == 4
    assert shared.timing["attributed_s"] == pytest.approx(sum(seconds))
    assert shared.timing["spent_s"] == pytest.approx(sum(seconds[4:]))


def test_a_kept_state_is_the_end_of_the_shorter_run(world, tmp_path):
    long = Trajectory(start(world), kd_steps(4))
    signals = {"teacher": Oracle()}
    store = Store.open(tmp_path / "s")
    train_run(store, long, world, signals, keep={2})
    short = train_run(Store.open(tmp_path / "t"), long.prefix(2), world, signals)
    kept = store.get("state", long.state_ids[2])
    assert kept.result == {"epoch": 2, "blobs": {"weights": short.result["blobs"]["final"]}}


def test_the_teacher_is_not_asked_any_more_once_distillation_stopped(world, store):
    oracle = Oracle()
    trajectory = Trajectory(start(world), kd_steps(5, until=2))
    record = train_run(store, trajectory, world, {"teacher": oracle})
    assert oracle.asked == 2 * 4  # two epochs of four batches
    rows = record.result["history"]
    assert [row["kd"] is None for row in rows] == [False, False, True, True, True]
    assert [row["agreement"] is None for row in rows] == [False, False, True, True, True]
    # Cross-entropy with weight 1 afterwards.
    assert rows[2]["loss"] == pytest.approx(rows[2]["ce"], rel=1e-6)


def test_the_best_epoch_is_the_first_of_least_validation_error(world, store):
    record = train_run(store, Trajectory(start(world), kd_steps(6)), world, {"teacher": Oracle()})
    errors = [row["val_error"] for row in record.result["history"]]
    assert record.result["best_epoch"] == 1 + errors.index(min(errors))


def test_a_run_that_diverges_is_marked_and_has_no_weights(world, store):
    steps = (EpochStep(0.05, 1.0), EpochStep(1e30, 1.0), EpochStep(0.05, 1.0))
    record = train_run(store, Trajectory(start(world), steps), world, {})
    assert record.result["status"] == "diverged"
    assert record.result["epochs"] == 1
    assert record.result["blobs"] == {}
    assert store.get("run", record.id) == record


def test_a_damaged_checkpoint_is_passed_over(world, tmp_path):
    trajectory = Trajectory(start(world), kd_steps(3))
    signals = {"teacher": Oracle()}
    whole = train_run(Store.open(tmp_path / "a"), trajectory, world, signals)
    store = Store.open(tmp_path / "b")
    for _ in range(2):
        with pytest.raises(Stopped):
            train_run(store, trajectory, world, signals, stop=lambda: True)
    state = next(s for s in reversed(trajectory.state_ids) if store.has_checkpoint(s))
    path = next((store.root / "checkpoints").rglob(f"{state}*"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.warns(DamageWarning):
        record = train_run(store, trajectory, world, signals)
    assert comparable(record) == comparable(whole)


def test_every_field_of_a_start_reaches_the_record(world, store):
    record = train_run(store, Trajectory(start(world), (EpochStep(0.05, 1.0),)), world, {})
    assert record.result["start"] == start(world).form()
    assert dataclasses.fields(Start)[0].name in record.result["start"]


def test_the_golden_run(world, store):
    """If this fails, numbers changed: raise RESULTS_VERSION in config/chain.py, or revert.

    Weights differ in their last bits between processors, so figures stand here and no digest.
    """
    record = train_run(store, Trajectory(start(world), kd_steps(3)), world, {"teacher": Oracle()})
    rows = record.result["history"]
    golden = (
        (2.067717, 2.311173, 90.0),
        (2.071019, 2.315959, 90.0),
        (2.060304, 2.303763, 91.0),
    )
    assert [row["loss"] for row in rows] == pytest.approx([g[0] for g in golden], rel=1e-3)
    assert [row["ce"] for row in rows] == pytest.approx([g[1] for g in golden], rel=1e-3)
    assert [row["train_error"] for row in rows] == [g[2] for g in golden]


def test_bf16_is_another_run_and_learns_as_well(world, store):
    steps = tuple(EpochStep(0.2, 1.0) for _ in range(12))
    exact, short = (
        train_run(
            store, Trajectory(start(world, model="plain-32-32", precision=p), steps), world, {}
        )
        for p in ("fp32", "bf16")
    )
    assert exact.id != short.id
    assert exact.result["blobs"]["final"] != short.result["blobs"]["final"]
    ends = [record.result["history"][-1]["ce"] for record in (exact, short)]
    assert ends[0] == pytest.approx(ends[1], rel=0.2)
    assert ends[0] < 0.8 * exact.result["history"][0]["ce"]


def test_a_state_is_kept_even_where_training_was_taken_up_again(world, tmp_path):
    trajectory = Trajectory(start(world), kd_steps(4))
    signals = {"teacher": Oracle()}
    store = Store.open(tmp_path / "s")
    for _ in range(2):
        with pytest.raises(Stopped):  # nobody asks for the state after epoch 2 yet
            train_run(store, trajectory, world, signals, stop=lambda: True)
    train_run(store, trajectory, world, signals, keep={2})
    short = train_run(Store.open(tmp_path / "t"), trajectory.prefix(2), world, signals)
    kept = store.get("state", trajectory.state_ids[2])
    assert kept.result["blobs"]["weights"] == short.result["blobs"]["final"]


def test_a_run_that_its_last_update_blew_up_has_diverged(world, store):
    # One step an epoch: its loss is finite, and what it leaves behind is not.
    begin = start(world, batch_size=100)
    record = train_run(store, Trajectory(begin, (EpochStep(1e38, 1.0),)), world, {})
    assert (record.result["status"], record.result["epochs"]) == ("diverged", 0)
