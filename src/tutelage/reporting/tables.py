"""The report as Markdown, and its runs, findings and errors by class as CSV."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

import yaml

from tutelage.findings import Finding
from tutelage.reporting import grids
from tutelage.reporting.class_report import all_sentences, class_rows
from tutelage.reporting.classes import by_class
from tutelage.reporting.summary import Row, Summary
from tutelage.reporting.words import basis, beside_paper, verdict

_NOT_FLAT = (
    "history",
    "timing",
    "toward",
    "test_class_errors",
)  # the last one has a file of its own
_MARKED = re.compile(r"([\\`*_{}\[\]<>#|~])")


def markdown(results: Row) -> str:
    """The whole report but its charts, as Markdown (tables in GitHub's form)."""
    summary = Summary(results)
    study = summary.study
    parts = [f"# {_plain(study['name'])}", _plain(study.get("question") or "")]
    parts += [_pairs(grids.facts(summary))]
    parts += [f"> {_plain(line)}" for line in grids.unfinished(summary)]
    if summary.findings:
        told = (_finding(each, summary.paper.get(each["claim"])) for each in summary.findings)
        parts += ["## Findings", "\n".join(told)]
    if summary.sentences:
        parts += ["## Two sentences, never one", "\n".join(map(_sentence, summary.sentences))]
    if summary.mimicry:
        parts += ["## Mimicry", "\n".join(map(_sentence, summary.mimicry))]
    if summary.equal_compute:
        parts += ["## Equal compute", "\n".join(map(_told, summary.equal_compute))]
    parts += ["## Conditions", _table(grids.conditions_grid(summary))]
    if classes := by_class(summary):
        parts += ["## Classes", _plain(" ".join(all_sentences(classes)))]
    if summary.teachers:
        parts += ["## Teachers", _table(grids.teachers_grid(summary))]
    parts += ["## Cost", _table(grids.cost_grid(summary))]
    parts += ["## Configuration", f"```yaml\n{configuration(results)}```"]
    parts += [_pairs(environment(results))]
    return "\n\n".join(part for part in parts if part) + "\n"


def configuration(results: Row) -> str:
    """The study's full configuration as YAML."""
    return yaml.safe_dump(
        results["study"]["config"], sort_keys=False, allow_unicode=True, width=96
    ).replace("```", "` ` `")


def environment(results: Row) -> list[tuple[str, str]]:
    """Identity, versions and machine as names and texts."""
    study = results["study"]
    created = study.get("created")
    when = datetime.fromisoformat(created).isoformat(" ", "seconds") if created else ""
    found = [("study", study["id"]), ("created", when)]
    for part in ("versions", "machine"):
        found += [(name, str(value)) for name, value in (study.get(part) or {}).items()]
    return [(name, text) for name, text in found if text]


def runs_csv(results: Row) -> str:
    """One line a run with every figure in full precision, but no histories and no class errors."""
    return _csv([_flat(run) for run in results["runs"]])


def findings_csv(results: Row) -> str:
    """One line a finding, with all its fields; what has parts of its own as JSON."""
    rows = [
        {name: _in_one_cell(value) for name, value in finding.items()}
        for finding in results.get("findings") or ()
    ]
    return _csv(rows, [field.name for field in fields(Finding)])


def _in_one_cell(value: Any) -> Any:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return "; ".join(value)
    return json.dumps(value) if isinstance(value, list | dict) else value


def classes_csv(results: Row) -> str:
    """One line a condition and class, and one for each difference of the primary claim's two
    conditions; empty for a document without errors by class."""
    classes = by_class(Summary(results))
    return _csv(class_rows(classes)) if classes else ""


def _flat(run: Row) -> dict[str, Any]:
    rest = {key: value for key, value in run.items() if key not in _NOT_FLAT}
    return rest | dict(run.get("timing") or {})


def _csv(rows: Sequence[Mapping[str, Any]], first: Sequence[str] = ()) -> str:
    columns = list(dict.fromkeys([*first, *(key for row in rows for key in row)]))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _plain(text: str) -> str:
    """Text on one line, with everything escaped that Markdown or HTML would read."""
    return _MARKED.sub(r"\\\1", " ".join(text.split())).replace("&", "&amp;")


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"- {_plain(name)}: {_plain(text)}" for name, text in pairs)


def _finding(finding: Row, told: Row | None) -> str:
    look = verdict(finding["verdict"])
    name, rank = _plain(finding["claim"]), finding["rank"]
    line = f"- {look.mark} **{look.word}** · {name} ({rank}): {_plain(finding['sentence'])}"
    below = [*beside_paper(told), *basis(finding)]
    return "\n".join([line, *(f"  - {_plain(text)}" for text in below)])


def _told(sentence: Row) -> str:
    return f"- **{_plain(sentence['sentence'])}** · {_plain(sentence['text'])}"


def _sentence(sentence: Row) -> str:
    look = verdict(sentence["verdict"])
    name = _plain(sentence["sentence"])
    return f"- {look.mark} **({name}) {_plain(look.word)}** · {_plain(sentence['text'])}"


def _table(grid: grids.Grid) -> str:
    heads = [_plain(column.name) for column in grid.columns]
    rules = ["---:" if column.number else "---" for column in grid.columns]
    rows = [[_cell(cell) for cell in row] for row in grid.rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, rules, *rows])


def _cell(cell: grids.Cell) -> str:
    return _plain(cell.text) + (f" ({_plain(cell.note)})" if cell.note else "")
