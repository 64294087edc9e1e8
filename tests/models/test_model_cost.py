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
    ],
)
def test_parameters_are_the_published_ones(name, millions, exact):
    parameters = model_cost(name, (32, 32, 3), 10).parameters
    decimals = len(str(millions).split(".")[1])
    assert round(parameters / 1e6, decimals) == millions
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


def test_wrn_28_10_has_the_published_multiply_adds():
    assert model_cost("wrn-28-10", (32, 32, 3), 10).macs / 1e9 == pytest.approx(5.2, abs=0.05)


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
    ],
)
def test_multiply_adds_are_half_of_what_torch_counts(name, shape, classes):
    height, width, channels = shape
    model = build_model(name, shape, classes, seed=0).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, channels, height, width))
    assert model_cost(name, shape, classes).macs * 2 == counter.get_total_flops()


def test_the_cost_is_counted_once_and_unknown_names_are_refused():
    assert model_cost("wrn-10-1", (8, 8, 1), 10) is model_cost("wrn-10-1", (8, 8, 1), 10)
    with pytest.raises(UserError):
        model_cost("resnet", (8, 8, 1), 10)
