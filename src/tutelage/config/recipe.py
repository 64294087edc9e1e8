"""Recipes: named ones, inheritance, and the learning rate of every epoch."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import Any

from tutelage.config.schema import AdamW, Duration, RecipeConfig, ScheduleConfig, Sgd
from tutelage.errors import UserError, unknown

# The paper's CIFAR-10 recipe (section 2 of the paper, lineage of Wide ResNet's code): SGD with
# Nesterov momentum, rate 0.1 times 0.2 every 60 epochs, 200 epochs, batch 128.
NAMED: dict[str, dict[str, Any]] = {
    "paper-cifar10": {
        "schedule": {"mode": "60/200", "factor": 0.2},
        "batch_size": 128,
        "optimizer": {"sgd": {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}},
    },
}


@dataclass(frozen=True)
class Recipe:
    """A complete recipe: nothing is left to a default."""

    epochs: int
    batch_size: int
    optimizer: Sgd | AdamW
    schedule: ScheduleConfig
    warmup: int
    clip_norm: float | None
    label_smoothing: float
    precision: str
    mixup: float = 0.0
    cutmix: float = 0.0
    ema: float = 0.0
    swa: int = 0  # the epochs before it begins; 0: none

    @property
    def decays(self) -> list[int]:
        """Epochs (counted from 0) at whose start the rate is multiplied by the factor."""
        if self.schedule.mode:
            every, total = _mode(self.schedule.mode)
            return list(range(every, total, every))
        return sorted(resolve_duration(step, self.epochs) for step in self.schedule.steps or [])

    def rates(self) -> list[float]:
        """The learning rate of each epoch. Warm-up rises linearly: lr * (e + 1) / warmup; a
        cooldown of n epochs falls linearly: lr * n / (n + 1), ..., lr / (n + 1)."""
        peak, decays = self.optimizer.lr, self.decays
        tail = resolve_duration(self.schedule.cooldown or 0, self.epochs)
        rates = []
        for epoch in range(self.epochs):
            if epoch < self.warmup:
                rate = peak * (epoch + 1) / self.warmup
            elif epoch >= self.epochs - tail:
                rate = peak * (self.epochs - epoch) / (tail + 1)
            elif self.schedule.cosine:
                done = (epoch - self.warmup) / max(1, self.epochs - self.warmup)
                rate = peak * 0.5 * (1 + math.cos(math.pi * done))
            else:
                rate = peak * self.schedule.factor ** bisect_right(decays, epoch)
            rates.append(rate)
        return rates

    def compressed(self, how: str | float) -> Recipe:
        """The same recipe with its schedule shortened and every decay scaled along.

        `how` is a fraction of the epochs, or a mode n/N (the paper's early-stopped teachers).
        """
        if isinstance(how, str):
            schedule = ScheduleConfig(mode=how, factor=self.schedule.factor)
            epochs = _mode(how)[1]
            if epochs > self.epochs:
                raise UserError(f"the mode {how} is longer than the {self.epochs} epochs it stops.")
        else:
            epochs = max(1, _round(how * self.epochs))
            steps: list[Duration] = [max(1, _round(step * how)) for step in self.decays]
            schedule = ScheduleConfig(steps=steps or None, factor=self.schedule.factor)
            if self.schedule.cosine:
                schedule = self.schedule
            elif self.schedule.cooldown is not None:
                tail = resolve_duration(self.schedule.cooldown, self.epochs)
                schedule = ScheduleConfig(cooldown=_round(how * tail))
        warmup = _round(self.warmup * epochs / self.epochs)
        swa = min(max(1, _round(self.swa * epochs / self.epochs)), epochs - 1) if self.swa else 0
        return replace(self, epochs=epochs, schedule=schedule, warmup=warmup, swa=swa)

    def cooled_down(self, epoch: int) -> Recipe:
        """The same recipe with its rate held constant for `epoch` epochs, and a tenth of its own
        epochs after them in which the rate falls linearly.

        Until then all such recipes are the same training: many stops cost one long training (the
        trunk) and their short ends, and tell *when* a training stopped from *how high* its rate
        still was.
        """
        tail = max(1, _round(0.1 * self.epochs))
        warmup = min(self.warmup, epoch)
        return replace(
            self, epochs=epoch + tail, schedule=ScheduleConfig(cooldown=tail), warmup=warmup
        )


def _round(value: float) -> int:
    return math.floor(value + 0.5)


def _mode(text: str) -> tuple[int, int]:
    every, total = text.split("/")
    return int(every), int(total)


def resolve_duration(duration: Duration, epochs: int) -> int:
    """A duration in epochs: a whole number is one, a fraction is taken of `epochs`."""
    return duration if isinstance(duration, int) else _round(duration * epochs)


def merge(*layers: RecipeConfig | None) -> dict[str, Any]:
    """Partial recipes laid over each other, later ones on top; optimizer and schedule as a whole.

    A layer that sets a mode drops the epochs below it, because a mode states its own.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        if layer is None:
            continue
        values = layer.model_dump(exclude_none=True)
        name = values.pop("extends", None)
        if name is not None:
            if name not in NAMED:
                raise unknown("recipe", name, NAMED)
            values = {**NAMED[name], **values}
        own, below = values.get("schedule", {}), merged.get("schedule", {})
        if "mode" in own:
            merged.pop("epochs", None)
        elif "epochs" in values and "mode" in below and not own:
            raise UserError(
                f"epochs {values['epochs']} contradicts the mode {below['mode']}, "
                "which states its own number of epochs.",
                fix="Set schedule together with epochs, or leave epochs out.",
            )
        merged.update(values)
    return merged


def build_recipe(*layers: RecipeConfig | None) -> Recipe:
    """The complete recipe of the layers (see `merge`).

    Raises UserError for an unknown name, a missing number of epochs, or decays after the end.
    """
    values = RecipeConfig.model_validate(merge(*layers))
    schedule = values.schedule or ScheduleConfig()
    epochs = values.epochs
    if schedule.mode:
        total = _mode(schedule.mode)[1]
        if epochs not in (None, total):
            raise UserError(f"epochs {epochs} contradicts the mode {schedule.mode}.",
                            fix=f"Leave epochs out, or set it to {total}.")  # fmt: skip
        epochs = total
    if epochs is None:
        raise UserError("the recipe names no number of epochs.", fix="Set recipe.epochs.")
    optimizer = values.optimizer.chosen if values.optimizer else Sgd()
    recipe = Recipe(
        epochs=epochs,
        batch_size=values.batch_size or 128,
        optimizer=optimizer,
        schedule=schedule,
        warmup=resolve_duration(values.warmup or 0, epochs),
        clip_norm=values.clip_norm,
        label_smoothing=values.label_smoothing or 0.0,
        precision=values.precision or "fp32",
        mixup=values.mixup or 0.0,
        cutmix=values.cutmix or 0.0,
        ema=values.ema or 0.0,
        swa=resolve_duration(values.swa or 0, epochs),
    )
    if values.swa is not None and not 1 <= recipe.swa < epochs:
        raise UserError(f"swa from epoch {recipe.swa} on does not lie within the {epochs} epochs.",
                        fix="Write a fraction such as 0.75.")  # fmt: skip
    if recipe.swa and recipe.ema:
        raise UserError("ema and swa are two averages of the weights.", fix="Leave one out.")
    tail = schedule.cooldown
    if isinstance(tail, int) and tail > epochs:
        raise UserError(f"a cooldown of {tail} epochs exceeds the {epochs} of the recipe.",
                        fix="Lower it, or write it as a fraction such as 0.1.")  # fmt: skip
    late = [step for step in schedule.steps or [] if isinstance(step, int) and step >= epochs]
    if late:
        raise UserError(f"a decay at epoch {late[0]} lies beyond the {epochs} epochs.",
                        fix="Lower it, or write it as a fraction such as 0.6.")  # fmt: skip
    if recipe.warmup > epochs:
        raise UserError(f"a warm-up of {recipe.warmup} epochs exceeds the {epochs} of the recipe.")
    return recipe
