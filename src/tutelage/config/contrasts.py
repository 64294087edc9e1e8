"""What may be compared: never two precisions, whose difference would be part of the effect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tutelage.config.design import Expanded, states_in
from tutelage.errors import UserError


def check_precision(names: Sequence[str], expanded: Expanded, where: str) -> None:
    """Raises UserError where the conditions `names`, which the claim at the key `where` compares,
    differ in the precision of their students, or in that of their teachers' own trainings.

    With a teacher counts all that it rests on: who taught it, and whose entropy it was matched to.
    A condition without a teacher is compared with teachers of any precision, because the claim is
    then about being taught at all. Steppers may differ: each is exact in what is called fp32.
    """
    conditions = expanded.conditions
    _check_equal({name: conditions[name].recipe.precision for name in names}, "the student", where)
    taught = {name: teacher for name in names if (teacher := conditions[name].teacher)}
    theirs = {name: _words(_precisions(teacher, expanded)) for name, teacher in taught.items()}
    _check_equal(theirs, "the teacher", where)


def _precisions(teacher: str, expanded: Expanded) -> Iterator[str]:
    """The precision of a teacher's training first, then those of all that it rests on."""
    for state in states_in(expanded.teachers[teacher].reference):
        training = expanded.trainings[state.training]
        yield training.recipe.precision
        if training.teacher is not None:
            yield from _precisions(training.teacher, expanded)


def _words(precisions: Iterator[str]) -> str:
    return ", resting on ".join(dict.fromkeys(precisions))


def _check_equal(precisions: Mapping[str, str], whose: str, where: str) -> None:
    for name, precision in precisions.items():
        first, expected = next(iter(precisions.items()))
        if precision != expected:
            raise UserError(
                f"compares two precisions: {whose} of {first} is trained in {expected}, "
                f"that of {name} in {precision}.",
                where=where,
                fix="Give all that the claim compares the same recipe.precision.",
            )
