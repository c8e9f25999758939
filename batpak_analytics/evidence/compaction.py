"""The reference's report of a compaction: its body, the id of what was done, and the findings (spec engine-read 13.5).

The rule of a retention or tombstone is not in it, only that there was one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from batpak_analytics.evidence.canonical import Case, Evidence, fingerprint, in_order

SCHEMA_VERSION = 1
FINGERPRINT = (
    *("schema_version", "strategy_shape", "min_segments_threshold", "active_segment_id", "sealed_segment_count"),
    *("source_segment_ids_sorted", "merged_segment_id", "outcome", "segments_removed", "bytes_reclaimed"),
)
Shape = Literal["Merge", "Retention", "Tombstone"]


@dataclass(frozen=True)
class Performed(Case):
    """The sources were replaced."""


@dataclass(frozen=True)
class Skipped(Case):
    """There were too few of them; nothing was touched."""


@dataclass(frozen=True)
class Failed(Case):
    """Everything is as it was."""

    reason: str


@dataclass(frozen=True)
class PreSwapRollback(Case):
    """What was begun was undone."""

    reason: str


@dataclass(frozen=True)
class OutputSegmentHashUnavailable(Case):
    """The new segment could not be read for its hash."""

    reason: str


FINDINGS = (PreSwapRollback, OutputSegmentHashUnavailable)


@dataclass(frozen=True)
class CompactionBody:
    """What a compaction did, in the reference's fields; `bytes_reclaimed` is the size of the sources, gross."""

    schema_version: int
    compaction_id: bytes
    input_segment_id_low: int | None
    input_segment_id_high: int | None
    strategy_shape: Shape
    min_segments_threshold: int
    active_segment_id: int
    sealed_segment_count: int
    source_segment_ids_sorted: tuple[int, ...]
    merged_segment_id: int | None
    output_segment_bytes_hash: bytes | None
    outcome: Performed | Skipped | Failed
    segments_removed: int
    bytes_reclaimed: int
    findings: tuple[Case, ...]


def compaction_evidence(
    shape: Shape,
    outcome: Performed | Skipped | Failed,
    *,
    min_segments: int,
    active_segment_id: int,
    source_ids: Sequence[int],
    merged_id: int | None = None,
    output_hash: bytes | None = None,
    segments_removed: int = 0,
    bytes_reclaimed: int = 0,
    findings: Sequence[Case] = (),
) -> Evidence[CompactionBody]:
    """The report of one compaction. A failure is a finding too, as in the reference."""
    ids = tuple(sorted(source_ids))
    rolled_back = (PreSwapRollback(outcome.reason),) if isinstance(outcome, Failed) else ()
    body = CompactionBody(
        SCHEMA_VERSION, b"", ids[0] if ids else None, ids[-1] if ids else None, shape, min_segments,
        active_segment_id, len(ids), ids, merged_id, output_hash, outcome, segments_removed, bytes_reclaimed,
        in_order([*rolled_back, *findings], FINDINGS),
    )  # fmt: skip
    return Evidence(replace(body, compaction_id=fingerprint(body, FINGERPRINT)))
