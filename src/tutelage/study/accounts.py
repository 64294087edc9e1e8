"""What trainings cost in multiply-adds: the same on every machine, unlike seconds.

An image's forward pass costs the network's multiply-adds, and a step of training three times that:
forward, to the inputs, to the weights (Kaplan et al. 2020, arXiv 2001.08361). A teacher's forward
passes are counted as the fewest that one student alone asks for: where images have few views and
logits can be kept, one for each view of each image, otherwise one for each image of each epoch that
hears it. Weights that came from outside are counted as nothing: what they took is not known here.
"""

from __future__ import annotations

import math

from tutelage.config.design import Training, states_in
from tutelage.data.view_names import views_of
from tutelage.study.context import Context

_STEP = 3.0  # forward passes that a step of training is worth


def training_cost(context: Context, training: Training) -> float:
    """Multiply-adds of one training, the forward passes of its teacher included."""
    costs, trainings = context.manifest["costs"], context.expanded.trainings
    images, without = _images(context, training)
    total = _STEP * costs[training.model]["macs"] * images * training.recipe.epochs
    if training.teacher is not None:
        reference = context.expanded.teachers[training.teacher].reference
        for state, epochs in training.heard_in(reference).items():
            heard = trainings[state.training]
            # Of cross-fitted networks each speaks of the one part that it has not seen.
            share = 1.0 if heard.part is None else 1.0 / heard.part[1]
            most = _most_passes(context, training) * (1 + without / images)
            passes = min(epochs, most)
            total += costs[heard.model]["macs"] * images * passes * share
    return float(total)


def _most_passes(context: Context, training: Training) -> float:
    """How often a network that teaches has to see the images at most: once a view, unless they are
    mixed or without number, or features are heard, which are too many to keep."""
    recipe, views = training.recipe, views_of(context.config.data.views_text)
    kept = views is not None and not (recipe.mixup or recipe.cutmix or training.features)
    return views if views is not None and kept else math.inf


def teacher_cost(context: Context, teacher: str) -> float:
    """Multiply-adds of all trainings that a teacher rests on: its own, stopped where it is, those
    of whoever taught it, or whose entropy it was matched to; each counted once, as far as it is
    needed."""
    return sum(_trainings(context, teacher).values())


def _trainings(context: Context, teacher: str) -> dict[str, float]:
    """By name of the training, what is needed of it."""
    found: dict[str, float] = {}
    for state in states_in(context.expanded.teachers[teacher].reference):
        training = context.expanded.trainings[state.training]
        epochs = training.recipe.epochs
        share = state.at / epochs if isinstance(state.at, int) and epochs else 1.0
        needed = {training.name: share * training_cost(context, training)}
        if training.teacher is not None:
            needed |= _trainings(context, training.teacher)
        for name, cost in needed.items():
            found[name] = max(found.get(name, 0.0), cost)
    return found


def _images(context: Context, training: Training) -> tuple[float, int]:
    """How many images an epoch of a training sees, without one part, where it leaves one out; and
    how many there are beside them that have no labels, of which it shows some in their place."""
    if training.part is None:
        return context.trained_count(training)
    return context.manifest["data"]["train"] * (1.0 - 1.0 / training.part[1]), 0
