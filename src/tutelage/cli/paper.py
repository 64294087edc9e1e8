"""The verb `paper`: reports of the paper's studies that are in the store, and the page of them."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console

from tutelage.api import default_store, open_result
from tutelage.config.load import load_study, noted_studies, scales_of
from tutelage.reporting.paper_page import paper_page, paper_record
from tutelage.reporting.tables import findings_csv, markdown
from tutelage.store import Store, atomic_write
from tutelage.study.context import list_manifests


def write_paper(results: Path, page: Path, store: Path | None) -> None:
    """Write record, Markdown and findings of every finished study into `results`, and the page."""
    console, root = Console(), store or default_store()
    finished = set[str]()
    if root.is_dir():
        manifests = list_manifests(Store.open(root, create=False))
        finished = {manifest["name"] for manifest in manifests if "finished" in manifest}
    results.mkdir(parents=True, exist_ok=True)
    for study in noted_studies():
        for scale in scales_of(study) or [None]:
            name = load_study(study, scale=scale).name
            if name not in finished:
                continue
            document = open_result(name, root).document
            texts = {
                f"{name}.md": markdown(document),
                f"{name}-findings.csv": findings_csv(document),
                f"{name}.json": json.dumps(paper_record(document), indent=1) + "\n",
            }
            for file, text in texts.items():
                atomic_write(results / file, text.encode())
            console.print(f"{name}: in {results}", highlight=False)
    page.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(page, paper_page(results).encode())
    console.print(str(page), highlight=False)
