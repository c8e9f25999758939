"""The report of a projection run: the reference's golden bytes come out, and the findings follow from the facts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batpak_analytics.evidence.canonical import Case, Evidence, Known, Unavailable
from batpak_analytics.evidence.projection_run import (
    FINDINGS,
    Bypassed,
    CacheStatusUnavailable,
    Consistent,
    Entity,
    Fresh,
    InputFrontier,
    InputFrontierUnknown,
    MaybeStale,
    Miss,
    NotApplicable,
    ObservedFreshnessUnavailable,
    OutputHashUnavailable,
    PartialVisibilityNotApplicable,
    ProjectionFailed,
    ProjectionRun,
    RelevantKind,
    StaleAllowed,
    StaleUsed,
    Visible,
    projection_run,
    sources,
)

FRONTIER = InputFrontier(Visible(), 42, 9)
RUN = projection_run(
    "golden.projection.v1", sources("entity:canonical-golden", [0xE071]), Consistent(), Fresh(), FRONTIER,
    Known(b"\x93" * 32), Miss(),
)  # fmt: skip


def test_the_body_has_the_golden_size_and_digest() -> None:
    """Spec engine-read 22, `projection_run_report_body_v1`, which has no findings."""
    evidence = Evidence(replace(RUN, findings=()))
    assert len(evidence.body_bytes) == 413
    assert evidence.body_hash == "e4c26eef66718b9a33e48e267000fba44a74bda457b2cf476e9b80e840e10469"


def test_source_refs_are_sorted_and_each_kind_stands_once() -> None:
    assert sources("a", [0xE071, 0x1002, 0x1001, 0x1002]) == (
        Entity("a"), RelevantKind(1, 1), RelevantKind(1, 2), RelevantKind(14, 0x71),
    )  # fmt: skip


def run(**facts: object) -> ProjectionRun:
    given: dict[str, object] = {"observed": Fresh(), "frontier": FRONTIER, "output": NotApplicable(), **facts}
    cache = given.pop("cache", Bypassed())
    return projection_run("p:e", sources("e", []), MaybeStale(5), cache=cache, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "findings"),
    [
        ({}, [PartialVisibilityNotApplicable]),
        ({"observed": StaleAllowed()}, [PartialVisibilityNotApplicable, StaleUsed]),
        ({"frontier": None}, [InputFrontierUnknown, PartialVisibilityNotApplicable]),
        ({"frontier": None, "observed": NotApplicable()}, [PartialVisibilityNotApplicable]),
        ({"cache": Unavailable("cache_get_failed")}, [CacheStatusUnavailable, PartialVisibilityNotApplicable]),
        ({"output": Unavailable("x")}, [OutputHashUnavailable, PartialVisibilityNotApplicable]),
        (
            {
                "observed": Unavailable("f"), "frontier": None, "output": Unavailable("f"), "cache": Unavailable("f"),
                "failed": True,
            },
            [
                ObservedFreshnessUnavailable, InputFrontierUnknown, OutputHashUnavailable, CacheStatusUnavailable,
                PartialVisibilityNotApplicable, ProjectionFailed,
            ],
        ),
    ],
)  # fmt: skip
def test_findings_follow_from_the_facts_in_the_order_of_the_reference(
    facts: dict[str, object], findings: list[type[Case]]
) -> None:
    assert [type(one) for one in run(**facts).findings] == findings == sorted(findings, key=FINDINGS.index)
