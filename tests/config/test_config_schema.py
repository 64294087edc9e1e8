"""Strictness: what is no study is refused, the key named, the nearest right key given."""

from __future__ import annotations

import json

import pytest

from tutelage.config.load import validate
from tutelage.config.schema import DataConfig, StudyConfig
from tutelage.errors import UserError


def put(parts, path, value):
    """`parts` with `value` at the dotted `path`; missing parents are made."""
    *parents, last = path.split(".")
    here = parts
    for key in parents:
        here = here.setdefault(key, {})
    here[last] = value
    return parts


def message(parts):
    with pytest.raises(UserError) as caught:
        validate(parts)
    return str(caught.value)


def test_the_small_study_is_valid(parts):
    assert validate(parts).replicates.count == 2


@pytest.mark.parametrize(
    ("path", "right"),
    [
        ("questions", "question"),
        ("data.sorce", "source"),
        ("recipe.epoch", "epochs"),
        ("recipe.optimizer.sgd.momentun", "momentum"),
        ("recipe.schedule.step", "steps"),
        ("student.modle", "model"),
        ("teachers.small.stpo", "stop"),
        ("teachers.early.stop.compresed", "compressed"),
        ("teachers.small.scale.entropy_off", "entropy_of"),
        ("conditions.kd.distil_until", "distill_until"),
        ("conditions.kd.loss.kd.temprature", "temperature"),
        ("conditions.kd.after.ce_wieght", "ce_weight"),
        ("replicates.student", "students"),
        ("claims.primry", "primary"),
        ("claims.primary.p.margn", "margin"),
        ("extend", "extends"),
        ("scale", "scales"),
    ],
)
def test_a_misspelt_key_is_named_with_the_nearest_right_one(parts, path, right):
    put(parts, path, 1)
    assert f"{path}: unknown key; did you mean '{right}'?" in message(parts)


def test_a_key_like_no_other_gets_the_list_of_those_that_exist(parts):
    put(parts, "student.xyzzy", 1)
    assert "student.xyzzy: unknown key; known: model" in message(parts)


@pytest.mark.parametrize("path", ["name", "data", "student", "data.source", "student.model"])
def test_a_missing_key_is_named(parts, path):
    *parents, last = path.split(".")
    here = parts
    for key in parents:
        here = here[key]
    del here[last]
    assert f"{path}: is missing" in message(parts)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        # No type is turned into another.
        ("name", 7),
        ("recipe.epochs", 10.0),
        ("recipe.epochs", "10"),
        ("recipe.epochs", True),
        ("recipe.batch_size", 32.5),
        ("recipe.optimizer.sgd.lr", "0.1"),
        ("recipe.optimizer.sgd.nesterov", 1),
        ("recipe.optimizer.sgd.nesterov", "yes"),
        ("recipe.schedule.cosine", False),
        ("recipe.schedule.steps", 0.5),
        ("recipe.precision", "fp16"),
        ("data.train", 100.0),
        ("data.path", 5),
        ("data.source", None),
        ("data", "digits"),
        ("student", "plain-8"),
        ("teachers", ["large"]),
        ("teachers.early.stop.best_validation", False),
        ("replicates.vary", "teacher"),
        ("replicates.vary", ["student"]),
        ("conditions.kd.teacher", 3),
        ("conditions.kd.decay", "cosine"),
        ("claims.primary.p.difference", "kd/early"),
        # Out of range.
        ("recipe.epochs", 0),
        ("recipe.batch_size", 0),
        ("recipe.warmup", -1),
        ("recipe.warmup", 1.5),
        ("recipe.clip_norm", 0.0),
        ("recipe.label_smoothing", 1.0),
        ("recipe.optimizer.sgd.lr", 0.0),
        ("recipe.optimizer.sgd.momentum", 1.0),
        ("recipe.optimizer.sgd.weight_decay", -1e-4),
        ("recipe.optimizer.adamw.beta2", 1.0),
        ("recipe.schedule.factor", 0.0),
        ("recipe.schedule.factor", 1.5),
        ("recipe.schedule.steps", [1.2]),
        ("recipe.schedule.steps", [-1]),
        ("recipe.schedule.mode", "60-200"),
        ("recipe.schedule.mode", "0/200"),
        ("data.train", 0),
        ("data.size", 3),
        ("data.label_noise", 1.0),
        ("data.label_noise", -0.1),
        ("seed", -1),
        ("replicates.count", 0),
        ("replicates.students", 0),
        ("teachers.early.stop.compressed", 0.0),
        ("teachers.early.stop.compressed", 2),
        ("teachers.early.stop.truncated", 1.5),
        ("teachers.early.stop.truncated", -1),
        ("conditions.kd.loss.kd.temperature", 0.0),
        ("conditions.kd.ce_weight", -0.1),
        ("conditions.kd.distill_until", 1.5),
        ("conditions.kd.teacher", []),
        ("claims.primary.p.margin", 0.0),
        ("claims.primary.p.difference", ["kd/early"]),
        # Names.
        ("name", ""),
        ("name", "a/b"),
        ("name", "../up"),
        ("name", "line\n"),
        ("name", "x" * 81),
        # Numbers that are none.
        ("recipe.optimizer.sgd.lr", float("nan")),
        ("recipe.optimizer.sgd.lr", float("inf")),
        ("recipe.optimizer.sgd.momentum", float("nan")),
        ("recipe.optimizer.sgd.weight_decay", float("inf")),
        ("recipe.schedule.factor", float("nan")),
        ("recipe.warmup", float("nan")),
        ("data.label_noise", float("nan")),
        ("conditions.kd.loss.kd.temperature", float("inf")),
        ("conditions.kd.ce_weight", float("nan")),
        ("claims.primary.p.margin", float("inf")),
    ],
)
def test_a_wrong_value_is_refused_where_it_stands(parts, path, value):
    assert f"{path.split('.')[0]}" in (text := message(put(parts, path, value)))
    # A list's own element is named one deeper; a model's rule at the model.
    assert path in text or path.rpartition(".")[0] in text


