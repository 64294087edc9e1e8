"""Replicates until decided: real small studies, their looks, and that nothing is trained twice."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tutelage import run_until_decided
from tutelage.api import Study, StudyResult, open_result
from tutelage.deciding import studies_until
from tutelage.errors import UserError
from tutelage.findings.looks import look_error


def study(long=12, margin=1.0, recipe=None, **replicates) -> Study:
    """A student trained for one epoch against one trained for many: the effect is huge."""
    return Study(
        name="until",
        data={"source": "digits", "train": 100, "validation": 50, "test": 200},
        recipe={"epochs": 1, "batch_size": 25, "optimizer": {"sgd": {"lr": 0.1}}},
        student={"model": "plain-8-8"},
        conditions={"scratch": {}, "long": {"recipe": recipe or {"epochs": long}}},
        replicates={"count": 3, "students": 1, **replicates},
        claims={"primary": {"longer": {"difference": ["long", "scratch"],
                                       "direction": "less", "margin": margin}}},
    )  # fmt: skip


def run(each: Study, most: int, store, **options):
    return run_until_decided(each, most, store=store, workers=0, device="cpu", **options)


def test_a_large_effect_ends_before_the_last_look(tmp_path) -> None:
    decision = run(study(long=30), 12, tmp_path)
    assert decision.finding["verdict"] == "supported"
    assert decision.looks == 4
    assert decision.look < 4
    count = decision.result.context.config.replicates.count
    assert count == [3, 6, 9, 12][decision.look - 1]
    assert decision.finding["n"] == count
    assert decision.in_words == (
        f"longer: supported at look {decision.look} of 4, after {count} replicates."
    )
    level = 1 - 2 * look_error(0.025, count, [3, 6, 9, 12])
    assert decision.finding["level"] == pytest.approx(level)
    assert f"look {decision.look} of 4, declared at 3, 6, 9, 12" in decision.finding["method"]


def test_no_effect_goes_on_to_the_last_look_and_says_so(tmp_path) -> None:
    """Two trainings that differ by a hair, and a margin that four replicates cannot exclude."""
    decision = run(study(recipe={"label_smoothing": 1e-3}, margin=0.01), 4, tmp_path, looks=2)
    assert (decision.finding["verdict"], decision.look, decision.looks) == ("undecided", 2, 2)
    assert decision.in_words.startswith("longer: still undecided after 4 replicates, the most that")
    assert "80 % chance of support" in decision.in_words


def test_what_was_trained_at_one_look_is_not_trained_at_the_next_or_again(tmp_path) -> None:
    first = study().run(tmp_path, workers=0, device="cpu")
    assert first.trained == 6
    decision = run(study(long=12, margin=0.01), 5, tmp_path, looks=2)
    fresh = decision.result.context.config.replicates.count * 2 - 6
    assert decision.result.trained in (0, fresh)
    again = run(study(long=12, margin=0.01), 5, tmp_path, looks=2)
    assert again.result.trained == 0
    assert again.finding == decision.finding


def test_open_looks_come_after_every_replicate(tmp_path) -> None:
    decision = run(study(long=30), 9, tmp_path, looks="open")
    assert decision.looks is None
    count = decision.result.context.config.replicates.count
    assert decision.look == count - 2
    assert count >= 5  # before that the confidence sequence excludes nothing
    assert "holds after any number" in decision.finding["method"]


def test_the_looks_stay_with_the_study(tmp_path) -> None:
    decision = run(study(long=30), 12, tmp_path)
    kept = open_result("until", tmp_path)
    assert kept.findings == decision.result.findings
    assert kept.context.config.replicates.looks == [3, 6, 9, 12]


def test_an_interrupted_search_goes_on_with_the_same_looks_and_figures(tmp_path) -> None:
    each = study(recipe={"label_smoothing": 1e-3}, margin=0.01)
    whole = run(each, 6, tmp_path / "whole", looks=3)

    def stop(event) -> None:
        if (event.kind, event.key) == ("done", "r3/scratch/s0"):  # within the second look
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(each, 6, tmp_path / "cut", looks=3, on_event=stop)
    kept = open_result("until", tmp_path / "cut").context.config.replicates
    assert (kept.count, kept.looks) == (4, [3, 4, 6])
    resumed = run(each, 6, tmp_path / "cut", looks=3)
    assert resumed.finding == whole.finding
    assert resumed.look == 3
    assert run(each, 6, tmp_path / "cut", looks=3).result.trained == 0


def test_looks_that_a_study_declares_itself_are_taken() -> None:
    configs = list(studies_until(study(looks=[3, 4, 9]).config, 9))
    assert [each.replicates.count for each in configs] == [3, 4, 9]
    assert all(each.replicates.looks == [3, 4, 9] for each in configs)


@pytest.mark.parametrize(
    ("depends", "failures", "said"),
    [
        (True, {}, "longer: depends on the setting, seen at look 1 of 2 after 3 replicates; more"),
        (False, {"r0/long/s0": "gone"}, "longer: undecided at look 1 of 2, after 3 replicates of"),
    ],
)
def test_more_replicates_are_not_added_where_they_would_not_help(depends, failures, said) -> None:
    looked = []

    def one(each: Study) -> StudyResult:
        looked.append(each.config.replicates.count)
        finding = {"claim": "longer", "verdict": "undecided", "depends": depends}
        context = SimpleNamespace(config=each.config)
        return SimpleNamespace(context=context, findings=[finding], failures=failures)

    decision = run_until_decided(study(), 9, looks=2, run=one)
    assert looked == [3]
    assert decision.in_words.startswith(said)


@pytest.mark.parametrize(
    ("each", "most", "looks", "said"),
    [
        (study(), 2, 4, "begins with 3 replicates, and --max-replicates is 2"),
        (study(), 9, 0, "0 looks see nothing"),
        (study(looks=[3, 6]), 9, 4, "declares other looks"),
    ],
)
def test_mistakes_are_told(each, most, looks, said) -> None:
    with pytest.raises(UserError, match=said):
        list(studies_until(each.config, most, looks))


def test_a_study_without_a_primary_claim_has_nothing_to_decide() -> None:
    config = study().config
    claims = config.claims.model_copy(update={"primary": {}})
    with pytest.raises(UserError, match="no primary claim"):
        list(studies_until(config.model_copy(update={"claims": claims}), 9))


@pytest.mark.parametrize(
    ("looks", "said"),
    [([6, 3], "increasing"), ([1, 3], "from 2 on"), ([4, 8], "none of the looks")],
)
def test_looks_in_a_study_file_are_checked(looks, said) -> None:
    with pytest.raises(UserError, match=said):
        study(looks=looks)
