"""Results documents: as a study of the demo's shape and size would give one, and unusual ones."""

from __future__ import annotations

from typing import Any

import numpy as np

EPOCHS, DECAYS = 120, [36, 72, 96]
# name: model, parameters, stop, epoch, scaled, taught by, test error, entropy
TEACHERS = {
    "small": ("plain-8-8-8", 1362, "full", 120, None, None, 15.0, 0.62),
    "medium": ("plain-16-16-16", 5018, "full", 120, None, None, 16.4, 0.41),
    "large": ("plain-64-64-64", 75_338, "full", 120, None, None, 21.5, 0.09),
    "early": ("plain-64-64-64", 75_338, "compressed 0.2 (24 epochs)", 24, None, None, 6.0, 1.21),
    "matched": (
        *("plain-64-64-64", 75_338, "compressed 0.2 (24 epochs)", 24),
        *("entropy of large at T 4", None, 6.0, 0.09),
    ),
    "calibrated": ("plain-64-64-64", 75_338, "full", 120, "calibrated", None, 21.5, 1.02),
    "best": ("plain-64-64-64", 75_338, "best validation", 15, None, None, 6.9, 1.08),
    "truncated": ("plain-64-64-64", 75_338, "truncated 0.1 (12 epochs)", 12, None, None, 7.4, 1.3),
    "chained": ("plain-16-16-16", 5018, "full", 120, None, "large", 17.0, 0.33),
}
# name: group, teacher, loss, test error, train KL shape and scale at temperature 4
CONDITIONS = {
    "scratch": ("scratch", None, "cross-entropy", 14.6, None, None),
    **{
        f"kd/{teacher}": ("kd", teacher, "KD, temperature 4, weights 0.1/0.9", error, shape, scale)
        for teacher, error, shape, scale in [
            ("small", 9.3, 0.06, 0.16),
            ("medium", 11.4, 0.17, 0.39),
            ("large", 13.8, 0.44, 1.19),
            ("early", 7.6, 0.03, 0.07),
            ("matched", 7.2, 0.05, 0.21),
            ("calibrated", 14.9, 0.30, 0.22),
            ("best", 8.4, 0.04, 0.08),
            ("truncated", 11.2, 0.03, 0.06),
            ("chained", 12.3, 0.19, 0.41),
        ]
    },
    "eskd": ("eskd", "large", "KD, temperature 4, weights 0.1/0.9, until epoch 72", 15.6, 0.6, 1.3),
}
SENTENCES = [
    {
        "sentence": "A",
        "verdict": "supported",
        "text": "A teacher that memorises wrong labels makes a better student when it is stopped "
        "early: −6.58 points of test error (−7.30 to −5.86) raw and −6.20 (−6.90 to −5.50) "
        "entropy-matched. Ordinary early stopping finds it too.",
    },
    {
        "sentence": "B",
        "verdict": "undecided",
        "text": "The paper's paradox, that a stopped teacher which is no more accurate itself "
        "teaches better, is not tested here: every stopped teacher is more accurate.",
    },
]


def finding(claim: str, **changed: Any) -> dict[str, Any]:
    """One finding of the contract's form."""
    found = {
        "claim": claim,
        "rank": "secondary",
        "kind": "difference",
        "metric": "test_error",
        "verdict": "undecided",
        "effect": -0.31,
        "low": -1.24,
        "high": 0.62,
        "unit": "points",
        "margin": 0.5,
        "n": 6,
        "method": "paired t over replicate means",
        "level": 0.95,
        "seeds_needed": 16,
        "sentence": f"Whether {claim.replace('-', ' ')} is not decided by these 6 replicates.",
        "step_level": 0.95,
        "would_change": "an interval that reaches zero; its nearer end is 0.4 points away",
        "among": None,
        "prediction": None,
    }
    return found | changed


FINDINGS = [
    finding(
        "early-repairs",
        rank="primary",
        verdict="supported",
        effect=-6.58,
        low=-7.3,
        high=-5.86,
        seeds_needed=11,
        sentence="kd/matched has a lower test error than kd/large: −6.58 points (95 % interval "
        "−7.30 to −5.86, n = 6 replicates), as claimed.",
    ),
    finding("larger-is-worse", verdict="supported", effect=4.4, low=3.4, high=5.5, seeds_needed=24),
    finding(
        "cannot-mimic",
        kind="trend",
        metric="train_kl_shape_t4",
        verdict="supported",
        effect=0.066,
        low=0.058,
        high=0.074,
        unit="nats per doubling",
        margin=0.01,
        seeds_needed=5,
    ),
    finding("chain-is-no-worse", kind="non_inferiority", margin=1.0, effect=0.9, low=0.1, high=1.8),
    finding("eskd-helps", verdict="refuted", effect=1.8, low=0.9, high=2.7, seeds_needed=20),
    finding("calibration-is-enough", kind="equivalence", level=0.9),
]


