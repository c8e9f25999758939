"""The report of a compaction is the reference's, byte for byte."""

from __future__ import annotations

from blake3 import blake3

from batpak_analytics.evidence.compaction import (
    Failed,
    OutputSegmentHashUnavailable,
    Performed,
    PreSwapRollback,
    Skipped,
    compaction_evidence,
)

GOLDEN = "06d307f7afc789d6eac022c2f7efd10c7df486008857643cb2d991f90f3ebef4"
GOLDEN_ID = "4aff83ca43fd6e1bcdac56ea6b7f846fbb2b7d5fe100fa1fef229573a8657109"


def test_golden_body_of_the_reference_comes_out() -> None:
    report = compaction_evidence("Merge", Skipped(), min_segments=2, active_segment_id=9, source_ids=[2, 1])
    assert len(report.body_bytes) == 347
    assert blake3(report.body_bytes).hexdigest() == report.body_hash == GOLDEN
    assert report.body.compaction_id.hex() == GOLDEN_ID


def test_failure_is_told_twice_and_before_a_missing_hash() -> None:
    unread = OutputSegmentHashUnavailable("no such file")
    report = compaction_evidence(
        "Retention", Failed("disk full"), min_segments=1, active_segment_id=3, source_ids=[1], findings=[unread]
    )
    assert report.body.findings == (PreSwapRollback("disk full"), unread)


def test_id_is_of_what_was_done_and_not_of_its_bytes() -> None:
    """Two equal compactions differ in the time in the new segment's header, and so in its hash (T-32)."""
    some, others = (
        compaction_evidence(
            "Tombstone", Performed(), min_segments=2, active_segment_id=4, source_ids=[1, 2, 3], merged_id=1,
            output_hash=bytes([byte]) * 32, segments_removed=3, bytes_reclaimed=9_000,
        )
        for byte in (1, 2)
    )  # fmt: skip
    assert some.body.compaction_id == others.body.compaction_id
    assert some.body_hash != others.body_hash
