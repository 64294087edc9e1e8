"""DenseNet-BC: its size in closed form, where it halves, and what it computes."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tutelage.models.build import build_model
from tutelage.models.cost import model_cost

torch.set_num_threads(1)


def channels_of(n, k):
    """Channels before and after each block of n layers."""
    first = 2 * k
    second = (first + n * k) // 2
    third = (second + n * k) // 2
    return [(first, first + n * k), (second, second + n * k), (third, third + n * k)]


@pytest.mark.parametrize(
    ("depth", "growth"), [(10, 4), (16, 5), (40, 12), (40, 24), (100, 12), (28, 1)]
)
def test_the_size_in_closed_form(depth, growth):
    n, k, classes = (depth - 4) // 6, growth, 10
    (first, a), (second, b), (third, c) = channels_of(n, k)
    size = 27 * first
    for before in (first, second, third):
        inputs = n * before + k * n * (n - 1) // 2  # of all layers of a block together
        size += inputs * (2 + 4 * k)  # BatchNorm and the 1x1 bottleneck to 4k channels
        size += n * (2 * 4 * k + 9 * 4 * k * k)
    size += 2 * a + a * second + 2 * b + b * third  # transitions
    size += 2 * c + c * classes + classes
    found = model_cost(f"densenet-bc-{depth}-{growth}", (32, 32, 3), classes).parameters
    assert found == size


@pytest.mark.parametrize("depth", [10, 40])
def test_the_depth_counts_convolutions_and_the_head(depth):
    model = build_model(f"densenet-bc-{depth}-4", (8, 8, 3), 10, seed=0)
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    assert len(convolutions) == depth - 1
    assert all(module.stride == (1, 1) and module.bias is None for module in convolutions)
    assert not any(isinstance(module, nn.Dropout) for module in model.modules())


def test_transitions_halve_resolution_and_channels():
    model = build_model("densenet-bc-16-5", (32, 20, 3), 10, seed=0)
    sizes = []
    for module in (model.get_submodule("stem"), *model.get_submodule("blocks").children()):
        module.register_forward_hook(lambda _, __, output: sizes.append(tuple(output.shape[1:])))
    model(torch.randn(2, 3, 32, 20))
    assert sizes == [(10, 32, 20), (20, 32, 20), (10, 16, 10), (20, 16, 10), (10, 8, 5), (20, 8, 5)]


def test_every_layer_hands_its_input_on():
    """What is dense about it: the first channels of a block's output are its input, untouched."""
    model = build_model("densenet-bc-22-4", (8, 8, 1), 10, seed=0).eval()
    block = model.get_submodule("blocks.0")
    images = torch.randn(2, 8, 8, 8)
    with torch.no_grad():
        output = block(images.clone())
    assert output.shape == (2, 8 + 3 * 4, 8, 8)
    assert torch.equal(output[:, :8], images)


def test_a_densenet_computes_what_the_paper_says(disturbed):
    """Section 3 written out with plain convolutions on the list of all features so far."""
    model = disturbed(build_model("densenet-bc-16-3", (13, 16, 3), 10, seed=5))
    w = dict(model.state_dict())

    def activate(x, key):
        scale = w[f"{key}.weight"] / (w[f"{key}.running_var"] + 1e-5).sqrt()
        shift = w[f"{key}.bias"] - w[f"{key}.running_mean"] * scale
        return (x * scale[:, None, None] + shift[:, None, None]).clamp(min=0)

    x = torch.randn(3, 3, 13, 16, generator=torch.Generator().manual_seed(0))
    features = F.conv2d(x, w["stem.weight"], padding=1)
    for index in range(5):
        key = f"blocks.{index}"
        if index % 2:
            features = F.conv2d(activate(features, f"{key}.norm"), w[f"{key}.conv.weight"])
            rows, columns = features.shape[2] // 2, features.shape[3] // 2
            corners = features[:, :, : 2 * rows, : 2 * columns].unflatten(3, (columns, 2))
            features = corners.unflatten(2, (rows, 2)).mean((3, 5))
            continue
        seen = [features]
        for layer in range(2):
            name = f"{key}.{layer}"
            y = activate(torch.cat(seen, 1), f"{name}.norm1")
            y = activate(F.conv2d(y, w[f"{name}.conv1.weight"]), f"{name}.norm2")
            seen.append(F.conv2d(y, w[f"{name}.conv2.weight"], padding=1))
        features = torch.cat(seen, 1)
    pooled = activate(features, "norm").flatten(2).mean(2)
    expected = F.linear(pooled, w["head.weight"], w["head.bias"])
    with torch.no_grad():
        torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-5)
