"""The page of teachers: its study is one, and each of its teachers is what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from tutelage.config.design import MeanRef, PartsRef, StagesRef
from tutelage.config.expand import expand
from tutelage.config.load import validate
from tutelage.config.schema import StopConfig

PAGE = (Path(__file__).parents[2] / "docs" / "teachers.md").read_text(encoding="utf-8")


def test_its_teachers_are_teachers(parts):
    text, *_ = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
    teachers = yaml.safe_load(text)["teachers"]
    taught = {"kd": {"teacher": list(teachers)}}
    recipe = {"epochs": 200, "batch_size": 50, "schedule": {"steps": [0.3, 0.6]}}
    study = parts | {"teachers": teachers, "conditions": taught, "recipe": recipe, "claims": {}}
    found = expand(validate(study)).teachers
    assert [name for name, each in found.items() if each.is_full] == [
        "small", "large", "averaged", "swa"]  # fmt: skip
    kinds = {name: type(each.reference) for name, each in found.items() if each.made_of}
    assert kinds == {"trio": MeanRef, "snapshots": MeanRef, "anchors": StagesRef,
                     "crossed": PartsRef}  # fmt: skip
    stops = {key for teacher in teachers.values() if isinstance(teacher.get("stop"), dict)
             for key in teacher["stop"]}  # fmt: skip
    assert {*stops, "best_validation"} == set(StopConfig.model_fields)
