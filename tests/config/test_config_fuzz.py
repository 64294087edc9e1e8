"""Random mutations of a valid study are valid too, or a UserError: never anything else."""

from __future__ import annotations

import copy
import json

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tutelage.config.canonical import digest
from tutelage.config.expand import expand
from tutelage.config.load import find_study, load_study, validate
from tutelage.errors import UserError

BASE = yaml.safe_load(find_study("demo").read_text(encoding="utf-8"))
# YAML 1.1 takes 5e-4 for a word, which the package's own reader does not.
BASE["recipe"]["optimizer"]["sgd"]["weight_decay"] = 5e-4
TEXT = yaml.safe_dump(BASE, sort_keys=False)

QUICK = settings(
    max_examples=150, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip


def places(value, path=()):
    """Every path into nested mappings and lists."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in inner:
        yield (*path, key)
        if isinstance(item, (dict, list)):
            yield from places(item, (*path, key))


PLACES = list(places(BASE))
MORE = (
    "extends scales warmup mode cosine adamw 2/10 after calibrated best_validation entropy_of "
    "paper-cifar10 equivalence plain-8"
)
WORDS = sorted({str(key) for path in PLACES for key in path} | set(MORE.split()) | {""})
JUNK = (
    st.sampled_from(WORDS)
    | st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=0, max_value=130)
    | st.floats()
    | st.floats(min_value=0, max_value=1)
    | st.text(max_size=4)
)
VALUES = st.recursive(
    JUNK,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3)
    ),
    max_leaves=4,
)


@st.composite
def mutants(draw):
    """The demo with one to four places removed, replaced, renamed, or copied to elsewhere."""
    study = copy.deepcopy(BASE)
    for _ in range(draw(st.integers(1, 4))):
        *parents, last = draw(st.sampled_from(PLACES))
        here = study
        try:
            for key in parents:
                here = here[key]
            here[last]
        except (KeyError, IndexError, TypeError):
            continue  # an earlier mutation took it away
        action = draw(st.sampled_from(["remove", "replace", "replace", "rename", "copy"]))
        if action == "remove":
            del here[last]
        elif action == "replace":
            here[last] = draw(VALUES)
        elif action == "rename" and isinstance(here, dict):
            here[draw(st.sampled_from(WORDS) | st.text(max_size=3))] = here.pop(last)
        elif action == "copy":
            source = BASE
            for key in draw(st.sampled_from(PLACES)):
                source = source[key]
            here[last] = copy.deepcopy(source)
    return study


def outcome(make):
    """`make()`, or None when it raises a UserError; nothing else may come."""
    try:
        return make()
    except UserError:
        return None


@QUICK
@given(mutants())
def test_a_mutated_study_is_valid_or_refused(study):
    config = outcome(lambda: validate(study))
    found = config and outcome(lambda: expand(config))
    if not found:
        return
    # What is valid stays what it is in a manifest, and has an identity.
    form = config.model_dump(mode="json", exclude_none=True)
    again = validate(json.loads(json.dumps(form)))
    assert expand(again) == found
    assert digest(form) == digest(again.model_dump(mode="json", exclude_none=True))
    for training in (*found.trainings.values(), *found.conditions.values()):
        if training.recipe.epochs > 10_000:
            continue
        steps = training.steps("teacher" if training.teacher else None)
        assert len(steps) == training.recipe.epochs
        assert all(step.lr > 0 and step.ce_weight + step.kd_weight > 0 for step in steps)
        assert training.teacher or not any(step.distils for step in steps)
    assert any(training.teacher is None for training in found.conditions.values())


MARKS = [*"{}[]:,-&*!|>'\"%@`#?\n\t 0.", "<<: ", "${", "!!", "---\n", ": ", "- ", "\0", "é"]


@QUICK
@given(st.data())
def test_a_mutated_file_is_valid_or_refused(tmp_path, data):
    text = TEXT
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 6))
        new = data.draw(st.sampled_from(MARKS) | st.text(max_size=3))
        text = text[:at] + new + text[at + cut :]
    path = tmp_path / "study.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    config = outcome(lambda: load_study(str(path)))
    if config:
        outcome(lambda: expand(config))


@settings(QUICK, max_examples=60)
@given(st.sampled_from(["", *(".".join(map(str, path)) for path in PLACES)]), st.text(max_size=8))
def test_a_mutated_override_is_taken_or_refused(key, value):
    config = outcome(lambda: load_study("demo", overrides=[f"{key}={value}"]))
    if config:
        outcome(lambda: expand(config))
