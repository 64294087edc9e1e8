"""Recipes: learning rates against closed forms, compression, inheritance, contradictions."""

from __future__ import annotations

import math

import pytest

from tutelage.config.recipe import NAMED, Recipe, build_recipe, merge, resolve_duration
from tutelage.config.schema import AdamW, RecipeConfig, ScheduleConfig, Sgd
from tutelage.errors import UserError


def recipe(**keys) -> Recipe:
    return build_recipe(RecipeConfig.model_validate({"epochs": 100, **keys}))


def refused(*layers, words):
    with pytest.raises(UserError, match=words):
        build_recipe(*(RecipeConfig.model_validate(layer) for layer in layers))


# --- rates ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "decays"),
    [
        ("60/200", [60, 120, 180]),
        ("10/35", [10, 20, 30]),
        ("15/50", [15, 30, 45]),
        ("20/65", [20, 40, 60]),
        ("25/80", [25, 50, 75]),
        ("80/80", []),
        ("1/3", [1, 2]),
        ("40/80", [40]),
    ],
)
def test_a_mode_decays_every_n_epochs_of_big_n(mode, decays):
    found = build_recipe(RecipeConfig(schedule=ScheduleConfig(mode=mode)))
    every, total = map(int, mode.split("/"))
    assert found.epochs == total
    assert found.decays == decays
    expected = [0.1 * 0.2 ** (epoch // every) for epoch in range(total)]
    assert found.rates() == pytest.approx(expected, rel=1e-12)


def test_the_papers_recipe_by_name():
    found = build_recipe(RecipeConfig.model_validate("paper-cifar10"))
    assert (found.epochs, found.batch_size, found.decays) == (200, 128, [60, 120, 180])
    assert found.optimizer == Sgd(lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    assert (found.warmup, found.clip_norm, found.label_smoothing) == (0, None, 0.0)
    assert found.precision == "fp32"
    rates = found.rates()
    assert [rates[epoch] for epoch in (0, 59, 60, 119, 120, 179, 180, 199)] == pytest.approx(
        [0.1, 0.1, 0.02, 0.02, 0.004, 0.004, 0.0008, 0.0008]
    )


@pytest.mark.parametrize(
    ("steps", "decays"),
    [
        ([0.3, 0.6, 0.8], [30, 60, 80]),
        ([30, 60, 80], [30, 60, 80]),
        ([80, 0.3], [30, 80]),  # any order, and both kinds
        ([0.125], [13]),  # halves go up
        ([0.995], [100]),  # a fraction that rounds to the end never decays
        ([1], [1]),
        ([1.0], [100]),
        ([], []),
    ],
)
def test_steps_are_epochs_or_fractions(steps, decays):
    found = recipe(schedule={"steps": steps, "factor": 0.5})
    assert found.decays == decays
    expected = [0.1 * 0.5 ** sum(e >= d for d in decays) for e in range(100)]
    assert found.rates() == pytest.approx(expected)


def test_cosine_falls_from_the_peak_to_just_above_nothing():
    rates = recipe(schedule={"cosine": True}, optimizer={"sgd": {"lr": 0.4}}).rates()
    expected = [0.2 * (1 + math.cos(math.pi * e / 100)) for e in range(100)]
    assert rates == pytest.approx(expected, rel=1e-12)
    assert rates[0] == 0.4
    assert 0 < rates[-1] < 0.4 * 1e-3


@pytest.mark.parametrize(("warmup", "epochs"), [(5, 5), (0.05, 5), (1, 1), (0, 0), (0.0, 0)])
def test_warm_up_rises_linearly_and_reaches_the_peak(warmup, epochs):
    rates = recipe(warmup=warmup).rates()
    assert rates[:epochs] == pytest.approx([0.1 * (e + 1) / epochs for e in range(epochs)])
    assert set(rates[epochs:]) == {0.1}


def test_cosine_after_warm_up_runs_over_the_rest():
    rates = recipe(schedule={"cosine": True}, warmup=20).rates()
    assert rates[19] == rates[20] == pytest.approx(0.1)
    assert rates[60] == pytest.approx(0.05)


def test_decays_during_warm_up_count_once_it_is_over():
    rates = recipe(schedule={"steps": [2], "factor": 0.5}, warmup=4).rates()
    assert rates[:5] == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.05])


def test_an_empty_schedule_keeps_the_rate():
    assert set(recipe().rates()) == {0.1}
    assert set(recipe(optimizer={"adamw": {}}).rates()) == {1e-3}


# --- durations -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("duration", "epochs"), [(1, 1), (1.0, 120), (0, 0), (0.0, 0), (0.1, 12), (12, 12), (0.0125, 2)]
)
def test_a_whole_number_is_epochs_and_a_fraction_a_share(duration, epochs):
    assert resolve_duration(duration, 120) == epochs


