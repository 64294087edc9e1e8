"""Networks from elsewhere: how they are named, built, adapted, identified and refused."""

from __future__ import annotations

import random
import re
from pathlib import Path

import numpy as np
import own_nets
import pytest
import torch
from torch import nn

from tutelage.config.schema_model import ModelConfig, read_model
from tutelage.errors import UserError
from tutelage.models.adapted import Adapted, inner, logits_in
from tutelage.models.build import build_model, new_model
from tutelage.models.catalog import canonical_model, is_tiny
from tutelage.models.cost import model_cost
from tutelage.models.features import Features
from tutelage.models.identity import identify

FILE = Path(__file__).parent / "own_nets.py"
SHAPE, NAMES = (8, 8, 1), tuple("abcdefghij")


def own(function, **options):
    return ModelConfig(name=f"{FILE}:{function}", **options).text


def numbers(model):
    return {name: value.clone() for name, value in inner(model).state_dict().items()}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("text", [
    "wrn-16-1", "timm:resnet18", "hf:some/folder@some/file.safetensors", "nets.py:small@w.pt",
    'timm:resnet18 {"arguments":{"drop_rate":0.1},"size":[32,24]}',
    'a.b:c@w.pt {"class_order":["b",null,0],"mean":[0.5],"std":[0.25]}',
])  # fmt: skip
def test_a_text_is_read_and_written_as_it_was(text):
    assert read_model(text).text == canonical_model(text) == text


def test_a_text_has_one_spelling():
    ours = canonical_model('WRN_16_1@w.pt {"std": [0.250], "mean": [0.50], "arguments": {}}')
    assert ours == 'wrn-16-1@w.pt {"mean":[0.5],"std":[0.25]}'
    assert is_tiny("plain-8-8@w.pt")
    assert not is_tiny("plain-8-8 " + '{"size":16}')
    assert not is_tiny("timm:resnet18")


@pytest.mark.parametrize(("text", "said"), [
    ("timm:", "nothing follows the colon"),
    ("wrn-16-1@", "after @ comes"),
    ('wrn-16-1 {"size":', "no JSON"),
    ('wrn-16-1 {"sice":3}', "sice"),
    ('wrn-16-1 {"mean":[0.5]}', "mean and std go together"),
    ('wrn-16-1@a.pt {"weights":"b.pt"}', "weights is said twice"),
    ('wrn-16-1 {"arguments":{"width":3}}', "takes no arguments"),
    ("unknown-3", "unknown model"),
])  # fmt: skip
def test_a_text_that_names_no_model_is_told(text, said):
    with pytest.raises(UserError, match=re.escape(said)):
        canonical_model(text)


def test_weights_are_a_function_of_the_seed_and_nothing_else():
    text = own("small")
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    first = numbers(build_model(text, SHAPE, 10, 3))
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]
    torch.rand(5)
    assert same(first, numbers(build_model(text, SHAPE, 10, 3)))
    assert not same(first, numbers(build_model(text, SHAPE, 10, 4)))
    assert first["classifier.weight"].shape == (10, 4)


def test_a_function_gets_what_it_takes():
    assert (
        inner(new_model(own("small", arguments={"width": 7}), SHAPE, 10)).classifier.in_features
        == 7
    )
    given = inner(new_model(own("everything"), (8, 6, 1), 5)).given
    assert given == {"num_classes": 5, "in_channels": 1, "image_size": (8, 6)}


def test_a_network_that_is_given_twice_is_not_shared():
    first, second = (build_model(own("always_one"), SHAPE, 10, 0) for _ in range(2))
    with torch.no_grad():
        inner(first).classifier.weight.zero_()
    assert inner(second).classifier.weight.abs().sum() > 0


@pytest.mark.parametrize("kind", ["tensor", "dict", "odd dict", "tuple", "object"])
def test_logits_are_found_in_every_kind_of_output(kind):
    torch.manual_seed(0)
    network = own_nets.Net(10, 1, kind=kind).eval()
    images = torch.randn(3, 1, 8, 8)
    assert torch.equal(
        Adapted(network)(images), network.classifier(network.body(images).mean((2, 3)))
    )


