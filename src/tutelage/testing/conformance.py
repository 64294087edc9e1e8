"""Runs the checks of the properties that a loss declares."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from tutelage.errors import UserError, unknown
from tutelage.testing.numerics import NUMERICS
from tutelage.testing.subject import Fault, Loss, Property, Subject
from tutelage.testing.values import VALUES

PROPERTIES: dict[str, Property] = {each.name: each for each in (*VALUES, *NUMERICS)}
"""Every property by its name."""

ALL: tuple[str, ...] = tuple(PROPERTIES)
"""The names of all properties; Hinton's loss has them all."""

ANY_LOSS: tuple[str, ...] = (
    "finite-scalar", "batch-size", "order-of-images", "order-of-classes", "teacher-detached",
    "gradient", "large-logits", "half-in-single", "refuses-shapes", "deterministic",
    "leaves-arguments",
)  # fmt: skip
"""What can be asked of any loss of logits, whatever it measures."""

LIKE_KD: tuple[str, ...] = tuple(
    name for name in ALL if name not in ("large-temperature", "leading-dimensions")
)
"""What else a divergence of softened predictions has, for one batch at one temperature."""


@dataclass(frozen=True)
class Verdict:
    """What the check of one property found; `seen` is a sentence where it failed, else empty."""

    name: str
    meaning: str
    passed: bool
    seen: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.meaning}" + (f"; but {self.seen}" if self.seen else "")


def check_loss(
    loss: Loss,
    properties: Iterable[str | Property] = ANY_LOSS,
    *,
    labels: bool = False,
    seed: int = 0,
    at_temperature: Callable[[float], Loss] | None = None,
) -> list[Verdict]:
    """Whether a loss has the properties that it declares: a verdict for each, in their order.

    `loss` takes the logits [B, C] of student and teacher, and with `labels` int64 labels [B], all
    on the CPU, and gives a scalar; bind other arguments by functools.partial. `properties` are
    names of `PROPERTIES`, or Property objects of your own. `seed` draws the logits: same seed, same
    verdicts. `at_temperature` gives the loss at a temperature, for "large-temperature" alone. The
    state of torch's random numbers is left as it was. What the loss raises is a failure of the
    property.

    Raises UserError for an unknown property, for none, and for one that needs a missing
    `at_temperature`.
    """
    chosen = [_known(each) for each in properties]
    if not chosen:
        raise UserError("no property was named, so there is nothing to check.")
    for each in chosen:
        if each.needs_temperature and at_temperature is None:
            raise UserError(
                f"the property '{each.name}' needs the loss at other temperatures.",
                fix="Pass at_temperature, such as lambda tau: partial(my_loss, temperature=tau); "
                "on the command line the loss needs an argument called temperature.",
            )
    subject = Subject(loss, labels, seed, at_temperature)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        return [_verdict(each, subject) for each in chosen]


def assert_loss(
    loss: Loss,
    properties: Iterable[str | Property] = ANY_LOSS,
    *,
    labels: bool = False,
    seed: int = 0,
    at_temperature: Callable[[float], Loss] | None = None,
) -> None:
    """`check_loss`, for tests. Raises AssertionError that names all failures, a line for each."""
    verdicts = check_loss(
        loss, properties, labels=labels, seed=seed, at_temperature=at_temperature
    )  # fmt: skip
    failed = [f"  {verdict}" for verdict in verdicts if not verdict.passed]
    if failed:
        head = f"the loss fails {len(failed)} of the {len(verdicts)} properties that it declares:"
        raise AssertionError("\n".join([head, *failed]))


def _known(each: str | Property) -> Property:
    if isinstance(each, Property):
        return each
    if each not in PROPERTIES:
        raise unknown("property", each, PROPERTIES)
    return PROPERTIES[each]


def _verdict(each: Property, subject: Subject) -> Verdict:
    try:
        seen = each.check(subject)
    except Fault as fault:
        seen = str(fault)
    except Exception as error:
        words = str(error).strip().splitlines()
        seen = f"it raised {type(error).__name__}" + (f": {words[0]}" if words else "")
    return Verdict(each.name, each.meaning, seen is None, seen or "")