# --- compression ---------------------------------------------------------------------------------


def test_compression_scales_every_decay_with_the_schedule():
    full = recipe(epochs=120, schedule={"steps": [0.3, 0.6, 0.8]}, warmup=10)
    short = full.compressed(0.2)
    assert (short.epochs, short.decays, short.warmup) == (24, [7, 14, 19], 2)
    assert short.optimizer == full.optimizer
    assert short.schedule.factor == 0.2


def test_compression_to_a_mode_is_the_papers():
    full = build_recipe(RecipeConfig.model_validate("paper-cifar10"))
    for mode, decays in {"10/35": [10, 20, 30], "25/80": [25, 50, 75]}.items():
        short = full.compressed(mode)
        assert (short.epochs, short.decays) == (int(mode[3:]), decays)
        assert short.rates() == pytest.approx(
            [0.1 * 0.2 ** (e // decays[0]) for e in range(short.epochs)]
        )


def test_compression_of_a_mode_by_a_fraction_scales_its_decays():
    full = build_recipe(RecipeConfig.model_validate("paper-cifar10"))
    assert full.compressed(0.5).decays == [30, 60, 90]
    assert full.compressed(0.5).epochs == 100


def test_compression_by_one_changes_no_rate():
    full = recipe(schedule={"steps": [0.3, 7]}, warmup=3)
    assert full.compressed(1.0).rates() == full.rates()


def test_compressed_cosine_stays_cosine():
    short = recipe(schedule={"cosine": True}).compressed(0.1)
    assert short.rates() == pytest.approx(
        [0.05 * (1 + math.cos(math.pi * e / 10)) for e in range(10)]
    )


def test_compression_leaves_at_least_one_epoch():
    assert recipe().compressed(0.001).epochs == 1


def test_a_mode_longer_than_what_it_stops_is_refused():
    with pytest.raises(UserError, match="the mode 60/200 is longer than the 100 epochs"):
        recipe().compressed("60/200")


# --- inheritance ---------------------------------------------------------------------------------


def test_later_layers_win_and_what_they_leave_out_is_kept():
    base = RecipeConfig.model_validate({"epochs": 10, "batch_size": 32, "clip_norm": 1.0})
    over = RecipeConfig.model_validate({"batch_size": 64})
    assert merge(base, None, over) == {"epochs": 10, "batch_size": 64, "clip_norm": 1.0}


def test_optimizer_and_schedule_are_replaced_as_a_whole():
    found = build_recipe(
        RecipeConfig.model_validate(
            {
                "epochs": 10,
                "optimizer": {"sgd": {"lr": 0.5, "nesterov": False}},
                "schedule": {"cosine": True},
            }
        ),
        RecipeConfig.model_validate(
            {"optimizer": {"adamw": {"lr": 0.01}}, "schedule": {"steps": [5]}}
        ),
    )
    assert found.optimizer == AdamW(lr=0.01)
    assert found.decays == [5]


def test_extends_is_laid_under_its_own_layer_and_over_the_ones_before():
    found = build_recipe(
        RecipeConfig.model_validate({"epochs": 7, "batch_size": 32, "clip_norm": 2.0}),
        RecipeConfig.model_validate({"extends": "paper-cifar10", "label_smoothing": 0.1}),
        RecipeConfig.model_validate({"batch_size": 64}),
    )
    assert (found.epochs, found.batch_size, found.clip_norm) == (200, 64, 2.0)
    assert found.label_smoothing == 0.1
    own = build_recipe(RecipeConfig(extends="paper-cifar10", batch_size=64))
    assert (own.epochs, own.batch_size) == (200, 64)


def test_named_recipes_are_not_changed_by_use():
    before = repr(NAMED)
    build_recipe(
        RecipeConfig.model_validate("paper-cifar10"),
        RecipeConfig.model_validate({"schedule": {"steps": [3]}, "epochs": 5}),
    )
    assert repr(NAMED) == before


def test_an_unknown_recipe_gets_the_nearest():
    refused("paper-cifar", words="(?s)unknown recipe 'paper-cifar'.*Did you mean 'paper-cifar10'")


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([{"epochs": 10, "schedule": {"mode": "2/12"}}], "contradicts the mode 2/12"),
        (["paper-cifar10", {"epochs": 100}], "contradicts the mode 60/200"),
        ([{"extends": "paper-cifar10", "epochs": 100}], "contradicts the mode 60/200"),
        ([{}], "names no number of epochs"),
        ([{"epochs": 10, "schedule": {"steps": [10]}}], "epoch 10 lies beyond the 10 epochs"),
        ([{"epochs": 100, "schedule": {"steps": [60]}}, {"epochs": 50}], "lies beyond the 50"),
        ([{"epochs": 10, "warmup": 11}], "warm-up of 11 epochs exceeds the 10"),
    ],
)
def test_contradictions_are_refused(layers, words):
    refused(*layers, words=words)


