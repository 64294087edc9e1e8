"""The page of a paper's claims: what it says, what came out here, the verdict, and what follows.

It is written from files that `paper_record` made of studies really run, and from the notes in the
built-in studies; no verdict on it is typed by hand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tutelage.config.load import load_study, noted_studies, notes_of, scales_of
from tutelage.config.paper import PaperNote

_FOLDER = "paper/"
_KEPT = ("claim", "rank", "verdict", "effect", "low", "high", "unit", "margin", "n", "level",
         "sentence")  # fmt: skip
_CAVEAT = "JPEG copies of CIFAR-10: errors may sit above those on the original pixels."
_MARKS = {"supported": "✓ supported", "refuted": "✗ refuted", "undecided": "○ undecided"}
_HEAD = """# The paper, claim by claim

"On the Efficacy of Knowledge Distillation" (Cho & Hariharan, ICCV 2019, arXiv 1910.01348): what it
says, what came out here, and what follows. `tutelage paper` writes this page from the studies in
[results/paper](../results/paper); nothing on it is typed by hand. Claims and their margins were
set before the first run. *Agrees* and *does not agree* compare a verdict with the paper's, and
speak of the data of the row alone: the small scale (mini) has 2,000 training images at 16×16,
networks a quarter as wide as the paper's, and a fifth of its epochs. It takes 1,600 steps where the
paper takes 78,000, so its teachers are still learning much when a stop ends their training: read a
stopped teacher's own error, in the report of its study, beside its students'.
"""


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
    parts, answered, rows, open_ones = [_HEAD], [], [], []
    for study in sorted(noted_studies(), key=_number):
        notes = notes_of(study)
        for scale in scales_of(study) or [None]:
            config = load_study(study, scale=scale)
            record = by_name.get(config.name)
            if record is None:
                open_ones.append(f"`{study}`" + (f" at scale {scale}" if scale else ""))
                continue
            rows += _counted(record, notes)
            answered.append(_section(study, scale, config.question, record, notes))
    parts.append(_verdicts(rows))
    parts.append(_helped(records))
    parts += answered
    if open_ones:
        parts.append("## Not run yet\n\n" + ", ".join(open_ones) + ".\n")
    return "\n".join(parts)


def _number(study: str) -> tuple[bool, str, int]:
    """The order of the page: the paper's own studies by their numbers, then others."""
    head = study.removeprefix(_FOLDER).partition("-")[0]
    own = study.startswith(_FOLDER)
    return not own, head[:1], int(head[1:]) if head[1:].isdigit() else 0


def _counted(record: Mapping[str, Any], notes: Mapping[str, PaperNote]) -> list[tuple[str, str]]:
    """Each noted claim with how it stands to the paper."""
    found = {finding["claim"]: finding for finding in record["findings"]}
    return [
        (f"{record['name']}: {name}", note.stands(found[name]["verdict"]))
        for name, note in notes.items()
        if name in found
    ]


def _verdicts(rows: list[tuple[str, str]]) -> str:
    """Which claims agree with the paper, and which do not, in plain words."""
    lines = ["## In short", ""]
    kinds = {
        "does not agree": "Does not agree with the paper",
        "agrees": "Agrees with the paper",
        "open": "Undecided",
        "not in the paper": "Decided, on questions of ours",
    }
    for kind, title in kinds.items():
        names = [name for name, how in rows if how == kind]
        lines.append(f"- {title} ({len(names)}): {'; '.join(names) or 'none'}.")
    return "\n".join(lines) + "\n"


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


def _data(record: Mapping[str, Any]) -> str:
    height, width = record["shape"][:2]
    return f"{record['train']:,} images of {record['source']} at {width}×{height}"


def _noise(record: Mapping[str, Any]) -> str:
    return f"{100 * record['label_noise']:g} % of the labels wrong"


def _section(
    study: str,
    scale: str | None,
    question: str,
    record: Mapping[str, Any],
    notes: Mapping[str, PaperNote],
) -> str:
    caveat = _CAVEAT if record["source"] == "cifar10" else ""
    head = [
        f"## {study}" + (f", {scale}" if scale else ""),
        "",
        f"{question} {_data(record)}, {_noise(record)}; {record['replicates']} replicates × "
        f"{record['students']} students.",
        "",
        "| claim | the paper | here | verdict | to the paper | data | what follows |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for found in record["findings"]:
        note = notes.get(found["claim"])
        paper = f"{note.item}: {note.says}" if note else "–"
        stands = note.stands(found["verdict"]) if note else "–"
        follows = note.follows.get(found["verdict"], "–") if note else "–"
        cells = [f"{found['claim']} ({found['rank']})", paper, _here(found),
                 _MARKS.get(found["verdict"], found["verdict"]), stands, caveat or "–",
                 follows]  # fmt: skip
        head.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(head) + "\n"


def _here(found: Mapping[str, Any]) -> str:
    """The effect with its interval, its margin and the number of replicates."""
    if found["effect"] is None:
        return found["sentence"]
    unit = f" {found['unit']}".rstrip()
    text = f"{found['effect']:+.2f}{unit}"
    if found["low"] is not None:
        text += f" ({100 * found['level']:.3g} %: {found['low']:+.2f} to {found['high']:+.2f})"
    margin = "" if found["margin"] is None else f", margin {found['margin']:g}"
    return f"{text}, n = {found['n']}{margin}. {found['sentence']}"
