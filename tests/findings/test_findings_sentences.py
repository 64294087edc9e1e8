"""The two sentences on stopped teachers: when each is tested, on what, and with which verdict."""

from __future__ import annotations

import random
import subprocess
import sys
from typing import Any

import pytest

from tutelage.findings import sentences

N = 8
OFFSETS = [-0.5, -0.25, 0.0, 0.25, 0.5, 0.0, -0.125, 0.125]
SHORT = "compressed 0.2 (24 epochs)"


def values(mean: float, n: int = N) -> list[list[float]]:
    return [[mean + offset] for offset in OFFSETS[:n]]


def flat(mean: float, n: int = N) -> list[list[float]]:
    return [[mean]] * n


def tutors(teacher, early: float = 35.0, large: float = 47.0, n: int = N, **more: Any) -> list:
    """Full, stopped, and stopped with its entropy matched to the full one's."""
    return [
        teacher("large", [large] * n),
        teacher("early", [early] * n, stop=SHORT),
        teacher("matched", [early] * n, stop=SHORT, scaled="entropy of large at T 4"),
        *[teacher(name, **keys) for name, keys in more.items()],
    ]


def study(build, teacher, matched: float, raw: float, *, noise: float = 0.3, n: int = N,
          **more: Any) -> dict[str, Any]:  # fmt: skip
    errors = {"kd/large": flat(8.5, n), "kd/early": values(8.5 + raw, n),
              "kd/matched": values(8.5 + matched, n)}  # fmt: skip
    return build(errors, teachers=tutors(teacher, n=n, **more), label_noise=noise)


