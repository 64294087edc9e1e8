"""Networks of every family: their form, their seeded weights, and that nothing else is touched."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tutelage.errors import UserError
from tutelage.models.build import build_model, new_model
from tutelage.models.wide_resnet import Block

torch.set_num_threads(1)

NAMES = [
    "plain-8-8-8",
    "plain-4",
    "wrn-10-1",
    "wrn-16-2",
    "resnet-8",
    "resnet-14x2",
    "densenet-bc-16-5",
    "vgg-8",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (32, 32, 3), (20, 28, 3), (64, 65, 3)])
def test_every_size_gives_finite_logits(name, shape):
    height, width, channels = shape
    model = build_model(name, shape, 7, seed=1)
    logits = model(torch.randn(2, channels, height, width))
    assert logits.shape == (2, 7)
    assert logits.isfinite().all()


@pytest.mark.parametrize("make", [lambda *a: build_model(*a, seed=1), new_model])
@pytest.mark.parametrize(("name", "least"), [("vgg-8", 8), ("densenet-bc-10-4", 4)])
def test_the_smallest_images_are_as_small_as_stated(make, name, least):
    model = make(name, (least, least, 1), 10)
    assert model(torch.randn(2, 1, least, least)).isfinite().all()
    with pytest.raises(UserError, match=f"{name}.*at least {least}"):
        make(name, (least - 1, 32, 1), 10)
    with pytest.raises(RuntimeError):  # PyTorch's own complaint, had nobody looked
        model(torch.randn(2, 1, least - 1, 32))


@pytest.mark.parametrize("name", ["plain-4-4-4-4-4", "wrn-10-1", "resnet-8"])
def test_the_others_take_a_single_pixel(name):
    logits = build_model(name, (1, 1, 3), 10, seed=0)(torch.randn(2, 3, 1, 1))
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_a_pure_function_of_the_seed(name):
    torch.manual_seed(1)
    first = build_model(name, (8, 8, 1), 10, seed=3).state_dict()
    torch.manual_seed(2)
    again = build_model(name, (8, 8, 1), 10, seed=3).state_dict()
    other = build_model(name, (8, 8, 1), 10, seed=4).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_the_weights_of_a_seed_stay_what_they_are():
    """Golden numbers: when they change, every stored result changes with them."""
    model = build_model("plain-8-8-8", (8, 8, 1), 10, seed=0)
    first = next(model.parameters()).contiguous().flatten()[:3]
    assert first.tolist() == pytest.approx([-0.18764, -0.19206, -0.041763], abs=1e-6)
    last = model.get_parameter("head.weight").flatten()[-2:]
    assert last.tolist() == pytest.approx([0.26188, 0.083709], abs=1e-6)


@pytest.mark.parametrize(
    ("name", "last", "total"),
    [
        ("wrn-16-2", [0.054356, 0.056115], 856.1028),
        ("resnet-14x2", [0.054356, 0.056115], 1080.1028),
        ("densenet-bc-16-5", [0.055183, 0.17684], 240.2292),
        ("vgg-8", [0.010176, 0.012771], 1430.6393),
    ],
)
def test_the_weights_of_every_family_stay_what_they_are(name, last, total):
    """The head is filled last, so its numbers also tell in which order all others were."""
    model = build_model(name, (16, 16, 3), 10, seed=0)
    assert model.get_parameter("head.weight")[-1, -2:].tolist() == pytest.approx(last, abs=1e-6)
    weights = sum(parameter.double().sum().item() for parameter in model.parameters())
    assert weights == pytest.approx(total, abs=1e-3)


def test_global_random_state_is_untouched():
    before = torch.get_rng_state()
    for name in NAMES:
        build_model(name, (8, 8, 1), 10, seed=3)
    assert torch.equal(before, torch.get_rng_state())


def test_large_seeds_are_allowed():
    build_model("plain-4", (8, 8, 1), 10, seed=2**63 - 1)


@pytest.mark.parametrize("name", ["wrn-16-8", "resnet-8x4", "densenet-bc-22-24", "vgg-11"])
def test_initial_weights_have_the_documented_spread(name):
    model = build_model(name, (32, 32, 3), 10, seed=0)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            area = module.kernel_size[0] * module.kernel_size[1]
            wanted = (2 / (area * module.out_channels)) ** 0.5
            tolerance = 4 / (2 * module.weight.numel()) ** 0.5
            assert module.weight.std().item() == pytest.approx(wanted, rel=tolerance)
            assert module.bias is None or (module.bias == 0).all()
        elif isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()
            assert (module.running_mean == 0).all()
            assert (module.running_var == 1).all()
        elif isinstance(module, nn.Linear):
            assert module.weight.abs().max() <= module.in_features**-0.5
            assert (module.bias == 0).all()


def test_plain_keeps_the_resolution_once_then_halves_it():
    model = build_model("plain-4-6-8", (8, 8, 1), 10, seed=0)
    sizes = []
    for stage in model.get_submodule("stages").children():
        stage.register_forward_hook(lambda _, __, output: sizes.append(tuple(output.shape[1:])))
    model(torch.randn(2, 1, 8, 8))
    assert sizes == [(4, 8, 8), (6, 4, 4), (8, 2, 2)]


@pytest.mark.parametrize(("depth", "factor"), [(10, 1), (16, 2), (28, 3)])
def test_the_depth_of_a_wide_resnet_counts_its_convolutions(depth, factor):
    model = build_model(f"wrn-{depth}-{factor}", (8, 8, 3), 10, seed=0)
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    # At factor 1 the first group keeps 16 channels and needs no shortcut convolution.
    assert len(convolutions) == depth - (factor == 1)
    assert not any(convolution.bias is not None for convolution in convolutions)


def test_a_wide_resnet_computes_what_its_authors_wrote():
    """Their functional form, written out again from the paper, on the same weights."""
    model = build_model("wrn-16-2", (16, 16, 3), 10, seed=5).eval()
    for module in model.modules():  # make BatchNorm do something
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    w = dict(model.state_dict())

    def activate(x, name):
        mean, var = w[f"{name}.running_mean"], w[f"{name}.running_var"]
        scale = w[f"{name}.weight"] / (var + 1e-5).sqrt()
        shift = w[f"{name}.bias"] - mean * scale
        return (x * scale[:, None, None] + shift[:, None, None]).clamp(min=0)

    x = torch.randn(3, 3, 16, 16)
    out = F.conv2d(x, w["stem.weight"], padding=1)
    for group in range(3):
        for index in range(2):
            name, stride = f"groups.{group}.{index}", 2 if group and not index else 1
            o1 = activate(out, f"{name}.norm1")
            y = F.conv2d(o1, w[f"{name}.conv1.weight"], stride=stride, padding=1)
            o2 = activate(y, f"{name}.norm2")
            z = F.conv2d(o2, w[f"{name}.conv2.weight"], padding=1)
            skip = f"{name}.shortcut.weight"
            out = z + (F.conv2d(o1, w[skip], stride=stride) if skip in w else out)
    pooled = F.avg_pool2d(activate(out, "norm"), 4).flatten(1)
    expected = F.linear(pooled, w["head.weight"], w["head.bias"])
    with torch.no_grad():
        torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-5)


def test_the_first_block_at_factor_one_adds_its_raw_input():
    block = Block(16, 16, stride=1).eval()
    nn.init.zeros_(block.conv2.weight)
    x = torch.randn(2, 16, 8, 8)
    assert torch.equal(block(x.clone()), x)


@pytest.mark.parametrize("name", NAMES)
def test_every_weight_gets_a_gradient(name):
    model = build_model(name, (16, 16, 1), 10, seed=0)
    if name.startswith("vgg"):
        model.eval()  # in training BatchNorm takes away what the biases before it add
    F.cross_entropy(model(torch.randn(8, 1, 16, 16)), torch.arange(8)).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().sum() > 0, key


@pytest.mark.parametrize("name", NAMES)
def test_features_stay_in_channels_last(name):
    """Else every convolution would copy its input into another layout and back."""
    model = build_model(name, (16, 16, 3), 10, seed=0)
    layouts = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            assert module.weight.is_contiguous(memory_format=torch.channels_last)
            module.register_forward_hook(lambda _, inputs, __: layouts.append(inputs[0]))
    model(torch.randn(2, 3, 16, 16).contiguous(memory_format=torch.channels_last))
    assert layouts
    assert all(seen.is_contiguous(memory_format=torch.channels_last) for seen in layouts)
