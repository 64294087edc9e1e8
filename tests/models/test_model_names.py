"""Names of models: what is accepted, and what a user is told otherwise."""

import re
import subprocess
import sys

import pytest

from tutelage.errors import UserError
from tutelage.models.catalog import FAMILIES, ModelName, check_shape, parse_model


@pytest.mark.parametrize(
    ("name", "family", "numbers"),
    [
        ("plain-8-8-8", "plain", (8, 8, 8)),
        ("plain-4", "plain", (4,)),
        ("wrn-16-1", "wrn", (16, 1)),
        ("wrn-10-2", "wrn", (10, 2)),
        ("wrn-250-1", "wrn", (250, 1)),
        ("wrn-10-0.25", "wrn", (10, 0.25)),
        ("resnet-8", "resnet", (8, 1)),
        ("resnet-110", "resnet", (110, 1)),
        ("resnet-1202", "resnet", (1202, 1)),
        ("resnet-8x4", "resnet", (8, 4)),
        ("resnet-32x10", "resnet", (32, 10)),
        ("densenet-bc-40-12", "densenet-bc", (40, 12)),
        ("densenet-bc-190-40", "densenet-bc", (190, 40)),
        ("vgg-8", "vgg", (8,)),
        ("vgg-19", "vgg", (19,)),
    ],
)
def test_a_name_and_its_parts(name, family, numbers):
    assert parse_model(name) == ModelName(family, numbers)
    assert parse_model(name).canonical == name


@pytest.mark.parametrize(
    ("canonical", "spellings"),
    [
        ("wrn-16-1", ["WRN-16-1", " wrn-16-1 ", "wrn16-1", "wrn_16_1", "WideResNet-16-1"]),
        ("wrn-16-1", ["wide-resnet-16-1", "wide_resnet16_1"]),
        ("wrn-10-0.5", ["WRN_10_0.5"]),
        ("plain-8-8", ["plain8-8", "Plain_8_8"]),
        ("resnet-20", ["resnet20", "ResNet-20", "RESNET_20", "resnet-20x1", "resnet-20-1"]),
        ("resnet-8x4", ["resnet8x4", "ResNet8X4", "resnet-8-4", "resnet_8_4", "resnet8-4"]),
        ("densenet-bc-40-12", ["DenseNet-BC-40-12", "densenet_bc_40_12"]),
        ("vgg-13", ["vgg13", "VGG-13", "vgg_13"]),
    ],
)
def test_many_spellings_are_one_name(canonical, spellings):
    for spelling in spellings:
        assert parse_model(spelling).canonical == canonical
        assert parse_model(spelling) == parse_model(canonical)


