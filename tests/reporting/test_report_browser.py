"""The page in a real browser, at the widths of a desk, a tablet and a phone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from tutelage.reporting.page import render

CHROMIUM = shutil.which("chromium")

# The page looks at itself after its charts are drawn, and tells the page that frames it.
_PROBE = """<script>
const errors = [];
addEventListener("error", event => errors.push(event.message));
addEventListener("securitypolicyviolation", event => errors.push(event.violatedDirective));
setTimeout(() => {
  const all = selector => [...document.querySelectorAll(selector)];
  const outside = all(".chart text").filter(text => {
    const inner = text.getBoundingClientRect();
    const card = text.closest(".card").getBoundingClientRect();
    return inner.left < card.left || inner.right > card.right;
  });
  parent.postMessage(JSON.stringify({
    errors,
    drawn: all(".chart svg").length,
    empty: all(".chart").filter(chart => !chart.querySelector("svg")).length,
    marks: all(".chart svg path").length,
    outside: outside.map(text => text.textContent),
    sideways: document.documentElement.scrollWidth - innerWidth,
  }), "*");
}, 3000);
</script>"""
_FRAME = """<!doctype html><meta charset="utf-8"><title>nothing</title>
<script>addEventListener("message", event => { document.title = event.data; });</script>
<iframe src="page.html" style="border:0;width:WIDTHpx;height:2000px"></iframe>"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("width", [1200, 800, 390])
def test_a_browser_draws_every_chart_inside_its_card(
    results: dict[str, Any], tmp_path: Path, width: int
) -> None:
    html = render(results)
    (tmp_path / "page.html").write_text(html.replace("<style>", _PROBE + "<style>", 1), "utf-8")
    frame = tmp_path / "frame.html"
    frame.write_text(_FRAME.replace("WIDTH", str(width)), "utf-8")
    done = subprocess.run(
        [
            *(str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu"),
            *("--virtual-time-budget=10000", "--dump-dom", frame.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)
    assert title
    found = json.loads(unescape(title.group(1)))
    assert found["errors"] == []
    assert (found["drawn"], found["empty"]) == (14, 0)
    assert found["marks"] > 200
    assert found["sideways"] <= 0
    assert found["outside"] == []