def _history(rng: np.random.Generator, end: float, taught: bool) -> list[dict[str, Any]]:
    epochs = np.arange(1, EPOCHS + 1)
    plateau = end + (6 if taught else 9) * np.exp(-epochs / 25)
    noise = np.where(epochs <= DECAYS[0], 2.5, np.where(epochs <= DECAYS[1], 1.2, 0.4))
    error = np.clip(plateau + 55 * np.exp(-epochs / 4) + rng.normal(0, noise), 0, 90)
    rate = 0.1 * 0.2 ** np.searchsorted(DECAYS, epochs, side="left")
    return [
        {
            "epoch": int(epoch),
            "lr": float(lr),
            "train_error": float(value * 0.8),
            "val_error": float(value),
            "loss": float(value / 20),
            "ce": float(value / 15),
            "kd": float(value / 40) if taught else None,
            "agreement": float(100 - value) if taught else None,
        }
        for epoch, lr, value in zip(epochs, rate, error, strict=True)
    ]


def _student(
    rng: np.random.Generator, name: str, replicate: int, seed: int, world: float
) -> dict[str, Any]:
    _, teacher, loss, error, shape, scale = CONDITIONS[name]
    test = error + world + rng.normal(0, 1.4)
    run: dict[str, Any] = {
        "id": f"{rng.integers(2**60):015x}",
        "key": f"r{replicate}/{name}/s{seed}",
        "condition": name,
        "role": "student",
        "model": "plain-8-8-8",
        "parameters": 1362,
        "macs": 42_000,
        "teacher": teacher,
        "stop": TEACHERS[teacher][2] if teacher else None,
        "loss": loss,
        "replicate": replicate,
        "seed": seed,
        "status": "done",
        "epochs": EPOCHS,
        "digest": f"{rng.integers(2**60):064x}",
        "best_epoch": int(rng.integers(40, 120)),
        "best_val_error": test - 0.5,
        "val_error": test + 1.2,
        "test_error": test,
        "train_error": test * 0.8,
        "test_top5": 0.4,
        "test_nll": test / 25,
        "val_nll": test / 24,
        "test_ece": 4.0 + rng.normal(0, 0.3),
        "test_brier": test / 60,
        "timing": {"attributed_s": 2.0, "spent_s": 1.6, "images_per_s": 30_000.0},
        "history": _history(rng, test + 1.2, teacher is not None),
    }
    if shape is not None and scale is not None:
        for side, factor in (("train", 1.0), ("test", 1.15)):
            for temperature, size in (("t4", 1.0), ("t1", 0.4)):
                parts = [size * factor * kl * rng.uniform(0.85, 1.15) for kl in (shape, scale)]
                run[f"{side}_kl_shape_{temperature}"] = parts[0]
                run[f"{side}_kl_scale_{temperature}"] = parts[1]
                run[f"{side}_kl_{temperature}"] = sum(parts)
            run[f"{side}_agreement"] = 100 - 40 * shape
    return run


def _teacher_runs(rng: np.random.Generator, replicate: int) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{rng.integers(2**60):015x}",
            "key": f"r{replicate}/teacher/{name}",
            "condition": name,
            "role": "teacher",
            "model": model,
            "parameters": size,
            "macs": size * 30,
            "teacher": taught_by,
            "stop": stop,
            "loss": "cross-entropy",
            "replicate": replicate,
            "seed": 0,
            "status": "done",
            "epochs": epoch,
            "digest": f"{rng.integers(2**60):064x}",
            "best_epoch": epoch,
            "best_val_error": error,
            "val_error": error + 1,
            "test_error": error,
            "train_error": error / 2,
            "test_nll": error / 20,
            "test_ece": 5.0,
            "timing": {"attributed_s": 9.0, "spent_s": 5.0, "images_per_s": 9000.0},
            "history": [],
        }
        for name, (model, size, stop, epoch, scaled, taught_by, error, _) in TEACHERS.items()
        if not scaled
    ]


