"""What a built-in study has of a paper: its claim beside ours, and what follows from each verdict.

It stands under the key `paper` of a study file, by the names of claims. It is no part of the study,
so that a word changed here changes no identity.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from tutelage.config.fields import Name, Strict
from tutelage.errors import UserError

Judged = Literal["supported", "refuted", "undecided"]


class PaperNote(Strict):
    """What a paper says where a claim of a study asks the same."""

    item: str = Field(description="where it says so: a figure, a table, a section")
    says: str = Field(description="what it says, with its numbers, in our words")
    agrees: Literal["supported", "refuted"] | None = Field(
        default=None, description="the verdict that agrees with it; none for a question of ours"
    )
    follows: dict[Judged, str] = Field(description="what follows for a practitioner, by verdict")


_NOTES = TypeAdapter(dict[Name, PaperNote])


def read_notes(raw: Any, claims: set[str], source: str) -> dict[str, PaperNote]:
    """The notes under `paper` of a study with those claims. Raises UserError."""
    try:
        notes = _NOTES.validate_python(raw or {})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, ("paper", *first["loc"])))
        raise UserError(f"{first['msg']}.", where=f"{source}, {key}") from None
    for name in notes.keys() - claims:
        raise UserError(f"the study has no claim called {name}.", where=f"{source}, paper.{name}",
                        fix="Give the note the name of a claim.")  # fmt: skip
    return notes
