"""What a backup holds, segment by segment, and the proof that a restored one is it (spec engine-read 12.8).

Both are pure functions over digests: BLAKE3 of whole segment files (core/src/store/backup_envelope.rs).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from batpak_analytics.evidence.canonical import Case, Evidence, digest, in_order

SCHEMA_VERSION = 1


@dataclass(frozen=True, order=True)
class SegmentDigest:
    """One segment file: its number, and BLAKE3 of its bytes."""

    segment_id: int
    bytes_digest: bytes


@dataclass(frozen=True)
class ManifestBody:
    """What a backup holds. `backup_id` and the revisions are whatever its maker says they are."""

    schema_version: int
    backup_id: bytes
    layout_revision: int
    tooling_revision: int
    segments: tuple[SegmentDigest, ...]


@dataclass(frozen=True)
class UnsupportedManifestBodySchemaVersion(Case):
    """The manifest is of another version."""

    observed: int
    expected: int


@dataclass(frozen=True)
class DuplicateSegmentRef(Case):
    """A segment is listed twice, alike."""

    segment_id: int
    bytes_digest: bytes


@dataclass(frozen=True)
class InconsistentSegmentId(Case):
    """A segment is listed twice, with two digests."""

    segment_id: int
    first_digest: bytes
    second_digest: bytes


@dataclass(frozen=True)
class ManifestBodyHashMismatch(Case):
    """The manifest is not the one that was named."""

    claimed: bytes
    computed: bytes


@dataclass(frozen=True)
class MissingExpectedSegment(Case):
    """The manifest has it, and the restored store does not."""

    segment_id: int


@dataclass(frozen=True)
class UnexpectedObservedSegment(Case):
    """The restored store has it, and the manifest does not."""

    segment_id: int


@dataclass(frozen=True)
class SegmentBytesDigestMismatch(Case):
    """Both have it, with other bytes."""

    segment_id: int
    expected: bytes
    observed: bytes


CASES = (
    UnsupportedManifestBodySchemaVersion, DuplicateSegmentRef, InconsistentSegmentId, ManifestBodyHashMismatch,
    MissingExpectedSegment, UnexpectedObservedSegment, SegmentBytesDigestMismatch,
)  # fmt: skip


@dataclass(frozen=True)
class RestoreProofBody:
    """A manifest held against the segments that are there; without findings they are the same."""

    schema_version: int
    manifest_body_hash: bytes
    observed_segments_sorted: tuple[SegmentDigest, ...]
    findings: tuple[Case, ...]


def manifest_evidence(body: ManifestBody) -> Evidence[ManifestBody]:
    """The evidence of a manifest; the order in which it lists segments does not matter."""
    return Evidence(_sorted(body))


def restore_proof(expected: ManifestBody, observed: Iterable[SegmentDigest]) -> Evidence[RestoreProofBody]:
    """Whether the segments observed are those of the manifest."""
    manifest, seen = _sorted(expected), tuple(sorted(observed))
    findings: list[Case] = []
    if expected.schema_version != SCHEMA_VERSION:
        findings.append(UnsupportedManifestBodySchemaVersion(expected.schema_version, SCHEMA_VERSION))
    wanted, found = _by_id(manifest.segments, findings), _by_id(seen, findings)
    for segment_id, bytes_digest in wanted.items():
        if segment_id not in found:
            findings.append(MissingExpectedSegment(segment_id))
        elif found[segment_id] != bytes_digest:
            findings.append(SegmentBytesDigestMismatch(segment_id, bytes_digest, found[segment_id]))
    findings += [UnexpectedObservedSegment(segment_id) for segment_id in found if segment_id not in wanted]
    return Evidence(RestoreProofBody(SCHEMA_VERSION, digest(manifest), seen, in_order(findings, CASES)))


def _sorted(body: ManifestBody) -> ManifestBody:
    return replace(body, segments=tuple(sorted(body.segments)))


def _by_id(segments: Iterable[SegmentDigest], findings: list[Case]) -> dict[int, bytes]:
    """The first digest of each segment; what is listed again is a finding."""
    found: dict[int, bytes] = {}
    for one in segments:
        first = found.get(one.segment_id)
        if first is None:
            found[one.segment_id] = one.bytes_digest
        elif first == one.bytes_digest:
            findings.append(DuplicateSegmentRef(one.segment_id, first))
        else:
            findings.append(InconsistentSegmentId(one.segment_id, first, one.bytes_digest))
    return found
