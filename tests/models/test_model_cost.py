"""Parameters and multiply-adds against published figures and PyTorch's own counter."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tutelage.errors import UserError
from tutelage.models.build import build_model
from tutelage.models.cost import Cost, model_cost

torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("name", "millions", "exact"),
    [
        ("wrn-16-1", 0.18, 175_066),
        ("wrn-28-1", 0.37, 369_498),
        ("wrn-40-1", 0.56, 563_930),
        ("wrn-40-2", 2.2, 2_243_546),
        ("wrn-16-8", 11.0, 10_961_370),
        ("wrn-28-10", 36.5, 36_479_194),
        ("resnet-20", 0.27, 272_474),
        ("resnet-44", 0.66, 661_338),
        ("resnet-56", 0.86, 855_770),
        ("resnet-110", 1.73, 1_730_714),
        ("densenet-bc-40-12", 0.18, 176_122),
        ("densenet-bc-40-24", 0.69, 690_346),
        ("densenet-bc-40-48", 2.73, 2_733_130),
        ("densenet-bc-100-12", 0.77, 769_162),
        ("densenet-bc-100-24", 3.02, 3_020_506),
        ("densenet-bc-250-24", 15.3, 15_324_406),
    ],
)
def test_parameters_are_the_published_ones(name, millions, exact):
    """For CIFAR-10: arXiv 1605.07146, 1512.03385 (with projections), 1608.06993, 1910.01348."""
    parameters = model_cost(name, (32, 32, 3), 10).parameters
    decimals = len(str(millions).split(".")[1])
    assert round(parameters / 1e6, decimals) == millions
    assert parameters == exact


@pytest.mark.parametrize(
    ("name", "millions", "exact"),
    [
        ("resnet-8", 0.08, 83_892),
        ("resnet-14", 0.18, 181_108),
        ("resnet-32", 0.47, 472_756),
        ("resnet-8x4", 1.23, 1_233_540),
        ("resnet-32x4", 7.43, 7_433_860),
        ("vgg-8", 3.97, 3_965_028),
        ("vgg-13", 9.46, 9_462_180),
    ],
)
def test_parameters_are_those_of_the_distillation_literature(name, millions, exact):
    """For CIFAR-100: the networks of Tian et al., arXiv 1910.10699."""
    parameters = model_cost(name, (32, 32, 3), 100).parameters
    assert round(parameters / 1e6, 2) == millions
    assert parameters == exact


def test_depths_of_the_paper_have_its_parameters():
    # Table of the paper: WRN-52-1 0.76, 64-1 0.95, 76-1 1.15, 88-1 1.34, 100-1 1.54 million.
    published = {52: 0.76, 64: 0.95, 76: 1.15, 88: 1.34, 100: 1.54, 154: 2.41, 250: 3.97}
    for depth, millions in published.items():
        cost = model_cost(f"wrn-{depth}-1", (32, 32, 3), 10)
        assert cost.parameters / 1e6 == pytest.approx(millions, abs=0.006)


def test_a_narrow_network_has_the_channels_that_its_factor_says():
    # WRN-10-0.25, widths 4, 8, 16: stem 27*4; groups of one block, each two 3x3 convolutions, two
    # BatchNorms and (the last two) a 1x1 shortcut; BatchNorm and head of 16.
    groups = 2 * 9 * 4 * 4 + 4 * 4, 9 * 4 * 8 + 9 * 8 * 8 + 4 * 8, 9 * 8 * 16 + 9 * 16 * 16 + 8 * 16
    norms = 2 * (4 + 4 + 4 + 8 + 8 + 16 + 16)
    expected = 27 * 4 + (groups[0] - 16) + groups[1] + groups[2] + norms + 16 * 10 + 10
    assert model_cost("wrn-10-0.25", (16, 16, 3), 10).parameters == expected


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("wrn-28-10", 5_200),
        ("resnet-20", 41),
        ("resnet-56", 126),
        ("resnet-110", 253),
        ("densenet-bc-100-12", 290),
    ],
)
def test_multiply_adds_are_the_published_ones(name, millions):
    assert model_cost(name, (32, 32, 3), 10).macs / 1e6 == pytest.approx(millions, rel=0.01)


@pytest.mark.parametrize(("depth", "convolutions", "millions"), [(16, 3, 313), (19, 4, 398)])
def test_a_vgg_has_the_published_multiply_adds_but_for_a_pooling(depth, convolutions, millions):
    """Published (0.31 and 0.40 thousand million) with one pooling more, before the last stage.

    That stage then has 2x2 positions and not 4x4.
    """
    more = convolutions * 9 * 512 * 512 * (4 * 4 - 2 * 2)
    macs = model_cost(f"vgg-{depth}", (32, 32, 3), 10).macs - more
    assert macs / 1e6 == pytest.approx(millions, abs=0.5)


def test_the_smallest_student_is_counted_exactly():
    # Convolutions 72 + 576 + 576, BatchNorm 3 x 16, head 8 x 10 + 10; positions 64, 16, 4.
    macs = 72 * 64 + 576 * 16 + 576 * 4 + 80
    assert model_cost("plain-8-8-8", (8, 8, 1), 10) == Cost(1362, macs)


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [
        ("plain-8-16-32", (8, 8, 1), 10),
        ("plain-5-7", (9, 13, 3), 4),
        ("wrn-16-2", (16, 16, 3), 100),
        ("wrn-10-1", (64, 64, 3), 7),
        ("resnet-8x3", (9, 14, 3), 10),
        ("resnet-20", (32, 32, 3), 10),
        ("densenet-bc-16-5", (13, 9, 1), 10),
        ("densenet-bc-40-12", (32, 32, 3), 10),
        ("vgg-8", (28, 20, 3), 10),
        ("vgg-11", (64, 64, 3), 7),
    ],
)
def test_multiply_adds_are_half_of_what_torch_counts(name, shape, classes):
    height, width, channels = shape
    model = build_model(name, shape, classes, seed=0).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, channels, height, width))
    zeros = -model.get_submodule("head").in_features % 4 * classes  # see models/head.py
    assert (model_cost(name, shape, classes).macs + zeros) * 2 == counter.get_total_flops()


def test_the_cost_is_counted_once_and_unknown_names_are_refused():
    assert model_cost("wrn-10-1", (8, 8, 1), 10) is model_cost("wrn-10-1", (8, 8, 1), 10)
    with pytest.raises(UserError):
        model_cost("resnet", (8, 8, 1), 10)
    with pytest.raises(UserError, match="at least 8"):
        model_cost("vgg-8", (4, 4, 1), 10)
