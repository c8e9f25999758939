"""The body of a snapshot's report, schema 2 (core/src/store/snapshot_report.rs; spec engine-read 14.2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from batpak_analytics.evidence.canonical import Case, Evidence, fingerprint, in_order

SCHEMA_VERSION = 2
NO_DIGESTS = "snapshot v1 records structural file identity; per-file byte hash table is out of scope"


@dataclass(frozen=True)
class FenceToken:
    """The number of the private fence behind which the store stood still; 0 where none was needed."""

    token: int


@dataclass(frozen=True)
class SourceWatermark:
    """The highest segment of the source, and how many bytes of it there were."""

    segment_id: int
    offset: int


@dataclass(frozen=True)
class DestinationCleared(Case):
    """So many files of an older store were removed from the destination."""

    artifact_count: int


@dataclass(frozen=True)
class CopyByteHashUnavailable(Case):
    """The body has no digests of files of this kind."""

    reason: str
    file_kind: str


@dataclass(frozen=True)
class FenceTokenCancelled(Case):
    """The private fence was ended after the copy."""


@dataclass(frozen=True)
class KeysExcluded(Case):
    """The store seals payloads, and its keys were left out on purpose."""


CASES = (DestinationCleared, CopyByteHashUnavailable, FenceTokenCancelled, KeysExcluded)


@dataclass(frozen=True)
class SnapshotBody:
    """What a snapshot copied, in the reference's order of fields."""

    schema_version: int
    snapshot_id: bytes
    fence_token: FenceToken
    source_watermark: SourceWatermark
    copied_segment_ids_sorted: tuple[int, ...]
    copied_visibility_ranges_present: bool
    copied_pending_compaction_marker_present: bool
    copied_idempotency_store_present: bool
    destination_path_digest: bytes
    findings: tuple[Case, ...]


_IDENTITY = [name for name in SnapshotBody.__dataclass_fields__ if name not in ("snapshot_id", "findings")]


def snapshot_evidence(body: SnapshotBody, diagnostics: Iterable[str] = ()) -> Evidence[SnapshotBody]:
    """The evidence of a body whose lists may be in any order and whose id is not computed yet."""
    ordered = replace(
        body,
        copied_segment_ids_sorted=tuple(sorted(body.copied_segment_ids_sorted)),
        findings=in_order(body.findings, CASES),
    )
    return Evidence(replace(ordered, snapshot_id=fingerprint(ordered, _IDENTITY)), tuple(diagnostics))
