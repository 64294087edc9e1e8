"""Logits of a network on a split: in evaluation mode, padded, and without a trace."""

import numpy as np
import pytest
import torch
from torch import nn

from tutelage.data.stream import normalise
from tutelage.data.world import Split
from tutelage.models.build import build_model
from tutelage.models.predict import logits_of

torch.set_num_threads(1)

MEAN, STD = np.array([0.4, 0.5, 0.6], np.float32), np.array([0.2, 0.3, 0.25], np.float32)


def split_of(images=20, side=8):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (images, side, side, 3), dtype=np.uint8)
    return Split(images=pixels, labels=rng.integers(0, 10, images))


def trained(name="wrn-10-1"):
    """A network whose BatchNorm statistics are not those of the batch at hand."""
    model = build_model(name, (8, 8, 3), 10, seed=0)
    model(torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    return model


class Watched(nn.Module):
    """Notes how it is called; drops out when training."""

    def __init__(self, fails=False):
        super().__init__()
        self.head, self.drop, self.seen, self.fails = nn.Linear(3, 4), nn.Dropout(), [], fails

    def forward(self, images):
        self.seen.append((tuple(images.shape), self.training, torch.is_grad_enabled()))
        if self.fails:
            raise RuntimeError("no")
        return self.head(self.drop(images.mean((2, 3))))


def test_they_are_the_logits_of_evaluation_mode():
    model, split = trained(), split_of()
    found = logits_of(model, split, MEAN, STD, "cpu", batch=32)
    assert found.dtype == np.float32
    assert found.shape == (20, 10)
    images = ((split.images / 255 - MEAN) / STD).transpose(0, 3, 1, 2)
    with torch.no_grad():
        expected = model.double().eval()(torch.from_numpy(images).double()).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "name", ["plain-8-8-8", "plain-7", "wrn-10-1", "resnet-8", "densenet-bc-10-4", "vgg-8"]
)
@pytest.mark.parametrize("batch", [64, 256])
def test_an_image_has_the_same_logits_whatever_its_neighbours(name, batch):
    model, split = trained(name), split_of(150)
    whole = logits_of(model, split, MEAN, STD, batch=batch)
    for part in (slice(0, 1), slice(3, 70), slice(100, 150)):
        some = Split(split.images[part], split.labels[part])
        assert (logits_of(model, some, MEAN, STD, batch=batch) == whole[part]).all()


@pytest.mark.parametrize("images", [1, 8, 20, 24])
def test_every_pass_has_one_size(images):
    model = Watched()
    found = logits_of(model, split_of(images), MEAN, STD, batch=8)
    assert found.shape == (images, 4)
    assert {shape for shape, *_ in model.seen} == {(8, 3, 8, 8)}
    assert len(model.seen) == -(-images // 8)


def test_the_model_is_in_evaluation_mode_without_gradients():
    model = Watched()
    logits_of(model, split_of(), MEAN, STD, batch=8)
    assert {(training, grad) for _, training, grad in model.seen} == {(False, False)}
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_comes_back_in_the_modes_it_came_in(fails):
    """The oldest fault of all: a student left in evaluation mode after its first evaluation."""
    model = Watched(fails)
    model.train()
    model.drop.eval()  # somebody froze a part on purpose
    if fails:
        with pytest.raises(RuntimeError):
            logits_of(model, split_of(), MEAN, STD, batch=8)
    else:
        logits_of(model, split_of(), MEAN, STD, batch=8)
    assert (model.training, model.head.training, model.drop.training) == (True, True, False)
    model.eval()
    model.fails = False
    logits_of(model, split_of(), MEAN, STD, batch=8)
    assert not any(module.training for module in model.modules())


def test_nothing_else_changes():
    model, split = trained(), split_of()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    random_state = torch.get_rng_state()
    first = logits_of(model, split, MEAN, STD, batch=8)
    assert (logits_of(model, split, MEAN, STD, batch=8) == first).all()
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert torch.equal(random_state, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_training_goes_on_afterwards():
    """Inference tensors must not leak into the next step."""
    model = trained()
    logits_of(model, split_of(), MEAN, STD, batch=8)
    images = normalise(torch.from_numpy(split_of().images), MEAN, STD)
    model(images).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.filterwarnings("error")  # PyTorch warns of arrays that it could write to
def test_images_may_lie_in_a_read_only_file(tmp_path):
    split = split_of()
    np.save(tmp_path / "images.npy", split.images)
    mapped = Split(np.load(tmp_path / "images.npy", mmap_mode="r"), split.labels)
    model = trained()
    found = logits_of(model, mapped, MEAN, STD, batch=8)
    assert (found == logits_of(model, split, MEAN, STD, batch=8)).all()
    found[0] = 0  # the result is the caller's own


def test_a_diverged_model_shows_it():
    model = trained()
    with torch.no_grad():
        model.get_parameter("head.bias").fill_(float("nan"))
    assert np.isnan(logits_of(model, split_of(), MEAN, STD)).all()


def test_a_split_without_images_is_refused():
    with pytest.raises(ValueError, match="at least one image"):
        logits_of(trained(), split_of(0), MEAN, STD)
