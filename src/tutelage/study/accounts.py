"""What trainings cost in multiply-adds: the same on every machine, unlike seconds.

An image's forward pass costs the network's multiply-adds, and a step of training three times that:
forward, to the inputs, to the weights (Kaplan et al. 2020, arXiv 2001.08361). A teacher's forward
pass is counted once for every image of every epoch that hears it, as if nothing were kept.
"""

from __future__ import annotations

from tutelage.config.design import Training, stages_of, states_heard, states_in
from tutelage.study.context import Context

_STEP = 3.0  # forward passes that a step of training is worth


def training_cost(context: Context, training: Training) -> float:
    """Multiply-adds of one training, the forward passes of its teacher included."""
    images, costs = context.manifest["data"]["train"], context.manifest["costs"]
    total = _STEP * costs[training.model]["macs"] * images * training.recipe.epochs
    if training.teacher is not None:
        heard = training.until if training.until else training.recipe.epochs
        reference = context.expanded.teachers[training.teacher].reference
        # Of teachers that are heard in turn each speaks for a share of the epochs.
        turns = stages_of(reference)
        for state in (state for turn in turns for state in states_heard(turn)):
            model = context.expanded.trainings[state.training].model
            total += costs[model]["macs"] * images * heard / len(turns)
    return float(total)


def teacher_cost(context: Context, teacher: str) -> float:
    """Multiply-adds of all trainings that a teacher rests on: its own, stopped where it is, those
    of whoever taught it, or whose entropy it was matched to; each counted once."""
    return sum(_trainings(context, teacher).values())


def _trainings(context: Context, teacher: str) -> dict[str, float]:
    """By name of the training, what is needed of it."""
    found: dict[str, float] = {}
    for state in states_in(context.expanded.teachers[teacher].reference):
        training = context.expanded.trainings[state.training]
        whole = training_cost(context, training)
        epochs = training.recipe.epochs
        share = state.at / epochs if isinstance(state.at, int) and epochs else 1.0
        found[training.name] = max(found.get(training.name, 0.0), share * whole)
        if training.teacher is not None:
            found |= _trainings(context, training.teacher)
    return found
