"""Claims never compare two precisions: students', their teachers', or what those rest on."""

from __future__ import annotations

import pytest

from tutelage.api import Study
from tutelage.config.expand import expand
from tutelage.config.load import validate
from tutelage.errors import UserError

BF16 = {"recipe": {"precision": "bf16"}}
TEACHERS = {
    "a": {"model": "plain-8-8"},
    "b": {"model": "plain-16-16"},
    "half": {"model": "plain-16-16", **BF16},
    "half-early": {"of": "half", "stop": {"compressed": 0.5}},
    "by-a": {"model": "plain-8-8", "teacher": "a"},
    "by-half": {"model": "plain-8-8", "teacher": "half"},
    "by-half-too": {"model": "plain-16-16", "teacher": "half"},
    "matched": {"of": "a", "scale": {"entropy_of": "b"}},
    "matched-half": {"of": "a", "scale": {"entropy_of": "half"}},
}
CONDITIONS = {
    "kd": {"teacher": list(TEACHERS)},
    "eskd": {"teacher": "half", "distill_until": 0.5},
    "short": {"teacher": ["a", "b", "half"], **BF16},
}


def claimed(parts, claim, **changes):
    claims = {"secondary": {"c": {"margin": 0.5, **claim}}}
    study = {"teachers": TEACHERS, "conditions": CONDITIONS, "claims": claims}
    return expand(validate(parts | study | changes))


def pair(kind, *names):
    return {kind: list(names)} | ({"direction": "less"} if kind == "difference" else {})


@pytest.mark.parametrize("kind", ["difference", "non_inferiority", "equivalence"])
@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("kd/a", "short/a"),
         "the student of kd/a is trained in fp32, that of short/a in bf16"),
        (("short/b", "scratch"),
         "the student of short/b is trained in bf16, that of scratch in fp32"),
        (("kd/half", "kd/b"),
         "the teacher of kd/half is trained in bf16, that of kd/b in fp32"),
        (("kd/half-early", "kd/b"),
         "the teacher of kd/half-early is trained in bf16, that of kd/b in fp32"),
        (("kd/by-a", "kd/by-half"),
         "the teacher of kd/by-a is trained in fp32, that of kd/by-half in fp32, resting on bf16"),
        (("kd/a", "kd/matched-half"),
         "the teacher of kd/a is trained in fp32, that of kd/matched-half in fp32, resting on "
         "bf16"),
    ],
)  # fmt: skip
def test_two_precisions_are_refused(parts, kind, names, words):
    with pytest.raises(UserError) as caught:
        claimed(parts, pair(kind, *names))
    assert caught.value.what == f"compares two precisions: {words}."
    assert caught.value.where == "claims.secondary.c"
    assert "recipe.precision" in str(caught.value.fix)


@pytest.mark.parametrize(
    "names",
    [
        ("kd/a", "kd/b"),
        ("short/a", "short/b"),
        ("kd/half", "scratch"),  # is anything gained by being taught?
        ("kd/half", "eskd"),
        ("kd/half", "kd/half-early"),
        ("kd/a", "kd/by-a"),
        ("kd/matched", "kd/b"),
        ("kd/by-half", "kd/by-half-too"),
    ],
)
def test_one_precision_is_taken(parts, names):
    assert "scratch" in claimed(parts, pair("equivalence", *names)).conditions


@pytest.mark.parametrize("within", ["short", ["short/a", "short/b", "short/half"]])
def test_a_trend_is_over_teachers_of_one_precision(parts, within):
    with pytest.raises(UserError, match=r"the teacher of short/a .* fp32, that of short/half in"):
        claimed(parts, {"trend": {"within": within}, "direction": "increasing"})
    claimed(parts, {"trend": {"within": ["short/a", "short/b"]}, "direction": "increasing"})


def test_a_study_in_bf16_throughout_is_taken(parts):
    recipe = parts["recipe"] | {"precision": "bf16"}
    whole = claimed(parts, pair("equivalence", "kd/a", "scratch"), recipe=recipe)
    assert {c.recipe.precision for c in whole.conditions.values()} == {"bf16"}


def test_conditions_that_no_claim_compares_may_differ(parts):
    names = claimed(parts, pair("equivalence", "kd/a", "kd/b")).conditions
    assert {"kd/a", "short/a"} <= set(names)


def test_a_study_is_refused_when_it_is_loaded(parts):
    parts["conditions"]["kd"]["recipe"] = {"precision": "bf16"}
    parts["claims"]["primary"]["p"]["difference"] = ["kd/early", "scratch"]
    with pytest.raises(UserError) as caught:
        Study(**parts)
    assert str(caught.value).startswith("claims.primary.p: compares two precisions: the student")
