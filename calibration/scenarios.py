"""What is drawn: scenarios, each a rule for studies of which the truth is known.

The runs of the pool are real trainings (`pool.yaml`). Replicates are drawn from it with
replacement, so its means are the truth of what is drawn; or conditions change places within a
replicate, which makes all of them equal in truth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from calibration.selected import informed, noise, prediction, search
from calibration.studies import Drawn, Errors, Pool, Rule, teacher
from tutelage.config.schema import ClaimsConfig
from tutelage.findings.looks import declared

MARGIN = 0.5
REPLICATES = (3, 6, 12)
STUDENTS = 3
SIZES = {"small": 1_000, "medium": 4_000, "large": 64_000}  # parameters, for orders and trends


@dataclass(frozen=True)
class Scenario:
    """A rule of drawing studies with n replicates, by a name in words. `exact` says that coverage
    is 95 % by intent, and not 95 % or more, as of a set, or of several intervals at once."""

    name: str
    rule: Rule
    exact: bool = True
    replicates: Sequence[int] = REPLICATES


def scenarios(pool: Pool) -> Iterator[Scenario]:
    """All scenarios, those drawn from the pool first."""
    yield Scenario("another seed of the same teacher", _alike(pool, "kd/again", "kd/large"))
    yield Scenario("the same, disturbed by a millionth", _alike(pool, "twin", "kd/large"))
    yield Scenario("the same condition, other replicates", _other_replicates(pool))
    yield Scenario("signs of pairs flipped within replicates", _flipped(pool))
    for name, rule in _borders(pool).items():
        yield Scenario(name, rule)
    yield Scenario("conditions permuted, five secondary claims", _secondary(pool), exact=False)
    yield Scenario("a trend, teachers permuted", _trend(pool))
    yield Scenario("the best of four, permuted", _best(pool, (0.0, 0.0, 0.0, 0.0)), exact=False)
    yield Scenario("the best of four is an end", _best(pool, (0.0, 1.0, 1.0, 1.0)), exact=False)
    yield Scenario("the best of four lies inside", _best(pool, (1.0, 0.0, 1.0, 1.0)), exact=False)
    yield Scenario("one run in ten diverges", _diverging(pool), exact=False)
    yield Scenario("a stop chosen on validation", _chosen_stop(pool), exact=False)
    alike, apart = (0.0, 0.0, 0.0, 0.0), (0.0, 0.5, 1.0, 1.5)
    chosen = {
        "a prediction by noise, four alike": prediction(noise, alike, MARGIN),
        "a prediction by noise, four apart": prediction(noise, apart),
        "a prediction by what is known, at its margin": prediction(informed, apart),
        "no difference from the cell chosen of a search": search(pool, 0.0, _permuted),
        "less by the margin than the cell chosen of a search": search(pool, -MARGIN, _permuted),
    }
    for name, rule in chosen.items():
        yield Scenario(name, rule, exact="search" in name)
    looked = {
        "no difference": _alike(pool, "kd/again", "kd/large"),
        **_borders(pool),
        "the best of four, permuted": _best(pool, alike),
    }
    for name, rule in looked.items():
        yield Scenario(f"{name}, four looks", _looked(rule, 4), False, (12, 24))
    yield Scenario(
        "no difference, a look after each replicate", _looked(looked["no difference"], None),
        False, (24,),
    )  # fmt: skip
    yield Scenario("the pool's own effect", _effects(pool, together=False))
    yield Scenario("the pool's own effects, three together", _effects(pool), exact=False)
    yield Scenario("heavy tails (t, 3 degrees)", _simulated(_heavy))
    yield Scenario("teachers alone vary", _simulated(_teachers_alone))
    yield Scenario("students alone vary", _simulated(_students_alone))


def difference(first: str, second: str, **more: Any) -> dict[str, Any]:
    """A claim that the first has less error."""
    return {"difference": [first, second], "direction": "less", "margin": MARGIN} | more


def primary(**claim: Any) -> ClaimsConfig:
    return ClaimsConfig.model_validate({"primary": {"claim": claim}})


def _rows(pool: Pool, rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.integers(len(next(iter(pool.values()))), size=n)


def _alike(pool: Pool, first: str, second: str) -> Rule:
    """Two conditions that differ by chance alone, so that it is as likely that each replicate had
    come out the other way round; which is the first is drawn for each."""

    def draw(rng: np.random.Generator, n: int) -> Drawn:
        rows = _rows(pool, rng, n)
        a, b, swap = pool[first][rows], pool[second][rows], rng.random((n, 1)) < 0.5
        errors = {"kd/a": np.where(swap, b, a), "kd/b": np.where(swap, a, b)}
        return Drawn(errors, primary(**difference("kd/a", "kd/b")), {"claim": 0.0})

    return draw


def _other_replicates(pool: Pool) -> Rule:
    """One condition, held against itself in other replicates: other teachers, splits and labels."""

    def draw(rng: np.random.Generator, n: int) -> Drawn:
        rows = rng.permutation(len(pool["kd/large"]))[: 2 * n]
        errors = {"kd/a": pool["kd/large"][rows[:n]], "kd/b": pool["kd/large"][rows[n:]]}
        return Drawn(errors, primary(**difference("kd/a", "kd/b")), {"claim": 0.0})

    return draw


def _flipped(pool: Pool) -> Rule:
    """A large effect of which the sign is drawn for each student's pair."""

    def draw(rng: np.random.Generator, n: int) -> Drawn:
        rows = _rows(pool, rng, n)
        a, b = pool["kd/early"][rows], pool["kd/large"][rows]
        swap = rng.random(a.shape) < 0.5
        errors = {"kd/a": np.where(swap, b, a), "kd/b": np.where(swap, a, b)}
        return Drawn(errors, primary(**difference("kd/a", "kd/b")), {"claim": 0.0})

    return draw


