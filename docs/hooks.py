"""What `mkdocs build` does besides: the reports in results/ and CONTRIBUTING.md are pages too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).parents[1]
BESIDE = ("results/", "CONTRIBUTING.md")
WORKER = Path(__file__).with_name("worker.js")
SHIM = '<script src="https://unpkg.com/iframe-worker/shim"></script>'


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages that lie beside docs/."""
    for path in [ROOT / "CONTRIBUTING.md", *sorted((ROOT / "results").glob("*.md"))]:
        name = path.relative_to(ROOT).as_posix()
        file = File.generated(config, name, abs_src_path=str(path))
        file.inclusion = InclusionLevel.NOT_IN_NAV  # it may be there, but need not
        files.append(file)
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """A link that leaves docs/ for one of these finds it inside the site."""
    up = "../" * page.file.src_uri.count("/")
    for name in BESIDE:
        markdown = markdown.replace(f"](../{up}{name}", f"]({up}{name}")
    return markdown


def on_post_page(output: str, **_: Any) -> str:
    """The theme would fetch a script that makes the search work in files; ours is in the page."""
    return output.replace(SHIM, f"<script>{WORKER.read_text(encoding='utf-8')}</script>")


def on_post_template(output: str, **_: Any) -> str:
    """The same for pages without a source, such as 404.html."""
    return on_post_page(output)
