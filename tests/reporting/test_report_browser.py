"""The page in a real browser: at the widths of a desk, a tablet and a phone, in both colours, and
on paper."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from headless import CHROMIUM, Browser
from report_documents import edge_case, make_results, with_classes

from tutelage.reporting.page import render

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]
PROBE = (Path(__file__).parent / "probe.js").read_text("utf-8")
FAULTS = ("undrawn", "empty", "cut", "over", "outside", "silent", "hidden")
WIDTHS = (1200, 800, 390)
SOON = "new Promise(done => setTimeout(done, 100))"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests here."""
    with Browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of six replicates of three students, with errors by class."""
    out = tmp_path_factory.mktemp("page") / "report.html"
    out.write_text(render(with_classes(make_results())), "utf-8")
    return out


def faults(browser: Browser, charts: int | None = None) -> dict[str, Any]:
    """What the probe finds wrong with the open page, and what the page said and asked for."""
    found = browser.evaluate(PROBE)
    wrong = {name: found[name] for name in FAULTS if found[name]}
    if found["sideways"] > 0:
        wrong["sideways"] = found["sideways"]
    if charts is not None and found["charts"] != charts:
        wrong["charts"] = found["charts"]
    if browser.said:
        wrong["said"] = list(browser.said)
    if len(browser.asked) != 1:
        wrong["asked"] = list(browser.asked)
    return wrong


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_everything_is_drawn_and_nothing_cut(
    browser: Browser, page: Path, width: int, dark: bool
) -> None:
    browser.open(page, width=width, dark=dark)
    assert faults(browser, charts=15) == {}
    ground = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(15, 19, 24)" if dark else "rgb(246, 247, 249)")
    # What folds out holds as well.
    browser.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    browser.evaluate(SOON)
    assert faults(browser, charts=15) == {}


def test_unusual_documents_hold_too(browser: Browser, edge: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "edge.html"
    out.write_text(render(edge), "utf-8")
    for width in (1200, 390):
        browser.open(out, width=width)
        assert faults(browser) == {}


def test_marks_have_the_colours_of_their_mode(browser: Browser, page: Path) -> None:
    """So no mark falls back to a colour of Vega's own, which would not be seen in the dark."""
    browser.open(page, width=1200, dark=True)
    found = set(
        browser.evaluate(
            """[...document.querySelectorAll(".chart svg *")].flatMap(part =>
            ["fill", "stroke"].map(name => part.getAttribute(name)).filter(Boolean))"""
        )
    )
    assert found
    assert all(colour.startswith("var(--") or colour in ("none", "transparent") for colour in found)


CARELESS = {
    "said": "console.warn('careless')",
    "asked": "new Image().src = 'http://127.0.0.1:9/x.png'",
    "undrawn": "one('.chart svg').remove()",
    "empty": "all('.chart svg path').forEach(path => path.remove())",
    "cut": "one('.chart svg text').setAttribute('transform', 'translate(-300, 0)')",
    "over": "const [a, b] = all('.chart .role-axis-label text');"
    "b.setAttribute('transform', a.getAttribute('transform'))",
    "outside": "one('figcaption').style.minWidth = '2000px'",
    "sideways": "one('h1').style.minWidth = '2000px'",
    "silent": "one('.heats').style.minWidth = '2000px'; await soon();"
    "all('.hint').forEach(hint => { hint.hidden = true; })",
    "hidden": "Object.assign(one('figcaption').style, {overflow: 'hidden', whiteSpace: 'nowrap'})",
}


@pytest.mark.parametrize("name", CARELESS)
def test_the_probe_finds_what_is_wrong(browser: Browser, page: Path, name: str) -> None:
    browser.open(page, width=800)
    assert faults(browser) == {}
    browser.evaluate(
        f"""(async () => {{
          const one = selector => document.querySelector(selector);
          const all = selector => [...document.querySelectorAll(selector)];
          const soon = () => {SOON};
          {CARELESS[name]};
          await soon();
        }})()"""
    )
    assert name in faults(browser)


def test_a_script_that_throws_is_heard(browser: Browser, page: Path) -> None:
    browser.open(page, width=800)
    browser.evaluate("void setTimeout(() => { throw new Error('careless'); })")
    browser.evaluate(SOON)
    assert "careless" in str(faults(browser)["said"])


