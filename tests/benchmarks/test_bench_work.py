"""That benchmarks measure what they say: the same work on both sides, every step counted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import end_to_end
import growth
import numpy as np
import peers
import profile_step
import pytest
import torch
from ours import KD

from tutelage.api import Study, open_result
from tutelage.config.chain import EpochStep, Start
from tutelage.config.schema import Sgd
from tutelage.data.stream import Batch
from tutelage.errors import UserError
from tutelage.models.build import build_model
from tutelage.training.optimizer import build_optimizer
from tutelage.training.stepper import EagerStepper

RECIPE = {
    "epochs": 5, "batch_size": 50, "optimizer": {"sgd": {"lr": 0.1}},
    "schedule": {"steps": [0.5], "factor": 0.2},
}  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_the_peers_step_is_ours() -> None:
    """From the same weights and batch both come to the same weights: the yardstick does no more
    work, and no less."""
    shape, classes = (8, 8, 3), 4
    images, labels = torch.randn(16, 3, 8, 8), torch.arange(16) % classes
    teacher = build_model("plain-4", shape, classes, 1)
    theirs = build_model("plain-8-8", shape, classes, 0)
    ours = build_model("plain-8-8", shape, classes, 0)
    peer = peers.Peer(theirs, teacher)

    sgd = Sgd(lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    start = Start(data="", views="none", batch_size=16, model="plain-8-8", init_seed=0,
                  stream_seed=0, optimizer=sgd)  # fmt: skip
    stepper = EagerStepper(ours, build_optimizer(sgd, ours.parameters()), start)
    with torch.no_grad():
        target = teacher(images)
    stepper.begin(EpochStep(0.05, 0.1, 0.9, KD, "teacher"), lambda _: target)
    index = torch.arange(16)
    batch = Batch(index, index, torch.empty(0), images, labels)
    before = [parameter.detach().clone() for parameter in ours.parameters()]
    for _ in range(3):
        peer.step(images, labels)
        stepper.step(batch)
    for old, mine, other in zip(before, ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6)
        assert not torch.equal(mine, old)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_peers_loader_normalises_every_image(channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 5, channels), dtype=np.uint8)
    mean, std = [0.5] * channels, [0.25] * channels
    loaded = peers.PilImages(pixels, np.arange(6), "none", mean, std)
    images, labels = next(peers.batches(loaded, 6))
    expected = (pixels[labels.numpy()] / 255 - 0.5) / 0.25
    np.testing.assert_allclose(images.permute(0, 2, 3, 1).numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("names", "part"),
    [
        (["aten::mkldnn_convolution", "aten::conv2d"], "convolutions"),
        (["aten::copy_", "aten::_to_copy", "aten::conv2d"], "casts to bf16"),
        (["aten::copy_", "aten::convolution_backward"], "convolutions"),
        (["aten::add_", "autograd::engine::evaluate_function: ReluBackward0"], "shortcuts"),
        (["aten::threshold_backward"], "activation"),
        (["aten::addmm", "aten::linear"], "pooling and head"),
        (["aten::index_select", "benchmark: data"], "data"),
        (["aten::_to_copy", "benchmark: replay"], "replay"),
        (["aten::_foreach_add_", "Optimizer.step#SGD.step"], "optimizer"),
        (["aten::sum"], profile_step.OTHER),
    ],
)
def test_operations_have_their_part(names: Sequence[str], part: str) -> None:
    assert profile_step.part_of(names) == part


def test_all_convolutions_of_a_student_are_found() -> None:
    """A stem, twelve in six blocks, and two shortcuts where WRN-16-1 changes width."""
    found = profile_step.convolutions("wrn-16-1")
    assert len(found) == 15
    assert [kind.first for kind in found] == [True] + [False] * 14
    assert found[0].images == (128, 3, 32, 32)
    assert sum(kind.weight[2:] == (1, 1) for kind in found) == 2


def test_bare_convolutions_go_forward_and_back() -> None:
    kind = profile_step.Convolution((2, 3, 8, 8), (4, 3, 3, 3), (1, 1), (1, 1), first=False)
    forward, *_ = profile_step.bare(kind, "bf16")
    assert forward().shape == (2, 4, 8, 8)
    first = profile_step.Convolution((2, 3, 8, 8), (4, 3, 3, 3), (1, 1), (1, 1), first=True)
    assert len(profile_step.bare(kind, "fp32")) == 3
    assert len(profile_step.bare(first, "fp32")) == 2


def test_the_peers_train_every_run_of_a_plan_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Study(
        data={"source": "digits", "train": 100, "validation": 50, "views": "shift-1"},
        recipe=RECIPE,
        student={"model": "plain-4"},
        teachers={"large": {"model": "plain-8"},
                  "early": {"of": "large", "stop": {"truncated": 0.4}}},
        conditions={
            "kd": {"loss": {"kd": {"temperature": 4}}, "ce_weight": 0.1, "kd_weight": 0.9,
                   "teacher": ["large", "early"]},
            "eskd": {"extends": "kd", "teacher": "large", "distill_until": 0.6},
        },
        replicates={"count": 2, "vary": ["split", "noise", "teacher"], "students": 1},
        claims={},
    )  # fmt: skip
    context = study.prepare(tmp_path, "cpu", keep=False)
    small, large = "plain-4", "plain-8"
    # Two steps an epoch, two replicates: 4 times the epochs. ESKD hears its teacher in 3 of 5.
    assert end_to_end.kinds(context) == {
        end_to_end.Kind(large, None, 50): 4 * 5,
        end_to_end.Kind(small, None, 50): 4 * (5 + 2),
        end_to_end.Kind(small, large, 50): 4 * (5 + 5 + 3),
        # One batch of validation images after every epoch.
        end_to_end.Kind(large, None, 50, validation=True): 2 * 5,
        end_to_end.Kind(small, None, 50, validation=True): 2 * (5 + 5 + 5 + 5),
    }
    monkeypatch.setattr(
        end_to_end, "step_times", lambda kind, *_: [0.03] if kind.validation else [0.1, 0.2, 9.0]
    )
    told = end_to_end.peers_way(context)["core_seconds"]
    assert told == pytest.approx(0.2 * 4 * 25 + 0.03 * 2 * 25)


def test_a_validation_changes_nothing_and_counts_what_is_right() -> None:
    model = build_model("plain-4", (8, 8, 3), 4, 0)
    peer = peers.Peer(model, None)
    images = torch.randn(16, 3, 8, 8)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    labels = model.eval()(images).argmax(1)
    assert peer.validate(images, labels) == 1.0
    assert peer.validate(images, (labels + 1) % 4) == 0.0
    assert model.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_an_unfinished_study_is_not_timed(tmp_path: Path) -> None:
    """What is missing took no time, so ours would look faster than it is."""
    study = Study(
        data={"source": "digits", "train": 100, "validation": 50, "views": "none"},
        recipe=RECIPE | {"epochs": 1}, student={"model": "plain-4"}, claims={},
        replicates={"count": 2, "vary": ["split"], "students": 1},
    )  # fmt: skip
    study.prepare(tmp_path, "cpu")
    with pytest.raises(UserError, match="2 runs of the study are not done"):
        end_to_end.check_done(open_result(store=tmp_path))
    end_to_end.check_done(study.run(tmp_path, workers=0, device="cpu"))
    assert end_to_end.spent(open_result(store=tmp_path)) > 0


def test_growth_trains_every_student_of_every_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    point = growth.Point(students=2, teachers=3, epochs=2, images=128)
    taken = {"peers": 0, "ours": 0}

    def count(side: str, by: int) -> None:
        taken[side] += by

    monkeypatch.setattr(growth.Peer, "step", lambda *_: count("peers", 1))
    monkeypatch.setattr(growth.Ours, "step", lambda side, _: count("ours", len(side.steppers)))
    for side in taken:
        growth.train(side, point)
    assert taken == {"peers": 2 * 3 * 2 * 2, "ours": 2 * 3 * 2 * 2}


def test_memory_is_that_of_the_process_itself() -> None:
    """Not that of the large process which started it."""
    ballast = np.ones(2**27, np.uint8)  # 128 MiB
    assert growth.most_mib() > ballast.nbytes / 2**20
    told = growth.in_process("ours", growth.Point(students=1, images=64))
    assert 0 < told["mib_before"] <= told["mib_most"] < growth.most_mib()


def test_quick_growth_has_only_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "compare", lambda point, rounds: {"n": rounds})
    quick, full = growth.measure(True)["rows"], growth.measure(False)["rows"]
    assert [point["students"] for point in quick["students"]] == [1, 8]
    assert [point["images"] for point in full["images"]] == list(growth.GROWTH["images"])
    assert set(full) == {"students", "teachers", "epochs", "classes", "images"}
