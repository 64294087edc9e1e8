"""The pages that people read, and the code blocks in them.

A block that begins with a comment like `# study.yaml` is the file of that name; later blocks of its
page find it. An HTML comment right above a block says how the tests treat it:

    <!-- not run: REASON -->        it cannot be, and why; test_docs_pages.py counts these
    <!-- in tests: OPTIONS -->      added to its `tutelage` lines, so that they end soon
    <!-- exit code: N -->           its last line ends with N instead of 0
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(ROOT).as_posix() for path in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
)
_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*?) -->\n+)?^```(?P<language>[^\n]*)\n(?P<code>.*?)^```$",
    flags=re.DOTALL | re.MULTILINE,
)
_FILE = re.compile(r"# ([\w.-]+\.(?:py|ya?ml))\b")
_MARKS = ("not run", "in tests", "exit code")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; `line` is that of its first line of code, counted from 1."""

    page: str
    line: int
    language: str
    code: str
    marks: dict[str, str]

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def file(self) -> str | None:
        """The name of the file that it is."""
        found = _FILE.match(self.code)
        return found[1] if found else None


def blocks(page: str) -> list[Block]:
    """All blocks of a page, in order. ValueError for a mark that is misspelt."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        marks = {}
        if match["mark"]:
            name, _, value = match["mark"].partition(": ")
            if name not in _MARKS or not value:
                raise ValueError(f"{page}: <!-- {match['mark']} --> is none of {_MARKS}")
            marks[name] = value
        line = text.count("\n", 0, match.start("code")) + 1
        found.append(Block(page, line, match["language"] or "shell", match["code"], marks))
    return found
