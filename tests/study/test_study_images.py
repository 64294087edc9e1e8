"""Claims on new test images: from stored logits to an interval of two kinds of units."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_digits

from tutelage.api import Study
from tutelage.config.schema import ClaimsConfig
from tutelage.evaluation.two_way import MeanSquares

PAIR = {"difference": ["long", "scratch"], "direction": "less", "margin": 1.0}
CLAIMS = {"primary": {"new": PAIR | {"images": "new"}}, "secondary": {"these": PAIR}}


def parts(**data):
    return {
        "name": "images",
        "data": {"train": 60, "validation": 40, "views": "none", **data},
        "recipe": {"epochs": 2, "batch_size": 20, "optimizer": {"sgd": {"lr": 0.1}}},
        "student": {"model": "plain-8-8"},
        "conditions": {"scratch": {}, "long": {"recipe": {"epochs": 15}}},
        "replicates": {"count": 3, "vary": ["split", "teacher"], "students": 2},
        "claims": CLAIMS,
    }


@pytest.fixture(scope="module")
def fixed(tmp_path_factory):
    """A study of images that have a test set of their own."""
    folder = tmp_path_factory.mktemp("images")
    digits = load_digits()
    images = (digits.images * 15).astype(np.uint8)
    np.savez(folder / "digits.npz", x_train=images[:900], y_train=digits.target[:900],
             x_test=images[900:1200], y_test=digits.target[900:1200])  # fmt: skip
    study = Study(**parts(source="files", path=str(folder / "digits.npz")))
    return study.run(folder / "store", workers=0, device="cpu")


def test_the_mean_squares_are_those_of_the_stored_logits(fixed) -> None:
    (table,) = fixed.document["images"]
    assert (table["conditions"], table["same"]) == (["long", "scratch"], True)
    squares = MeanSquares.from_dict(table["squares"])
    assert (squares.replicates, squares.images) == (3, 300)
    by_replicate = [
        np.mean([row["test_error"] for row in fixed.runs
                 if (row["condition"], row["replicate"]) == (name, r) and row["role"] == "student"])
        for r in range(3) for name in ("long", "scratch")
    ]  # fmt: skip
    apart = np.array(by_replicate).reshape(3, 2) @ [1.0, -1.0]
    assert squares.mean == pytest.approx(apart.mean())
    assert squares.of_replicates == pytest.approx(300 * apart.var(ddof=1))


def test_the_interval_is_wider_than_that_of_these_images(fixed) -> None:
    new, these = fixed.findings
    assert new["effect"] == pytest.approx(these["effect"])
    squares = MeanSquares.from_dict(fixed.document["images"][0]["squares"])
    assert squares.image_variance > 0.0
    assert f"two-way), {squares.freedom:.1f} degrees of freedom" in new["method"]
    assert "test images" not in these["method"]
    width = (new["high"] - new["low"]) / 2
    spread = squares.of_replicates / (3 * 300) + squares.image_variance
    assert width == pytest.approx(stats.t.ppf(0.975, squares.freedom) * np.sqrt(spread))


def test_replicates_with_test_images_of_their_own_need_no_more(tmp_path) -> None:
    study = Study(**parts(source="digits", test=100))
    result = study.run(tmp_path, workers=0, device="cpu")
    (table,) = result.document["images"]
    assert table == {"conditions": ["long", "scratch"], "same": False, "squares": None}
    new, these = result.findings
    assert (new["low"], new["high"]) == (these["low"], these["high"])
    assert "each replicate on test images of its own" in new["method"]


@pytest.mark.parametrize(
    "claim",
    [
        {"trend": {"over": "teacher_error", "of": "test_error", "within": "long"},
         "direction": "increasing", "margin": 0.1, "images": "new"},
        PAIR | {"metric": "test_nll", "images": "new"},
    ],
)  # fmt: skip
def test_what_has_no_image_by_image_figure_is_refused(claim) -> None:
    with pytest.raises(ValueError, match="images: new takes two conditions"):
        ClaimsConfig.model_validate({"primary": {"c": claim}})