def _borders(pool: Pool) -> dict[str, Rule]:
    """The kinds with a margin, where the truth lies on the side of it on which the likelier of
    their verdicts is false, by a hair."""
    beyond = MARGIN * (1 + 1e-9)
    alike = _alike(pool, "kd/again", "kd/large")
    return {
        "less by the margin, not refuted?": _moved(
            alike, difference("kd/a", "kd/b"), -MARGIN
        ),
        "worse by the margin, called not inferior?": _moved(
            alike, {"non_inferiority": ["kd/a", "kd/b"], "margin": MARGIN}, beyond
        ),
        "different by the margin, called equivalent?": _moved(
            alike, {"equivalence": ["kd/a", "kd/b"], "margin": MARGIN}, beyond
        ),
    }  # fmt: skip


def _moved(rule: Rule, claim: dict[str, Any], truth: float) -> Rule:
    """The studies of a rule with `truth` added to their first condition, and that claim."""
    claims = primary(**claim)

    def draw(rng: np.random.Generator, n: int) -> Drawn:
        study = rule(rng, n)
        errors = {"kd/a": study.errors["kd/a"] + truth, "kd/b": study.errors["kd/b"]}
        return Drawn(errors, claims, {"claim": truth})

    return draw


def _permuted(pool: Pool, rng: np.random.Generator, n: int, names: Sequence[str]) -> Errors:
    """Conditions of which each replicate is drawn anew from the pool's: equal in truth."""
    rows = _rows(pool, rng, n)
    stacked = np.stack([pool[name][rows] for name in _DRAWN[: len(names)]])
    order = np.argsort(rng.random((len(names), n)), axis=0)
    mixed = np.take_along_axis(stacked, order[:, :, None], axis=0)
    return dict(zip(names, mixed, strict=True))


_DRAWN = ("kd/large", "kd/again", "twin", "kd/medium", "kd/small", "scratch")


def _secondary(pool: Pool) -> Rule:
    names = [f"kd/{letter}" for letter in "abcdef"]
    kinds = {
        "lower": difference(names[0], names[1]),
        "higher": difference(names[1], names[2], direction="greater"),
        "as-good": {"non_inferiority": [names[3], names[2]], "margin": MARGIN},
        "alike": {"equivalence": [names[4], names[3]], "margin": MARGIN},
        "best": {"best": {"of": names[:4]}},
    }

    def draw(rng: np.random.Generator, n: int) -> Drawn:
        errors = _permuted(pool, rng, n, names)
        # Two are moved onto the borders of their claims, so that every verdict can be false.
        errors = dict(errors) | {names[3]: errors[names[3]] + MARGIN}
        errors[names[4]] = errors[names[4]] + 2 * MARGIN
        claims = ClaimsConfig.model_validate({"secondary": kinds})
        truths = {"lower": 0.0, "higher": 0.0, "as-good": MARGIN, "alike": MARGIN,
                  "best": frozenset(names[:3])}  # fmt: skip
        return Drawn(errors, claims, truths)

    return draw


def _trend(pool: Pool) -> Rule:
    names = [f"kd/{name}" for name in SIZES]
    claim = {
        "trend": {"over": "teacher_parameters", "of": "test_error", "within": names},
        "direction": "increasing", "margin": 0.1,
    }  # fmt: skip

    def draw(rng: np.random.Generator, n: int) -> Drawn:
        errors = _permuted(pool, rng, n, names)
        teachers = [teacher(name, n, parameters=size) for name, size in SIZES.items()]
        return Drawn(errors, primary(**claim), {"claim": 0.0}, teachers)

    return draw


