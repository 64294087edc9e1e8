"""From YAML to a study: built-in names, scales, overrides, extension, and hostile files."""

from __future__ import annotations

import os
import time

import pytest
import yaml

from tutelage.config.expand import expand
from tutelage.config.load import (
    builtin_studies,
    find_study,
    load_study,
    noted_studies,
    notes_by_name,
    notes_of,
    scales_of,
)
from tutelage.config.schema import AdamW
from tutelage.errors import UserError

TEXT = """\
name: written
data: {source: digits}
recipe:
  epochs: 8
  optimizer: {sgd: {lr: 5e-4}}
student:
  model: plain-4-4
teachers:
  large: {model: plain-8-8}
conditions:
  kd: {teacher: large}
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """A function: writes a study file in the current folder and returns its name."""
    monkeypatch.chdir(tmp_path)

    def put(text=TEXT, name="study.yaml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return name

    return put


def message(*given, **keys):
    with pytest.raises(UserError) as caught:
        load_study(*given, **keys)
    return str(caught.value)


# --- finding -------------------------------------------------------------------------------------


def test_the_studies_that_ship_are_valid():
    assert {"demo", "demo-clean"} <= set(builtin_studies())
    for name in builtin_studies():
        config = load_study(name)
        assert config.name.startswith(name.replace("/", "-"))  # a name that a file may have
        assert config.question.strip()
        found = expand(config)
        assert any(training.teacher is None for training in found.conditions.values())
        assert len(config.claims.primary) == 1


def test_a_file_is_read(write):
    config = load_study(write())
    assert config.name == "written"
    assert config.recipe.optimizer.chosen.lr == 5e-4  # YAML 1.1 alone would take it for a word


def test_a_built_in_name_goes_before_a_file_of_that_name(write):
    write(TEXT, "demo")
    assert load_study("demo").name == "demo"
    assert load_study("./demo").name == "written"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("demoo", "unknown study 'demoo'.\n  Did you mean 'demo'?"),
        ("nothing.yaml", "nothing.yaml: does not exist."),
        ("nothing.yml", "does not exist."),
        (".", "is a folder, not a study file."),
        ("", "unknown study ''."),
        ("x" * 5000, "unknown study"),
        ("nul\0", "unknown study"),
    ],
)
def test_what_is_no_study_is_said(name, words):
    assert words in message(name)


# --- messages ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("  epochs: 8", "  epoch: 8", "line 4: recipe.epoch: unknown key; did you mean 'epochs'?"),
        ("{sgd: {lr: 5e-4}}", "{sgd: {lr: -1}}", "line 5: recipe.optimizer.sgd.lr: "),
        ("model: plain-4-4", "modle: plain-4-4", "line 7: student.modle: unknown key"),
        ("{model: plain-8-8}", "{modle: plain-8-8}", "line 9: teachers.large.modle: unknown key"),
        ("{teacher: large}", "{teacher: [large, 5]}", "line 11: conditions.kd.teacher"),
        ("name: written", "nmae: written", "line 1: nmae: unknown key; did you mean 'name'?"),
    ],
)
def test_a_message_names_file_line_and_key(write, old, new, where):
    assert f"study.yaml, {where}" in message(write(TEXT.replace(old, new)))


# --- files that are no study, by mistake or by intent --------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["", "\n\n", "# only words\n", "---\n", "null", "42", "1.5", "true", "2020-01-01", "one word",
     "- a\n- b\n", "[]", "{}"],
)  # fmt: skip
def test_a_file_without_keys_is_no_study(write, text):
    assert message(write(text)).startswith("study.yaml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed: 0\nname: [1, 2\n", "study.yaml, line 3"),  # where it ends
        ("name: a\nname: b\n", "duplicate key"),
        ("name:\n\t- a\n", "line 2"),
        ("a: 1\n---\nb: 2\n", "another document"),
        ("name: *missing\n", "alias"),
        ("name: ${oops\n", "study.yaml"),
        ("? [a, b]\n: 1\n", "study.yaml"),
        ("name: \x01\n", "control characters"),
        ("name: !!binary aGVsbG8=\n", "name: input should be a valid string"),
        ("name: !!set {a, b}\n", "study.yaml"),
        ("name: !!timestamp 2020-01-01\n", "study.yaml"),
        ("1: 2\n", "keys should be strings"),
        ('"\\ud800": 1\n', "study.yaml"),
        ("name: " + "9" * 5000 + "\n", "study.yaml"),
        (f"recipe: {{epochs: 1{'0' * 400}}}\n", "recipe.epochs: input should be less than"),
    ],
)
def test_broken_yaml_is_told_where(write, text, words):
    assert words in message(write(text))


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.system ['touch {}']",
        "!!python/object/apply:subprocess.check_output [[touch, '{}']]",
        "!!python/object/new:os.system ['touch {}']",
        "!!python/name:os.system",
        "!!python/module:os",
        "!!python/tuple [1, 2]",
        "!unknown x",
    ],
)
def test_tags_run_no_code(write, tmp_path, tag):
    witness = tmp_path / "witness"
    text = f"name: {tag.format(witness)}\n"
    assert "is not a plain YAML file" in message(write(text))
    assert "cannot be read" in message(write(), overrides=[f"name={tag.format(witness)}"])
    assert not witness.exists()


def test_interpolations_are_text(write, monkeypatch):
    monkeypatch.setenv("SECRET", "hidden")
    config = load_study(write(TEXT + "question: ${oc.env:SECRET} ${name}\n"))
    assert config.question == "${oc.env:SECRET} ${name}"


def bomb(levels=12):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        bomb(),
        "a: &a [*a]",
        "a: &a {b: *a}",
        "a: &a\n  <<: *a\n",
        "a: " + "[" * 100_000,
        "a: " + "[" * 20_000 + "]" * 20_000,
        "a: " + "{b: " * 20_000 + "1" + "}" * 20_000,
        "\n".join(" " * n + "a:" for n in range(1000)),
        "a: " + "- " * 50_000,
    ],
    ids=["bomb", "list", "mapping", "merge", "open", "lists", "mappings", "indented", "dashes"],
)
def test_bombs_circles_and_depth_end_quickly_in_a_message(write, text):
    began = time.monotonic()
    assert "study.yaml" in message(write(text))
    assert time.monotonic() - began < 5


def test_plain_aliases_are_welcome(write):
    text = TEXT.replace("{model: plain-8-8}", "&t {model: plain-8-8}") + "  again: {teacher: b}\n"
    text = text.replace("conditions:", "  b: *t\nconditions:")
    assert load_study(write(text)).teachers["b"].model == "plain-8-8"


def test_a_file_that_is_no_text_is_refused(write):
    assert "study.yaml: cannot be read" in message(write(b"name: \xff\xfe\n"))


def test_a_file_too_large_for_a_study_is_refused(write):
    assert "larger than" in message(write(TEXT + "#" * 1_000_001))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="permissions bind others alone")
def test_a_file_that_may_not_be_read_is_refused(write, tmp_path):
    write()
    (tmp_path / "study.yaml").chmod(0)
    assert "cannot be read" in message("study.yaml")


# --- overrides -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("recipe.epochs=40", "recipe.epochs", 40),
        ("recipe.optimizer.sgd.lr=1e-3", "recipe.optimizer.sgd.lr", 1e-3),
        ("recipe.schedule.steps=[0.5, 7]", "recipe.schedule.steps", [0.5, 7]),
        ("data.path=a=b", "data.path", "a=b"),
        ("data.label_noise=0.3", "data.label_noise", 0.3),
        ("question=what else", "question", "what else"),
        ("name='7'", "name", "7"),
        ("recipe.warmup=1.0", "recipe.warmup", 1.0),
        ("recipe.batch_size=null", "recipe.batch_size", None),
        ("replicates.vary=[]", "replicates.vary", []),
    ],
)
def test_set_replaces_a_value(write, override, path, value):
    found = load_study(write(), overrides=[override])
    for part in path.split("."):
        found = getattr(found, part)
    assert found == value
    assert type(found) is type(value)


def test_set_reaches_into_mappings_and_later_ones_win(write):
    overrides = ["teachers.more.model=plain-2", "conditions.kd.teacher=[large,more]",
                 "recipe.epochs=3", "recipe.epochs=4", "recipe.optimizer={adamw: {lr: 0.01}}",
                 "recipe.optimizer.sgd=null"]  # fmt: skip
    config = load_study(write(), overrides=overrides)
    assert list(expand(config).conditions) == ["scratch", "kd/large", "kd/more"]
    assert config.recipe.epochs == 4
    assert config.recipe.optimizer.chosen == AdamW(lr=0.01)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("recipe.epochs", "is not of the form key.path=value"),
        ("=3", "is not of the form key.path=value"),
        (".=3", "is not of the form key.path=value"),
        ("", "is not of the form key.path=value"),
        ("recipe.epoch=3", "recipe.epoch: unknown key; did you mean 'epochs'?"),
        ("recipe.epochs=4.0", "recipe.epochs: input should be a valid integer (found 4.0)"),
        ("recipe.epochs=four", "recipe.epochs: input should be a valid integer (found 'four')"),
        ("name=[", "--set name=[ cannot be read"),
        ("name=${x", "--set name=${x cannot be read"),
        ("data=5", "data: "),
        ("question=a: b", "question: "),
        ("scales.mini.seed=1", "scales: unknown key"),
        ("student..model=x", "student"),
        ("name=" + "[" * 60 + "]" * 60, "nested more than 20 levels deep"),
        ("name=" + "[" * 30_000, "nested more than 20 levels deep"),
        ("a" + ".a" * 100 + "=1", "is not of the form key.path=value"),
        ("a" + "[a]" * 100 + "=1", "is not of the form key.path=value"),
    ],
)
def test_what_set_cannot_set_is_said(write, override, words):
    assert words in message(write(), overrides=[override])


# --- data and scales -----------------------------------------------------------------------------


def test_data_is_the_path_of_the_data(write):
    assert load_study(write(), data="/somewhere").data.path == "/somewhere"
    assert load_study(write(), data="/here", overrides=["data.path=/there"]).data.path == "/here"


SCALES = TEXT + "scales:\n  mini: {recipe: {epochs: 2}}\n  full: {seed: 9}\n  nothing:\n"


@pytest.mark.parametrize(
    ("scale", "epochs", "seed"), [(None, 2, 0), ("mini", 2, 0), ("full", 8, 9), ("nothing", 8, 0)]
)
def test_a_scale_is_laid_over_the_study_and_the_first_is_the_default(write, scale, epochs, seed):
    config = load_study(write(SCALES), scale=scale)
    assert (config.recipe.epochs, config.seed) == (epochs, seed)
    assert config.recipe.optimizer.chosen.lr == 5e-4


def test_overrides_go_over_scales(write):
    assert load_study(write(SCALES), overrides=["recipe.epochs=5"]).recipe.epochs == 5


@pytest.mark.parametrize(
    ("text", "scale", "words"),
    [
        (SCALES, "mni", "study.yaml: unknown scale 'mni'.\n  Did you mean 'mini'?"),
        (TEXT, "mini", "has no scales, so there is no 'mini'"),
        (TEXT + "scales: [mini]\n", None, "scales must map names to overrides"),
        (TEXT + "scales: {mini: 3}\n", None, "scales.mini"),
        (TEXT + "scales: {mini: [3]}\n", None, "scales.mini"),
        (TEXT + "scales: {mini: {sed: 3}}\n", None, "sed: unknown key; did you mean 'seed'?"),
    ],
)
def test_a_wrong_scale_is_refused(write, text, scale, words):
    assert words in message(write(text), scale=scale)


# --- a study over another ------------------------------------------------------------------------


def test_a_study_is_laid_over_the_one_that_it_extends(write):
    config = load_study(write("extends: demo\nname: mine\ndata: {label_noise: 0.1}\n"))
    demo = load_study("demo")
    assert (config.name, config.data.label_noise) == ("mine", 0.1)
    assert config.teachers == demo.teachers
    assert config.data.train == demo.data.train


def test_it_is_looked_for_beside_the_study_and_scales_come_along(write):
    write(SCALES, "folder/base.yaml")
    write("extends: base.yaml\nname: middle\nseed: 3\n", "folder/middle.yaml")
    top = write("extends: middle.yaml\nname: top\nrecipe: {batch_size: 4}\n", "folder/top.yaml")
    config = load_study(top, scale="mini")
    assert (config.name, config.seed) == ("top", 3)
    assert (config.recipe.epochs, config.recipe.batch_size) == (2, 4)


@pytest.mark.parametrize("folder", ["", "folder/"])
@pytest.mark.parametrize("way", ["", "./", "../folder/"])
def test_studies_that_extend_each_other_in_a_circle_are_refused(write, folder, way):
    if folder == "" and way == "../folder/":
        pytest.skip("leads elsewhere")
    one = write(f"extends: {way}two.yaml\nname: one\n", f"{folder}one.yaml")
    write(f"extends: {way}one.yaml\nname: two\n", f"{folder}two.yaml")
    assert "extend each other in a circle" in message(one)
    self = write(f"extends: {way}self.yaml\nname: self\n", f"{folder}self.yaml")
    assert "extend each other in a circle" in message(self)


@pytest.mark.parametrize(
    ("parent", "words"),
    [
        ("nowhere.yaml", "nowhere.yaml: does not exist"),
        ("demoo", "unknown study"),
        ("[demo]", "['demo'] is no study's name"),
        ("5", "5 is no study's name"),
        (".", "is a folder"),
    ],
)
def test_a_study_must_extend_one_that_exists(write, parent, words):
    assert words in message(write(f"extends: {parent}\nname: mine\n"))


def test_a_fault_in_the_study_beneath_names_its_file(write):
    write("name: a\nname: b\n", "base.yaml")
    assert message(write("extends: base.yaml\nname: mine\n")).startswith("base.yaml, line 2")


def test_what_others_extend_is_no_study_itself():
    assert "paper/c6-early-stopped-teacher" in builtin_studies()
    assert not [name for name in builtin_studies() if "_cifar10" in name]
    with pytest.raises(UserError, match="unknown study"):
        load_study("paper/_cifar10")


def test_the_minis_of_the_paper_share_their_world():
    minis = [load_study(n, scale="mini") for n in builtin_studies()
             if n.startswith("paper/c") and n != "paper/c3-family"]  # fmt: skip
    assert len(minis) == 13
    worlds = {str((c.data, c.recipe, c.student, c.replicates, c.seed)) for c in minis}
    assert len(worlds) == 1


def test_notes_are_found_by_the_name_of_any_scale():
    for study in noted_studies():
        for scale in scales_of(study):
            assert notes_by_name(load_study(study, scale=scale).name) == notes_of(study)
    for other in ("demo", "mine", "es-noise", "paper-c6", "es-noise-digits-0.25"):
        assert notes_by_name(other) == {}


def test_notes_on_the_paper_are_no_part_of_a_study(write):
    text = (
        "extends: demo\nname: mine\npaper:\n  early-repairs:\n    item: Fig. 1\n"
        "    says: so\n    agrees: supported\n    follows: {supported: do it}\n"
    )
    study = write(text)
    assert load_study(study) == load_study("demo").model_copy(update={"name": "mine"})
    note = notes_of(study)["early-repairs"]
    assert (note.item, note.follows) == ("Fig. 1", {"supported": "do it"})
    for wrong, words in (("early-repairs:", "no claim called early"), ("item:", "paper.early-rep")):
        with pytest.raises(UserError, match=words):
            notes_of(write(text.replace(wrong, wrong.replace("-repairs", "").replace("item", "x"))))


def test_every_study_of_the_paper_says_what_follows_from_each_verdict():
    noted = {name: notes_of(name) for name in builtin_studies() if name.startswith("paper/c")}
    assert len(noted) == 14
    for name, notes in noted.items():
        assert notes, name
        for note in notes.values():
            assert set(note.follows) == {"supported", "refuted", "undecided"}, name


def test_find_study_gives_the_file():
    assert yaml.safe_load(find_study("demo").read_text())["name"] == "demo"
