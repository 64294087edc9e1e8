"""What predictions ask of teachers beside their stored metrics: from the logits of earlier runs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import entropy

from tutelage.api import Study
from tutelage.study.references import Network


@pytest.fixture
def asked(whole, parts):
    """The tiny study with predictions instead of its claim, in the same store."""
    selectors = ("teacher_variance", "teacher_variance_t4", "teacher_entropy_t4", "teacher_error")
    parts["claims"] = {
        "secondary": {
            by.replace("_", "-"): {"prediction": {"by": by, "of": "kd"}, "margin": 5.0}
            for by in selectors
        }
    }
    return Study(**parts).run(whole.context.store.root, workers=0, device="cpu")


def teacher(result, name):
    return next(t for t in result.document["teachers"] if t["name"] == name)


def logits_of(result, name, replicate):
    """The stored validation logits and labels of a teacher that is one network."""
    context = result.context
    found = context.resolve(context.expanded.teachers[name].reference, replicate)
    assert isinstance(found, Network)
    record = context.evaluation(found.model, found.weights, replicate)
    blobs = record.result["blobs"]
    return tuple(context.store.get_arrays(blobs[kind])["val"] for kind in ("logits", "labels"))


def test_nothing_is_trained_again_and_no_run_changes(whole, asked):
    assert {run["id"] for run in asked.runs} == {run["id"] for run in whole.runs}
    assert asked.context.id != whole.context.id  # claims are part of a study


def test_figures_are_those_of_the_stored_validation_logits(whole, asked):
    for name in ("large", "early", "best", "truncated", "chained"):
        for row in teacher(asked, name)["replicates"]:
            z, y = logits_of(whole, name, row["replicate"])
            z = z.astype(np.float64)
            assert row["val_entropy_t4"] == pytest.approx(entropy(softmax(z / 4, axis=1).T).mean())
            for field, temperature in (("val_variance", 1), ("val_variance_t4", 4)):
                p = softmax(z / temperature, axis=1)
                wrong = [np.var(np.delete(each, label)) for each, label in zip(p, y, strict=True)]
                assert row[field] == pytest.approx(np.mean(wrong))


def test_a_scaled_teacher_has_the_figures_of_what_is_heard(asked):
    early, matched = teacher(asked, "early"), teacher(asked, "matched")
    for replicate, row in enumerate(matched["replicates"]):
        z, y = logits_of(asked, "early", replicate)
        p = softmax(row["factor"] * z.astype(np.float64), axis=1)
        wrong = [np.var(np.delete(each, label)) for each, label in zip(p, y, strict=True)]
        assert row["val_variance"] == pytest.approx(np.mean(wrong))
        assert row["val_variance"] != early["replicates"][replicate]["val_variance"]


def test_a_study_without_such_a_claim_has_no_such_figures(whole):
    for name in ("large", "matched"):
        for row in teacher(whole, name)["replicates"]:
            assert "val_entropy" in row
            assert not {"val_entropy_t4", "val_variance", "val_variance_t4"} & row.keys()


def test_each_prediction_has_its_finding(asked):
    found = {finding["claim"]: finding for finding in asked.findings}
    assert len(found) == 4
    for finding in found.values():
        assert (finding["kind"], finding["n"]) == ("prediction", 2)
        assert finding["prediction"]["halves"] == "replicates"
        assert sum(finding["prediction"]["chosen"].values()) == pytest.approx(2.0)
    by_hand = {r: {} for r in (0, 1)}
    for name in ("small", "large", "early", "matched", "calibrated", "best", "truncated",
                 "chained"):  # fmt: skip
        for row in teacher(asked, name)["replicates"]:
            by_hand[row["replicate"]][f"kd/{name}"] = -row["val_variance_t4"]
    chosen = found["teacher-variance-t4"]["prediction"]["chosen"]
    for values in by_hand.values():
        ties = [name for name, value in values.items() if value == min(values.values())]
        assert all(chosen[name] > 0 for name in ties)
