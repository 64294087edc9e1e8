"""The page of models: its study runs, and its own network is one."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from safetensors.torch import save_file

from tutelage.api import Study
from tutelage.config.schema_model import ModelConfig
from tutelage.models.build import build_model

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")


def test_its_study_and_its_network_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    Path("nets.py").write_text(code)
    weights = build_model("plain-8-8", (8, 8, 1), 10, 0).state_dict()
    save_file({name: value.contiguous() for name, value in weights.items()}, "teacher.safetensors")
    parts = yaml.safe_load(text)
    own = {"teacher": "given", "student": {"model": "nets.py:Small"}}
    study = Study(
        name="page", **parts,
        data={"source": "digits", "train": 100, "validation": 50, "test": 50},
        recipe={"epochs": 2, "batch_size": 25},
        conditions={"kd": {"teacher": list(parts["teachers"])}, "own": own},
        replicates={"count": 1, "students": 1},
    )  # fmt: skip
    result = study.run("store", workers=0, device="cpu")
    assert not result.failures
    rows = {row["condition"]: row for row in result.runs}
    assert rows["given"]["digest"] == rows["foreign"]["digest"] != rows["tuned"]["digest"]
    assert rows["own"]["model"] == "nets.py:Small"
    assert rows["kd/trained"]["model"].startswith("timm:test_efficientnet {")
    assert rows["tuned"]["epochs"] == 2


def test_it_has_every_key():
    table = PAGE.partition("| key | |")[2].partition("\n\n")[0]
    named = set(re.findall(r"^\| ((?:`[^`]*`(?:, )?)+)", table, flags=re.MULTILINE))
    keys = {key.partition(":")[0] for cell in named for key in re.findall("`([^`]*)`", cell)}
    assert keys == set(ModelConfig.model_fields)
