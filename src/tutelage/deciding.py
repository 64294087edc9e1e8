"""Adding replicates until the primary claim is decided, and no longer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from tutelage.api import Study, StudyResult
from tutelage.config.schema import StudyConfig
from tutelage.errors import UserError
from tutelage.findings.looks import LOOKS, declared

OPEN: Literal["open"] = "open"


@dataclass(frozen=True)
class Decision:
    """How it ended: the last look's result, and which look of how many that was (of an open number
    None)."""

    result: StudyResult
    look: int
    looks: int | None

    @property
    def finding(self) -> dict[str, Any]:
        """The finding on the primary claim."""
        return self.result.findings[0]

    @property
    def is_decided(self) -> bool:
        """Whether that is a verdict."""
        return self.finding["verdict"] != "undecided"

    @property
    def can_be_decided(self) -> bool:
        """Whether more replicates could give a verdict: not where the effect turns round from one
        setting of the claim to another, which they would only show more surely."""
        return not self.is_decided and not self.finding["depends"]

    @property
    def in_words(self) -> str:
        """ "early-repairs: supported at look 2 of 4, after 12 replicates"."""
        number = self.result.context.config.replicates.count
        of = "" if self.looks is None else f" of {self.looks}"
        name, verdict = self.finding["claim"], self.finding["verdict"]
        if self.is_decided:
            return f"{name}: {verdict} at look {self.look}{of}, after {number} replicates."
        if not self.can_be_decided:
            return (
                f"{name}: depends on the setting, seen at look {self.look}{of} after {number} "
                "replicates; more of them would not decide it."
            )
        if self.result.failures:
            return (
                f"{name}: undecided at look {self.look}{of}, after {number} replicates of which "
                "runs failed; run it again once that is mended."
            )
        return (
            f"{name}: still undecided after {number} replicates, the most that were allowed. "
            f"{self.finding['would_change'][:1].upper()}{self.finding['would_change'][1:]}."
        )


def studies_until(
    config: StudyConfig, most: int, looks: int | Literal["open"] = LOOKS
) -> Iterator[StudyConfig]:
    """The study at each of its looks, from its own number of replicates to `most`.

    The looks are a part of the study, and so of its id and its report. A number of looks are
    declared at equal steps, if the study does not declare its own up to `most`; `open` looks after
    every replicate. Raises UserError for a study
    without a primary claim, with looks of its own that are others, or with more replicates than
    `most`.
    """
    first = config.replicates.count
    if not config.claims.primary:
        raise UserError("has no primary claim that could be decided.", where="claims.primary",
                        fix="Name the one claim that the study is about.")  # fmt: skip
    if not 2 <= first <= most:
        raise UserError(
            f"begins with {first} replicates, and --max-replicates is {most}.",
            where="replicates.count",
            fix="Begin with 2 at least, 6 are better, and allow no fewer than that.",
        )
    if looks != OPEN and looks < 1:
        raise UserError(f"{looks} looks see nothing.", where="--looks")
    numbers = list(range(first, most + 1)) if looks == OPEN else declared(first, most, looks)
    own = config.replicates.looks
    if looks != OPEN and isinstance(own, list) and own[-1] == most:
        numbers = own
    planned = OPEN if looks == OPEN else numbers
    if own not in (None, planned):
        raise UserError(
            "declares other looks than these.",
            where="replicates.looks",
            fix="Leave them out of the study, or give --max-replicates and --looks accordingly.",
        )
    for count in numbers:
        changed = {"count": count, "looks": planned}
        replicates = config.replicates.model_copy(update=changed)
        yield config.model_copy(update={"replicates": replicates})


def run_until_decided(
    study: Study,
    most: int,
    *,
    looks: int | Literal["open"] = LOOKS,
    run: Callable[[Study], StudyResult] | None = None,
    **options: Any,
) -> Decision:
    """Runs a study with more and more replicates, never more students, until its primary claim is
    supported or refuted, or more of them would not decide it, or `most` replicates are there.

    However often it looked, the chance of a false verdict stays what it is for one look (see
    `findings.looks`). What was trained stays in the store, so an interrupted call goes on where it
    was; `options` are those of `Study.run`, and `run` runs one look instead of that. A look at
    which runs failed is the last. Raises UserError as `studies_until` and `Study.run` do.
    """
    configs = list(studies_until(study.config, most, looks))
    planned, look, now = None if looks == OPEN else len(configs), 0, None
    for look, config in enumerate(configs, start=1):
        each = Study(config, dataset=study.dataset)
        now = Decision(each.run(**options) if run is None else run(each), look, planned)
        if now.result.failures or not now.can_be_decided:
            break
    assert now is not None  # there is one look at least
    return now