def _best(pool: Pool, shifts: Sequence[float]) -> Rule:
    """Four conditions alike but for what is added to each; the best are those with the least."""
    names = [f"kd/{letter}" for letter in "abcd"]
    best = frozenset(n for n, shift in zip(names, shifts, strict=True) if shift == min(shifts))

    def draw(rng: np.random.Generator, n: int) -> Drawn:
        errors = _permuted(pool, rng, n, names)
        moved = {name: errors[name] + s for name, s in zip(names, shifts, strict=True)}
        return Drawn(moved, primary(best={"of": names}), {"claim": best})

    return draw


def _diverging(pool: Pool) -> Rule:
    """A run in ten diverges, whatever its condition, and counts as chance error."""

    def draw(rng: np.random.Generator, n: int) -> Drawn:
        study = _alike(pool, "kd/again", "kd/large")(rng, n)
        errors = {
            name: np.where(rng.random(values.shape) < 0.1, np.nan, values)
            for name, values in study.errors.items()
        }
        return Drawn(errors, study.claims, {"claim": 0.0})

    return draw


def _chosen_stop(pool: Pool) -> Rule:
    """Three stops of a teacher that teach no better; that of least validation error of its own is
    the one that sentence (B) is about. Stops and full teacher change places within replicates."""
    names = ["kd/large", "kd/stop-1", "kd/stop-2", "kd/stop-3"]

    def draw(rng: np.random.Generator, n: int) -> Drawn:
        errors = _permuted(pool, rng, n, names)
        own = rng.normal(10.0, 1.0, (4, n))
        own[1:] += own[0].mean() - own[1:].mean(axis=1, keepdims=True) + rng.random((3, 1))
        teachers = [
            teacher(name.removeprefix("kd/"), n, model="plain-64-64-64", val_errors=values,
                    stop="full" if name == "kd/large" else "compressed 0.2")
            for name, values in zip(names, own, strict=True)
        ]  # fmt: skip
        return Drawn(errors, ClaimsConfig(), {"B": 0.0}, teachers)

    return draw


def _looked(rule: Rule, count: int | None) -> Rule:
    """Studies of a rule that end at the look at which they are decided, of `count` or open."""

    def draw(rng: np.random.Generator, n: int) -> Drawn:
        looks = "open" if count is None else declared(n // count, n, count)
        return replace(rule(rng, n), looks=looks)

    return draw


def _effects(pool: Pool, *, together: bool = True) -> Rule:
    """What really differs in the pool, as secondary claims or the first of them alone; the pool's
    means are the truth."""
    pairs = {
        "early": ("kd/early", "kd/large"),
        "size": ("kd/large", "kd/small"),
        "distilled": ("kd/early", "scratch"),
    }
    if not together:
        pairs = {"early": pairs["early"]}
    truths = {name: float((pool[a] - pool[b]).mean()) for name, (a, b) in pairs.items()}
    kinds = {"size": {"direction": "greater"}}
    named = {name: difference(*pair, **kinds.get(name, {})) for name, pair in pairs.items()}
    claims = ClaimsConfig.model_validate({"secondary": named})

    def draw(rng: np.random.Generator, n: int) -> Drawn:
        rows, others = _rows(pool, rng, n), _rows(pool, rng, n)
        names = sorted({name for pair in pairs.values() for name in pair})
        return Drawn({name: _smoothed(pool[name], rows, others) for name in names}, claims, truths)

    return draw


def _smoothed(errors: np.ndarray, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Replicates [rows, students] drawn from the pool as continuous values, not as its few: each is
    moved towards another, which leaves means, spreads and the pairing of conditions as they are
    (smoothed bootstrap: Silverman & Young 1987, Biometrika 74; bandwidth of Silverman's rule).

    Drawn plainly, one study of three in fourteen would hold the same replicate twice, as no real
    one does, and with a spread too small for that.
    """
    width = 1.06 * len(errors) ** -0.2
    mean = errors.mean(0)
    return mean + np.sqrt(1 - width**2) * (errors[rows] - mean) + width * (errors[others] - mean)


def _simulated(noise: Callable[[np.random.Generator, int], np.ndarray]) -> Rule:
    """A difference of exactly nothing, of the margin, or of twice that, with noise on the pairs."""

    def draw(rng: np.random.Generator, n: int) -> Drawn:
        truth = float(rng.choice([0.0, -MARGIN, -2 * MARGIN]))
        base = rng.normal(20.0, 2.0, (n, STUDENTS))
        errors = {"kd/a": base + truth + noise(rng, n), "kd/b": base}
        return Drawn(errors, primary(**difference("kd/a", "kd/b")), {"claim": truth})

    return draw


def _heavy(rng: np.random.Generator, n: int) -> np.ndarray:
    return 0.5 * rng.standard_t(3, (n, 1)) + 0.5 * rng.standard_t(3, (n, STUDENTS))


def _teachers_alone(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.broadcast_to(rng.normal(0.0, 0.8, (n, 1)), (n, STUDENTS))


def _students_alone(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.normal(0.0, 1.2, (n, STUDENTS))