def test_outputs_without_logits_are_told():
    for output, said in (
        ({"a": torch.zeros(1), "b": torch.zeros(1)}, "a mapping of a, b"),
        ((), "a tuple"), ("logits", "a str"), (None, "a NoneType"), ({}, "a mapping of"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=said):
            logits_in(output)
    assert logits_in({"logits": torch.ones(2), "a": torch.zeros(1)}).sum() == 2


class Seen(nn.Module):
    """Gives the images that it gets, flattened."""

    def forward(self, images):
        self.images = images
        return images.flatten(1)


def test_images_reach_a_network_as_it_wants_them():
    pixels = torch.rand(2, 1, 4, 4)
    mean, std = np.array([0.3], np.float32), np.array([0.2], np.float32)
    own_mean, own_std = [0.1, 0.5, 0.9], [0.5, 0.25, 2.0]
    network = Seen()
    adapted = Adapted(network, channels=3, size=(8, 8), mean=own_mean, std=own_std)
    adapted.follow(mean, std)
    adapted((pixels - 0.3) / 0.2)
    big = torch.nn.functional.interpolate(pixels, (8, 8), mode="bilinear", antialias=True)
    wanted = (big.expand(-1, 3, -1, -1) - torch.tensor(own_mean).view(1, 3, 1, 1)) / torch.tensor(
        own_std
    ).view(1, 3, 1, 1)
    assert network.images.shape == (2, 3, 8, 8)
    torch.testing.assert_close(network.images, wanted, rtol=1e-5, atol=1e-5)
    assert adapted.state_dict() == {}


def test_outputs_come_in_the_order_of_the_studys_classes():
    text = 'plain-4 {"class_order":[2,null,0,1]}'
    model = build_model(text, SHAPE, 3, 0).eval()
    images = torch.randn(2, 1, 8, 8)
    raw = inner(model)(images)
    assert raw.shape == (2, 4)
    torch.testing.assert_close(model(images), raw[:, [2, 3, 0]])
    named = identify('plain-4 {"class_order":["z","c","b","a"]}', SHAPE, ("a", "b", "c")).text
    assert named == 'plain-4 {"class_order":[null,2,1,0]}'
    for order, said in (([0, 1], "names 2 classes"), ([0, 0, 1, 2], "names 4 classes"),
                        ([0, 1, 3], "each has to be")):  # fmt: skip
        with pytest.raises(UserError, match=said):
            build_model(f'plain-4 {{"class_order":{order}}}', SHAPE, 3, 0)
    with pytest.raises(UserError, match="unknown class 'x'"):
        identify('plain-4 {"class_order":["x","y"]}', SHAPE, ("a", "b"))


def test_features_are_read_by_the_names_of_the_network_itself():
    model = build_model(own("small"), SHAPE, 10, 0)
    with Features(model, ["body.0", "classifier:input"]) as features:
        logits = model(torch.randn(2, 1, 8, 8))
        shown = features.take()
    torch.testing.assert_close(inner(model).classifier(shown[1]), logits)
    assert shown[0].shape == (2, 4, 8, 8)


def test_cost_counts_products_and_parameters():
    cost = model_cost(own("small"), SHAPE, 10)
    assert (cost.parameters, cost.macs) == (9 * 4 + 4 + 4 * 10 + 10, 64 * 9 * 4 + 4 * 10)


def test_the_code_of_a_network_identifies_it(tmp_path):
    file = tmp_path / "mine.py"

    def mark(source, **options):
        file.write_text(source)
        return identify(ModelConfig(name=f"{file}:net", **options).text, SHAPE, NAMES).text

    source = (
        "from torch import nn\n\n"
        "class Net(nn.Sequential):\n"
        "    def forward(self, x):\n"
        "        return super().forward(x)\n\n"
        "def net(num_classes):\n"
        "    return Net(nn.Flatten(), nn.Linear(64, num_classes))\n"
    )
    first = mark(source)
    assert '"code":"' in first
    assert read_model(first) == read_model(f"{file}:net")
    assert mark("# a comment\n" + source) == first
    changed = source.replace("super().forward(x)", "2 * super().forward(x)")
    assert mark(changed) != first  # the same weights, another network
    declared = mark(source, version="1")
    assert mark(changed, version="1") == declared != mark(changed, version="2")
    assert mark(source.replace("64, num", "64, bias=False, out_features=num")) != first


@pytest.mark.parametrize(("name", "said", "fix"), [
    (f"{FILE}:no_network", "gave int, not a torch.nn.Module", "Return the network"),
    (f"{FILE}:fails", "RuntimeError: no network for 1 channels", None),
    (f"{FILE}:restless", "other weights each time", "generator"),
    (f"{FILE}:wrong_count", "gives [2, 7] for 2 images; [2, 10] are wanted", None),
    (f"{FILE}:smal", "unknown function 'smal'", "small"),
    (f"{FILE}:KINDS", "cannot be called", None),
    (f"{FILE}:1", "names no function", "nets.py:small"),
    ("absent.py:net", "absent.py cannot be read", "as seen from here"),
    ("no_such_module:net", "no module 'no_such_module'", "in the folder"),
    ("tim:resnet18", "no module 'tim'", "timm:"),
    ("timm:test_resnett", "timm has no network 'test_resnett'", "timm:test_resnet"),
    ("torchvision:resnet81", "torchvision has no network", "such as"),
    ("torchvision:fasterrcnn_resnet50_fpn", "torchvision has no network", "such as"),
    ("hf:./nowhere/at/all", "is no folder", "config.json"),
    ("hf:resnett", "no kind of network", "hf:resnet?"),
])  # fmt: skip
def test_what_gives_no_classifier_is_told_in_one_message(name, said, fix):
    with pytest.raises(UserError) as caught:
        identify(name, SHAPE, NAMES)
    assert said in str(caught.value)
    assert fix is None or fix in (caught.value.fix or "")
    assert len(str(caught.value)) < 400


def test_only_grey_images_become_those_of_more_channels():
    assert (
        inner(new_model("torchvision:squeezenet1_1", (32, 32, 1), 4)).features[0].in_channels == 3
    )
    with pytest.raises(UserError, match="takes images of 4 channels, and these have 3"):
        new_model('plain-4 {"channels":4}', (8, 8, 3), 4)
    with pytest.raises(UserError, match="mean has 3 numbers for 1 channels"):
        new_model('plain-4 {"mean":[0,0,0],"std":[1,1,1]}', (8, 8, 1), 4)
