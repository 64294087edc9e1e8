"""What came out beside what a paper says of the same claim.

It compares verdicts with a study's notes (`paper` in its file) and is no verdict of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tutelage.config.paper import PaperNote
from tutelage.config.schema_claims import ClaimConfig, ClaimsConfig

AGREES, DIFFERS, OPEN, OURS = "agrees", "does not agree", "open", "not in the paper"
SMALLER = "same sign, less than the margin"
WRONG_LABELS = "not compared: labels were made wrong"
_TOO_LITTLE = "It is there, and smaller than the margin: too little to choose by."


@dataclass(frozen=True, slots=True)
class Beside:
    """A paper's word on a claim: where it stands (`item`), what it `says`, how the verdict `stands`
    to it, and what `follows` for a practitioner (empty where nothing does)."""

    item: str
    says: str
    stands: str
    follows: str


def beside_paper(
    findings: Sequence[Mapping[str, Any]],
    notes: Mapping[str, PaperNote],
    claims: ClaimsConfig,
    label_noise: float,
) -> dict[str, Beside]:
    """For each finding, as results documents have them, whose claim has a note, both together."""
    configs = {name: claim for rank in claims.ranked().values() for name, claim in rank.items()}
    return {
        name: beside(found, notes[name], configs[name], label_noise)
        for found in findings
        if (name := found["claim"]) in notes
    }


def beside(
    found: Mapping[str, Any], note: PaperNote, claim: ClaimConfig, label_noise: float
) -> Beside:
    """A finding beside its note. An effect that is there, and short of its margin, has a name of
    its own. What comes of wrong labels is not compared: the paper makes no label wrong."""
    verdict = found["verdict"]
    stands, follows = _stands(verdict, note), note.follows.get(verdict, "")
    if stands == DIFFERS and _is_smaller(found, claim):
        stands, follows = SMALLER, _TOO_LITTLE
    if label_noise > 0 and stands not in (OPEN, OURS):
        stands = WRONG_LABELS
    return Beside(note.item, note.says, stands, follows)


def _stands(verdict: str, note: PaperNote) -> str:
    if verdict not in ("supported", "refuted"):
        return OPEN
    if note.agrees is None:
        return OURS
    return AGREES if verdict == note.agrees else DIFFERS


def _is_smaller(found: Mapping[str, Any], claim: ClaimConfig) -> bool:
    """Whether a refuted effect is there all the same: its interval lies on the side of zero that
    the claim speaks of, and short of the margin."""
    if found["verdict"] != "refuted" or found["low"] is None:
        return False
    if claim.direction in ("greater", "increasing"):
        return found["low"] > 0
    return claim.direction in ("less", "decreasing") and found["high"] < 0
