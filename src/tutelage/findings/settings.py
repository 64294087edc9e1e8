"""One comparison in several settings: a verdict needs all of them.

Teachers at different stops differ in softness as well as in what they know, and a gain at one
student length may be a loss at another. So a claim can name the same comparison elsewhere, raw and
entropy-matched, at 1x and at 4x. It is supported only where every one is, and refuted only where
every one is (an intersection-union test: Berger 1982, Technometrics 24). Each is judged at the
claim's own level, because all of them must pass: no correction is needed. Where the effect turns
round from one setting to another there is no verdict: it depends on the setting.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tutelage.findings.intervals import Estimate

DEPENDS = "depends on the setting"


@dataclass(frozen=True)
class Settings(Estimate):
    """The estimate in the claim's own setting, with those of the same comparison in `others`, each
    under the names of its two conditions."""

    others: tuple[tuple[tuple[str, str], Estimate], ...] = ()

    def at(self, level: float) -> Settings:
        """All of them at another confidence level."""
        here = super().at(level)
        assert isinstance(here, Settings)
        return replace(here, others=tuple((pair, each.at(level)) for pair, each in self.others))

    @property
    def all(self) -> list[Estimate]:
        """Every setting's estimate, the claim's own first."""
        own = {name: getattr(self, name) for name in Estimate.__dataclass_fields__}
        return [Estimate(**own), *(each for _, each in self.others)]

    @property
    def signs_differ(self) -> bool:
        """Whether one interval lies above zero and another below: the effect turns round.

        With k settings each is judged at 1 / (k - 1) of the error, so that a false "depends" is no
        likelier than with two (Piantadosi & Gail 1993, Stat. Med. 12).
        """
        level = 1.0 - (1.0 - self.level) / max(1, len(self.others))
        seen = [each.at(level) for each in self.all]
        above = any(each.low is not None and each.low > 0.0 for each in seen)
        below = any(each.high is not None and each.high < 0.0 for each in seen)
        return above and below

    def rows(self) -> list[dict[str, Any]]:
        """The other settings as plain values, for the results document."""
        return [
            {"conditions": list(pair), "effect": each.effect, "low": each.low, "high": each.high,
             "n": each.n}
            for pair, each in self.others
        ]  # fmt: skip


def with_settings(own: Estimate, others: list[tuple[tuple[str, str], Estimate]]) -> Settings:
    """`own` with the estimates of its other settings."""
    return Settings(**vars(own), others=tuple(others))
