"""The verb `doctor losses`: has a loss the properties that it declares?"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from functools import partial
from typing import Any

from rich.console import Console
from rich.markup import escape

from tutelage.errors import UserError, unknown
from tutelage.functions import importable, named_function
from tutelage.testing import (
    ALL,
    ANY_LOSS,
    OWN_LOSSES,
    PROPERTIES,
    Declaration,
    Verdict,
    check_loss,
)


def examine_losses(
    name: str | None, *, properties: str | None, labels: bool, options: list[str], seed: int
) -> bool:
    """Check losses and print what each property showed; returns whether all passed.

    Without `name`, all losses of tutelage; else one of these, or a user's as `module:function` or
    `file.py:function`, with `options` such as `temperature=4`. `properties` are names with commas
    between: of properties, of losses of tutelage (all that these declare), or `all`. Raises
    UserError for what cannot be found or called.
    """
    console = Console()
    if name is None or ":" not in name:
        if properties or labels or options:
            raise UserError(
                "--properties, --labels and --set describe a loss of your own.",
                fix="Name it: tutelage doctor losses module:function.",
            )
        if name is not None and name not in OWN_LOSSES:
            raise unknown("loss", name, [*OWN_LOSSES, "module:function"])
        return _examine_own(console, [name] if name else list(OWN_LOSSES), seed)
    chosen, bound = _named(properties), dict(map(_option, options))
    with importable(name):  # for as long as the loss runs: it may import more
        bare = named_function(name, "losses.py:my_loss")
        _check_call(name, bare, labels, bound)
        loss = partial(bare, **bound)
        hot = partial(_at_temperature, loss) if "temperature" in _parameters(loss) else None
        verdicts = check_loss(loss, chosen, labels=labels, seed=seed, at_temperature=hot)
    for verdict in verdicts:
        _print(console, verdict.passed, str(verdict))
    return _passed(verdicts)


def _examine_own(console: Console, names: list[str], seed: int) -> bool:
    passed = True
    for name in names:
        own: Declaration = OWN_LOSSES[name]
        verdicts = own.check(seed)
        for verdict in verdicts:
            if not verdict.passed:
                _print(console, False, f"{name}: {verdict}")
        if _passed(verdicts):
            without = [each for each in ALL if each not in own.properties]
            rest = f"; it does not declare {', '.join(without)}" if without else ""
            _print(console, True, f"{name}: {len(verdicts)} properties{rest}")
        passed &= _passed(verdicts)
    return passed


def _passed(verdicts: list[Verdict]) -> bool:
    return all(verdict.passed for verdict in verdicts)


def _print(console: Console, passed: bool, line: str) -> None:
    mark = "[green]ok[/green]       " if passed else "[red]problem[/red]  "
    console.print(mark + escape(line), highlight=False)


def _named(words: str | None) -> list[str]:
    """The properties that a list names, each once, in the order of all."""
    if words is None:
        return list(ANY_LOSS)
    chosen: set[str] = set()
    for word in filter(None, map(str.strip, words.split(","))):
        if word == "all":
            chosen.update(ALL)
        elif word in OWN_LOSSES:
            chosen.update(OWN_LOSSES[word].properties)
        elif word in PROPERTIES:
            chosen.add(word)
        else:
            raise unknown("property", word, [*PROPERTIES, *OWN_LOSSES, "all"])
    return [name for name in ALL if name in chosen]


def _option(text: str) -> tuple[str, Any]:
    key, sign, value = text.partition("=")
    if not sign or not key.isidentifier():
        raise UserError(f"'{text}' sets nothing.", where="--set", fix="Write temperature=4.")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


def _check_call(name: str, loss: Callable[..., Any], labels: bool, bound: dict[str, Any]) -> None:
    """Raises UserError for a loss that cannot be called with logits (and labels) and options."""
    given = ["student logits", "teacher logits", *(["labels"] if labels else [])]
    try:
        inspect.signature(loss).bind(*given, **bound)
    except TypeError as error:
        raise UserError(
            f"it cannot be called with {', '.join(given)}: {error}.",
            where=name,
            fix="--labels passes labels as the third argument, --set temperature=4 another one.",
        ) from None
    except ValueError:  # built in, and tells nothing of its arguments
        return


def _at_temperature(loss: Callable[..., Any], temperature: float) -> Callable[..., Any]:
    return partial(loss, temperature=temperature)


def _parameters(loss: Callable[..., Any]) -> list[str]:
    try:
        return list(inspect.signature(loss).parameters)
    except ValueError:
        return []
