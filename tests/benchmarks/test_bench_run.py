"""The command that runs the benchmarks, and the page that is made of what they found."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import page
import pytest
import run
import steps

from tutelage.errors import UserError

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for results, and one benchmark that prints more than it should."""

    def measure(quick: bool) -> dict[str, bool]:
        print("noise of a library")
        return {"quick": quick}

    noisy = SimpleNamespace(measure=measure, ratios=lambda found: {"faster": 3.0})
    none = SimpleNamespace(measure=lambda quick: "torchdistill is missing.")
    monkeypatch.setattr(run, "ON_ONE_CORE", {"noisy": noisy, "none": none})
    monkeypatch.setattr(run, "RESULTS", tmp_path)
    monkeypatch.setattr(run.page, "write", lambda folder: (folder / "page").touch())
    return tmp_path


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr("sys.argv", ["run.py", *arguments])
    run.main()


def test_json_prints_the_ratios_and_nothing_else(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch, "--only", "noisy,none", "--json")
    told = capsys.readouterr()
    assert json.loads(told.out) == {"faster": 3.0}
    assert "torchdistill is missing." in told.err
    assert json.loads((results / "noisy.json").read_text()) == {"quick": False}
    assert sorted(file.name for file in results.iterdir()) == ["noisy.json", "page"]


def test_quick_leaves_the_evidence_alone(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch, "--quick", "--only", "noisy")
    assert list(results.iterdir()) == []
    assert capsys.readouterr().out == ""


def test_studies_without_data_are_skipped_with_a_sentence(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch, "--only", "cifar10-quick")
    assert "give its folder with --data" in capsys.readouterr().err
    assert not (results / "cifar10-quick.json").exists()


def test_an_unknown_name_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        call(monkeypatch, "--only", "stepps")
    assert "'stepps' is none of steps, parts" in capsys.readouterr().err


def test_the_page_is_what_the_results_say(tmp_path: Path) -> None:
    """No figure of docs/speed.md is typed by hand, and none is older than its evidence."""
    page.write(RESULTS, tmp_path / "speed.md")
    assert (tmp_path / "speed.md").read_text() == page.PAGE.read_text()
    for plot in tmp_path.glob("*.svg"):
        assert page.PAGE.with_name(plot.name).exists()


def test_every_result_has_its_evidence_header() -> None:
    files = list(RESULTS.glob("*.json"))
    assert files
    for file in files:
        found = json.loads(file.read_text())
        assert {"what", "date", "machine", "versions", "threads"} <= set(found), file.name
        assert "/" not in found["machine"]["cpu"]


def kept(*, cpu: str = "one", **ways: list[float]) -> dict:
    """What `steps` finds, of one pair."""
    seconds = {name: [1.0, 2.0, 3.0] for name in (*steps.PEERS, *steps.OURS)} | ways
    pairs = [steps.told("wrn-40-2", "wrn-16-1", seconds)]
    return {"machine": {"cpu": cpu}, "versions": {"torch": "2"}, "rounds": 3, "pairs": pairs}


def test_more_rounds_are_added_to_those_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slower = kept(**{steps.SCRATCH: [5.0, 9.0, 7.0]})
    monkeypatch.setitem(run.ON_ONE_CORE, "steps", SimpleNamespace(
        measure=lambda quick: slower, ratios=steps.ratios))  # fmt: skip
    monkeypatch.setattr(run, "RESULTS", tmp_path)
    monkeypatch.setattr(run.page, "write", lambda folder: None)
    (tmp_path / "steps.json").write_text(json.dumps(kept()))
    call(monkeypatch, "--only", "steps", "--more")
    found = json.loads((tmp_path / "steps.json").read_text())
    assert (found["rounds"], found["occasions"]) == (6, 2)
    pair = found["pairs"][0]
    assert pair["seconds"][steps.SCRATCH] == [1, 2, 3, 5, 9, 7]
    assert pair["ratios"]["ours, scratch, bf16"]["value"] == 4.0 / 2.0
    call(monkeypatch, "--only", "steps", "--more")
    found = json.loads((tmp_path / "steps.json").read_text())
    assert (found["rounds"], found["occasions"]) == (9, 3)


def test_rounds_of_another_machine_are_no_more_of_the_same() -> None:
    with pytest.raises(UserError, match="another machine"):
        steps.added(kept(), kept(cpu="two"))


def test_more_is_for_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit):
        call(monkeypatch, "--only", "parts", "--more")
