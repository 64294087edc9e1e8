"""`list studies` and `paper`: purposes, costs and states; records and the page of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tutelage.cli.app import app
from tutelage.config.load import builtin_studies, predicted_costs, scales_of
from tutelage.reporting.paper_page import paper_page

ROOT = Path(__file__).parents[2]
FINDING = {
    "claim": "early-teaches-better", "rank": "primary", "verdict": "refuted", "effect": 0.75,
    "low": 0.5, "high": 1.0, "unit": "points", "margin": 0.5, "n": 6, "level": 0.95,
    "sentence": "kd/stop-0.325 has 0.75 points more.",
}  # fmt: skip
RECORD = {
    "name": "paper-c6-early-stopped-teacher", "id": "x", "source": "cifar10",
    "shape": [16, 16, 3], "train": 2000, "label_noise": 0.0, "replicates": 6, "students": 2,
    "findings": [FINDING],
    "sentences": [{"sentence": "A", "verdict": "not tested", "text": "none"},
                  {"sentence": "B", "verdict": "refuted", "text": "It does not."}],
}  # fmt: skip


def test_every_study_has_a_predicted_cost_at_each_scale_that_two_cores_may_run() -> None:
    costs = predicted_costs()
    scales = [(name, scale) for name in builtin_studies() for scale in scales_of(name) or [""]]
    missing = [(name, scale) for name, scale in scales if not costs.get(name, {}).get(scale)]
    assert not [each for each in missing if each[1] != "full" or "paper/" not in each[0]]
    assert costs.keys() <= builtin_studies().keys()


def test_the_minis_together_stay_within_two_hours_of_two_cores() -> None:
    """Each as if alone, so that what they share counts more than once."""
    minis = {n: c["mini"] for n, c in predicted_costs().items() if n.startswith("paper/c")
             and "mini" in c}  # fmt: skip
    assert len(minis) == 13
    assert sum(minis.values()) < 2 * 240


def test_list_studies_tells_purpose_cost_and_state(capsys, tmp_path) -> None:
    from rich.console import Console

    from tutelage.cli.studies import show_studies

    show_studies(as_json=True, store=tmp_path / "none", console=Console())
    rows = json.loads(capsys.readouterr().out)
    assert rows.keys() == builtin_studies().keys()
    mini, full = rows["paper/c6-early-stopped-teacher"]["scales"]
    assert (mini["scale"], mini["state"]) == ("mini", "not run")
    assert 0 < mini["core_minutes"] < (full["core_minutes"] or 1e9)
    show_studies(as_json=False, store=tmp_path / "none", console=Console(width=80))
    said = capsys.readouterr().out
    assert builtin_studies().keys() <= set(map(str.strip, said.splitlines())), "a name is cut"
    words = " ".join(said.split())
    for name, row in rows.items():
        assert " ".join(f"{name} {row['question']}".split()) in words
    hours = rows["pairs/resnet-110-to-resnet-20"]["scales"][0]["core_minutes"] / 60
    assert f"{hours:.0f} core-hours not run" in words
    assert f"mini {mini['core_minutes']:.0f} core-minutes not run" in words


def test_the_page_holds_claim_verdict_and_what_follows(tmp_path) -> None:
    (tmp_path / "c6.json").write_text(json.dumps(RECORD))
    page = paper_page(tmp_path)
    row = next(line for line in page.splitlines() if line.startswith("| early-teaches-better"))
    for words in (
        "22 of 22",
        "+0.75 points (95 %: +0.50 to +1.00), n = 6, margin 0.5",
        "refuted",
        "does not agree",
        "JPEG copies",
        "Train the teacher to its end",
    ):
        assert words in row  # fmt: skip
    assert "Does not agree with the paper (1)" in page
    assert "(B) **refuted**. It does not." in page
    assert "- `paper/c2-width`: mini (0.5 core-hours), full (3,867 core-hours)" in page


@pytest.mark.parametrize(
    ("verdict", "title"),
    [("supported", "Agrees with the paper (1)"), ("undecided", "Undecided (1)")],
)
def test_another_verdict_makes_another_page(tmp_path, verdict, title) -> None:
    (tmp_path / "c6.json").write_text(json.dumps(RECORD | {"findings": [FINDING | {
        "verdict": verdict}]}))  # fmt: skip
    assert title in paper_page(tmp_path)


@pytest.mark.parametrize("verdict", ["supported", "refuted"])
def test_what_comes_of_wrong_labels_neither_agrees_with_the_paper_nor_not(
    tmp_path, verdict
) -> None:
    """The paper makes no label wrong."""
    record = RECORD | {"label_noise": 0.2, "findings": [FINDING | {"verdict": verdict}]}
    (tmp_path / "c6.json").write_text(json.dumps(record))
    page = paper_page(tmp_path)
    assert "Decided with wrong labels, of which the paper has none (1)" in page
    assert "| not compared: labels were made wrong |" in page
    assert "Does not agree with the paper (0)" in page
    assert "Agrees with the paper (0)" in page


def test_an_effect_short_of_its_margin_is_named_as_such(tmp_path) -> None:
    """The claim says `less`: -0.2 (-0.3 to -0.1) has its sign, and 0.5 points less are excluded."""
    small = FINDING | {"effect": -0.2, "low": -0.3, "high": -0.1}
    (tmp_path / "c6.json").write_text(json.dumps(RECORD | {"findings": [small]}))
    page = paper_page(tmp_path)
    assert "less than the margin that was set before (1)" in page
    assert "too little to choose by" in page
    assert "Train the teacher to its end" not in page
    reaching = small | {"high": 0.1}
    (tmp_path / "c6.json").write_text(json.dumps(RECORD | {"findings": [reaching]}))
    assert "Does not agree with the paper (1)" in paper_page(tmp_path)


def test_shares_of_wrong_labels_stand_in_one_table_from_the_least_on(tmp_path) -> None:
    for noise, effect in ((0.4, -1.5), (0.0, 0.25)):
        found = FINDING | {"effect": effect, "low": effect - 0.1, "high": effect + 0.1}
        record = RECORD | {"name": f"es-noise-digits-{noise:g}", "label_noise": noise,
                           "source": "digits", "findings": [found]}  # fmt: skip
        (tmp_path / f"{noise:g}.json").write_text(json.dumps(record))
    lines = paper_page(tmp_path).splitlines()
    start = lines.index("| wrong labels | early-teaches-better |")
    assert lines[start + 2 : start + 4] == [
        "| 0 % | +0.25 (95 %: +0.15 to +0.35): refuted |",
        "| 40 % | -1.50 (95 %: -1.60 to -1.40): refuted |",
    ]


def test_a_verdict_of_holms_names_the_interval_that_it_rests_on(tmp_path) -> None:
    step = FINDING | {"verdict": "supported", "level": 0.99, "step_level": 0.95}
    (tmp_path / "c6.json").write_text(json.dumps(RECORD | {"findings": [step]}))
    assert "supported by the 95 % interval of Holm's step-down." in paper_page(tmp_path)


def test_the_committed_page_is_what_the_committed_records_give() -> None:
    page = (ROOT / "docs/paper.md").read_text(encoding="utf-8")
    assert page == paper_page(ROOT / "results/paper")


def test_every_network_of_every_scale_exists() -> None:
    from tutelage.config.expand import expand
    from tutelage.config.load import load_study
    from tutelage.study.checks import check_names

    for name in builtin_studies():
        for scale in scales_of(name) or [None]:
            config = load_study(name, scale=scale)
            check_names(config, expand(config))


def test_a_run_ends_with_its_findings_beside_the_paper(tmp_path) -> None:
    """What a newcomer sees of a study of the paper; other studies have no such lines."""
    small = ["data.train=100", "data.validation=60", "recipe.epochs=5", "student.model=plain-4",
             "teachers.full.model=plain-8", "replicates={count: 2, students: 1}",
             "teachers.averaged.model=plain-8"]  # fmt: skip
    store = str(tmp_path / "store")
    settings = [part for each in small for part in ("--set", each)]
    run = ["run", "es-noise", "--scale", "digits-0", "--store", store, "--workers", "0", *settings]
    said = " ".join(CliRunner().invoke(app, run).output.split())
    assert "Beside the paper (Section 4.5, on clean labels only): A teacher stopped early" in said
    told = CliRunner().invoke(app, ["results", "es-noise-digits-0", "--store", store, "--json"])
    assert json.loads(told.output)["paper"].keys() == {
        *("early-teaches-better", "best-validation-does-as-well", "calibration-does-as-well"),
        *("cross-fitting-does-as-well", "averaging-does-as-well"),
    }
