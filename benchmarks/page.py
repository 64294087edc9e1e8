"""Writes docs/speed.md from the results, so that no figure on it is typed by hand.

python benchmarks/page.py
"""

from __future__ import annotations

import json
from pathlib import Path

import charts
import sections
from measure import Evidence

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "speed.md"
HEAD = """# Speed

*Written by `benchmarks/page.py` from `benchmarks/results/`; `make bench` measures anew.*

The field's toolkits (RepDistiller, mdistiller, torchdistill) train a student the same way: a
DataLoader over PIL images with torchvision's per-image transforms, an fp32 step in NCHW memory, and
the teacher's forward pass anew for every student. `benchmarks/peers.py` rebuilds that step; it is
the yardstick, "the peers' way". Ours and theirs take turns on one core and one thread; seconds are
the core's, so that what else runs on the machine counts little. Figures are medians, with the
quartiles around them in brackets; a ratio is that of the medians, its brackets are the quartiles of
the rounds' own ratios. Above 1, ours is faster.
"""


def write(results: Path, page: Path = PAGE) -> None:
    """Write the page and its plots from the JSON files in the folder `results`; what is missing
    there is missing on the page."""
    found = {file.stem: json.loads(file.read_text("utf-8"))
             for file in sorted(results.glob("*.json"))}  # fmt: skip
    page.parent.mkdir(parents=True, exist_ok=True)
    for name, svg in plots(found).items():
        page.with_name(f"speed-{name}.svg").write_text(svg, "utf-8")
    parts = [section(found[name]) for name, section in sections.OF.items() if name in found]
    page.write_text(HEAD + "\n" + "".join(parts) + sections.headers(found), "utf-8")


def plots(found: dict[str, Evidence]) -> dict[str, str]:
    """The plots as SVG, by name."""
    drawn = {}
    if "growth" in found:
        drawn["growth"] = charts.growth(found["growth"], "seconds")
        drawn["memory"] = charts.growth(found["growth"], "MiB")
    if "profile" in found:
        drawn["profile"] = charts.profile(found["profile"])
    return drawn


if __name__ == "__main__":
    write(HERE / "results")
