"""What a copy says of itself: the reference's evidence, and what that has no room for, the digests of the files."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from batpak_analytics.errors import CopyRefusedError
from batpak_analytics.evidence import fork, snapshot
from batpak_analytics.evidence.backup import SCHEMA_VERSION, ManifestBody, SegmentDigest, manifest_evidence
from batpak_analytics.evidence.canonical import Case, Evidence
from batpak_analytics.evidence.fork import ForkBody, StrategyCounts
from batpak_analytics.evidence.snapshot import FenceToken, FenceTokenCancelled, SnapshotBody
from batpak_analytics.format import layout
from batpak_analytics.store.copies.destination import Destination
from batpak_analytics.store.copies.source import CopySource
from batpak_analytics.store.copies.transfer import CopiedFile

B = TypeVar("B")
_STRATEGIES = {"reflink": "Reflink", "hardlink": "Hardlink", "copy": "DeepCopy"}
_NO_CONTENTS = bytes(layout.HASH_SIZE)


@dataclass(frozen=True, slots=True)
class CopyReport(Generic[B]):
    """A copy that was made, at `path`.

    ``events`` are shown in it, and ``last_sequence`` is the highest number, both as in the store at that moment.
    ``files`` are what it consists of. ``evidence`` is the reference's report of such a copy: body, bytes and hash.
    """

    path: Path
    events: int
    last_sequence: int | None
    files: tuple[CopiedFile, ...]
    evidence: Evidence[B]
    seconds: float

    @property
    def body(self) -> B:
        """The body of the evidence."""
        return self.evidence.body

    @property
    def body_hash(self) -> str:
        """BLAKE3 of the body's canonical bytes, in hexadecimal."""
        return self.evidence.body_hash

    @property
    def size_bytes(self) -> int:
        """The size of all files, shared ones included."""
        return sum(one.size_bytes for one in self.files)

    def manifest(self, *, layout_revision: int = 1, tooling_revision: int = 1) -> Evidence[ManifestBody]:
        """The reference's backup manifest of the copy, to hold a restored one against it (`prove_restore`).

        Its id is that of the evidence. Raises `CopyRefusedError` for a fork that shares files: those were not read.
        """
        segments = [one for one in self.files if one.segment_id is not None]
        if any(one.digest is None for one in segments):
            raise CopyRefusedError(
                f"{self.path} shares files that were not read, so they have no digests. Use a snapshot, or "
                f"fork(copy='copy').",
                path=self.path,
            )
        listed = tuple(SegmentDigest(one.segment_id or 0, bytes.fromhex(one.digest or "")) for one in segments)
        body: Any = self.body
        own_id: bytes = body.snapshot_id if isinstance(body, SnapshotBody) else body.fork_id
        return manifest_evidence(ManifestBody(SCHEMA_VERSION, own_id, layout_revision, tooling_revision, listed))

    def __repr__(self) -> str:
        shared = sum(one.how != "copy" for one in self.files)
        how = f", {shared} of them shared" if shared else ""
        return (
            f"CopyReport({str(self.path)!r}, {self.events:,} events, {len(self.files)} files{how}, "
            f"{self.size_bytes:,} bytes, body {self.body_hash[:12]}...)"
        )


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """A copy, and what the reports are made of; `names` are those in the directory of the store."""

    source: CopySource
    target: Destination
    files: tuple[CopiedFile, ...]
    names: tuple[str, ...]
    sealed: bool
    seconds: float

    def report(self, evidence: Evidence[B]) -> CopyReport[B]:
        """The report around the evidence."""
        source = self.source
        return CopyReport(self.target.path, source.events, source.last_sequence, self.files, evidence, self.seconds)

    @property
    def common(self) -> dict[str, Any]:
        """The fields that both bodies have. No compaction is pending in a copy, and nothing was in its way."""
        copied = {one.name for one in self.files}
        return {
            "fence_token": FenceToken(self.source.fence_token or 0),
            "source_watermark": self.source.watermark,
            "copied_visibility_ranges_present": layout.VISIBILITY_NAME in copied,
            "copied_pending_compaction_marker_present": False,
            "copied_idempotency_store_present": layout.IDEMPOTENCY_NAME in copied,
            "destination_path_digest": self.target.path_digest,
        }

    @property
    def findings(self) -> list[Case]:
        """What both have to say. Where no fence was needed, none was cancelled."""
        fenced = [FenceTokenCancelled()] if self.source.fence_token is not None else []
        return [*fenced, *([snapshot.KeysExcluded()] if self.sealed else [])]

    @property
    def diagnostics(self) -> list[str]:
        """For people: what is not byte by byte as in the store."""
        return [f"{one.name} has a footer with the numbers of its events" for one in self.files if one.new_footer]


def snapshot_report(made: Made) -> CopyReport[SnapshotBody]:
    """As the reference reports it: its body has no room for digests, and says so."""
    no_digests = snapshot.CopyByteHashUnavailable(snapshot.NO_DIGESTS, "Segment")
    body = SnapshotBody(
        schema_version=snapshot.SCHEMA_VERSION,
        snapshot_id=_NO_CONTENTS,
        copied_segment_ids_sorted=tuple(one.segment_id for one in made.files if one.segment_id is not None),
        findings=(*made.findings, no_digests),
        **made.common,
    )
    return made.report(snapshot.snapshot_evidence(body, made.diagnostics))


def fork_report(made: Made) -> CopyReport[ForkBody]:
    """As the reference reports it: every file of the store is told of."""
    copied: list[Case] = [fork.FileCopied(one.name, _STRATEGIES[one.how]) for one in made.files]
    segments = [one for one in made.files if one.segment_id is not None]
    left_out = [_left_out(name) for name in made.names if name not in _sources(made)]
    how = Counter(one.how for one in made.files)
    caches = sum(isinstance(one, fork.CacheRegenerableExcluded) for one in left_out)
    body = ForkBody(
        schema_version=fork.SCHEMA_VERSION,
        fork_id=_NO_CONTENTS,
        active_segment_id=made.source.watermark.segment_id,
        shared_segment_ids_sorted=tuple(one.segment_id or 0 for one in segments if one.how != "copy"),
        deep_copied_segment_ids_sorted=tuple(one.segment_id or 0 for one in segments if one.how == "copy"),
        strategy_counts=StrategyCounts(
            how["reflink"], how["hardlink"], how["copy"], caches, len(left_out) - caches
        ),
        findings=(*made.findings, *copied, *left_out),
        **made.common,
    )  # fmt: skip
    return made.report(fork.fork_evidence(body, made.diagnostics))


def _sources(made: Made) -> set[str]:
    """The names of the store's files that are in the copy, under whatever name."""
    return {one.name for one in made.source.segments} | {one.name for one in made.files}


def _left_out(name: str) -> Case:
    text = name.encode(errors="surrogateescape").decode(errors="replace")
    if name in (layout.CHECKPOINT_NAME, layout.MMAP_INDEX_NAME):
        return fork.CacheRegenerableExcluded(text)
    return fork.FileExcluded(text, fork.NOT_SHARED)
