"""Thousands of generated study files: each is valid, plans and has an identity, or is refused.

Refused means a UserError of a few lines that names the file or the key; nothing else may come.
Examples are the same on every machine. TUTELAGE_FUZZ=5000 takes other ones, 5000 for each test.
"""

from __future__ import annotations

import copy
import json
import os
import types
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
import yaml
from annotated_types import Ge, Gt, Le, Lt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tutelage.config.canonical import digest
from tutelage.config.expand import expand
from tutelage.config.load import builtin_studies, load_study, validate
from tutelage.config.schema import StudyConfig
from tutelage.errors import UserError
from tutelage.study.checks import check_names
from tutelage.study.plan import make_plan

MOST_LINES = 12
MOST_EPOCHS = 3000  # of a plan that is made here


def examples(count):
    """Settings for a test of `count` examples."""
    more = os.environ.get("TUTELAGE_FUZZ")
    return settings(
        max_examples=int(more) if more else count, derandomize=not more, database=None,
        deadline=None, suppress_health_check=list(HealthCheck),
    )  # fmt: skip


# --- what must hold of every example -------------------------------------------------------------


def outcome(make, *names):
    """`make()`, or None when it raises a UserError that is one short message.

    The message names a key, an option or one of `names`.
    """
    try:
        return make()
    except UserError as error:
        refusal = error
    text = str(refusal)
    assert text.strip()
    assert "Traceback" not in text
    assert len(text.splitlines()) <= MOST_LINES, text
    assert refusal.where or any(name in text for name in ("--set", *names)), text
    return None


def check(make, *names):
    """`make` gives a study that can be planned, or it is refused. Returns the study or None."""
    config = outcome(make, *names)
    found = config and outcome(lambda: expand(config))
    if not config or not found or outcome(lambda: check_names(config, found) or True) is None:
        return None
    # What is valid stays what it is in a manifest, and has an identity.
    form = config.model_dump(mode="json", exclude_none=True)
    again = validate(json.loads(json.dumps(form)))
    assert again == config
    assert expand(again) == found
    assert digest(form) == digest(again.model_dump(mode="json", exclude_none=True))
    plan_of(config, found)
    return config


def plan_of(config, found):
    """Makes the plan where it is small, and checks it."""
    trainings = [*found.trainings.values(), *found.conditions.values()]
    assert any(training.teacher is None for training in found.conditions.values())
    counts = config.replicates
    epochs = sum(training.recipe.epochs for training in trainings)
    if epochs * counts.count * counts.students > MOST_EPOCHS:
        return
    for training in trainings:
        steps = training.steps("teacher" if training.teacher else None)
        assert len(steps) == training.recipe.epochs
        assert all(step.lr > 0 and step.ce_weight + step.kd_weight > 0 for step in steps)
        assert training.teacher or not any(step.distils for step in steps)
    plan = make_plan(config, found, [f"data {r}" for r in range(counts.count)], "cpu")
    students = counts.count * counts.students * len(found.conditions)
    assert len(plan.nodes) == counts.count * len(found.trainings) + students
    seen = set()
    for key, node in plan.nodes.items():
        assert set(node.needs) <= seen
        assert 0 <= node.shared <= node.training.recipe.epochs
        seen.add(key)


# --- studies made from the models ----------------------------------------------------------------

NAMES = ["small", "large", "early", "kd", "kd/large", "eskd", "scratch"]
WORDS = {
    "model": ["plain-4", "plain-8-8", "wrn-10-1", "resnet-8", "plain-0", "wrn-11-1", "", "Plain-4"],
    "source": ["digits", "files", "cifar10", "digit", ""],
    "views": ["none", "flip", "shift-1", "crop-2-flip", "crop-0", "shift-1-shift-1", ""],
    "metric": ["test_error", "val_error", "train_kl_shape", "test_kl_t4", "error", ""],
    "of": ["large", "early", "small", "train_kl_shape", "test_error"],
    "extends": ["kd", "scratch", "paper-cifar10", "nothing"],
    "name": ["tiny", "a" * 80, "a" * 81, "../up", "é", "x y", ""],
    "mode": ["2/10", "1/4", "4/4", "5/3", "0/3", "1/0", "3", "01/4", "١/٤"],
}
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5),
    st.sampled_from([0, -1, 1.0, 2**63, 10**30, -0.0, 5e-324, 1.7e308, "1", "null", "???", "${x}"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from(["", "a", "epochs", "sgd"]), st.integers(), max_size=2),
)  # fmt: skip


