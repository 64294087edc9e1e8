"""CIFAR ResNets: their size in closed form, where they halve, and what they compute."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tutelage.models.build import build_model
from tutelage.models.cost import model_cost

torch.set_num_threads(1)


@pytest.mark.parametrize("depth", [8, 14, 20, 32, 44, 56, 110])
@pytest.mark.parametrize(("factor", "stem"), [(1, 16), (2, 16), (3, 24), (4, 32), (6, 48)])
def test_the_size_in_closed_form(depth, factor, stem):
    n, channels, classes = (depth - 2) // 6, 3, 10
    a, b, c = 16 * factor, 32 * factor, 64 * factor
    firsts = 9 * (channels * stem + stem * a + a * b + b * c)  # what changes the width
    others = 9 * (2 * n - 1) * (a * a + b * b + c * c)
    shortcuts = [(a, b), (b, c)] if stem == a else [(stem, a), (a, b), (b, c)]
    projections = sum(before * width + 2 * width for before, width in shortcuts)
    norms = 2 * (stem + 2 * n * (a + b + c))
    head = c * classes + classes
    found = model_cost(f"resnet-{depth}x{factor}", (32, 32, channels), classes).parameters
    assert found == firsts + others + projections + norms + head


@pytest.mark.parametrize(
    ("depth", "parameters", "macs"),
    [(20, 269_722, 40_551_040), (56, 853_018, 125_485_696), (110, 1_727_962, 252_887_680)],
)
def test_projections_are_all_that_differs_from_the_first_paper(depth, parameters, macs):
    """Known figures of the networks whose shortcuts have no parameters."""
    cost = model_cost(f"resnet-{depth}", (32, 32, 3), 10)
    projections = 16 * 32 + 32 * 64, 16 * 32 * 16**2 + 32 * 64 * 8**2
    assert cost.parameters - projections[0] - 2 * (32 + 64) == parameters
    assert cost.macs - projections[1] == macs


@pytest.mark.parametrize("depth", [8, 20])
def test_the_depth_counts_convolutions_and_the_head(depth):
    model = build_model(f"resnet-{depth}", (8, 8, 3), 10, seed=0)
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    assert sum(module.kernel_size == (3, 3) for module in convolutions) == depth - 1
    assert sum(module.kernel_size == (1, 1) for module in convolutions) == 2
    assert not any(module.bias is not None for module in convolutions)


def test_the_second_and_third_stage_halve_the_resolution():
    model = build_model("resnet-14x4", (32, 20, 3), 10, seed=0)
    sizes = []
    for module in (model.get_submodule("stem"), *model.get_submodule("stages").children()):
        module.register_forward_hook(lambda _, __, output: sizes.append(tuple(output.shape[1:])))
    model(torch.randn(2, 3, 32, 20))
    assert sizes == [(32, 32, 20), (64, 32, 20), (128, 16, 10), (256, 8, 5)]
    strides = [m.stride for m in model.modules() if isinstance(m, nn.Conv2d) and m.stride != (1, 1)]
    assert strides == [(2, 2)] * 4  # the first convolution and the shortcut of two stages
    for stage in ("1", "2"):
        assert model.get_submodule(f"stages.{stage}.0.conv1").stride == (2, 2)


@pytest.mark.parametrize(("name", "blocks"), [("resnet-14", 2), ("resnet-8x4", 1)])
def test_a_resnet_computes_what_the_paper_says(name, blocks, disturbed):
    """Equations of section 3 written out with plain convolutions, on the same weights."""
    model = disturbed(build_model(name, (13, 16, 3), 10, seed=5))
    w = dict(model.state_dict())

    def norm(x, key):
        scale = w[f"{key}.weight"] / (w[f"{key}.running_var"] + 1e-5).sqrt()
        shift = w[f"{key}.bias"] - w[f"{key}.running_mean"] * scale
        return x * scale[:, None, None] + shift[:, None, None]

    x = torch.randn(3, 3, 13, 16, generator=torch.Generator().manual_seed(0))
    out = norm(F.conv2d(x, w["stem.0.weight"], padding=1), "stem.1").clamp(min=0)
    for stage in range(3):
        for index in range(blocks):
            key, stride = f"stages.{stage}.{index}", 2 if stage and not index else 1
            y = F.conv2d(out, w[f"{key}.conv1.weight"], stride=stride, padding=1)
            y = F.conv2d(norm(y, f"{key}.norm1").clamp(min=0), w[f"{key}.conv2.weight"], padding=1)
            y = norm(y, f"{key}.norm2")
            if f"{key}.shortcut.0.weight" in w:
                skip = F.conv2d(out, w[f"{key}.shortcut.0.weight"], stride=stride)
                out = norm(skip, f"{key}.shortcut.1")
            out = (y + out).clamp(min=0)
    expected = F.linear(out.flatten(2).mean(2), w["head.weight"], w["head.bias"])
    with torch.no_grad():
        torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-5)
