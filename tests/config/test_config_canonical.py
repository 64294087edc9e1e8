"""The canonical form: values that mean the same have one form, others never the same."""

from __future__ import annotations

import json
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.config.canonical import canonical, derive_seed, digest

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (1, "1"),
        (1.0, "1"),
        (-0.0, "0"),
        (5e-4, "0.0005"),
        (0.1, "0.1"),
        (1e-7, "1e-07"),
        (1e300, "1e+300"),
        (2**70, "1180591620717411303424"),
        ("ü\n", '"\\u00fc\\n"'),
        ([1.0, (2, "x")], '[1,[2,"x"]]'),
        ({"b": 1, "a": {"d": 2.0, "c": None}}, '{"a":{"c":null,"d":2},"b":1}'),
        ({}, "{}"),
    ],
)
def test_the_form_of_a_value(value, text):
    assert canonical(value) == text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (1, 1.0),
        (5e-4, 0.0005),
        ([3.0], (3,)),
        ({"x": {"y": 0.5, "z": 10.0}}, {"x": {"z": 10, "y": 1 / 2}}),
    ],
)
def test_what_means_the_same_has_one_digest(one, other):
    assert digest(one) == digest(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (0, False),
        (0, None),
        (1, "1"),
        (None, "null"),
        ([], {}),
        ([1, 2], [2, 1]),
        ([[1], 2], [1, [2]]),
        (0.1, 0.1 + 2**-55),
        ({"a": None}, {}),
        ("a", "A"),
    ],
)
def test_what_means_something_else_has_another(one, other):
    assert digest(one) != digest(other)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_none_have_no_form(value):
    with pytest.raises(ValueError, match="no canonical form"):
        canonical({"a": [value]})


@pytest.mark.parametrize(
    "value", [{1: 2}, {None: 1}, {1, 2}, b"x", np.float32(1), np.int64(1), Decimal(1), object()]
)
def test_other_types_have_no_form(value):
    with pytest.raises(TypeError):
        canonical({"a": value})


@given(PLAIN)
def test_the_form_is_json_that_says_the_same_again(value):
    text = canonical(value)
    assert canonical(json.loads(text)) == text
    assert text.isascii()


@given(st.dictionaries(st.text(), PLAIN, min_size=2, max_size=5))
def test_the_order_of_keys_never_matters(value):
    assert canonical(dict(reversed(value.items()))) == canonical(value)


def test_seeds_are_pure_functions_of_their_path_and_all_different():
    paths = [(root, part, number) for root in range(3) for part in ("split", "noise", "teacher")
             for number in range(50)]  # fmt: skip
    seeds = [derive_seed(*path) for path in paths]
    assert seeds == [derive_seed(*path) for path in paths]
    assert len(set(seeds)) == len(paths)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert np.mean([seed > 2**62 for seed in seeds]) == pytest.approx(0.5, abs=0.1)