def ab(results: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    a, b = sentences(results)
    assert [a["sentence"], b["sentence"]] == ["A", "B"]
    assert list(a) == list(b) == ["sentence", "text", "verdict"]
    return a, b


def test_a_is_supported_and_b_not_tested_where_stopping_repairs_the_teacher(build, teacher) -> None:
    a, b = ab(study(build, teacher, -2.5, -2.0))
    assert a["verdict"] == "supported"
    assert a["text"] == (
        "A teacher that memorises wrong labels makes a better student when stopped early: "
        "supported. With 30 % of the labels made wrong, early, a plain-64 compressed 0.2 (24 "
        "epochs), itself has 35.0 % validation error, against 47.0 % of large, fully trained. "
        "Entropy-matched: kd/matched has 2.5 points less test error than kd/large (95 % interval "
        "2.2 to 2.8 less, 8 replicates): supported. Raw: kd/early has 2.0 points less test error "
        "than kd/large (95 % interval 1.7 to 2.3 less, 8 replicates): supported. This says nothing "
        "on the paper's paradox, sentence (B), which is about stopped teachers that are no more "
        "accurate themselves."
    )
    assert b["verdict"] == "not tested"
    assert b["text"] == (
        "A stopped teacher that is no more accurate itself teaches better: not tested here, "
        "because every stopped teacher is more accurate itself: early, a plain-64 compressed 0.2 "
        "(24 epochs), itself has 35.0 % validation error, against 47.0 % of large, fully trained."
    )


def test_b_is_tested_and_a_not_where_labels_are_clean(build, teacher) -> None:
    results = build(
        {"kd/large": flat(2.5), "kd/early": values(2.9), "kd/matched": values(2.9)},
        teachers=tutors(teacher, early=6.0, large=5.0),
    )
    a, b = ab(results)
    assert a["verdict"] == "not tested"
    assert "because no label of this study is made wrong (label noise 0)" in a["text"]
    assert b["verdict"] == "refuted"
    assert "With none of the labels made wrong, early" in b["text"]
    assert "6.0 % validation error, against 5.0 % of large" in b["text"]


def test_b_supported(build, teacher) -> None:
    errors = {"kd/large": flat(8.0), "kd/early": values(7.0), "kd/matched": values(7.2)}
    _, b = ab(build(errors, teachers=tutors(teacher, early=6.0, large=5.0)))
    assert b["verdict"] == "supported"


def test_equal_accuracy_is_no_more_accurate(build, teacher) -> None:
    errors = {"kd/large": flat(8.0), "kd/early": values(7.0)}
    a, b = ab(build(errors, teachers=tutors(teacher, 5.0, 5.0), label_noise=0.2))
    assert (a["verdict"], b["verdict"]) == ("not tested", "supported")
    assert "no stopped teacher is more accurate itself: early" in a["text"]
    assert "5.0 % validation error, against 5.0 %" in a["text"]


def test_own_accuracy_is_a_mean_over_replicates_that_both_have(build, teacher) -> None:
    errors = {"kd/large": flat(8.0, 3), "kd/early": values(7.0, 3)}
    both = [
        teacher("large", [10.0, 20.0, None]),
        teacher("early", [14.0, 17.0, 1.0], stop=SHORT),  # 15.5 against 15.0
    ]
    a, b = ab(build(errors, teachers=both, label_noise=0.2))
    assert a["verdict"] == "not tested"
    assert "15.5 % validation error, against 15.0 %" in b["text"]


@pytest.mark.parametrize(
    ("matched", "raw", "verdict"),
    [
        (-2.5, -2.0, "supported"),
        (-2.5, -0.05, "supported"),  # the same sign, though raw alone is undecided
        (-2.5, 0.05, "depends on softness"),
        (-2.5, 2.0, "depends on softness"),
        (2.5, -2.0, "depends on softness"),
        (2.5, 2.0, "refuted"),
        (2.5, 0.2, "refuted"),
        (0.1, -0.1, "undecided"),  # opposite signs that are noise
        (0.1, -2.0, "undecided"),
    ],
)
def test_one_verdict_from_matched_and_raw(build, teacher, matched, raw, verdict) -> None:
    a, _ = ab(study(build, teacher, matched, raw))
    assert a["verdict"] == verdict
    assert ("differ in sign" in a["text"]) == (verdict == "depends on softness")


def test_raw_alone_and_matched_alone(build, teacher) -> None:
    results = study(build, teacher, -2.5, -2.0)
    results["conditions"] = [c for c in results["conditions"] if c["name"] != "kd/matched"]
    a, _ = ab(results)
    assert a["verdict"] == "supported"
    assert "There is no entropy-matched comparison of these two in the study." in a["text"]
    results = study(build, teacher, -2.5, 2.0)
    results["conditions"] = [c for c in results["conditions"] if c["name"] != "kd/early"]
    a, _ = ab(results)
    assert a["verdict"] == "supported"
    assert "There is no raw comparison of these two in the study." in a["text"]


def test_the_full_teacher_may_be_the_one_that_is_matched(build, teacher) -> None:
    errors = {"kd/large": flat(8.5), "kd/early": values(6.5), "kd/softened": flat(8.0)}
    softened = teacher("softened", [47.0] * N, scaled="entropy of early at T 4")
    a, _ = ab(build(errors, teachers=[*tutors(teacher), softened], label_noise=0.3))
    assert "Entropy-matched: kd/early has 1.5 points less test error than kd/softened" in a["text"]


def test_a_stop_is_chosen_by_its_own_validation_error_never_by_the_student(build, teacher) -> None:
    stop = {"val_error": [30.0] * N, "stop": "truncated at epoch 12 of 120"}
    worse = {"val_error": [40.0] * N, "stop": "truncated at epoch 60 of 120"}
    results = build(
        {"kd/large": flat(8.5), "kd/worse": values(3.0), "kd/cut": values(7.5)},
        teachers=[teacher("large", [47.0] * N), teacher("worse", **worse), teacher("cut", **stop)],
        label_noise=0.3,
    )
    a, _ = ab(results)
    assert "cut, a plain-64 truncated at epoch 12 of 120, itself has 30.0 %" in a["text"]
    assert "Raw: kd/cut has 1.0 points less" in a["text"]
    assert (
        "Not chosen, so without a verdict: kd/worse has 5.5 points less test error than kd/large "
        "(5.2 to 5.8 less)."
    ) in a["text"]


def test_entropy_matched_comparisons_go_before_others(build, teacher) -> None:
    best = {"val_error": [20.0] * N, "stop": "best on validation"}
    results = study(build, teacher, -2.5, -2.0, best=best)
    extra = build({"kd/best": values(5.0)})
    results["conditions"] += extra["conditions"]
    results["runs"] += extra["runs"]
    a, _ = ab(results)
    assert "Entropy-matched: kd/matched" in a["text"]
    assert "Not chosen, so without a verdict: kd/best" in a["text"]


def test_both_sentences_may_be_tested_each_on_its_own_stops(build, teacher) -> None:
    results = build(
        {"kd/large": flat(8.5), "kd/early": values(6.5), "kd/tiny": values(9.9)},
        teachers=[*tutors(teacher), teacher("tiny", [60.0] * N, stop="truncated at epoch 1 of 9")],
        label_noise=0.3,
    )
    a, b = ab(results)
    assert (a["verdict"], b["verdict"]) == ("supported", "refuted")
    assert "kd/tiny" not in a["text"]
    assert "kd/early" not in b["text"]


@pytest.mark.parametrize(
    "change",
    [{"model": "plain-16"}, {"taught_by": "small"}, {"scaled": "calibrated"}, {"stop": "full"}],
)
def test_what_is_no_stop_of_the_same_network(build, teacher, change) -> None:
    stopped = {**teacher("early", [35.0] * N, stop=SHORT), **change}
    results = build(
        {"kd/large": flat(8.5), "kd/early": values(6.5)},
        teachers=[teacher("large", [47.0] * N), stopped], label_noise=0.3,
    )  # fmt: skip
    a, b = ab(results)
    assert (a["verdict"], b["verdict"]) == ("not tested", "not tested")
    assert "the study has no stopped teacher whose own validation error is known" in a["text"]
    assert "the study has no stopped teacher whose own validation error is known" in b["text"]


def test_a_teacher_of_other_images_is_no_full_one(build, teacher) -> None:
    errors = {"kd/large": flat(8.5), "kd/early": values(6.5)}
    for images, verdict in ((None, "supported"), ("half-a", "not tested")):
        large = {"images": images} if images else {}
        config = {"teachers": {"large": large, "early": {"stop": {"compressed": 0.2}}}}
        results = build(errors, teachers=tutors(teacher), label_noise=0.3, config=config)
        assert ab(results)[0]["verdict"] == verdict


def test_only_students_that_are_otherwise_alike_are_compared(build, teacher) -> None:
    errors = {"kd/large": flat(8.5), "other/early": values(6.5)}
    setups = {"kd": "KD, temperature 4", "other": "KD, temperature 1"}
    a, _ = ab(build(errors, teachers=tutors(teacher), label_noise=0.3, setups=setups))
    assert a["verdict"] == "not tested"
    a, _ = ab(build(errors, teachers=tutors(teacher), label_noise=0.3))
    assert a["verdict"] == "supported"
    config = {"conditions": {"kd": {}, "base": {"recipe": {"epochs": 9}},
                             "other": {"extends": "base"}}}  # fmt: skip
    a, _ = ab(build(errors, teachers=tutors(teacher), label_noise=0.3, config=config))
    assert a["verdict"] == "not tested"


def test_a_teacher_of_another_recipe_is_no_full_training_of_the_stopped_one(build, teacher) -> None:
    config = {"teachers": {
        "large": {"model": "plain-64", "recipe": {"epochs": 9}},
        "long": {"model": "plain-64"},
        "early": {"of": "long", "stop": {"compressed": 0.2}},
    }}  # fmt: skip
    errors = {"kd/large": flat(8.5), "kd/long": flat(8.7), "kd/early": values(6.5)}
    long = teacher("long", [48.0] * N)
    results = build(errors, teachers=[*tutors(teacher), long], label_noise=0.3, config=config)
    a, _ = ab(results)
    assert "against 48.0 % of long, fully trained" in a["text"]
    assert "Raw: kd/early has 2.2 points less test error than kd/long" in a["text"]


def test_margin_is_the_primary_claims(build, teacher) -> None:
    errors = {"kd/large": flat(8.5), "kd/early": values(8.4)}
    assert ab(build(errors, teachers=tutors(teacher), label_noise=0.3))[0]["verdict"] == "undecided"
    for claim, verdict in (
        ({"metric": "test_error", "margin": 2.0, "trend": None}, "refuted"),
        ({"metric": "train_kl_t4", "margin": 2.0}, "undecided"),
        ({"metric": "test_error", "margin": 2.0, "trend": {"within": "kd"}}, "undecided"),
    ):
        config = {"claims": {"primary": {"it": claim}}}
        results = build(errors, teachers=tutors(teacher), label_noise=0.3, config=config)
        assert ab(results)[0]["verdict"] == verdict


def test_few_replicates_and_none(build, teacher) -> None:
    a, _ = ab(study(build, teacher, -9.0, -9.0, n=3))
    assert ": supported for these teachers. " in a["text"]
    results = study(build, teacher, -2.0, -2.0)
    for run in results["runs"]:
        run.update(status="pending", test_error=None)
    a, _ = ab(results)
    assert a["verdict"] == "undecided"
    assert "No replicate has both kd/matched and kd/large" in a["text"]


def test_a_study_without_teachers(build) -> None:
    a, b = ab(build({"scratch": [[1.0]]}, label_noise=0.3))
    assert (a["verdict"], b["verdict"]) == ("not tested", "not tested")


def test_order_of_rows_does_not_matter(build, teacher) -> None:
    results = study(build, teacher, -2.5, -2.0)
    before = sentences(results)
    random.Random(0).shuffle(results["runs"])
    assert sentences(results) == before


def test_findings_load_no_torch() -> None:
    code = (
        "import sys, tutelage.findings; print('torch' in sys.modules, 'scipy.stats' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]


def test_what_teachers_cost_does_not_keep_conditions_apart(build, teacher) -> None:
    results = study(build, teacher, -2.5, -2.0)
    expected = sentences(results)
    for number, condition in enumerate(results["conditions"]):
        condition["compute"] = {"own": 1.0 + number, "teacher": 10.0 * number}
    assert sentences(results) == expected