@pytest.mark.parametrize("depth", [10, 16, 22, 28, 34, 40, 52, 64, 76, 88, 100, 154, 250])
def test_every_depth_of_the_paper_is_possible(depth):
    assert parse_model(f"wrn-{depth}-1").numbers == (depth, 1)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("wrn-18-1", ["6n + 4", "not 18", "wrn-16-1", "wrn-22-1"]),
        ("wrn-4-2", ["not 4", "wrn-10-2"]),
        ("wrn-16", ["depth and a widening factor"]),
        ("wrn-16-1-1", ["depth and a widening factor"]),
        ("wnr-16-1", ["unknown model 'wnr-16-1'", "wrn-16-2"]),
        ("plian-8-8", ["unknown model 'plian-8-8'", "plain-8-8-8"]),
        ("plain", ["whole numbers"]),
        ("plain-", ["whole numbers"]),
        ("plain-8-0", ["whole numbers"]),
        ("plain-8-0.5", ["whole numbers"]),
        ("wrn-10-0.3", ["whole numbers"]),
        ("wrn-0.5-1", ["whole numbers"]),
        ("plain-8-x", ["whole numbers"]),
        ("plain--8", ["whole numbers"]),
        ("plain-08", ["whole numbers"]),
        ("plain-99999", ["1 to 9999"]),
        ("", ["unknown model ''", "Known"]),
        ("resnt-20", ["unknown model 'resnt-20'", "Did you mean one like 'resnet-8x4'"]),
        ("vvg8", ["unknown model 'vvg8'", "Did you mean one like 'vgg-8'"]),
        ("densenet-40-12", ["Did you mean one like 'densenet-bc-40-12'"]),
        ("densent-bc-40-12", ["Did you mean one like 'densenet-bc-40-12'"]),
        ("resnet", ["after 'resnet-' come whole numbers"]),
        ("resnet8x", ["whole numbers"]),
        ("resnet-8x0.5", ["whole numbers"]),
        ("resnet-8-4-2", ["a depth, and a widening factor", "resnet-8x4"]),
        ("resnet-22", ["6n + 2", "not 22", "nearest are resnet-20 and resnet-26"]),
        ("resnet-2x4", ["not 2", "nearest is resnet-8x4"]),
        ("resnet-18", ["ImageNet", "nearest are resnet-14 and resnet-20"]),
        ("resnet-50", ["ImageNet", "nearest are resnet-44 and resnet-56"]),
        ("densenet-bc-40", ["a depth and a growth rate", "densenet-bc-40-12"]),
        ("densenet-bc-39-12", ["6n + 4", "densenet-bc-34-12 and densenet-bc-40-12"]),
        ("densenet-bc-121-32", ["not 121", "densenet-bc-118-32 and densenet-bc-124-32"]),
        ("vgg-13-2", ["a depth alone", "vgg-8"]),
        ("vgg13_bn", ["whole numbers"]),
        ("vgg-12", ["8, 11, 13, 16 or 19", "not 12", "nearest are vgg-11 and vgg-13"]),
        ("vgg-20", ["nearest is vgg-19"]),
        ("wrn-9999-1", ["nearest is wrn-9994-1."]),
    ],
)
def test_a_wrong_name_is_explained(name, words):
    with pytest.raises(UserError) as caught:
        parse_model(name, where="student.model")
    assert str(caught.value).startswith("student.model: ")
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("name", ["resnet-22", "wrn-18-1", "densenet-bc-41-7", "vgg-10"])
def test_a_name_that_is_offered_instead_is_one(name):
    with pytest.raises(UserError) as caught:
        parse_model(name)
    offered = re.findall(r"[a-z-]+-\d[\dx-]*", caught.value.fix)
    assert len(offered) == 2
    assert [parse_model(other).canonical for other in offered] == offered


@pytest.mark.parametrize(
    ("name", "fits", "too_small"),
    [
        ("vgg-8", (8, 8, 1), (7, 32, 3)),
        ("VGG19", (64, 8, 3), (8, 4, 1)),
        ("densenet-bc-40-12", (4, 4, 1), (32, 3, 3)),
    ],
)
def test_images_too_small_for_a_network_are_refused(name, fits, too_small):
    check_shape(name, fits)
    with pytest.raises(UserError) as caught:
        check_shape(name, too_small, where="teachers.large.model")
    least = min(fits[:2])
    assert str(caught.value).startswith("teachers.large.model: ")
    for word in (parse_model(name).canonical, f"{too_small[0]}x{too_small[1]}", f"least {least}."):
        assert word in str(caught.value)


@pytest.mark.parametrize("name", ["plain-8-8-8-8-8", "resnet-20", "resnet-8x4", "wrn-10-0.25"])
def test_some_networks_take_images_of_every_size(name):
    check_shape(name, (1, 1, 1))


def test_the_shape_of_what_is_no_model_is_refused_too():
    with pytest.raises(UserError, match="unknown model"):
        check_shape("lenet-5", (32, 32, 3))


def test_every_family_describes_itself_by_an_example():
    for family, text in FAMILIES.items():
        example = text.rsplit(" ", 1)[1]
        assert parse_model(example).family == family


def test_reading_names_needs_no_torch():
    code = "import sys, tutelage.models.catalog; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
