"""Contrast and colour-blind safety of the page's colours, computed from its style sheet."""

from __future__ import annotations

import importlib.resources
import itertools
import re

import numpy as np
import pytest

from tutelage.reporting.theme import COLOURS, SHAPES, series_look

# Linear-light matrices of full dichromacy: Machado, Oliveira and Fernandes 2009, "A
# physiologically-based model for simulation of color vision deficiency", severity 1.0.
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
MODES = ("light", "dark", "print")
LEAST_APART = 15.0  # CIELAB units; about 2.3 are just noticeable


def palettes() -> dict[str, dict[str, str]]:
    """The variables of each mode, from the style sheet's blocks in their order."""
    css = (importlib.resources.files("tutelage.reporting") / "page.css").read_text("utf-8")
    blocks = re.findall(r":root\s*\{(.*?)\}", css, re.DOTALL)
    found = [dict(re.findall(r"--([\w-]+):\s*(#\w+)", block)) for block in blocks]
    return dict(zip(MODES, found, strict=True))


PALETTES = palettes()


def linear(colour: str) -> np.ndarray:
    """Linear-light sRGB of a colour such as #0072b2 (IEC 61966-2-1)."""
    digits = re.fullmatch(r"#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})", colour)
    assert digits, colour
    c = np.array([int(part, 16) for part in digits.groups()]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(one: np.ndarray, other: np.ndarray) -> float:
    """The contrast ratio of two linear colours (WCAG 2.2)."""
    low, high = sorted(float(np.dot([0.2126, 0.7152, 0.0722], c)) for c in (one, other))
    return (high + 0.05) / (low + 0.05)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB of linear sRGB under D65."""
    to_xyz = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    ratio = to_xyz @ np.clip(rgb, 0, 1) / np.array([0.95047, 1.0, 1.08883])
    edge = 6 / 29
    f = np.where(ratio > edge**3, np.cbrt(ratio), ratio / (3 * edge**2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_the_measures_are_the_published_ones() -> None:
    black, white = linear("#000000"), linear("#ffffff")
    assert contrast(black, white) == pytest.approx(21.0)
    assert contrast(linear("#767676"), white) == pytest.approx(4.54, abs=0.01)
    assert lab(white) == pytest.approx([100, 0, 0], abs=0.02)
    assert lab(linear("#ff0000")) == pytest.approx([53.24, 80.09, 67.20], abs=0.05)
    for matrix in VISION.values():  # grey stays grey for everybody
        assert matrix @ white == pytest.approx(white, abs=1e-5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("text", "ground"),
    [
        *itertools.product(("text", "muted", "accent"), ("page", "card", "soft")),
        *(("text", "reference"), ("muted", "reference")),
        *((word, f"{word}-soft") for word in ("supported", "refuted", "undecided")),
    ],
)
def test_text_stands_out(mode: str, text: str, ground: str) -> None:
    colours = PALETTES[mode]
    assert contrast(linear(colours[text]), linear(colours[ground])) >= 4.5


@pytest.mark.parametrize("mode", MODES)
def test_text_stands_out_on_every_shade_of_the_class_table(mode: str) -> None:
    colours = PALETTES[mode]
    channels = {
        name: np.array([int(colours[name][i : i + 2], 16) for i in (1, 3, 5)])
        for name in ("c1", "card")
    }
    for share in np.linspace(0, 0.4, 9):  # color-mix in srgb, as the template's 40 * heat
        mixed = np.round(share * channels["c1"] + (1 - share) * channels["card"]).astype(int)
        shade = linear("#" + "".join(f"{part:02x}" for part in mixed))
        assert contrast(linear(colours["text"]), shade) >= 4.5


@pytest.mark.parametrize("mode", MODES)
def test_marks_stand_out_on_their_ground(mode: str) -> None:
    colours = PALETTES[mode]
    marks = [f"c{i + 1}" for i in range(COLOURS)] + ["muted", "reference-line"]
    for mark, ground in itertools.product(marks, ("card", "reference")):
        assert contrast(linear(colours[mark]), linear(colours[ground])) >= 3.0, (mark, ground)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("vision", VISION)
def test_any_two_series_differ_for_everybody(mode: str, vision: str) -> None:
    seen = {
        f"c{i + 1}": lab(VISION[vision] @ linear(PALETTES[mode][f"c{i + 1}"]))
        for i in range(COLOURS)
    }
    for one, other in itertools.combinations(seen, 2):
        assert np.linalg.norm(seen[one] - seen[other]) >= LEAST_APART, (one, other)


def test_the_measure_finds_a_bad_pair() -> None:
    """Red and green of one lightness: far apart for most, the same for a deuteranope."""
    pair = [linear(colour) for colour in ("#c14a3a", "#6f7a2f")]
    normal, deuteranope = (
        np.linalg.norm(lab(VISION[name] @ pair[0]) - lab(VISION[name] @ pair[1]))
        for name in ("normal", "deuteranopia")
    )
    assert normal > 50
    assert deuteranope < LEAST_APART


def test_no_two_series_look_the_same_without_colour_among_six() -> None:
    looks = [series_look(i) for i in range(len(SHAPES) * COLOURS)]
    assert len(set(looks)) == len(looks)
    assert len({shape for shape, _ in looks[: len(SHAPES)]}) == len(SHAPES)
    assert len({colour for _, colour in looks[:COLOURS]}) == COLOURS
