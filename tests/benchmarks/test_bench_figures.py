"""What benchmarks make of measured times, and how they put it into words."""

from __future__ import annotations

import charts
import measure
import pytest
import torch
import wording


def test_middle_is_the_median_between_its_quartiles() -> None:
    assert measure.middle([5.0, 1.0, 2.0, 4.0, 3.0]) == {"median": 3, "low": 2, "high": 4, "n": 5}


def test_a_ratio_is_of_medians_and_its_quartiles_of_rounds() -> None:
    found = measure.ratio([2.0, 4.0, 60.0], [1.0, 1.0, 10.0])
    assert found["value"] == 4.0  # 4 / 1, whatever the one disturbed round
    assert (found["low"], found["median"], found["high"]) == (3.0, 4.0, 5.0)
    with pytest.raises(ValueError, match="zip"):
        measure.ratio([1.0, 2.0], [1.0])


def test_ways_take_turns_and_the_first_round_does_not_count() -> None:
    calls: list[str] = []
    seconds = measure.interleaved(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3
    )
    assert "".join(calls) == "abababab"
    assert {name: len(times) for name, times in seconds.items()} == {"a": 3, "b": 3}


def test_seconds_are_those_of_the_given_clock() -> None:
    ticks = iter([10.0, 12.5])
    assert measure.seconds_of(lambda: None, lambda: next(ticks)) == 2.5


def test_one_core_puts_threads_back_after_a_failure() -> None:
    before = torch.get_num_threads()

    def fail() -> None:
        with measure.one_core():
            assert torch.get_num_threads() == 1
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert torch.get_num_threads() == before


def test_random_images_have_every_class() -> None:
    images, labels = measure.random_images(12, (4, 6, 3), 5)
    assert images.shape == (12, 4, 6, 3)
    assert set(labels) == set(range(5))


def test_evidence_has_its_header() -> None:
    found = measure.evidence("something", rounds=3)
    assert set(found) == {"what", "date", "machine", "versions", "threads", "rounds"}


def test_goals_in_words() -> None:
    assert wording.against(7.0, 6.0, 7.0) == "6x (7x): stretch met"
    assert wording.against(6.0, 6.0, 7.0) == "6x (7x): met"
    assert wording.against(5.99, 6.0, 7.0) == "6x (7x): not met"
    assert wording.against(2.5, 2.5) == "2.5x: met"
    assert wording.below(12.0, 12.0, "{:.0f} µs") == "under 12 µs: not met"
    assert wording.below(0.002, 0.01, "{:.0%}") == "under 1%: met"


def test_figures_in_words() -> None:
    figures = {"median": 0.0121, "low": 0.0118, "high": 0.0129, "value": 0.0125}
    assert wording.span(figures, 1e3, 1) == "12.1 (11.8 to 12.9)"
    assert wording.times(figures) == "0.01x (0.01 to 0.01)"
    assert wording.percent(0.0456, 1) == "4.6 %"


def test_a_table_has_a_line_for_each_row() -> None:
    assert wording.table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n\n"


def test_paragraphs_end_at_100_characters() -> None:
    lines = wording.paragraph("word " * 60).splitlines()
    assert len(lines) == 4
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize(("ceiling", "bare"), [(0.5, 0.5), (0.7, 0.6)])
def test_shares_of_a_step_make_a_whole(ceiling: float, bare: float) -> None:
    """A ceiling above what the profile saw of convolutions leaves nothing above it."""
    parts = {"convolutions": 0.6, "BatchNorm": 0.3, "loss": 0.06, "data": 0.04}
    found = charts.shares({"parts": parts, "ceiling": {"seconds": ceiling}})
    assert sum(found.values()) == pytest.approx(1.0)
    assert found["bare convolutions"] == pytest.approx(bare)
    assert found["convolutions, above that"] == pytest.approx(0.6 - bare)
    assert found["BatchNorm"] == pytest.approx(0.3)
    assert found["the rest"] == pytest.approx(0.1)
