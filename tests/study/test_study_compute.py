"""Equal compute: what is spent, by hand; and a study that is searched, for real."""

from __future__ import annotations

import json

import pytest
import yaml
from typer.testing import CliRunner

from tutelage.api import Study, StudyResult
from tutelage.cli.app import app
from tutelage.config.expand import expand
from tutelage.errors import UserError
from tutelage.study.results import outline

PARTS = {
    "name": "compute",
    "data": {"source": "digits", "train": 100, "validation": 100, "test": 100,
             "views": "shift-1"},
    "recipe": {"epochs": 4, "batch_size": 25, "schedule": {"steps": [0.5]},
               "optimizer": {"sgd": {"lr": 0.1}}},
    "student": {"model": "plain-4"},
    "teachers": {
        "big": {"model": "plain-8"},
        "cut": {"of": "big", "stop": {"truncated": 1}},
    },
    "conditions": {
        "kd": {"teacher": ["big", "cut"]},
        "tuned": {"search": {"lengths": [1, 2], "lr": [1, 0.1]}},
    },
    "replicates": {"count": 2, "students": 2},
    "claims": {"primary": {"worth": {"difference": ["kd/big", "tuned"], "account": "full",
                                     "direction": "less", "margin": 1.0}}},
}  # fmt: skip
TEACHERS = PARTS["teachers"] | {
    "soft": {"of": "cut", "scale": {"entropy_of": "big"}},
    "both": {"ensemble": ["big", "cut"]},
    "turns": {"schedule": ["cut", "big"]},
    "chained": {"model": "plain-8", "teacher": "big"},
    "chained-early": {"model": "plain-8", "teacher": "cut"},
    "mixed": {"ensemble": ["big", "chained-early"]},
    "parts": {"model": "plain-8", "cross_fit": 4},
}
CONDITIONS = {
    "kd": {"teacher": list(TEACHERS)},
    "eskd": {"teacher": "big", "distill_until": 1},
    "lasting": {"teacher": "big", "distill_until": 1, "after": {"kd_weight": 0.5}},
    "tuned": {"search": {"lengths": [1, 2]}},
}


def with_(**changes):
    return Study(**{**PARTS, **changes})


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    study = Study(**PARTS)
    return study.run(tmp_path_factory.mktemp("store"), workers=0, device="cpu")


def test_cells_scale_the_schedule_and_the_rate() -> None:
    conditions = expand(Study(**PARTS).config).conditions
    names = [name for name in conditions if name.startswith("tuned/")]
    assert names == ["tuned/1x", "tuned/1x-lr0.1", "tuned/2x", "tuned/2x-lr0.1"]
    recipe = conditions["tuned/2x-lr0.1"].recipe
    assert (recipe.epochs, recipe.decays) == (8, [4])
    assert recipe.optimizer.lr == pytest.approx(0.01)
    assert conditions["tuned/1x"].recipe == conditions["scratch"].recipe


def test_a_list_of_products_is_the_union_of_their_cells() -> None:
    search = [{"lengths": [1, 2], "lr": [1, 0.5]}, {"lengths": [2, 8]},
              {"lengths": [1], "label_smoothing": [0, 0.2]}]  # fmt: skip
    study = with_(conditions={"tuned": {"search": search}}, claims={})
    found = {c.name: c.searched for c in expand(study.config).conditions.values()}
    assert found == {"scratch": None, "tuned/1x": 1, "tuned/1x-lr0.5": 1, "tuned/2x": 2,
                     "tuned/2x-lr0.5": 2, "tuned/8x": 8, "tuned/1x-ls0.2": 1}  # fmt: skip


def test_a_search_that_is_inherited_is_one() -> None:
    conditions = PARTS["conditions"] | {
        "warm": {"extends": "tuned", "recipe": {"warmup": 1}, "search": None}
    }
    claim = {"worth": {**PARTS["claims"]["primary"]["worth"], "difference": ["kd/big", "warm"]}}
    found = expand(with_(conditions=conditions, claims={"primary": claim}).config).conditions
    assert found["warm/2x"].searched == 2
    assert found["warm/2x"].recipe.warmup == 2


def test_what_conditions_spend_by_hand(tmp_path) -> None:
    study = with_(teachers=TEACHERS, conditions=CONDITIONS, claims={})
    context = study.prepare(tmp_path, device="cpu")
    costs = context.manifest["costs"]
    student, teacher = costs["plain-4"]["macs"] * 100, costs["plain-8"]["macs"] * 100
    spent = {row["name"]: row["compute"] for row in StudyResult(context).document["conditions"]}
    whole = 3 * teacher * 4
    assert spent["scratch"] == {"own": 3 * student * 4, "teacher": 0.0}
    assert spent["tuned/2x"]["own"] == 2 * spent["scratch"]["own"]
    assert spent["kd/big"] == {"own": 3 * student * 4 + 4 * teacher, "teacher": whole}
    assert spent["eskd"]["own"] == 3 * student * 4 + teacher
    assert spent["lasting"]["own"] == 3 * student * 4 + 4 * teacher  # heard after the stop, too
    assert spent["kd/cut"]["teacher"] == pytest.approx(whole / 4)
    assert spent["kd/soft"]["teacher"] == pytest.approx(whole)  # the full one gave its entropy
    assert spent["kd/both"]["own"] == 3 * student * 4 + 2 * 4 * teacher
    assert spent["kd/both"]["teacher"] == pytest.approx(whole)
    assert spent["kd/turns"] == {"own": 3 * student * 4 + 4 * teacher, "teacher": whole}
    assert spent["kd/chained"]["teacher"] == pytest.approx(2 * whole + 4 * teacher)
    # Taught by a quarter of big, of which the ensemble needs the whole.
    assert spent["kd/mixed"]["teacher"] == pytest.approx(2 * whole + 4 * teacher)
    # Each of four networks sees three quarters of the images, and speaks of the last.
    assert spent["kd/parts"]["own"] == 3 * student * 4 + 4 * teacher
    assert spent["kd/parts"]["teacher"] == pytest.approx(4 * 0.75 * whole)


