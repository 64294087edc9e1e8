"""The page of a paper's claims: what it says, what came out here, the verdict, and what follows.

It is written from files that `paper_record` made of studies really run, and from the notes in the
built-in studies; no verdict on it is typed by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage.config.load import (
    load_study,
    noted_studies,
    notes_of,
    predicted_costs,
    scales_of,
)
from tutelage.config.paper import PaperNote
from tutelage.config.schema_claims import ClaimsConfig
from tutelage.findings.beside import (
    AGREES,
    DIFFERS,
    OPEN,
    OURS,
    SMALLER,
    WRONG_LABELS,
    Beside,
    beside_paper,
)

_FOLDER = "paper/"
_KEPT = ("claim", "rank", "verdict", "effect", "low", "high", "unit", "margin", "n", "level",
         "step_level", "sentence")  # fmt: skip
_CAVEAT = "JPEG copies of CIFAR-10: errors may sit above those on the original pixels."
_Row = tuple[str, str]  # how a claim stands to the paper, and a line on it
_MARKS = {"supported": "✓ supported", "refuted": "✗ refuted", "undecided": "○ undecided"}
_HEAD = """# The paper, claim by claim

"On the Efficacy of Knowledge Distillation" (Cho & Hariharan, ICCV 2019, arXiv 1910.01348): what it
says, what came out here, and what follows. `tutelage paper` writes this page from the studies in
[results/paper](../results/paper); nothing on it is typed by hand. Claims and their margins were
set before the first run. *Agrees* and *does not agree* compare a verdict with the paper's, and
speak of the data of the row alone; an effect that is there, and smaller than its margin, is refuted
and has a name of its own. The paper makes no label wrong, so what comes of wrong labels is not
compared with it. The data: the small scale (mini) has 2,000 training images at 16×16, networks a
quarter as wide as the paper's, and a fifth of its epochs. It takes 1,600 steps where the paper
takes 78,000, so its teachers are still learning much when a stop ends their training: read a
stopped teacher's own error, in the report of its study, beside its students'.
"""


@dataclass(frozen=True)
class _Judged:
    """A finding beside what the paper says, where it has a note."""

    found: Mapping[str, Any]
    paper: Beside | None


def _judged(
    record: Mapping[str, Any], notes: Mapping[str, PaperNote], claims: ClaimsConfig
) -> list[_Judged]:
    told = beside_paper(record["findings"], notes, claims, record["label_noise"])
    return [_Judged(found, told.get(found["claim"])) for found in record["findings"]]


def paper_record(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the page takes from a results document, as plain values."""
    study = document["study"]
    data, repeated = study["data"], study["config"].get("replicates", {})
    return {
        "name": study["name"],
        "id": study["id"],
        "source": data["source"],
        "shape": data["shape"],
        "train": data["train"],
        "label_noise": data["label_noise"],
        "replicates": repeated.get("count"),
        "students": repeated.get("students"),
        "findings": [{key: found[key] for key in _KEPT} for found in document["findings"]],
        "sentences": [dict(each) for each in document["sentences"]],
    }


def paper_page(folder: Path) -> str:
    """The page, as Markdown, from the records (*.json) in `folder`."""
    records = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")]
    by_name = {record["name"]: record for record in records}
    parts, answered, rows = [_HEAD], [], []
    missing: dict[str, list[str]] = {}
    series: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for study in sorted(noted_studies(), key=_number):
        notes = notes_of(study)
        for scale in scales_of(study) or [None]:
            config = load_study(study, scale=scale)
            record = by_name.get(config.name)
            if record is None:
                missing.setdefault(study, []).append(scale or "")
                continue
            title = f"{study}, {scale}" if scale else study
            judged = _judged(record, notes, config.claims)
            rows += _counted(title, judged)
            series.setdefault((study, record["source"]), []).append(record)
            answered.append(_section(title, config.question, record, judged))
    parts.append(_verdicts(rows))
    parts.append(_helped(records))
    parts += [_doses(study, of) for (study, _), of in series.items()]
    parts += answered
    parts.append(_not_run(missing))
    return "\n".join(part for part in parts if part)


def _not_run(missing: Mapping[str, Sequence[str]]) -> str:
    """The studies and scales that are still to be run, with what they are predicted to cost."""
    if not missing:
        return ""
    costs = predicted_costs()
    lines = [
        "## Not run yet",
        "",
        "Predicted for one core of the machine of [speed.md](speed.md).",
        "",
    ]
    for study, scales in missing.items():
        said = []
        for scale in scales:
            hours = costs.get(study, {}).get(scale, float("nan")) / 60
            said.append(f"{scale} ({hours:,.{0 if hours >= 10 else 1}f} core-hours)".lstrip())
        lines.append(f"- `{study}`: {', '.join(said)}")
    return "\n".join(lines) + "\n"


def _number(study: str) -> tuple[bool, str, int]:
    """The order of the page: the paper's own studies by their numbers, then others."""
    head = study.removeprefix(_FOLDER).partition("-")[0]
    own = study.startswith(_FOLDER)
    return not own, head[:1], int(head[1:]) if head[1:].isdigit() else 0


