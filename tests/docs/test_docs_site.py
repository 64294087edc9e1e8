"""The site: every link and name in it leads somewhere, and building it needs no network."""

from __future__ import annotations

import importlib.util
import os
import pkgutil
import re
import subprocess
import sys

import pytest
import yaml
from pages import ROOT

WRITTEN = sorted(
    path.relative_to(ROOT)
    for pattern in ("*.md", "docs/**/*.md", "results/*.md", "benchmarks/*.md")
    for path in ROOT.glob(pattern)
)
API = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


def _prose(path):
    """The text of a page without its code."""
    text = (ROOT / path).read_text(encoding="utf-8")
    return re.sub(r"^```.*?^```$|`[^`\n]*`", "", text, flags=re.DOTALL | re.MULTILINE)


def _anchors(path):
    """What can stand behind # in a link to the page."""
    titles = re.findall(r"^#+ (.*)$", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in titles}


@pytest.mark.parametrize("page", WRITTEN, ids=str)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", _prose(page)):
        if re.match(r"[a-z]+:", link):
            assert link.startswith("https://"), link
            continue
        name, _, anchor = link.partition("#")
        target = (ROOT / page.parent / name).resolve() if name else ROOT / page
        assert target.exists(), f"{page}: {link}"
        assert not anchor or anchor in _anchors(target.relative_to(ROOT)), f"{page}: {link}"


def test_the_reference_names_what_there_is():
    named = re.findall(
        r"^::: ([\w.]+)\n(?:    options:\n      members: \[(.*)\])?", API, re.MULTILINE
    )
    assert len(named) > 15
    for name, members in named:
        found = pkgutil.resolve_name(name)
        for part in [found, *(getattr(found, member) for member in members.split(", ") if member)]:
            assert (part.__doc__ or "").strip(), name


def test_everything_public_is_in_the_reference():
    import tutelage
    from tutelage import losses

    for name in {*tutelage.__all__, *losses.__all__} - {"LOSSES", "LogitLoss"}:
        assert re.search(rf"^::: tutelage\.[\w.]+\.{name}$", API, re.MULTILINE), name


def _pages(nav):
    for each in nav:
        (value,) = each.values()
        yield from [value] if isinstance(value, str) else _pages(value)


def test_every_page_is_in_the_menu():
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = set(_pages(config["nav"]))
    there = {path.relative_to(ROOT / "docs").as_posix() for path in ROOT.glob("docs/**/*.md")}
    assert listed == there | {"results/README.md", "CONTRIBUTING.md"}


@pytest.mark.skipif(not importlib.util.find_spec("mkdocs"), reason="the extra `docs` is not here")
def test_it_builds_strictly_and_asks_for_nothing_elsewhere(tmp_path):
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert built.returncode == 0, built.stdout + built.stderr
    pages = [path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.html")]
    assert len(pages) > 25
    elsewhere = r"\"?(?:https?:)?//"
    for page in pages:
        assert not re.search(rf"<(?:script|img|iframe)[^>]*\ssrc={elsewhere}", page)
        assert not re.search(rf"<link[^>]*(?:stylesheet|preconnect)[^>]*href={elsewhere}", page)