@pytest.mark.parametrize("name", ["a/b", "", ".hidden", "with space", "ü"])
def test_names_of_teachers_and_conditions_are_plain_words(parts, name):
    assert "pattern" in message(put(parts, "teachers", {name: {"model": "plain-4"}}))


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("recipe.optimizer", {}, "exactly one of sgd, adamw; found none"),
        ("recipe.optimizer", {"sgd": {}, "adamw": {}}, "found sgd and adamw"),
        ("recipe.schedule", {"steps": [1], "cosine": True}, "one of steps, mode, cosine"),
        ("recipe.schedule", {"steps": [1], "mode": "1/3"}, "one of steps, mode, cosine"),
        ("teachers.early.stop", {}, "exactly one of"),
        ("teachers.early.stop", {"truncated": 1, "best_validation": True}, "exactly one of"),
        ("teachers.early.scale", {"calibrated": True, "entropy_of": "large"}, "exactly one of"),
        ("teachers.early.scale", {"calibrated": True, "temperature": 2.0}, "no temperature"),
        ("teachers.early", {"stop": "best_validation"}, "exactly one of model, of"),
        ("teachers.early", {"model": "plain-4", "of": "large"}, "exactly one of model, of"),
        ("teachers.early", {"of": "large"}, "needs a stop, a scale or cross_fit"),
        ("conditions.kd.loss", {}, "exactly one of kd"),
        ("claims.primary.p", {"margin": 1.0}, "exactly one of difference"),
    ],
)
def test_what_contradicts_itself_is_refused(parts, path, value, words):
    assert words in message(put(parts, path, value))


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        ({"difference": ["a", "b"]}, "needs direction less or greater"),
        ({"difference": ["a", "b"], "direction": "increasing"}, "needs direction less or greater"),
        ({"trend": {"within": "kd"}}, "needs direction increasing or decreasing"),
        ({"trend": {"within": "kd"}, "direction": "less"}, "increasing or decreasing"),
        ({"non_inferiority": ["a", "b"], "direction": "less"}, "takes no direction"),
        ({"equivalence": ["a", "b"], "direction": "less"}, "takes no direction"),
        ({"equivalence": ["a", "a"]}, "compares a with itself"),
        (
            {"trend": {"within": "kd"}, "direction": "increasing", "metric": "test_nll"},
            "names its metric as trend.of",
        ),
        ({"trend": {"within": ["a"]}, "direction": "increasing"}, "at least 2"),
        ({"difference": ["a", "b"], "equivalence": ["a", "b"]}, "exactly one of"),
    ],
)
def test_a_claim_says_one_thing_and_all_of_it(parts, claim, words):
    assert words in message(put(parts, "claims", {"primary": {"p": {"margin": 1.0, **claim}}}))


