"""The benchmarks run, and give the table they promise. What they measure here says nothing."""

from __future__ import annotations

import pytest

from batpak_analytics import kernels
from tests.benchmarks.__main__ import CASES, main
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
    for words in ("≤ 1/30 of the reference", "≤ 4x the pass", "≤ 1x the pass", "≤ 5x the scan", "≤ 1/10 of the pass"):
        assert words in page
    assert "≤ 3x one segment" in page
    assert page.count("≤ 1/8 of the reference") == 3 * 2
    assert page.count("< 150 MB") == 2


def test_limits_name_cases_that_exist() -> None:
    named = {name for limit in LIMITS for name in (limit.name, limit.base)}
    writing = {"append", "append_batch", "append_frame", "reference-append", "reference-append_batch"}
    writing |= {"store-open", "reference-open", "get", "store-get", "reference-get"}
    graph = {"causes", "causal-nodes", "reference-read-only"}
    proving = {"chains", "verify", "reference-read-only-open", "reference-verify"}
    planning = {"plan-scan", "plan-retention", "plan-again", "plan-estimate-again"}
    replays = {"first-where", "trace", "bare-loop", "vectorised", "bare-total", "state-at", "fold"}
    replays |= {"entity-replay", "reference-project"}
    assert named <= {*CASES, "one-segment", "many-segments", *writing, *graph, *proving, *planning, *replays}


def test_a_limit_is_judged_by_the_ratio_and_left_out_without_its_base() -> None:
    assert Limit("count", "pass", 1 / 10, "the pass") in LIMITS
    (held,) = verdicts("count", {"count": 0.01, "pass": 1.0})
    (missed,) = verdicts("count", {"count": 0.5, "pass": 1.0})
    assert (held.measured, held.held) == ("1/100 of the pass", True)
    assert (missed.measured, missed.held) == ("0.5x the pass", False)
    assert verdicts("count", {"count": 0.5}) == ()