@pytest.mark.parametrize(
    "layers",
    [
        [{"epochs": 12, "schedule": {"mode": "2/12"}}],  # they agree
        [{"epochs": 99}, {"schedule": {"mode": "2/12"}}],  # the mode states its own
        ["paper-cifar10", {"epochs": 12, "schedule": {"steps": [0.5]}}],  # both replaced
        [{"epochs": 99}, "paper-cifar10", {"schedule": {"mode": "2/12"}}],
    ],
)
def test_what_agrees_is_taken(layers):
    assert build_recipe(*(RecipeConfig.model_validate(layer) for layer in layers)).epochs == 12


def test_defaults_of_a_recipe():
    found = recipe()
    assert (found.batch_size, found.optimizer, found.precision) == (128, Sgd(), "fp32")


def test_a_schedule_of_many_decays_is_made_at_once():
    rates = build_recipe(
        RecipeConfig(schedule=ScheduleConfig(mode="1/20000", factor=0.999))
    ).rates()
    assert len(rates) == 20_000
    assert rates[1234] == pytest.approx(0.1 * 0.999**1234)


# --- cooldown ------------------------------------------------------------------------------------


def test_a_cooldown_is_constant_and_then_falls_linearly():
    rates = recipe(epochs=10, schedule={"cooldown": 4}).rates()
    assert rates[:6] == [0.1] * 6
    assert rates[6:] == pytest.approx([0.1 * n / 5 for n in (4, 3, 2, 1)])
    assert recipe(epochs=40, schedule={"cooldown": 0.1}).rates().count(0.1) == 36
    assert recipe(epochs=5, schedule={"cooldown": 5}, warmup=2).rates() == pytest.approx(
        [0.05, 0.1, 0.05, 0.1 * 2 / 6, 0.1 / 6]
    )
    refused({"epochs": 5, "schedule": {"cooldown": 6}}, words="cooldown of 6 epochs exceeds the 5")


def test_a_recipe_cooled_down_follows_the_peak_rate_up_to_its_stop():
    full = recipe(epochs=100, schedule={"steps": [0.3, 0.6]}, warmup=5)
    stopped = full.cooled_down(40)
    assert stopped.epochs == 50
    assert stopped.rates()[:5] == full.rates()[:5]
    assert stopped.rates()[5:40] == [0.1] * 35
    assert stopped.rates()[40:] == pytest.approx([0.1 * n / 11 for n in range(10, 0, -1)])


def test_a_compressed_cooldown_keeps_its_shape():
    short = recipe(epochs=100, schedule={"cooldown": 0.2}).compressed(0.5)
    assert short.epochs == 50
    assert short.rates().count(0.1) == 40


# --- averages of the weights ---------------------------------------------------------------------


@pytest.mark.parametrize(("swa", "begins"), [(0.75, 30), (12, 12), (39, 39)])
def test_swa_begins_at_an_epoch_or_a_share(swa, begins):
    found = recipe(epochs=40, swa=swa)
    assert found.swa == begins
    assert found.compressed(0.5).swa == min(begins / 2, 19) // 1
    assert recipe(epochs=40).compressed(0.5).swa == 0


def test_averages_that_cannot_be_are_refused():
    refused({"epochs": 10, "swa": 10}, words="swa from epoch 10 on does not lie within the 10")
    refused({"epochs": 10, "swa": 0.0}, words="swa from epoch 0 on")
    refused({"epochs": 10, "swa": 0.5, "ema": 0.9}, words="two averages of the weights")