def values(annotation, name="", limits=()):  # noqa: PLR0911 - one line a kind
    """A strategy of values that fit an annotation of a study's models, or nearly do."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inside = [x.metadata if isinstance(x, FieldInfo) else [x] for x in arguments[1:]]
        return values(arguments[0], name, (*limits, *(item for part in inside for item in part)))
    if origin in (Union, types.UnionType):
        return st.one_of(*(values(argument, name, limits) for argument in arguments))
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is list:
        return st.lists(values(arguments[0], name), min_size=1, max_size=3)
    if origin is dict:
        return st.dictionaries(st.sampled_from(NAMES[:4]), values(arguments[1], name), max_size=3)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return parts(annotation)
    if annotation is str:
        return st.sampled_from(WORDS.get(name, NAMES))
    plain = {bool: st.booleans(), int: numbers(limits, 1), float: numbers(limits, 0.125)}
    return plain.get(annotation, st.none() if annotation is types.NoneType else ODD)


def numbers(limits, step):
    """Small numbers, the bounds in `limits`, and what lies just beyond them."""
    found = [step, 2 * step, 4 * step, type(step)(1), type(step)(2), type(step)(3)]
    for limit in limits:
        for kind, field in ((Ge, "ge"), (Gt, "gt"), (Le, "le"), (Lt, "lt")):
            if isinstance(limit, kind):
                bound = type(step)(getattr(limit, field))
                found += [bound, bound - step, bound + step]
    return st.sampled_from(found)


@cache
def parts(model):
    """A strategy of mappings for a model: what is required, a few other keys, seldom a mistake."""
    fields = {
        name: values(field.annotation, name, tuple(field.metadata))
        for name, field in model.model_fields.items()
    }
    needed = [name for name, field in model.model_fields.items() if field.is_required()]
    others = [name for name in fields if name not in needed]

    @st.composite
    def mapping(draw):
        few = st.lists(st.sampled_from(others), max_size=3, unique=True) if others else st.just([])
        made = {name: draw(fields[name]) for name in (*needed, *draw(few))}
        if made and draw(st.integers(0, 24)) == 0:
            name = draw(st.sampled_from(sorted(made)))
            mistake = draw(st.sampled_from(["odd", "odd", "typo", "gone"]))
            if mistake == "odd":
                made[name] = draw(ODD)
            else:
                value = made.pop(name)
                if mistake == "typo":
                    made[name[:-1] or "x"] = value
        return made

    return mapping()


@st.composite
def studies(draw):
    """A study from the models, most of it small enough to be planned."""
    study = draw(parts(StudyConfig))
    if draw(st.integers(0, 3)):
        study |= {"name": "tiny", "student": {"model": "plain-4"}, "data": {"source": "digits"}}
        recipe = study.get("recipe")
        study["recipe"] = {"epochs": 4} | (recipe if isinstance(recipe, dict) else {})
        teachers = study.get("teachers")
        mine = teachers if isinstance(teachers, dict) else {}
        study["teachers"] = {"large": {"model": "plain-8"}, **mine}
    return study


PLANNED = []


@examples(900)
@given(studies())
def test_a_study_made_from_the_models_is_valid_or_refused(study):
    PLANNED.append(check(lambda: validate(study, source="tiny.yaml"), "tiny.yaml") is not None)


def test_enough_of_those_studies_were_valid():
    if not PLANNED:
        pytest.skip("the test above was not run")
    assert 0.05 < sum(PLANNED) / len(PLANNED) < 0.95, f"{sum(PLANNED)} of {len(PLANNED)}"


# --- the built-in studies, changed ---------------------------------------------------------------

BUILTIN = [
    load_study(name).model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    for name in sorted(builtin_studies())
]


def places(value, path=()):
    """Every path into nested mappings and lists."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in inner:
        yield (*path, key)
        if isinstance(item, (dict, list)):
            yield from places(item, (*path, key))


PLACES = [list(places(study)) for study in BUILTIN]
MORE = (
    "extends scales warmup mode cosine adamw 2/10 after calibrated best_validation entropy_of "
    "paper-cifar10 equivalence plain-8"
)
KEYS = sorted({str(key) for found in PLACES for path in found for key in path} | set(MORE.split()))
CHANGES = st.recursive(
    st.sampled_from(KEYS) | ODD | st.integers(0, 130) | st.floats(0, 1),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)
    ),
    max_leaves=4,
)


@st.composite
def mutants(draw):
    """A built-in study with one to four places removed, replaced, renamed or copied."""
    number = draw(st.integers(0, len(BUILTIN) - 1))
    study = copy.deepcopy(BUILTIN[number])
    for _ in range(draw(st.integers(1, 4))):
        *parents, last = draw(st.sampled_from(PLACES[number]))
        here: Any = study
        try:
            for key in parents:
                here = here[key]
            here[last]
        except (KeyError, IndexError, TypeError):
            continue  # an earlier mutation took it away
        if isinstance(here, str):
            continue
        action = draw(st.sampled_from(["remove", "replace", "replace", "rename", "copy"]))
        if action == "remove":
            del here[last]
        elif action == "replace":
            here[last] = draw(CHANGES)
        elif action == "rename" and isinstance(here, dict):
            here[draw(st.sampled_from(KEYS) | st.text(max_size=3))] = here.pop(last)
        elif action == "copy":
            source: Any = BUILTIN[number]
            for key in draw(st.sampled_from(PLACES[number])):
                source = source[key]
            here[last] = copy.deepcopy(source)
    return study


