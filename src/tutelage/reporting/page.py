"""The report as one HTML file that loads nothing, with Markdown and CSV beside it."""

from __future__ import annotations

import importlib.resources
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import vl_convert

from tutelage.errors import UserError
from tutelage.findings.wording import percent
from tutelage.reporting import grids, tables
from tutelage.reporting.class_report import class_figure, class_sentences, long_grid, short_grid
from tutelage.reporting.classes import by_class
from tutelage.reporting.figure import Figure
from tutelage.reporting.figures import figures
from tutelage.reporting.summary import Row, Summary
from tutelage.reporting.theme import SHAPES, THEME
from tutelage.reporting.words import (
    basis,
    beside_paper,
    bounds,
    number,
    plural,
    sentences,
    unbroken,
    verdict,
)
from tutelage.store import atomic_write

_PAGES = (".html", ".htm")


def write_report(results: Row, out: Path) -> list[Path]:
    """Write page, Markdown, runs.csv, findings.csv and (where the errors by class are known)
    classes.csv; return their paths, the page first.

    `out` is a folder (it is made), or the page's own path ending in `.html`: then the other files
    lie beside it and carry its name. Raises UserError where nothing can be written.
    """
    out = Path(out)
    if out.suffix.lower() in _PAGES:
        page, named = out, f"{out.stem}-"
    else:
        page, named = out / "report.html", ""
    texts = {
        page: render(results),
        page.with_suffix(".md"): tables.markdown(results),
        page.with_name(f"{named}runs.csv"): tables.runs_csv(results),
        page.with_name(f"{named}findings.csv"): tables.findings_csv(results),
    }
    if classes := tables.classes_csv(results):
        texts[page.with_name(f"{named}classes.csv")] = classes
    try:
        for path, text in texts.items():
            atomic_write(path, text.encode())
    except UserError as error:
        fix = "Give another place with -o."
        what = f"the report cannot be written: {error.where}: {error.what}"
        raise UserError(what, where=str(page), fix=fix) from None
    return list(texts)


def render(results: Row) -> str:
    """The whole page as text."""
    summary = Summary(results)
    drawn = figures(summary)
    classes = _classes(summary)
    every = drawn + ([classes["figure"]] if classes and classes["figure"] else [])
    return _template().render(
        study=summary.study,
        css=_text("page.css"),
        setting=grids.setting(summary),
        facts=grids.facts(summary),
        unfinished=grids.unfinished(summary),
        findings=[_finding(each, summary.paper.get(each["claim"])) for each in summary.findings],
        sentences=[_sentence(sentence) for sentence in summary.sentences],
        mimicry=[_sentence(sentence) for sentence in summary.mimicry],
        equal_compute=[_accounts(sentence) for sentence in summary.equal_compute],
        figures=drawn,
        classes=classes,
        conditions=grids.conditions_grid(summary),
        balance=grids.balance(summary),
        teachers=grids.teachers_grid(summary),
        cost=grids.cost_grid(summary),
        runs=grids.runs_grid(summary),
        runs_title=plural(len(summary.runs), "run"),
        config=tables.configuration(results),
        environment=tables.environment(results),
        shapes=SHAPES,
        theme=THEME,
        specs=_specs(every),
        bundle=_bundle() if every else "",
    )


def _classes(summary: Summary) -> dict[str, Any] | None:
    """The errors by class as the page shows them."""
    classes = by_class(summary)
    if classes is None:
        return None
    return {
        "count": len(classes.names),
        "figure": class_figure(summary, classes),
        "short": short_grid(classes),
        "long": long_grid(classes),
        "sentences": class_sentences(classes),
    }


def _specs(drawn: list[Figure]) -> dict[str, Any]:
    """Every panel's chart, with words for those who cannot see it."""
    return {
        f"{figure.id}/{i}": panel.spec
        | {"description": ": ".join(filter(None, [figure.title, panel.title]))}
        for figure in drawn
        for i, panel in enumerate(figure.panels)
    }


def _text(name: str) -> str:
    return (importlib.resources.files("tutelage.reporting") / name).read_text("utf-8")


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["unbroken"] = unbroken
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "sort_keys": True}
    return environment.from_string(_text("page.html.j2"))


@cache
def _bundle() -> str:
    """Vega, Vega-Lite and vega-embed as one script that cannot end its own element."""
    script = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _sentence(sentence: Row) -> dict[str, Any]:
    claim, _, said = sentence["text"].partition(": ")
    return {
        "name": sentence["sentence"],
        "verdict": verdict(sentence["verdict"]),
        "claim": claim,
        # The badge says the verdict already.
        "said": [
            text[:1].upper() + text[1:]
            for text in sentences(said)
            if text.rstrip(".") not in ("", sentence["verdict"])
        ],
    }


def _accounts(sentence: Row) -> dict[str, Any]:
    """What is said on equal compute: no verdict, and each account a sentence of its own."""
    first, *rest = sentences(sentence["text"])
    return {"name": sentence["sentence"], "claim": first, "said": rest}


def _finding(finding: Row, told: Row | None) -> dict[str, Any]:
    """A finding as the page shows it."""
    places = 3 if finding["unit"].startswith("nats") else 2
    low, high, effect = finding["low"], finding["high"], finding["effect"]
    level = f"{percent(finding['level'])} % interval" if low is not None else "no interval"
    needed, margin = finding["seeds_needed"], finding["margin"]
    level = "confidence set" if finding.get("among") is not None else level
    enough = f"; {plural(needed, 'replicate')} for ±{margin:g}" if needed is not None else ""
    shown = f"{number(effect, places, sign=True)} {finding['unit']}"
    return {
        "claim": finding["claim"],
        "rank": finding["rank"],
        "kind": finding["kind"].replace("_", " "),
        "verdict": verdict(finding["verdict"]),
        "sentence": finding["sentence"],
        "effect": f"{shown} {bounds(low, high, places, sign=True)}".strip(),
        "details": [
            f"{level}, n = {plural(finding['n'], 'replicate')}",
            "no margin" if margin is None else f"margin {margin:g}{enough}",
        ],
        "paper": beside_paper(told),
        "basis": basis(finding),
        "strip": None if effect is None else _strip(effect, low, high, margin or 0.0),
    }


def _strip(
    effect: float, low: float | None, high: float | None, margin: float
) -> dict[str, float | None]:
    """Where a finding's marks lie, in percent of the strip; the right ends count from the right."""
    values = [value for value in (effect, low, high, margin, -margin, 0.0) if value is not None]
    span = (max(values) - min(values)) * 1.12 or 1.0
    start = (max(values) + min(values) - span) / 2

    def place(value: float) -> float:
        return round(100 * (value - start) / span, 2)

    return {
        "effect": place(effect),
        "zero": place(0.0),
        "margin_low": place(-margin),
        "margin_high": round(100 - place(margin), 2),
        "low": None if low is None else place(low),
        "high": None if high is None else round(100 - place(high), 2),
    }
