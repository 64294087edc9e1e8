"""Features are read by path, from one ordinary forward pass."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tutelage.errors import UserError
from tutelage.models.build import build_model
from tutelage.models.features import Features, check_pair, stage_ends, usual_paths


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("plain-4-8-12", [(4, 16, 16), (8, 8, 8), (12, 4, 4)]),
        ("wrn-10-1", [(16, 16, 16), (32, 8, 8), (64, 4, 4)]),
        ("resnet-8", [(16, 16, 16), (32, 8, 8), (64, 4, 4)]),
        ("densenet-bc-10-4", [(12, 16, 16), (10, 8, 8), (9, 4, 4)]),
        ("vgg-8", [(64, 8, 8), (128, 4, 4), (256, 2, 2), (512, 2, 2), (512, 2, 2)]),
    ],
)
def test_the_stages_of_every_family_end_where_they_should(name, shapes):
    torch.manual_seed(0)
    model, images = build_model(name, (16, 16, 3), 10, seed=0), torch.randn(2, 3, 16, 16)
    expected = model(images)
    for parameters in (False, True):
        model.requires_grad_(parameters)
        model.load_state_dict(build_model(name, (16, 16, 3), 10, seed=0).state_dict())
        with Features(model, stage_ends(model)) as features:
            assert torch.equal(model(images), expected)
            maps = features.take()
        assert [tuple(each.shape[1:]) for each in maps] == shapes
        assert all(each.requires_grad is parameters for each in maps)


def test_the_model_runs_once_and_is_as_before_afterwards():
    model, runs = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)), []
    model[0].register_forward_hook(lambda *_: runs.append(1))
    keys, hooks = list(model.state_dict()), [len(m._forward_hooks) for m in model.modules()]
    with Features(model, ["1", "0"]) as features:
        for _ in range(3):
            images = torch.randn(4, 2)
            model(images)
            tanh, linear = features.take()  # in the order of the paths
            assert torch.equal(tanh, torch.tanh(linear))
            assert torch.equal(linear, nn.functional.linear(images, *model[0].parameters()))
    assert len(runs) == 3
    assert list(model.state_dict()) == keys
    assert [len(m._forward_hooks) for m in model.modules()] == hooks
    model(torch.randn(4, 2))
    with pytest.raises(UserError, match="ran not at all"):
        features.take()


def test_two_readers_do_not_see_each_other():
    # In public code, hooks in a global dictionary let one experiment overwrite another's.
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    first, second = Features(model, ["0"]), Features(model, ["1"])
    other = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    third = Features(other, ["0"])
    images = torch.randn(3, 2)
    model(images)
    first.close()
    other(images + 1)
    assert torch.equal(second.take()[0], model[1](model[0](images)))
    assert torch.equal(first.take()[0], model[0](images))
    assert torch.equal(third.take()[0], other[0](images + 1))


def test_gradients_flow_through_what_was_read():
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    with Features(model, ["0"]) as features:
        model(torch.randn(4, 2))
        features.take()[0].square().sum().backward()
    assert model[0].weight.grad.abs().sum() > 0
    assert model[2].weight.grad is None


def test_what_cannot_be_read_is_told():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.pair = nn.Linear(2, 2), nn.LSTM(2, 2)

        def forward(self, images):
            return self.layer(self.layer(images))

    model = Twice()
    with pytest.raises(UserError, match=r"unknown module 'layr'.*\n.*'layer'"):
        Features(model, ["layr"])
    with Features(model, ["layer"]) as features:
        model(torch.randn(1, 2))
        with pytest.raises(UserError, match="layer: ran 2 times"):
            features.take()
        model.layer(torch.randn(1, 2))
        assert len(features.take()) == 1  # and it goes on
    with Features(model, ["pair"]), pytest.raises(UserError, match="pair: gives no tensor but a"):
        model.pair(torch.randn(1, 1, 2))
    changed = nn.Sequential(nn.Linear(2, 2), nn.ReLU(inplace=True))
    with Features(changed, ["0"]) as features, torch.no_grad():
        changed(torch.randn(1, 2))
        with pytest.raises(UserError, match="0: its output is overwritten"):
            features.take()
    with pytest.raises(UserError, match="where the stages of Sequential end"):
        stage_ends(changed)


@pytest.mark.parametrize(
    "name", ["plain-4-8-12", "wrn-10-1", "resnet-8", "densenet-bc-10-4", "vgg-8"]
)
def test_the_embedding_of_every_family_is_what_its_last_linear_layer_takes(name):
    torch.manual_seed(0)
    model, images = build_model(name, (16, 16, 3), 10, seed=0), torch.randn(2, 3, 16, 16)
    (path,) = usual_paths(model, "embedding")
    with Features(model, [path, "head"]) as features:
        expected = model(images)
        embedding, logits = features.take()
        assert torch.equal(logits, expected)
        torch.testing.assert_close(
            nn.functional.linear(embedding, model.head.weight, model.head.bias), expected
        )
        assert embedding.dim() == 2
    assert not model.head._forward_pre_hooks
    linear = [path for path, module in model.named_modules() if isinstance(module, nn.Linear)]
    assert linear == ["head"]


@pytest.mark.parametrize(
    ("name", "middle", "last"),
    [
        ("plain-4", "stages.0", "stages.0"),
        ("plain-4-8", "stages.1", "stages.1"),
        ("wrn-10-1", "groups.1", "groups.2"),
        ("densenet-bc-10-4", "blocks.2", "blocks.4"),
        ("vgg-8", "stages.2", "stages.4"),
    ],
)
def test_where_losses_read_unless_told(name, middle, last):
    model = build_model(name, (16, 16, 3), 10, seed=0)
    assert usual_paths(model, "ends") == stage_ends(model)
    assert usual_paths(model, "middle") == (middle,)
    assert usual_paths(model, "last") == (last,)


def test_an_input_that_cannot_be_read_is_told():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.last = nn.Identity(), nn.ReLU(inplace=True)

        def forward(self, images):
            return self.last(self.inner([images])[0])

    model = Odd()
    with Features(model, ["inner:input"]), pytest.raises(UserError, match="takes no tensor but a"):
        model(torch.ones(1))
    with Features(model, ["last:input"]) as features:
        model(torch.ones(1))
        with pytest.raises(UserError, match="last:input: its input is overwritten"):
            features.take()
    with pytest.raises(UserError, match=r"unknown module 'lost'"):
        Features(model, ["lost:input"])
    with pytest.raises(UserError, match="where Odd has its embedding is not known"):
        usual_paths(model, "embedding")


def test_a_pair_is_checked_by_what_the_loss_takes():
    student, teacher = (build_model(name, (8, 8, 1), 10, 0) for name in ("plain-4", "plain-6"))
    images = torch.zeros(2, 1, 8, 8)
    check_pair(student, teacher, images, reads="embedding", maps=False)
    check_pair(student, teacher, images, ["stages"], ["head:input"], maps=False)
    with pytest.raises(UserError, match=r"teacher: head:input: takes \[2, 6\], no maps \[batch"):
        check_pair(student, teacher, images, ["stages"], ["head:input"])

    class Flat(nn.Module):
        def forward(self, images):
            return images.flatten()

    other = nn.Sequential(Flat())
    with pytest.raises(UserError, match=r"teacher: 0: gives \[128\] for 2 images, no features"):
        check_pair(student, other, images, ["stages"], ["0"], maps=False)