@pytest.mark.parametrize(
    ("data", "recipe", "loss", "passes"),
    [
        ({"views": "none"}, {}, "kd", 1),
        ({"views": "flip"}, {}, "kd", 2),
        ({"views": "shift-1"}, {}, "kd", 4),  # 9 views, of which 4 epochs see no more than 4
        ({"views": "flip"}, {"mixup": 0.2}, "kd", 4),
        ({"views": "flip"}, {}, "fitnets", 4),
    ],
)
def test_logits_that_can_be_kept_are_asked_for_once_a_view(
    data, recipe, loss, passes, tmp_path
) -> None:
    study = with_(
        data=PARTS["data"] | data,
        recipe=PARTS["recipe"] | recipe,
        conditions={"taught": {"teacher": "big", "loss": {loss: {}}}},
        claims={},
    )
    context = study.prepare(tmp_path, device="cpu")
    spent = {row["name"]: row["compute"]["own"] for row in outline(context)["conditions"]}
    asked = spent["taught"] - spent["scratch"]
    assert asked == passes * 100 * context.manifest["costs"]["plain-8"]["macs"]


def test_the_first_cell_is_the_control_itself_and_is_trained_once(result) -> None:
    rows = {row["key"]: row for row in result.runs}
    assert rows["r0/tuned/1x/s0"]["id"] == rows["r0/scratch/s0"]["id"]


def test_the_report_says_what_each_account_comes_to(result) -> None:
    told = {each["sentence"]: each for each in result.document["equal_compute"]}
    assert set(told) == {"kd/big", "kd/cut"}
    free, shared, full = (each["budget"] for each in told["kd/big"]["accounts"])
    assert shared - free == pytest.approx((full - free) / 2)
    assert "With the teacher fully charged" in told["kd/big"]["text"]
    page = result.report()[0]
    shown = page.read_text().partition("Equal compute</h2>")[2]
    assert '<p class="says">With the teacher for free' in shown
    for account in ("shared by 2 students", "fully charged"):
        assert f"<li>With the teacher {account}" in shown
    assert "## Equal compute" in page.with_suffix(".md").read_text()


def test_a_plan_says_what_the_budgets_come_to(tmp_path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(yaml.safe_dump(PARTS))
    arguments = ["plan", str(study), "--store", str(tmp_path / "store"), "--device", "cpu"]
    said = CliRunner().invoke(app, arguments).output
    assert "1x is one plain training of the student" in said
    assert "tuned goes to 2.0x, which falls short" in " ".join(said.split())
    told = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).output)["equal_compute"]
    assert [(row["condition"], row["longest"]) for row in told] == [("kd/big", 2), ("kd/cut", 2)]
    assert told[0]["full"] - told[0]["free"] == pytest.approx(4 * (told[1]["full"]
                                                                   - told[1]["free"]))  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"claims": {"primary": {"c": {"difference": ["kd/big", "scratch"], "account": "full",
                                       "direction": "less", "margin": 1.0}}}},
         "unknown search 'scratch'"),
        ({"claims": {"primary": {"c": {"difference": ["scratch", "tuned"], "account": "full",
                                       "direction": "less", "margin": 1.0}}}},
         "scratch has no teacher"),
        ({"conditions": {"tuned": {"teacher": "big", "search": {}}}, "claims": {}},
         "a search is for the control"),
        ({"conditions": {"tuned": {"search": {"lengths": [1, 1]}}}, "claims": {}},
         "names the cell tuned/1x twice"),
        ({"conditions": {"tuned": {"search": {"lengths": [1, 1.05]}}}, "claims": {}},
         "tuned/1x and tuned/1.05x would be the same training"),
        ({"conditions": {"tuned": {"search": [{"lengths": [2]}, {"lengths": [0]}]}}, "claims": {}},
         "tuned.search.1.lengths.0"),
        ({"conditions": PARTS["conditions"] | {"kd": {"teacher": ["big"], "student":
                                                      {"model": "plain-8"}}}},
         "kd/big trains plain-8, and tuned plain-4"),
        ({"claims": {"primary": {"c": {"difference": ["kd/big", "tuned"], "account": "full",
                                       "metric": "test_nll", "direction": "less",
                                       "margin": 1.0}}}},
         "test_error alone"),
    ],
)  # fmt: skip
def test_mistakes_are_told(changes, said) -> None:
    with pytest.raises(UserError, match=said):
        with_(**changes)
