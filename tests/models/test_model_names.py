"""Names of models: what is accepted, and what a user is told otherwise."""

import subprocess
import sys

import pytest

from tutelage.errors import UserError
from tutelage.models.catalog import FAMILIES, ModelName, parse_model


@pytest.mark.parametrize(
    ("name", "family", "numbers"),
    [
        ("plain-8-8-8", "plain", (8, 8, 8)),
        ("plain-4", "plain", (4,)),
        ("wrn-16-1", "wrn", (16, 1)),
        ("wrn-10-2", "wrn", (10, 2)),
        ("wrn-250-1", "wrn", (250, 1)),
        ("wrn-10-0.25", "wrn", (10, 0.25)),
    ],
)
def test_a_name_and_its_parts(name, family, numbers):
    assert parse_model(name) == ModelName(family, numbers)
    assert parse_model(name).canonical == name


def test_capitals_do_not_matter():
    assert parse_model("WRN-16-1").canonical == "wrn-16-1"


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
    ],
)
def test_a_wrong_name_is_explained(name, words):
    with pytest.raises(UserError) as caught:
        parse_model(name, where="student.model")
    assert str(caught.value).startswith("student.model: ")
    for word in words:
        assert word in str(caught.value)


def test_every_family_describes_itself_by_an_example():
    for family, text in FAMILIES.items():
        example = text.rsplit(" ", 1)[1]
        assert parse_model(example).family == family


def test_reading_names_needs_no_torch():
    code = "import sys, tutelage.models.catalog; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