def _counted(title: str, judged: Sequence[_Judged]) -> list[_Row]:
    """A line for each noted claim, with how it stands to the paper."""
    anchor = re.sub(r"[^\w -]", "", title).replace(" ", "-")
    where = f"[{title}](#{anchor})"
    return [
        (paper.stands, f"{where}, {found['claim']}: {_effect(found)}; {_verdict(found)}.")
        for found, paper in ((each.found, each.paper) for each in judged)
        if paper is not None
    ]


def _verdict(found: Mapping[str, Any]) -> str:
    step = found.get("step_level") or found["level"]
    if found["verdict"] == "undecided" or step == found["level"]:
        return found["verdict"]
    return f"{found['verdict']} by the {100 * step:.3g} % interval of Holm's step-down"


def _verdicts(rows: list[_Row]) -> str:
    """Which claims agree with the paper, and which do not, in plain words."""
    lines = ["## In short", ""]
    kinds = {
        DIFFERS: "Does not agree with the paper",
        AGREES: "Agrees with the paper",
        SMALLER: "Has the paper's sign, and is less than the margin that was set before",
        OPEN: "Undecided",
        WRONG_LABELS: "Decided with wrong labels, of which the paper has none",
        OURS: "Decided, on questions of ours",
    }
    for kind, title in kinds.items():
        said = [text for how, text in rows if how == kind]
        lines.append(f"**{title} ({len(said)})**\n")
        lines += [f"- {text}" for text in said] or ["- None."]
        lines.append("")
    return "\n".join(lines)


def _helped(records: list[dict[str, Any]]) -> str:
    """For which data a teacher stopped early helped, by the two sentences of each study."""
    lines = ["## For which data an early-stopped teacher helped", ""]
    tested = [
        (record, each)
        for record in sorted(records, key=lambda record: record["name"])
        for each in record["sentences"]
        if each["verdict"] != "not tested"
    ]
    for record, each in tested:
        lines.append(
            f"- {_data(record)}, {_noise(record)} ({record['name']}): ({each['sentence']}) "
            f"**{each['verdict']}**. {each['text']}"
        )
    if not tested:
        lines.append("No study that tests it is here yet.")
    return "\n".join(lines) + "\n"


def _doses(study: str, records: Sequence[Mapping[str, Any]]) -> str:
    """Each claim of a study by the share of wrong labels, where several were run on one source."""
    by_noise = {record["label_noise"]: record for record in records}
    if len(by_noise) < 2:
        return ""
    claims = [found["claim"] for found in records[0]["findings"]]
    unit = records[0]["findings"][0]["unit"]
    lines = [
        f"**{study} on {records[0]['source']}, by the share of wrong labels** (effects in {unit}, "
        "each with its interval):",
        "",
        "| wrong labels | " + " | ".join(claims) + " |",
        "| ---: |" + " --- |" * len(claims),
    ]
    for noise, record in sorted(by_noise.items()):
        found = {each["claim"]: each for each in record["findings"]}
        cells = [f"{_effect(found[name], unit='')}: {_verdict(found[name])}" for name in claims]
        lines.append(f"| {100 * noise:g} % | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _data(record: Mapping[str, Any]) -> str:
    height, width = record["shape"][:2]
    return f"{record['train']:,} images of {record['source']} at {width}×{height}"


def _noise(record: Mapping[str, Any]) -> str:
    return f"{100 * record['label_noise']:g} % of the labels wrong"


def _section(
    title: str, question: str, record: Mapping[str, Any], judged: Sequence[_Judged]
) -> str:
    caveat = _CAVEAT if record["source"] == "cifar10" else ""
    head = [
        f"## {title}",
        "",
        f"{question} {_data(record)}, {_noise(record)}; {record['replicates']} replicates × "
        f"{record['students']} students.",
        "",
        "| claim | the paper | here | verdict | to the paper | data | what follows |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for each in judged:
        found, paper = each.found, each.paper
        said = f"{paper.item}: {paper.says}" if paper else "–"
        cells = [f"{found['claim']} ({found['rank']})", said, _here(found),
                 _MARKS.get(found["verdict"], found["verdict"]), paper.stands if paper else "–",
                 caveat or "–", (paper.follows if paper else "") or "–"]  # fmt: skip
        head.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(head) + "\n"


def _here(found: Mapping[str, Any]) -> str:
    """The effect with its interval, its margin and the number of replicates, and the sentence."""
    if found["effect"] is None:
        return found["sentence"]
    margin = "" if found["margin"] is None else f", margin {found['margin']:g}"
    return f"{_effect(found)}, n = {found['n']}{margin}. {found['sentence']}"


def _effect(found: Mapping[str, Any], unit: str | None = None) -> str:
    """The effect with its interval, as far as the claim has them, in its own unit or as said."""
    if found["effect"] is None:
        return "no single effect"
    digits = 4 if "nats" in found["unit"] else 2
    text = f"{found['effect']:+.{digits}f} {found['unit'] if unit is None else unit}".rstrip()
    if found["low"] is None:
        return text
    ends = f"{found['low']:+.{digits}f} to {found['high']:+.{digits}f}"
    return f"{text} ({100 * found['level']:.3g} %: {ends})"
