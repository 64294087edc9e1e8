"""Every verb on a study that was really run: what it prints, its JSON, its files, its exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tutelage.config.load import builtin_studies
from tutelage.study import execute

HEX = set("0123456789abcdef")


def strict(text):
    """JSON without NaN and Infinity, which not every reader takes."""

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@pytest.fixture(scope="module")
def document(call, ran):
    """The results of the tiny study, as printed."""
    said = call("results", "tiny", "--json", "--store", ran[2])
    assert (said.code, said.err) == (0, "")
    return strict(said.out)


# --- run -----------------------------------------------------------------------------------------


def test_run_trains_reports_and_says_so(ran):
    said, _, store = ran
    assert said.code == 0
    assert said.err == ""
    assert "28 runs, 0 of them done before, 28 to train." in said.words
    assert "30 of 30 tasks done, 0 running, 0 to go" in said.words  # a comparison per replicate
    assert "larger-is-worse primary" in said.words
    page = store / "reports" / "tiny" / "report.html"
    assert str(page) in said.out
    assert "<html" in page.read_text(encoding="utf-8")


def test_run_again_trains_nothing_and_changes_no_record(call, ran, document):
    _, folder, store = ran
    kept = {path: path.stat().st_mtime_ns for path in (store / "records").rglob("*.json")}
    said = call("run", folder / "tiny.yaml", "--store", store)
    assert said.code == 0
    assert "28 of them done before, 0 to train." in said.words
    assert kept == {path: path.stat().st_mtime_ns for path in (store / "records").rglob("*.json")}
    assert strict(call("results", "--json", "--store", store).out)["runs"] == document["runs"]


def test_a_failed_run_is_told_the_others_go_on_and_the_exit_code_is_1(call, here, monkeypatch):
    really = execute._begin

    def begin(context, node, *more):
        if node.key == "r0/kd/small/s1":
            raise RuntimeError("the disk caught fire")
        return really(context, node, *more)

    monkeypatch.setattr(execute, "_begin", begin)
    options = ("--workers", 0, "--set", "replicates.count=1", "--set", "recipe.epochs=1")
    said = call("run", "tiny.yaml", *options)
    assert said.code == 1
    assert "failed: r0/kd/small/s1: RuntimeError: the disk caught fire" in said.words
    assert "Traceback" not in said.out + said.err
    rows = {row["key"]: row for row in strict(call("results", "--json").out)["runs"]}
    assert rows.pop("r0/kd/small/s1")["status"] != "done"
    assert {row["status"] for row in rows.values()} == {"done"}
    assert not strict(call("status", "--json").out)["studies"][0]["complete"]

    monkeypatch.undo()
    monkeypatch.chdir(here)
    said = call("run", "tiny.yaml", *options)
    assert said.code == 0
    assert "13 of them done before, 1 to train." in said.words


def test_a_diverged_run_is_a_result_and_no_failure(call, here):
    options = ("--workers", 0, "--set", "replicates.count=1", "--set", "recipe.epochs=1")
    said = call("run", "tiny.yaml", *options, "--set", "recipe.optimizer.sgd.lr=1e30")
    assert said.code == 0
    assert "diverged" in said.out
    found = strict(call("results", "--json").out)
    assert {row["status"] for row in found["runs"]} == {"diverged"}
    assert {row["test_error"] for row in found["runs"]} == {None}


# --- results -------------------------------------------------------------------------------------


def test_results_have_the_form_of_the_design(document):
    assert document["schema"] == 1
    assert {"study", "conditions", "teachers", "runs", "findings", "sentences"} <= set(document)
    study = document["study"]
    assert study["name"] == "tiny"
    assert study["question"].startswith("Is the large")
    assert study["config"]["recipe"]["epochs"] == 2
    assert study["data"]["train"] == 100
    assert study["data"]["classes"] == 10
    assert study["data"]["shape"] == [8, 8, 1]
    assert len(study["data"]["fingerprints"]) == 2
    assert set(study["versions"]) >= {"python", "torch", "tutelage"}


def test_every_run_has_every_key_of_its_type(document):
    runs = document["runs"]
    assert len(runs) == 2 * (2 + 2 * 6)
    for row in runs:
        student = row["role"] == "student"
        assert row["role"] in ("student", "teacher")
        assert row["status"] == "done"
        for key in ("id", "digest"):
            assert len(row[key]) == 64
            assert set(row[key]) <= HEX
        for key in ("key", "condition", "model", "loss"):
            assert isinstance(row[key], str)
        for key in ("replicate", "seed", "parameters", "macs", "epochs", "best_epoch"):
            assert type(row[key]) is int
        for key in ("val_error", "test_error", "train_error", "best_val_error"):
            assert is_number(row[key])
            assert 0 <= row[key] <= 100
        for key in ("test_nll", "test_ece", "test_brier", "test_top5", "val_nll"):
            assert is_number(row[key])
        assert {"attributed_s", "spent_s", "images_per_s"} == set(row["timing"])
        assert all(is_number(value) for value in row["timing"].values())
        assert "history" not in row
        taught = row["teacher"] is not None
        assert taught == (student and row["condition"] != "scratch")
        assert isinstance(row["stop"], str) == taught
        for key in ("train_agreement", "train_kl_t1", "test_kl_scale_t4", "test_kl_shape_t4"):
            assert (key in row) == taught
    assert len({row["key"] for row in runs}) == len(runs)
    assert {row["stop"] for row in runs} == {None, "full", "truncated at epoch 1 of 2"}


def test_every_finding_has_every_key_of_its_type(document):
    findings = {row["claim"]: row for row in document["findings"]}
    assert list(findings) == ["larger-is-worse", "growth", "same", "no-worse"]
    assert [row["rank"] for row in findings.values()] == ["primary"] + ["secondary"] * 3
    assert [row["kind"] for row in findings.values()] == [
        "difference", "trend", "equivalence", "non_inferiority",
    ]  # fmt: skip
    assert findings["growth"]["metric"] == "train_kl_t4"
    for row in findings.values():
        assert row["verdict"] in ("supported", "refuted", "undecided")
        assert row["low"] <= row["effect"] <= row["high"]
        assert row["n"] == 2
        assert row["level"] == pytest.approx(0.95 if row["rank"] == "primary" else 1 - 0.05 / 3)
        assert row["seeds_needed"] is None or type(row["seeds_needed"]) is int
        assert is_number(row["margin"])
        assert row["unit"]
        assert row["method"]
        assert row["sentence"].startswith("For these teachers, ")  # fewer than 6 replicates
    assert [row["sentence"] for row in document["sentences"]] == ["A", "B"]


def test_teachers_and_conditions_are_described(document):
    teachers = {row["name"]: row for row in document["teachers"]}
    assert list(teachers) == ["small", "large", "early", "soft"]
    assert (teachers["early"]["stop"], teachers["early"]["stop_epoch"]) == (
        "truncated at epoch 1 of 2", 1,
    )  # fmt: skip
    assert teachers["soft"]["scaled"] == "entropy of large at T 4"
    for row in teachers.values():
        assert [r["replicate"] for r in row["replicates"]] == [0, 1]
        assert all(is_number(r["test_error"]) for r in row["replicates"])
    assert all(is_number(r["factor"]) for r in teachers["soft"]["replicates"])
    conditions = [row["name"] for row in document["conditions"]]
    assert conditions == ["scratch", "kd/small", "kd/large", "kd/early", "kd/soft", "eskd"]


def test_a_taught_epoch_is_told_apart_in_the_history(call, ran):
    said = call("results", "--json", "--history", "--store", ran[2])
    rows = {row["key"]: row for row in strict(said.out)["runs"]}
    for row in rows.values():
        assert [epoch["epoch"] for epoch in row["history"]] == [1, 2]
        for epoch in row["history"]:
            assert {"lr", "train_error", "val_error", "loss", "ce", "kd", "agreement"} <= set(epoch)
    heard = [epoch["kd"] is not None for epoch in rows["r0/eskd/s0"]["history"]]
    assert heard == [True, False]
    assert [epoch["kd"] for epoch in rows["r0/scratch/s0"]["history"]] == [None, None]


def test_what_is_shared_is_trained_once(document):
    rows = {row["key"]: row for row in document["runs"]}
    shared = rows["r1/eskd/s1"]
    assert (shared["continues"], shared["shared_epochs"]) == ("r1/kd/large/s1", 1)
    assert shared["timing"]["spent_s"] < shared["timing"]["attributed_s"]


def test_results_in_words(call, ran, document):
    for study in ("last", "tiny", document["study"]["id"], document["study"]["id"][:5]):
        said = call("results", study, "--store", ran[2])
        assert said.code == 0
        for words in ("scratch", "kd/soft", "eskd", "larger-is-worse", "growth", "no-worse"):
            assert words in said.words


def test_the_store_is_named_by_the_environment_too(call, ran, here, monkeypatch):
    monkeypatch.setenv("TUTELAGE_STORE", str(ran[2]))
    assert call("results", "--json").code == 0
    assert not (here / "tutelage-store").exists()


# --- plan and status -----------------------------------------------------------------------------


def test_plan_trains_nothing_and_leaves_no_study(call, here):
    said = call("plan", "tiny.yaml", "--json")
    assert (said.code, said.err) == (0, "")
    found = strict(said.out)
    assert (found["schema"], found["study"]) == (1, "tiny")
    rows = {row["key"]: row for row in found["runs"]}
    assert len(rows) == 28
    assert not any(row["done"] for row in rows.values())
    assert found["predicted_core_s"] > 0
    assert found["spread_measured_in"] is None
    assert all(each["largest_spread"] > 0.0 for each in found["outlooks"])
    eskd = rows["r0/eskd/s0"]
    assert (eskd["continues"], eskd["shared_epochs"]) == ("r0/kd/large/s0", 1)
    assert "r0/teacher/large" in eskd["needs"]
    keys = list(rows)
    assert all(keys.index(need) < keys.index(key) for key in rows for need in rows[key]["needs"])
    assert not (here / "tutelage-store" / "records").exists()
    assert not (here / "tutelage-store" / "blobs").exists()
    assert strict(call("status", "--json").out)["studies"] == []


def test_plan_knows_what_is_done(call, ran):
    _, folder, store = ran
    found = strict(call("plan", folder / "tiny.yaml", "--json", "--store", store).out)
    assert all(row["done"] for row in found["runs"])
    assert found["predicted_core_s"] == 0
    more = call("plan", folder / "tiny.yaml", "--set", "replicates.count=3", "--store", store)
    assert "14 runs to train" in more.words
    assert "the upper 80 % bound from 2 replicates" in more.words
    assert f"The spreads are those of study {found['spread_measured_in']}." in more.words
    assert "42 runs of 84 epochs in all, 6 of them shared" in more.words


def test_status(call, ran, document):
    found = strict(call("status", "--json", "--store", ran[2]).out)
    (row,) = found["studies"]
    assert (row["name"], row["id"]) == ("tiny", document["study"]["id"])
    assert (row["runs"], row["done"], row["complete"]) == (28, 28, True)
    assert "28 of 28 complete" in call("status", "tiny", "--store", ran[2]).words.replace("│ ", "")


# --- report, show, list, schema, store -----------------------------------------------------------


def test_report_writes_where_it_is_told(call, ran, here):
    said = call("report", "tiny", "-o", "mine/page.html", "--store", ran[2])
    assert said.code == 0
    paths = [Path(line) for line in said.out.splitlines()]
    assert paths[0] == Path("mine/page.html")
    assert {path.suffix for path in paths} == {".html", ".md", ".csv"}
    assert all(path.stat().st_size > 100 for path in paths)


def test_report_in_the_store_by_default(call, ran):
    first = call("report", "--store", ran[2]).out.splitlines()[0]
    assert Path(first) == ran[2] / "reports" / "tiny" / "report.html"


def test_show_a_run(call, ran, document):
    row = document["runs"][-1]
    for name in (row["id"], row["id"][:12]):
        said = call("show", name, "--store", ran[2])
        assert said.code == 0
        found = strict(said.out)
        assert found["id"] == row["id"]
        assert found["result"]["blobs"]["final"] == row["digest"]
        assert found["result"]["start"]["model"] == "plain-4-4"
        assert {"versions", "machine", "device"} <= set(found["provenance"])
        assert found["timing"]["attributed_s"] == row["timing"]["attributed_s"]


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("models", {"plain", "wrn"}),
        ("losses", {"kd", "mse", "dist", "dkd", "annealing", "at"}),
        ("datasets", {"digits", "image-folder"}),
        ("recipes", {"paper-cifar10"}),
    ],
)
def test_lists(call, here, what, names):
    found = strict(call("list", what, "--json").out)
    assert names <= set(found)
    assert all(isinstance(text, str) and text for text in found.values())
    said = call("list", what)
    assert said.code == 0
    assert all(name in said.out for name in names)


def test_the_schema_takes_every_built_in_study_and_refuses_what_is_wrong(call, here):
    jsonschema = pytest.importorskip("jsonschema")
    schema = strict(call("schema").out)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    from omegaconf import OmegaConf

    for path in builtin_studies().values():
        study = OmegaConf.to_container(OmegaConf.load(path))
        validator.validate(study)
        for wrong in ({"nmae": "x"}, {"seed": "x"}, {"student": {"modle": "x"}}, {"recipe": 3}):
            assert not validator.is_valid({**study, **wrong})
    assert not validator.is_valid({"name": "alone"})


def test_store_ls(call, ran):
    found = strict(call("store", "ls", "--json", "--store", ran[2]).out)
    assert found["records/run"]["files"] == 28
    assert all(row["bytes"] >= 0 for row in found.values())
    assert "records/mimicry" in call("store", "ls", "--store", ran[2]).out


def test_store_verify_finds_what_is_damaged(call, here):
    options = ("--workers", 0, "--set", "replicates.count=1", "--set", "recipe.epochs=1")
    assert call("run", "tiny.yaml", *options).code == 0
    assert call("store", "verify").code == 0
    store = here / "tutelage-store"
    kept = call("results", "--json").out
    damaged = [
        *sorted(store.rglob("*.safetensors"))[::9],
        *sorted(store.rglob("records/run/*/*"))[:1],
    ]
    for path in damaged:
        path.write_bytes(path.read_bytes()[:-1] + b"\0\0")
    said = call("store", "verify")
    assert said.code == 1
    assert f"Problems: {len(damaged)}." in said.out
    assert all(path.name in said.out for path in damaged)
    # What it advises works.
    while said.code == 1:
        for line in said.out.splitlines()[:-1]:
            Path(line.partition(": ")[0]).unlink(missing_ok=True)
        assert call("run", "tiny.yaml", *options).code == 0
        said = call("store", "verify")
    assert said.code == 0
    strip = [{**row, "timing": None} for row in strict(kept)["runs"]]
    again = strict(call("results", "--json").out)["runs"]
    assert [{**row, "timing": None} for row in again] == strip


# --- doctor --------------------------------------------------------------------------------------


def test_doctor_finds_this_machine_well(call, here):
    said = call("doctor")
    assert said.code == 0, said.out
    assert "problem" not in said.out
    assert "gave the same weights here and in two processes" in said.words
    assert not (here / "tutelage-store").exists()


def test_doctor_names_each_problem_and_goes_on(call, here, monkeypatch):
    monkeypatch.setattr("tutelage.cli.doctor._reproducible", lambda _: iter(["reached"]))
    monkeypatch.setattr("tutelage.cli.doctor._LEAST_FREE", 1e30)
    said = call("doctor")
    assert said.code == 1
    assert "are free for the store" in said.words
    assert "reached" in said.out
    said = call("doctor", "--store", "tiny.yaml")
    assert said.code == 1
    assert "this is a file" in said.words


def test_doctor_sees_that_weights_differ(call, here, monkeypatch):
    from tutelage.api import Study

    class Result:
        failures: dict = {}  # noqa: RUF012

        def __init__(self, workers):
            self.runs = [{"digest": str(workers)}]

    monkeypatch.setattr(Study, "run", lambda self, *a, workers, **k: Result(workers))
    said = call("doctor")
    assert said.code == 1
    assert "gave other weights in another process" in said.words
