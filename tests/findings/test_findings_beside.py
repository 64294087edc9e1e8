"""A verdict beside what the paper says of the same claim."""

from __future__ import annotations

import pytest

from tutelage.config.load import load_study
from tutelage.config.paper import PaperNote
from tutelage.findings.beside import beside_paper

CLAIMS = load_study("paper/c6-early-stopped-teacher").claims
CLAIM = "early-teaches-better"  # less, by 0.5 points
NOTE = PaperNote(
    item="Fig. 1", says="So.", agrees="supported",
    follows={"supported": "Stop it.", "refuted": "Do not."},
)  # fmt: skip
FOUND = {"claim": CLAIM, "verdict": "refuted", "low": 0.5, "high": 1.0}


def told(note: PaperNote = NOTE, label_noise: float = 0.0, **found: object) -> tuple[str, str]:
    beside = beside_paper([FOUND | found], {CLAIM: note}, CLAIMS, label_noise)[CLAIM]
    assert (beside.item, beside.says) == ("Fig. 1", "So.")
    return beside.stands, beside.follows


def test_a_verdict_agrees_or_not_and_something_follows() -> None:
    assert told(verdict="supported") == ("agrees", "Stop it.")
    assert told() == ("does not agree", "Do not.")
    assert told(verdict="undecided") == ("open", "")
    assert told(verdict="depends") == ("open", "")


def test_a_question_of_ours_is_not_compared() -> None:
    ours = NOTE.model_copy(update={"agrees": None})
    assert told(ours) == ("not in the paper", "Do not.")
    assert told(ours, label_noise=0.2) == ("not in the paper", "Do not.")


@pytest.mark.parametrize(
    ("low", "high", "stands"),
    [(-0.4, -0.1, "same sign, less than the margin"), (-0.4, 0.1, "does not agree"),
     (0.1, 0.4, "does not agree"), (None, None, "does not agree")],
)  # fmt: skip
def test_an_effect_short_of_its_margin_has_a_name_of_its_own(low, high, stands) -> None:
    found, follows = told(low=low, high=high)
    assert found == stands
    assert ("smaller than the margin" in follows) == (stands != "does not agree")


def test_what_comes_of_wrong_labels_is_not_compared_but_something_follows() -> None:
    """The paper makes no label wrong."""
    assert told(label_noise=0.2) == ("not compared: labels were made wrong", "Do not.")
    assert told(label_noise=0.2, verdict="undecided") == ("open", "")
    assert "smaller than the margin" in told(label_noise=0.2, low=-0.4, high=-0.1)[1]


def test_a_claim_without_a_note_has_none() -> None:
    assert beside_paper([FOUND], {}, CLAIMS, 0.0) == {}