def _teacher(rng: np.random.Generator, name: str, replicates: int) -> dict[str, Any]:
    model, size, stop, epoch, scaled, taught_by, error, entropy = TEACHERS[name]
    return {
        "name": name,
        "model": model,
        "parameters": size,
        "macs": size * 30,
        "stop": stop,
        "stop_epoch": epoch,
        "scaled": scaled,
        "taught_by": taught_by,
        "replicates": [
            {
                "replicate": replicate,
                "digest": f"{rng.integers(2**60):064x}",
                "epoch": epoch + (3 * replicate if stop == "best validation" else 0),
                "factor": float(1.8 + rng.normal(0, 0.1)) if scaled else None,
                "val_error": error + 1 + float(rng.normal()),
                "test_error": error + float(rng.normal()),
                "train_error": error / 2,
                "test_nll": error / 20,
                "test_ece": 5.0 + float(rng.normal()),
                "test_entropy": entropy,
            }
            for replicate in range(replicates)
        ],
    }


def make_results(replicates: int = 6, students: int = 3, seed: int = 0) -> dict[str, Any]:
    """A whole results document; the same arguments give the same one."""
    rng = np.random.default_rng(seed)
    runs: list[dict[str, Any]] = []
    for replicate in range(replicates):
        world = float(rng.normal(0, 0.6))
        runs += _teacher_runs(rng, replicate)
        for name in CONDITIONS:
            own = world + float(rng.normal(0, 0.5))
            runs += [_student(rng, name, replicate, s, own) for s in range(students)]
    return {
        "schema": 1,
        "study": {
            "name": "demo",
            "id": "9f3c2a7d10e44b5f",
            "question": "30 % of the labels are wrong. Is the large network a good teacher for "
            "the small one, and is it a better one when its training stops early?",
            "config": {
                "name": "demo",
                "question": "30 % of the labels are wrong. Is the large network a good teacher?",
                "data": {"source": "digits", "train": 500, "label_noise": 0.3, "views": "shift-1"},
                "recipe": {"epochs": EPOCHS, "batch_size": 50, "schedule": {"steps": [0.3, 0.6]}},
                "student": {"model": "plain-8-8-8"},
                "teachers": {name: {"model": row[0]} for name, row in TEACHERS.items()},
                "replicates": {"count": replicates, "students": students},
            },
            "versions": {"tutelage": "0.1.0", "python": "3.11.2", "torch": "2.13.0"},
            "machine": {"cpu": "two-core x86-64, AVX-512", "cores": 2, "device": "cpu"},
            "created": "2026-07-01T09:30:00+00:00",
            "data": {
                "fingerprints": [f"{r:064x}" for r in range(replicates)],
                "train": 500,
                "validation": 200,
                "test": 1097,
                "classes": 10,
                "shape": [8, 8, 1],
                "label_noise": 0.3,
            },
        },
        "conditions": [
            {
                "name": name,
                "group": group,
                "teacher": teacher,
                "student": "plain-8-8-8",
                "loss": loss,
                "epochs": EPOCHS,
                "decays": DECAYS,
            }
            for name, (group, teacher, loss, *_) in CONDITIONS.items()
        ],
        "teachers": [_teacher(rng, name, replicates) for name in TEACHERS],
        "runs": runs,
        "findings": [dict(one) for one in FINDINGS],
        "sentences": [dict(one) for one in SENTENCES],
    }


def spoil(results: dict[str, Any], key: str, status: str) -> None:
    """Make the run called `key` one that has no figures: diverged, failed or pending."""
    run = next(run for run in results["runs"] if run["key"] == key)
    seen = run["history"][:2] if status == "diverged" else []
    kept = {
        name: run[name]
        for name in (
            *("id", "key", "condition", "role", "model", "parameters", "macs", "teacher", "stop"),
            *("loss", "replicate", "seed", "epochs"),
        )
    }
    run.clear()
    run.update(kept, status=status, reason=None, digest=None, timing={}, history=seen)
    run.update(val_error=None, test_error=None)
    if status != "diverged":
        run["id"] = None