@examples(500)
@given(mutants())
def test_a_changed_study_is_valid_or_refused(study):
    check(lambda: validate(study, source="tiny.yaml"), "tiny.yaml")


# --- files ---------------------------------------------------------------------------------------

MARKS = [*"{}[]:,-&*!|>'\"%@`#?\n\t 0.", "<<: ", "${", "!!", "---\n", "...\n", ": ", "- ", "\0",
         "é", "\u2028", "\ufeff", "\r", "\\"]  # fmt: skip
SCALARS = [
    "0x1F", "0o17", "017", "0b11", "1_000", "2024-01-01", "2024-01-01T00:00:00Z", ".nan", "-.inf",
    "1e400", "1e-400", "~", "yes", "off", "NO", "1:30", "9" * 400, "9" * 5000, "-0", "+1", "1.",
    ".5", "!!binary aGk=", "!!float 1", "!!int '3'", "!!str 3", "!!set {a}", "!x 1", "&a 1", "*a",
    "!!timestamp 2024-01-01", "!!python/name:os.system", "&a [*a]", "? a", "|\n  a", ">-\n  a",
    "'", '"', "{a: {b: {c: {}}}}", "[" * 30 + "]" * 30, "<<", "=", "null", "'null'", '"\\x00"',
    '"\\ud800"', "١٢", "\u00a0", "é: 1", "${seed}", "${oc.env:HOME}", "${", "???", "a: b",
    "!!bool maybe", "!!int ''", "!!int x", "!!float x", "!!timestamp x", "!!binary é", "!!omap x",
    "!!pairs [x]", "!!null x", "!!merge x", "!!seq x", "!!map x", "!!value x",
    "[1, 2", "{a: 1, a: 2}", "{1: 2}", "{true: 2}", "{null: 2}", "{[1]: 2}", "{1.5: 2}",
]  # fmt: skip
ACTIONS = ["mark", "mark", "value", "value", "twice", "indent", "move"]
TEXTS = [path.read_text(encoding="utf-8") for _, path in sorted(builtin_studies().items())]
TEXTS += [yaml.safe_dump(study, sort_keys=False, default_flow_style=None) for study in BUILTIN]


@st.composite
def texts(draw):
    """The text of a built-in study with marks, odd values, or lines that come twice."""
    text = draw(st.sampled_from(TEXTS))
    for _ in range(draw(st.integers(1, 3))):
        lines = text.split("\n")
        number = draw(st.integers(0, len(lines) - 1))
        action = draw(st.sampled_from(ACTIONS))
        if action == "mark":
            at, cut = draw(st.integers(0, len(text))), draw(st.integers(0, 6))
            text = text[:at] + draw(st.sampled_from(MARKS)) + text[at + cut :]
            continue
        if action == "value" and ":" in lines[number]:
            key = lines[number].split(":")[0]
            lines[number] = f"{key}: {draw(st.sampled_from(SCALARS))}"
        elif action == "twice":
            lines.insert(number, lines[number])
        elif action == "indent":
            lines[number] = draw(st.sampled_from(["\t", " ", "    "])) + lines[number]
        elif action == "move":
            lines.insert(draw(st.integers(0, len(lines))), lines.pop(number))
        text = "\n".join(lines)
    return text


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Where the generated files go, one after the other."""
    return tmp_path_factory.mktemp("fuzz") / "study.yaml"


@examples(500)
@given(texts())
def test_a_changed_file_is_valid_or_refused(path, text):
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    config = check(lambda: load_study(str(path)), str(path))
    if config is not None:  # written down in full it is the same study
        form = config.model_dump(mode="json", exclude_none=True)
        path.write_text(json.dumps(form), encoding="utf-8")
        assert load_study(str(path)) == config


@examples(100)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace")))
def test_a_file_of_anything_is_refused(path, data):
    path.write_bytes(data)
    assert check(lambda: load_study(str(path)), str(path)) is None


OVERRIDES = ["", *(".".join(map(str, place)) for place in PLACES[1])]


@examples(200)
@given(
    st.sampled_from(OVERRIDES) | st.text(max_size=6),
    st.sampled_from(SCALARS) | st.text(max_size=8) | st.sampled_from(KEYS),
)
def test_a_changed_key_is_taken_or_refused(key, value):
    check(lambda: load_study("demo", overrides=[f"{key}={value}"]), "study 'demo'")