def test_only_a_best_takes_no_margin(parts):
    claims = {"primary": {"p": {"equivalence": ["a", "b"]}}}
    text = message(put(parts, "claims", claims))
    assert "equivalence needs a margin, the smallest effect of interest" in text
    best = {"primary": {"p": {"best": {"of": "kd"}, "margin": 1.0}}}
    assert "best takes no margin" in message(put(parts, "claims", best))
    best = {"primary": {"p": {"best": {"of": "kd"}, "direction": "less"}}}
    assert "best takes no direction" in message(put(parts, "claims", best))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"prediction": {"by": "teacher_eror", "of": "kd"}}, "teacher_error"),
        ({"prediction": {"by": "teacher_error", "of": ["a", "b"]}}, "at least 3"),
        ({"prediction": {"by": "teacher_error"}}, "of"),
        ({"prediction": {"by": "teacher_error", "of": "kd", "better": "best"}}, "less"),
        ({"margin": None}, "prediction needs a margin"),
        ({"direction": "less"}, "prediction takes no direction"),
        ({"metric": "test_nll"}, "a prediction is of the test error, and takes no metric"),
    ],
)
def test_what_a_prediction_must_say(parts, changed, words):
    right = {"prediction": {"by": "teacher_error", "of": "kd"}, "margin": 1.0}
    assert words in message(put(parts, "claims", {"primary": {"p": right | changed}}))


def test_there_is_one_primary_claim_at_most(parts):
    claims = parts["claims"]["primary"]
    claims["q"] = dict(claims["p"])
    assert "claims.primary" in message(parts)


def test_claims_that_are_only_looked_at(parts):
    ids = validate(parts).model_dump(exclude_none=True)
    assert "exploratory" not in ids["claims"]  # so the ids of studies without any stay
    claim = dict(parts["claims"]["primary"]["p"])
    found = validate(put(parts, "claims.exploratory", {"x": claim})).claims
    assert list(found.ranked()["exploratory"]) == ["x"]
    assert "two claims are called p" in message(put(parts, "claims.exploratory", {"p": claim}))


def test_several_problems_are_told_at_once_and_not_too_many(parts):
    parts |= {f"wrong{number}": 1 for number in range(10)}
    text = message(parts)
    assert text.count("unknown key") == 6
    assert text.endswith("... and 4 more")


@pytest.mark.parametrize(
    ("path", "short", "long"),
    [
        ("recipe", "paper-cifar10", {"extends": "paper-cifar10"}),
        ("teachers.early.stop", "best_validation", {"best_validation": True}),
        ("teachers.early.scale", "calibrated", {"calibrated": True}),
    ],
)
def test_one_word_stands_for_its_key(parts, path, short, long):
    one = validate(put(parts, path, short))
    assert one == validate(put(parts, path, long))


def test_whole_numbers_are_taken_for_real_ones_but_stay_apart_in_durations(parts):
    put(parts, "recipe.clip_norm", 1)
    parts["conditions"]["kd"]["distill_until"] = 1
    one = validate(parts)
    assert isinstance(one.conditions["kd"].distill_until, int)
    parts["conditions"]["kd"]["distill_until"] = 1.0
    assert isinstance(validate(parts).conditions["kd"].distill_until, float)


def test_a_study_survives_json(parts):
    put(parts, "conditions.kd.distill_until", 1.0)
    put(parts, "conditions.eskd.distill_until", 1)
    config = validate(parts)
    form = json.loads(json.dumps(config.model_dump(mode="json", exclude_none=True)))
    assert validate(form) == config
    assert type(validate(form).conditions["kd"].distill_until) is float
    assert type(validate(form).conditions["eskd"].distill_until) is int


def test_a_config_cannot_be_changed(parts):
    with pytest.raises(ValueError, match="frozen"):
        validate(parts).name = "other"


def test_every_field_of_the_data_is_described():
    assert all(field.description for field in DataConfig.model_fields.values())


def test_defaults_are_those_of_the_design():
    study = validate({"name": "s", "data": {"source": "digits"}, "student": {"model": "plain-4"}})
    assert (study.replicates.count, study.replicates.students, study.seed) == (6, 3, 0)
    assert study.replicates.vary == ["split", "noise", "teacher"]
    assert isinstance(study, StudyConfig)
