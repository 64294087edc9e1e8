"""Results on a terminal of 80 columns, and where there is none."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from tutelage.reporting import print_results

Results = dict[str, Any]


def printed(results: Results, width: int = 80) -> str:
    """What is written where there is no terminal."""
    console = Console(file=io.StringIO(), width=width)
    print_results(results, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def flowing(text: str) -> str:
    return " ".join(text.split())


def test_it_fits_80_columns_without_control_codes(results: Results) -> None:
    text = printed(results)
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    assert "…" not in text


def test_students_and_teachers_have_a_line_each(results: Results) -> None:
    lines = printed(results).splitlines()
    for condition in results["conditions"]:
        assert any(
            line.startswith(condition["name"] + " ") and line.endswith("6 × 3") for line in lines
        )
    early = next(line for line in lines if line.startswith("early "))
    assert "plain-64-64-64" in early
    assert "75.3 k" in early
    assert "compressed 0.2 (24 epochs)" in early
    names = [teacher["name"] for teacher in results["teachers"]]
    starts = [i for i, line in enumerate(lines) if line.split(" ")[0] in names]
    assert all(after - before <= 3 for before, after in itertools.pairwise(starts))


def test_findings_are_a_badge_line_with_indented_text(results: Results) -> None:
    lines = printed(results).splitlines()
    head = lines.index("✓ supported  early-repairs  primary")
    assert all(line.startswith("  ") for line in lines[head + 1 : head + 3])
    for finding in results["findings"]:
        assert flowing(finding["sentence"]) in flowing("\n".join(lines))


def test_the_two_sentences_have_their_own_heading(spoilt: Results) -> None:
    text = printed(spoilt)
    _, after = text.split("\nTwo sentences, never one\n")
    assert "◐ depends on softness  (A)\n  A teacher that" in after
    assert "– not tested  (B)\n  The paper's paradox" in after


def test_numbers_stay_with_their_percent_sign(build: Callable[..., Results]) -> None:
    results = build(1, 1)
    results["findings"][0]["sentence"] = "word " * 15 + "95 % interval"
    assert "\n  95 % interval" in printed(results)


def test_long_names_are_folded_and_not_cut_off(build: Callable[..., Results]) -> None:
    results = build(1, 1)
    name = "kd-with-a-very-long-name-of-its-own/" + "x" * 40
    results["conditions"][1]["name"] = name
    lines = printed(results).splitlines()
    assert name in "".join(line[:40].split(" ")[0] for line in lines)


def test_markup_in_names_is_text(build: Callable[..., Results]) -> None:
    results = build(1, 1)
    results["conditions"][1]["name"] = "[red]kd[/red]"
    results["findings"][0]["claim"] = "[bold]claim[/nothing]"
    text = printed(results)
    assert "[red]kd[/red]" in text
    assert "[bold]claim[/nothing]" in text


@pytest.mark.parametrize("name", ["spoilt", "bare"])
def test_unfinished_and_small_studies_are_printed(
    name: str, request: pytest.FixtureRequest
) -> None:
    text = printed(request.getfixturevalue(name))
    assert "None" not in text
    assert "nan" not in text.split()
    assert ("Findings" in text) == (name == "spoilt")
    assert ("1 run failed, left out: r1/kd/small/s0." in text) == (name == "spoilt")
    assert ("Teachers" in text) == (name == "spoilt")
