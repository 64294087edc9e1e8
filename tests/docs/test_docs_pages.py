"""Every code block of README.md and docs/ does what its page says, from top to bottom."""

from __future__ import annotations

import re

import pytest
import yaml
from pages import PAGES, ROOT, blocks
from session import Session, merged

# Blocks that no test can run, by page: a line here for each mark in a page, with its reason there.
NOT_RUN = {"README.md": 1, "docs/imagenet.md": 2}
# Pages that take longer than a few seconds; tutorials begin in an empty folder.
TUTORIALS = [page for page in PAGES if page.startswith("docs/tutorials/")]
SLOW = [
    "README.md",
    "docs/data.md",
    "docs/sequential.md",
    "docs/index.md",
    "docs/export.md",
    "docs/howto/ci.md",
    *TUTORIALS,
]
REST = yaml.safe_load((ROOT / "tests/docs/rest.yaml").read_text())


FOLLOWED = [
    pytest.param(page, marks=[pytest.mark.slow] if page in SLOW else [])
    for page in PAGES
    if blocks(page)
]


@pytest.mark.parametrize("page", FOLLOWED)
def test_a_page_can_be_followed(page, call, sit_down):
    sit_down(page in TUTORIALS)
    session = Session(call, merged(REST[""], REST.get(page, {})))
    for block in blocks(page):
        session.follow(block)


def test_what_is_not_run_says_why():
    found = {}
    for page in PAGES:
        reasons = [each.marks["not run"] for each in blocks(page) if "not run" in each.marks]
        assert all(len(reason.split()) > 3 for reason in reasons), page
        if reasons:
            found[page] = len(reasons)
    assert found == NOT_RUN


@pytest.mark.parametrize("page", PAGES)
def test_no_block_is_missed(page):
    """What looks like a fence is the fence of a block, and in a language that is tried."""
    text = (ROOT / page).read_text(encoding="utf-8")
    assert len(re.findall(r"^\s*(?:```|~~~)", text, flags=re.MULTILINE)) == 2 * len(blocks(page))
    assert {each.language for each in blocks(page)} <= {"shell", "python", "yaml", "text"}
