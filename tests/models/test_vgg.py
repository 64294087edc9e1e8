"""VGG for small images: its size in closed form, where it halves, and what it computes."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tutelage.models.build import build_model
from tutelage.models.cost import model_cost

torch.set_num_threads(1)

# The convolutions of arXiv 1409.1556, table 1 (columns A, B, D, E); 8: one a stage.
CONVOLUTIONS = {
    8: [64, 128, 256, 512, 512],
    11: [64, 128, 256, 256, 512, 512, 512, 512],
    13: [64, 64, 128, 128, 256, 256, 512, 512, 512, 512],
    16: [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512],
    19: [64, 64, 128, 128, 256, 256, 256, 256, 512, 512, 512, 512, 512, 512, 512, 512],
}


@pytest.mark.parametrize("depth", CONVOLUTIONS)
def test_the_size_in_closed_form(depth):
    widths = CONVOLUTIONS[depth]
    assert len(widths) == depth - 3  # the other three were linear layers
    size = sum(
        (9 * before + 1) * width + 2 * width
        for before, width in zip([3, *widths], widths, strict=False)
    )
    found = model_cost(f"vgg-{depth}", (32, 32, 3), 100).parameters
    assert found == size + 512 * 100 + 100


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [
        ((32, 32), [(16, 16), (8, 8), (4, 4), (4, 4), (4, 4)]),
        ((28, 20), [(14, 10), (7, 5), (3, 2), (3, 2), (3, 2)]),
        ((8, 8), [(4, 4), (2, 2), (1, 1), (1, 1), (1, 1)]),
        ((63, 96), [(31, 48), (15, 24), (7, 12), (7, 12), (7, 12)]),
        ((64, 96), [(32, 48), (16, 24), (8, 12), (4, 6), (4, 6)]),
    ],
)
def test_three_stages_halve_the_resolution_and_of_large_images_four(shape, sizes):
    model = build_model("vgg-8", (*shape, 1), 10, seed=0)
    seen = []
    for stage in model.get_submodule("stages").children():
        stage.register_forward_hook(lambda _, __, output: seen.append(tuple(output.shape[1:])))
    with torch.no_grad():
        model(torch.randn(2, 1, *shape))
    assert seen == [
        (width, *size) for width, size in zip([64, 128, 256, 512, 512], sizes, strict=True)
    ]


def test_a_bias_before_batchnorm_learns_nothing():
    """Why these gradients are no sign of a fault: BatchNorm subtracts the mean."""
    model = build_model("vgg-8", (16, 16, 1), 10, seed=0)
    F.cross_entropy(model(torch.randn(8, 1, 16, 16)), torch.arange(8)).backward()
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            assert module.bias.grad.abs().max() < 1e-5 * module.weight.grad.abs().max() + 1e-6


@pytest.mark.parametrize("depth", [8, 11])
def test_a_vgg_computes_what_the_paper_says(depth, disturbed):
    """Plain convolutions, one after the other, on the same weights."""
    model = disturbed(build_model(f"vgg-{depth}", (19, 16, 3), 10, seed=5))
    w = list(model.state_dict().items())
    out = torch.randn(3, 3, 19, 16, generator=torch.Generator().manual_seed(0))
    images, widths = out, CONVOLUTIONS[depth]
    for index, width in enumerate(widths):
        # Each convolution's weight and bias, then BatchNorm's weight, bias, mean and variance.
        kernel, bias, scale, shift, mean, variance, _ = (value for _, value in w[:7])
        w = w[7:]
        assert kernel.shape[0] == width
        out = F.conv2d(out, kernel, bias, padding=1)
        out = F.batch_norm(out, mean, variance, scale, shift).clamp(min=0)
        ends = index + 1 in {8: (1, 2, 3), 11: (1, 2, 4)}[depth]
        if ends:
            rows, columns = out.shape[2] // 2, out.shape[3] // 2
            squares = out[:, :, : 2 * rows, : 2 * columns].unflatten(3, (columns, 2))
            out = squares.unflatten(2, (rows, 2)).amax((3, 5))
    (_, weight), (_, bias) = w
    expected = F.linear(out.flatten(2).mean(2), weight, bias)
    with torch.no_grad():
        torch.testing.assert_close(model(images), expected, rtol=1e-4, atol=1e-5)
