"""The page: self-contained, complete, and safe whatever the names are."""

from __future__ import annotations

import csv
import html.parser
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from report_documents import edge_case
from rich.console import Console

from tutelage.errors import UserError
from tutelage.reporting import print_results, write_report
from tutelage.reporting.page import render
from tutelage.reporting.tables import markdown

Results = dict[str, Any]
HOSTILE = "</script><img src=x onerror=alert(1)>|`a`*b*[c](javascript:1)&amp;"


class Page(html.parser.HTMLParser):
    """A page's elements, attributes and visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self._inside = ""
        self.feed(text)
        self.text = " ".join(" ".join(self.words).replace("\N{NO-BREAK SPACE}", " ").split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts.append(data)
        elif self._inside != "style":
            self.words.append(data)


@pytest.fixture(scope="module")
def whole(build: Callable[..., Results]) -> str:
    """The page of the standard document."""
    return render(build())


def test_the_page_loads_nothing(whole: str) -> None:
    page = Page(whole)
    assert not {"link", "img", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    links = {value for _, name, value in page.attributes if name in ("href", "src", "action")}
    assert links
    assert all(link.startswith("#") for link in links)
    assert not re.search(r"@import|url\(", whole.split("</style>", maxsplit=1)[0])
    specs = next(script for script in page.scripts if '"teachers/0"' in script)
    urls = set(re.findall(r"https?://[^\"\\]+", specs))
    assert all(url.startswith("https://vega.github.io/schema/") for url in urls)
    policies = [value for tag, _, value in page.attributes if tag == "meta"]
    assert any("default-src 'none'" in policy for policy in policies)


def test_the_page_has_every_part(whole: str, results: Results) -> None:
    page = Page(whole)
    for part in (
        *("Findings", "Two sentences, never one", "Charts", "Conditions", "Teachers"),
        *("Cost", "Runs", "Configuration", "Student error by teacher and size"),
        *("Student error by the teacher's stop", "Mimicry gap", "Distilled minus scratch"),
        *("spent leaves out", "label_noise: 0.3", "f3c2a7d10e44b5f", "2.13.0", "240 runs"),
    ):
        assert part in page.text, part
    for finding in results["findings"]:
        assert finding["sentence"] in page.text
    charts = [value for _, name, value in page.attributes if name == "data-chart"]
    specs = next(script for script in page.scripts if '"teachers/0"' in script)
    assert sorted(charts) == sorted(json.loads(specs))
    for run in results["runs"]:
        assert run["key"] in page.text


def test_unfinished_runs_are_named_and_verdicts_have_their_look(spoilt: Results) -> None:
    page = Page(render(spoilt))
    looks = [
        value.removeprefix("badge ")
        for _, name, value in page.attributes
        if name == "class" and value.startswith("badge ")
    ]
    findings = [finding["verdict"] for finding in spoilt["findings"]]
    assert looks == [*findings, "divided", "untested"]
    for part in (
        *("depends on softness", "not tested", "2 diverged"),
        "5 runs diverged, counted as chance error: r0/kd/large/s1, r0/kd/chained/s0",
        "1 run failed, left out: r1/kd/small/s0.",
        "2 runs not done yet, left out: ",
    ):
        assert part in page.text, part


def test_hostile_names_stay_text(build: Callable[..., Results], tmp_path: Path) -> None:
    results = build(2, 1)
    condition = next(row for row in results["conditions"] if row["name"] == "kd/large")
    condition["name"] = HOSTILE
    for run in results["runs"]:
        if run["condition"] == "kd/large":
            run["condition"], run["key"] = HOSTILE, run["key"].replace("kd/large", HOSTILE)
    results["study"]["name"] = results["study"]["question"] = HOSTILE
    results["study"]["config"]["question"] = f"```\n{HOSTILE}"
    results["findings"][0].update(claim=HOSTILE, sentence=HOSTILE)
    results["sentences"][0].update(text=f"{HOSTILE}: {HOSTILE}", verdict=f'x" {HOSTILE}')
    page_path, markdown_path, *_ = write_report(results, tmp_path)
    text = page_path.read_text("utf-8")
    page = Page(text)
    assert "img" not in page.tags
    assert not any(name.startswith("on") for _, name, _ in page.attributes)
    assert page.tags.count("script") == text.count("</script")
    assert page.text.count("onerror=alert(1)>|") >= 5
    specs = next(script for script in page.scripts if '"teachers/0"' in script)
    assert any(HOSTILE in json.dumps(spec) for spec in json.loads(specs).values())

    prose, fenced, after = markdown_path.read_text("utf-8").split("```")
    for part in (prose, after):
        assert not re.search(r"(?<!\\)[<`\[]", part)
    assert "&amp;amp;" in prose
    rows = [line for line in prose.splitlines() if line.startswith("|")]
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in rows}
    assert widths == {8, 11, 6}
    assert "javascript" in fenced


@pytest.mark.parametrize("name", ["spoilt", "bare"])
def test_unfinished_and_small_studies_are_written(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    results = request.getfixturevalue(name)
    page_path, markdown_path, runs_path, findings_path = write_report(results, tmp_path)
    page = Page(page_path.read_text("utf-8"))
    assert "None" not in page.text.split("The exact configuration")[0]
    assert "nan" not in page.text.split()
    assert ("figure" in page.tags) == (name == "spoilt")
    assert "NaN" not in "".join(page.scripts[:2])
    assert markdown_path.read_text("utf-8").startswith("# demo\n")
    assert len(list(csv.DictReader(runs_path.open()))) == len(results["runs"])
    assert len(list(csv.DictReader(findings_path.open()))) == len(results["findings"])


def test_an_unusual_document_is_a_page_without_holes(edge: Results) -> None:
    text = render(edge)
    page = Page(text)
    shown = page.text.split("The exact configuration")[0]
    assert not re.search(r"\bNone\b|\bnan\b|\binf\b", shown)
    assert "NaN" not in "".join(page.scripts[:2])
    assert "This study has no claims" in shown or edge["findings"]
    assert page.tags.count("figure") >= 3
    assert any(name == "id" and value == "classes" for _, name, value in page.attributes)
    assert len(text.encode()) < 1.4e6


def test_the_page_is_not_heavy(newer: Results) -> None:
    assert len(render(newer).encode()) < 1.2e6


def test_the_answer_comes_before_the_details(whole: str) -> None:
    places = [whole.index(f'id="{part}"') for part in ("findings", "study", "charts", "conditions")]
    assert places == sorted(places)
    first = whole.index('class="card finding')
    assert "primary" in whole[first : first + 60]
    assert first < whole.index('class="card facts"')


def test_balanced_error_is_told_or_shown(newer: Results) -> None:
    assert "which have unequally many test images" in Page(render(newer)).text
    even = Page(render(edge_case("no claims"))).text
    assert "the mean over classes, is the same as the error in every run" in even
    assert "balanced error, %" not in even


def test_no_replicate_is_a_page_too(build: Callable[..., Results]) -> None:
    results = build(1, 1)
    results["runs"] = []
    for teacher in results["teachers"]:
        teacher.update(replicates=[], stop_epoch=None)
    page = Page(render(results))
    assert "0 runs" in page.text
    assert "figure" not in page.tags


def test_files_lie_beside_a_named_page(bare: Results, tmp_path: Path) -> None:
    named = write_report(bare, tmp_path / "deep" / "demo.html")
    assert [path.name for path in named] == [
        *("demo.html", "demo.md", "demo-runs.csv", "demo-findings.csv"),
    ]
    assert all(path.is_file() for path in named)
    folder = write_report(bare, tmp_path / "folder")
    assert [path.name for path in folder] == [
        *("report.html", "report.md", "runs.csv", "findings.csv"),
    ]


def test_a_place_that_cannot_be_written_is_named(bare: Results, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written") as caught:
        write_report(bare, tmp_path / "file" / "report.html")
    assert "report.html" in str(caught.value)


def test_the_same_results_give_the_same_page(bare: Results) -> None:
    assert render(bare) == render(bare)


def test_findings_stand_beside_the_paper(results: Results) -> None:
    """In every form of the report, and only for claims that have a note."""
    first, second = (finding["claim"] for finding in results["findings"][:2])
    told = {"item": "Fig. 4", "says": "It <does>.", "stands": "does not agree", "follows": "Stop."}
    ours = {"item": "Of ours", "says": "Nothing.", "stands": "not in the paper", "follows": ""}
    noted = results | {"paper": {first: told, second: ours}}
    console = Console(file=io.StringIO(), width=200)
    print_results(noted, console)
    assert isinstance(console.file, io.StringIO)
    said = "Beside the paper (Fig. 4): It {} Does not agree, on these data."
    for text, does in (
        (render(noted), "&lt;does&gt;."),
        (markdown(noted), r"\<does\>."),
        (console.file.getvalue(), "<does>."),
    ):
        assert text.count("Beside the paper") == 2
        assert said.format(does) in text
        assert text.count("What follows: ") == 1
        assert "Beside the paper (Of ours): Nothing.\n" in text.replace("</p>", "\n")
    assert "Beside the paper" not in render(results) + markdown(results)
