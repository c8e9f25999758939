"""The benchmarks run, and give the table they promise. What they measure here says nothing."""

from __future__ import annotations

from collections import Counter

import pytest

from batpak_analytics import kernels
from tests.benchmarks.__main__ import main
from tests.benchmarks.limits import LIMITS, Limit, verdicts
from tests.benchmarks.report import HEADINGS, LIMIT_HEADINGS
from tests.interop.oracle import Oracle, OracleUnavailable, interop_required


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a run on the smallest stores."""
    if not kernels.COMPILED:
        pytest.skip("the kernels are not compiled, and benchmarks refuse to run without them")
    try:
        Oracle.build()
    except OracleUnavailable as reason:
        if interop_required():
            pytest.fail(f"BATPAK_REQUIRE_INTEROP=1, but {reason}")
        pytest.skip(str(reason))
    written = tmp_path_factory.mktemp("page") / "benchmarks.md"
    assert main(["--events", "2000", "--repeat", "1", "--write", str(written)]) == 0
    return written.read_text(encoding="utf-8")


@pytest.mark.interop
def test_a_run_fills_every_line_of_the_table(page: str) -> None:
    headings, _, *lines = [line.split(" | ") for line in page.splitlines() if line.startswith("|")]
    assert len(headings) == len(HEADINGS) + len(LIMIT_HEADINGS)
    assert {len(line) for line in lines} == {len(headings)}
    measured = [line for line in lines if not line[0].startswith("| **")]
    assert len(measured) == 10 + 5 + 2 + 2 + 3 + 2 + 5 + 2 + 5 + 7 + 3 * 5 + 8 + 6 + 6 + 11 + 2 + 8 + 3
    assert "from the input to the paint" in page and "Left out: " in page
    assert all(line[1] for line in measured)


@pytest.mark.interop
def test_every_limit_stands_beside_what_was_measured(page: str) -> None:
    """A limit on a case that no subject measures would stand nowhere."""
    judged = Counter(words for cell in page.replace(" | ", "; ").split("; ") if (words := cell.strip()).startswith("≤"))
    assert judged >= Counter(map(str, LIMITS))
    assert page.count("< 150 MB") == 2


def test_a_limit_is_judged_by_the_ratio_and_left_out_without_its_base() -> None:
    assert Limit("count", "pass", 1 / 10, "the pass") in LIMITS
    (held,) = verdicts("count", {"count": 0.01, "pass": 1.0})
    (missed,) = verdicts("count", {"count": 0.5, "pass": 1.0})
    assert (held.measured, held.held) == ("1/100 of the pass", True)
    assert (missed.measured, missed.held) == ("0.5x the pass", False)
    assert verdicts("count", {"count": 0.5}) == ()
