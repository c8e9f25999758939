"""The bodies of copies have the reference's golden bytes, and their wire forms give back what went in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batpak_analytics.errors import FormatError, FutureVersionError
from batpak_analytics.evidence import backup, fork, snapshot
from batpak_analytics.evidence.backup import ManifestBody, SegmentDigest, manifest_evidence, restore_proof
from batpak_analytics.evidence.canonical import Case, Evidence, canonical, in_order
from batpak_analytics.evidence.fork import ForkBody, StrategyCounts, decode_wire, encode_wire, fork_evidence
from batpak_analytics.evidence.snapshot import FenceToken, SnapshotBody, SourceWatermark
from batpak_analytics.format import layout, provenance
from batpak_analytics.format.provenance import Provenance
from batpak_analytics.format.sidecars.envelope import close_envelope


def h(tag: int) -> bytes:
    return bytes([tag]) * 32


MANIFEST = ManifestBody(1, h(0x55), 3, 9, (SegmentDigest(2, h(0x62)), SegmentDigest(1, h(0x61))))


def test_the_snapshot_body_has_the_golden_size_and_digest() -> None:
    """Spec engine-read 22, `snapshot_report_body_v1`."""
    findings: tuple[Case, ...] = (
        snapshot.FenceTokenCancelled(),
        snapshot.CopyByteHashUnavailable("snapshot structural fixture", "Segment"),
    )
    body = SnapshotBody(
        2, h(0x96), FenceToken(7), SourceWatermark(3, 4096), (1, 2, 3), True, False, True, h(0x97),
        in_order(findings, snapshot.CASES),
    )  # fmt: skip
    evidence = Evidence(body)
    assert len(evidence.body_bytes) == 499
    assert evidence.body_hash == "322d4f1fe833e5373826d9f0b133351617d712c94e024490241affec528e82c5"


def test_the_backup_manifest_has_the_golden_size_and_digest_in_whatever_order_it_is_given() -> None:
    for segments in (MANIFEST.segments, MANIFEST.segments[::-1]):
        evidence = manifest_evidence(replace(MANIFEST, segments=segments))
        assert len(evidence.body_bytes) == 229
        assert evidence.body_hash == "ddc96d52a0ed0cfdc297064ca7f08b86747989e362ece2d1a7b61abe893c3b94"


def test_the_restore_proof_has_the_golden_size_and_digest() -> None:
    proof = restore_proof(MANIFEST, [SegmentDigest(1, h(0xFF)), SegmentDigest(3, h(0x63))])
    assert len(proof.body_bytes) == 520
    assert proof.body_hash == "0fe6fad33c7dc850d3140092b161c1d3319d610a8fecdebc31e95a715487f400"


def test_what_a_restored_store_lacks_has_twice_or_has_otherwise_is_found() -> None:
    assert restore_proof(MANIFEST, MANIFEST.segments).body.findings == ()
    twice = [*MANIFEST.segments, MANIFEST.segments[0], SegmentDigest(1, h(1))]
    assert restore_proof(replace(MANIFEST, schema_version=2), twice).body.findings == (
        backup.UnsupportedManifestBodySchemaVersion(2, 1),
        backup.DuplicateSegmentRef(2, h(0x62)),
        backup.InconsistentSegmentId(1, h(1), h(0x61)),
        backup.SegmentBytesDigestMismatch(1, h(0x61), h(1)),
    )
    assert restore_proof(MANIFEST, []).body.findings == (
        backup.MissingExpectedSegment(1), backup.MissingExpectedSegment(2)
    )  # fmt: skip


numbers = st.integers(0, layout.U64_MAX)
digests = st.binary(min_size=32, max_size=32)
texts = st.text(max_size=20)
ids = st.lists(numbers, max_size=5).map(tuple)
cases: Any = st.one_of(
    st.builds(snapshot.DestinationCleared, numbers),
    st.just(snapshot.FenceTokenCancelled()),
    st.just(snapshot.KeysExcluded()),
    st.builds(fork.CacheRegenerableExcluded, texts),
    st.builds(fork.FileExcluded, texts, texts),
    st.builds(fork.FileCopied, texts, st.sampled_from(["Reflink", "Hardlink", "DeepCopy"])),
)
bodies = st.builds(
    ForkBody,
    schema_version=st.just(1),
    fork_id=digests,
    fence_token=st.builds(FenceToken, numbers),
    source_watermark=st.builds(SourceWatermark, numbers, numbers),
    active_segment_id=numbers,
    shared_segment_ids_sorted=ids,
    deep_copied_segment_ids_sorted=ids,
    strategy_counts=st.builds(StrategyCounts, *[numbers] * 5),
    copied_visibility_ranges_present=st.booleans(),
    copied_pending_compaction_marker_present=st.booleans(),
    copied_idempotency_store_present=st.booleans(),
    destination_path_digest=digests,
    findings=st.lists(cases, max_size=6).map(tuple),
)


@given(bodies)
def test_fork_evidence_comes_back_from_its_wire_form(body: ForkBody) -> None:
    made = fork_evidence(body).body
    assert decode_wire(encode_wire(made)) == made
    assert decode_wire(encode_wire(body)) == body


@given(bodies, st.data())
def test_damaged_fork_evidence_is_refused(body: ForkBody, data: Any) -> None:
    wire = bytearray(encode_wire(body))
    at = data.draw(st.integers(0, len(wire) - 1))
    wire[at] ^= data.draw(st.integers(1, 255))
    if wire[6:8] == b"\0\0":  # an older frame is taken, and the checksum does not cover its version
        assert decode_wire(bytes(wire)) == body
    else:
        with pytest.raises(FutureVersionError if at in (6, 7) else FormatError):
            decode_wire(bytes(wire))


@pytest.mark.parametrize(
    "finding", [{}, {"KeysExcluded": {}, "FenceTokenCancelled": {}}, "Other", 7, {"FileCopied": 1}]
)
def test_findings_that_no_engine_makes_are_refused(finding: Any) -> None:
    mark, flags = SourceWatermark(1, 2), (False, False, False)
    body = ForkBody(1, h(1), FenceToken(1), mark, 1, (), (), StrategyCounts(), *flags, h(2), ())
    packed = canonical(body)
    assert packed.endswith(b"\xa8findings\x90")
    wire = close_envelope(layout.FORK_EVIDENCE_MAGIC, 1, packed[:-1] + msgpack.packb([finding]))
    with pytest.raises(FormatError):
        decode_wire(wire)


@given(st.binary(max_size=60))
def test_bytes_that_are_no_fork_evidence_are_refused_whatever_they_are(data: bytes) -> None:
    for wire in (data, close_envelope(layout.FORK_EVIDENCE_MAGIC, 1, data)):
        with pytest.raises((FormatError, FutureVersionError)):
            decode_wire(wire)


def test_fork_evidence_of_a_newer_version_is_refused_as_such() -> None:
    mark, flags = SourceWatermark(1, 2), (False, False, False)
    body = ForkBody(2, h(1), FenceToken(1), mark, 1, (), (), StrategyCounts(), *flags, h(2), ())
    with pytest.raises(FutureVersionError):
        decode_wire(encode_wire(body))
    with pytest.raises(FutureVersionError):
        decode_wire(close_envelope(layout.FORK_EVIDENCE_MAGIC, 1, encode_wire(body)[layout.ENVELOPE_SIZE :]))


provenances = st.builds(
    Provenance,
    source_namespace=st.text(max_size=40),
    source_event_id=st.binary(min_size=16, max_size=16),
    source_global_sequence=numbers,
    source_kind=st.integers(0, layout.U16_MAX),
    source_content_hash=digests,
)


@given(provenances)
def test_provenance_comes_back_from_the_extension_and_from_its_wire_form(value: Provenance) -> None:
    assert provenance.decode(provenance.encode(value)) == value
    assert provenance.decode_wire(provenance.encode_wire(value)) == value
    assert provenance.of_extensions({layout.IMPORT_PROVENANCE_KEY: provenance.encode(value)}) == value


@given(st.binary(max_size=80))
def test_bytes_that_are_no_provenance_count_as_none(data: bytes) -> None:
    assert provenance.of_extensions({layout.IMPORT_PROVENANCE_KEY: data}) is None
    assert provenance.of_extensions({}) is None
    with pytest.raises((FormatError, FutureVersionError)):
        provenance.decode_wire(data)


def test_provenance_of_a_newer_version_is_refused_as_such() -> None:
    newer = Provenance("a", bytes(16), 0, 1, h(1), schema_version=2)
    with pytest.raises(FutureVersionError):
        provenance.decode_wire(provenance.encode_wire(newer))
    with pytest.raises(FutureVersionError):
        provenance.decode_wire(close_envelope(layout.IMPORT_PROVENANCE_MAGIC, 1, provenance.encode(newer)))
