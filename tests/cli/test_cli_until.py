"""`tutelage run --until decided`."""

from __future__ import annotations

import pytest


def test_it_ends_with_a_sentence_on_the_look(call, here) -> None:
    said = call("run", "tiny.yaml", "--workers", "0", "--device", "cpu", "--until", "decided",
                "--max-replicates", "3", "--looks", "2")  # fmt: skip
    assert said.code == 0, said.err
    last = said.out.strip().splitlines()[-1]
    assert last.startswith("larger-is-worse: ")
    assert "look " in last or "still undecided after 3 replicates" in last
    assert "28 runs, 0 of them done before" in said.words
    assert said.out.count("Report: ") == 1  # of the last look
    assert "After 2 replicates: larger-is-worse is " in said.out
    results = call("results", "tiny", "--json")
    assert "declared at 2, 3 replicates" in results.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--until", "decided"], "needs --max-replicates"),
        (["--until", "dawn", "--max-replicates", "4"], "unknown end 'dawn'"),
        (["--max-replicates", "4"], "--max-replicates goes with --until decided"),
        (["--looks", "open"], "--looks goes with --until decided"),
        (["--until", "decided", "--max-replicates", "1"], "begins with 2 replicates"),
        (["--until", "decided", "--max-replicates", "4", "--looks", "few"], "no number of looks"),
    ],
)
def test_mistakes_are_told(call, here, options, said) -> None:
    outcome = call("run", "tiny.yaml", *options)
    assert outcome.code == 2
    assert said in outcome.err
    assert "Traceback" not in outcome.err