def test_a_table_that_scrolls_says_so_until_its_end_is_seen(browser: Browser, page: Path) -> None:
    look = """(() => {
      const scroller = document.querySelector('.heats').closest('.scroller');
      return [scroller.matches('.over'), !scroller.querySelector('.hint').hidden];
    })()"""
    browser.open(page, width=390)
    assert browser.evaluate(look) == [True, True]
    browser.evaluate("document.querySelector('.heats').parentElement.scrollLeft = 9999")
    browser.evaluate(SOON)
    assert browser.evaluate(look) == [False, True]
    first = "document.querySelector('.heats tbody th').getBoundingClientRect().left"
    assert browser.evaluate(first) > 0  # the first column stays
    browser.open(page, width=1200)
    assert browser.evaluate(look) == [False, False]


def chart_places(pdf: bytes) -> list[dict[str, tuple[float, float, float, float]]]:
    """The rectangles (points: left, bottom, right, top) of each chart's link, page by page."""
    objects = {
        int(number): body
        for number, body in re.findall(rb"(\d+) 0 obj\s(.*?)endobj", pdf, re.DOTALL)
    }
    pages = []
    for body in objects.values():
        if not re.search(rb"/Type\s*/Page\b", body):
            continue
        links: dict[str, tuple[float, float, float, float]] = {}
        annotations = re.search(rb"/Annots\s*\[(.*?)\]", body, re.DOTALL)
        for number in re.findall(rb"(\d+) 0 R", annotations[1]) if annotations else []:
            link = objects[int(number)]
            address = re.search(rb"/URI\s*\((.*?)\)", link)
            place = re.search(rb"/Rect\s*\[(.*?)\]", link)
            assert address
            assert place
            left, bottom, right, top = (float(part) for part in place[1].split())
            name = address[1].decode().removeprefix("http://chart.invalid/")
            assert name not in links, "a chart in two pieces on one page"
            links[name] = (left, bottom, right, top)
        pages.append(links)
    return pages


@pytest.mark.parametrize(
    ("name", "width", "dark"),
    [
        ("usual", 1200, False),
        ("usual", 390, True),
        ("hundred classes", 800, False),
        ("thirty conditions", 390, False),
        ("one replicate", 1200, False),
    ],
)
def test_paper_holds_every_chart_whole(
    browser: Browser, page: Path, tmp_path: Path, name: str, width: int, dark: bool
) -> None:
    """A link over each chart says on which page of the PDF, and where, it was printed."""
    if name != "usual":
        page = tmp_path / "edge.html"
        page.write_text(render(edge_case(name)), "utf-8")
    browser.open(page, width=width, dark=dark)
    charts = browser.evaluate(
        """[...document.querySelectorAll(".chart")].map(chart => {
          const link = document.createElement("a");
          link.href = `http://chart.invalid/${chart.dataset.chart}`;
          link.style.cssText = "display:block";
          chart.replaceWith(link);
          link.append(chart);
          return chart.dataset.chart;
        })"""
    )
    browser.evaluate(
        """addEventListener("beforeprint", () => { window.printed =
        [...document.querySelectorAll("details")].every(part => part.open); })"""
    )
    pages = chart_places(browser.pdf())
    assert browser.evaluate("window.printed")
    found = [chart for links in pages for chart in links]
    assert sorted(found) == sorted(charts)  # each once: none is split over two pages
    for links in pages:
        for left, bottom, right, top in links.values():
            assert 0 <= left < right <= 595.5  # A4 in points
            assert 0 <= bottom < top <= 842
            assert right - left > 120
            assert top - bottom > 90
    assert browser.said == []
    # After printing the page is as it was.
    assert not browser.evaluate("document.querySelector('details').open")
    assert faults(browser) == {}


def test_paper_is_light_whatever_the_screen_is(browser: Browser, page: Path) -> None:
    browser.open(page, width=1200, dark=True)
    browser.call("Emulation.setEmulatedMedia", media="print")
    look = "getComputedStyle(document.body)"
    assert browser.evaluate(f"{look}.backgroundColor") == "rgb(255, 255, 255)"
    assert browser.evaluate(f"{look}.color") == "rgb(0, 0, 0)"
    assert browser.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    browser.call("Emulation.setEmulatedMedia", media="")
