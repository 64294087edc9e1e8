"""Every family learns real images: scikit-learn's digits, through the project's own training."""

import numpy as np
import pytest
import torch

from tutelage.config.chain import EpochStep, Start, Trajectory
from tutelage.config.schema import DataConfig, Sgd
from tutelage.data.sources import load_source
from tutelage.data.world import make_world
from tutelage.models.build import build_model
from tutelage.models.predict import logits_of
from tutelage.store import Store
from tutelage.training.loop import train_run
from tutelage.training.trainee import load_weights

torch.set_num_threads(1)

EPOCHS, BATCH = 6, 50


@pytest.fixture(scope="module")
def world():
    config = DataConfig(source="digits", train=1000, validation=100, test=500)
    return make_world(load_source(config, lambda kind, key: None), config, 1, 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["plain-16-32-64", "wrn-10-1", "resnet-8", "densenet-bc-22-12", "vgg-8"]
)
def test_every_family_learns_the_digits(name, world, tmp_path):
    """Less than 5 % of the test digits are wrong after 6 epochs; guessing has 90 % wrong."""
    start = Start(
        data=world.training_fingerprint,
        views="none",
        batch_size=BATCH,
        model=name,
        init_seed=1,
        stream_seed=2,
        optimizer=Sgd(weight_decay=5e-4),
    )
    rates = [0.05 * (1 - epoch / EPOCHS) for epoch in range(EPOCHS)]
    store = Store.open(tmp_path / "store")
    steps = tuple(EpochStep(rate, 1.0) for rate in rates)
    record = train_run(store, Trajectory(start, steps), world, {})
    assert record.result["status"] == "done"
    model = build_model(name, world.shape, world.classes, seed=0)
    before = error_of(model, world)
    load_weights(model, store.get_arrays(record.result["blobs"]["final"]))
    after = error_of(model, world)
    print(f"{name}: {before:.1f} % before, {after:.1f} % after")
    assert before > 70
    assert after < 5


def error_of(model, world):
    logits = logits_of(model, world.test, world.mean, world.std)
    return 100 * float(np.mean(logits.argmax(1) != world.test.labels))


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["plain-8-7", "wrn-10-1", "resnet-8", "densenet-bc-16-5", "vgg-8"])
def test_a_step_on_cuda_has_the_same_bits_twice(name):
    """No layer may be one for which CUDA has no deterministic kernel: PyTorch would raise."""
    images, labels = torch.randn(16, 3, 17, 16).cuda(), torch.arange(16).cuda() % 10
    before = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("error")
    try:
        gradients = []
        for _ in range(2):
            model = build_model(name, (17, 16, 3), 10, seed=0).cuda()
            torch.nn.functional.cross_entropy(model(images), labels).backward()
            gradients.append([parameter.grad.cpu() for parameter in model.parameters()])
    finally:
        torch.set_deterministic_debug_mode(before)
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
