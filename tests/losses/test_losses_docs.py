"""The page of losses: its example runs and learns, its table is what studies default to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import yaml
from torch.nn import functional as F

from tutelage.config.schema_losses import FEATURE_METHODS, METHODS, LossConfig
from tutelage.losses import dkd

PAGE = (Path(__file__).parents[2] / "docs" / "losses.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_example_runs_as_it_stands_and_is_short():
    _, code, _ = blocks("python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    torch.set_num_threads(1)

    def gap_after(epochs):
        names = {}
        epoch = code.replace("range(3)", f"range({epochs})")
        exec(compile(epoch, "docs/losses.md", "exec"), names)
        assert all(parameter.grad is None for parameter in names["teacher"].parameters())
        images, labels = names["images"], names["labels"]
        logits, target = names["student"](images), names["teacher"](images)
        return (F.cross_entropy(logits, labels) + dkd(logits, target, labels)).item()

    before, after = gap_after(0), gap_after(3)
    assert after < 0.6 * before


def test_the_example_with_features_runs_as_it_stands():
    _, _, code = blocks("python")
    torch.manual_seed(0)
    names = {}
    exec(compile(code, "docs/losses.md", "exec"), names)
    assert 0 < names["loss"].item() < 1000
    assert all(parameter.grad.abs().sum() > 0 for parameter in names["hint"].parameters())
    assert all(parameter.grad.abs().sum() > 0 for parameter in names["student"].parameters())
    assert all(parameter.grad is None for parameter in names["teacher"].parameters())


def test_its_study_is_a_study():
    for text in blocks("yaml"):
        for condition in yaml.safe_load(text)["conditions"].values():
            LossConfig.model_validate(condition["loss"])


def test_its_table_tells_the_defaults():
    rows = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| `")]
    told = {}
    for written, _, _, weights in rows:
        loss = yaml.safe_load(written.strip("`"))
        config = LossConfig.model_validate(loss)
        pair = tuple(float(part) for part in re.match(r"([\d.]+), ([\d.]+)", weights).groups())
        assert pair == (config.method.ce_weight, config.method.kd_weight), written
        if isinstance(loss, dict) and "standardise" not in loss:  # what it spells out is default
            assert config == LossConfig.model_validate(config.name), written
        told[config.name] = told.get(config.name, "") + weights
    assert set(told) == set(METHODS)
    assert "twelfth" in told["dkd"]
    assert METHODS["dkd"].kd_warmup == pytest.approx(1 / 12)
    assert f"until {METHODS['annealing'].distill_until:g}" in told["annealing"]


def test_its_table_tells_the_defaults_of_losses_of_features():
    reads = {"ends": "ends of all stages", "middle": "end of the middle stage",
             "last": "end of the last stage", "embedding": "input of the last layer"}  # fmt: skip
    told = []
    for line in PAGE.splitlines():
        name = re.match(r"\| (\w+)(?=:| \|)", line)
        if name is None or name[1] not in FEATURE_METHODS:
            continue
        written, _, _, weight, where = line.strip("| ").split(" | ")
        method = FEATURE_METHODS[name[1]]
        assert weight == f"`{name[1]}_weight` {method.weight:g}"
        assert where == reads[method.reads]
        config = LossConfig.model_validate(yaml.safe_load(written))
        assert config == LossConfig.model_validate(name[1])  # what it spells out is the default
        told.append(name[1])
    assert told == list(FEATURE_METHODS)