def with_classes(
    results: dict[str, Any], names: list[str] | None = None, *, even: bool = False
) -> dict[str, Any]:
    """The document with errors by class, as one of a newer version has them.

    Class 2 has no test images, unless the classes are `even`, which makes the balanced error the
    error.
    """
    rng = np.random.default_rng(7)
    names = names or [str(i) for i in range(results["study"]["data"]["classes"])]
    results["study"]["data"].update(classes=len(names), class_names=names)
    ease = rng.normal(0, 4, len(names))
    for run in results["runs"]:
        if run["status"] != "done":
            continue
        errors = np.clip(run["test_error"] + ease + rng.normal(0, 3, len(names)), 0, 100)
        run["test_class_errors"] = errors.tolist()
        if even:
            run["test_error"] = float(np.mean(errors))
        else:
            run["test_class_errors"][2] = None
            errors = np.delete(errors, 2)
        run["test_balanced_error"] = float(np.mean(errors))
    results["study"]["config"]["claims"] = {
        "primary": {"early-repairs": {"difference": ["kd/matched", "kd/large"], "margin": 0.5}}
    }
    return results


LONG = "an-uncommonly-long-name-of-a-thing-that-nobody-would-type-twice"
HUNDRED = [f"{LONG[: i % 50]} class {i}" for i in range(100)]


def rename(results: dict[str, Any], old: str, new: str) -> None:
    """Call a condition otherwise."""
    for row in results["conditions"]:
        row["name"] = new if row["name"] == old else row["name"]
    for run in results["runs"]:
        if run["condition"] == old:
            run["condition"], run["key"] = new, run["key"].replace(old, new)


def _no_claims(results: dict[str, Any]) -> None:
    results.update(findings=[], sentences=[])


def _diverged(results: dict[str, Any]) -> None:
    for seed in range(2):
        spoil(results, f"r0/kd/large/s{seed}", "diverged")
        spoil(results, f"r2/kd/matched/s{seed}", "diverged")


def _pending(results: dict[str, Any]) -> None:
    for run in [run for run in results["runs"] if run["role"] == "student" and run["replicate"]]:
        spoil(results, run["key"], "pending")


def _two_teachers(results: dict[str, Any]) -> None:
    kept = {"small", "large"}
    results["conditions"] = [r for r in results["conditions"] if r["teacher"] in kept | {None}]
    results["teachers"] = [row for row in results["teachers"] if row["name"] in kept]
    known = kept | {row["name"] for row in results["conditions"]}
    results["runs"] = [run for run in results["runs"] if run["condition"] in known]


def _long_names(results: dict[str, Any]) -> None:
    rename(results, "kd/large", f"kd/{LONG}")
    results["study"]["name"] = results["study"]["question"] = LONG * 3
    results["findings"][0].update(claim=LONG * 2)
    for row in results["teachers"]:
        row["model"] = f"{row['model']}-{LONG}"


def _many_groups(results: dict[str, Any]) -> None:
    for i, row in enumerate(results["conditions"]):
        row["group"] = f"group-{i}"


def _verdicts(results: dict[str, Any]) -> None:
    for finding, word in zip(results["findings"], ("refuted", "undecided"), strict=False):
        finding["verdict"] = word


def _thirty_conditions(results: dict[str, Any]) -> None:
    """A chart that is higher than a sheet of paper."""
    row = next(row for row in results["conditions"] if row["name"] == "kd/large")
    runs = [run for run in results["runs"] if run["condition"] == "kd/large"]
    for i in range(20):
        name = f"kd-{i}/large"
        results["conditions"].append(row | {"name": name})
        results["runs"] += [
            run | {"condition": name, "key": run["key"].replace("kd/large", name)} for run in runs
        ]


def _nothing(results: dict[str, Any]) -> None:
    """The document is of an unusual kind by its size or its classes alone."""


_CHANGES = {
    "one replicate": _nothing,
    "no claims": _no_claims,
    "diverged": _diverged,
    "pending": _pending,
    "two teachers": _two_teachers,
    "long names": _long_names,
    "many groups": _many_groups,
    "thirty conditions": _thirty_conditions,
    "verdicts": _verdicts,
    "hundred classes": _nothing,
}
EDGES = tuple(_CHANGES)
"""The kinds of unusual documents that there are."""


def edge_case(name: str) -> dict[str, Any]:
    """A document of an unusual kind, one of EDGES."""
    results = make_results(1 if name == "one replicate" else 3, 2)
    _CHANGES[name](results)
    names = HUNDRED if name == "hundred classes" else None
    return with_classes(results, names, even=name == "no claims")
