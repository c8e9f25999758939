"""What an import has done so far, and what it says of itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from blake3 import blake3

from batpak_analytics.evidence.canonical import Evidence
from batpak_analytics.evidence.imported import SCHEMA_VERSION, ImportBody


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of the events that an import looked at; each is counted once.

    ``deduplicated`` were imported before, by either engine. ``skipped_reserved`` are the source's own events,
    tombstones and denials; ``skipped_filtered`` those that `keep` left out; ``skipped_reimported`` came from an import
    under the same namespace themselves; ``skipped_encrypted`` are sealed. ``source_high_watermark`` is the highest
    sequence looked at, to go on from with `after`; None without any. Of the imported events, ``causes_kept`` have their
    cause and ``causes_dropped`` lost it, as it is not in this store. ``evidence`` is a body with its hash.
    """

    imported: int
    deduplicated: int
    skipped_reserved: int
    skipped_filtered: int
    skipped_reimported: int
    skipped_encrypted: int
    source_high_watermark: int | None
    causes_kept: int
    causes_dropped: int
    evidence: Evidence[ImportBody]

    def __repr__(self) -> str:
        skipped = {
            "reserved": self.skipped_reserved, "filtered": self.skipped_filtered,
            "reimported": self.skipped_reimported, "encrypted": self.skipped_encrypted,
        }  # fmt: skip
        told = "".join(f", {count:,} {what}" for what, count in skipped.items() if count)
        return (
            f"ImportReport({self.imported:,} imported, {self.deduplicated:,} deduplicated{told}, "
            f"source up to {self.source_high_watermark})"
        )


class Progress:
    """The counts while an import runs."""

    def __init__(self, namespace: str, after: int | None, diagnostics: tuple[str, ...]) -> None:
        self._namespace, self._after, self._diagnostics = namespace, after, diagnostics
        self._digest = blake3()
        self._sequences: list[int] = []
        self.counts: Counter[str] = Counter()
        self.watermark: int | None = None
        self.looked_at = 0

    def see(self, sequence: int) -> None:
        """An event of the source is looked at."""
        self.looked_at += 1
        self.watermark = sequence if self.watermark is None else max(self.watermark, sequence)

    def imported(self, source_id: bytes, event_id: bytes, sequence: int) -> None:
        """An event was appended, and is on disk."""
        self.counts["imported"] += 1
        self._digest.update(source_id + event_id)
        self._sequences = [*self._sequences[:1], sequence]

    def report(self) -> ImportReport:
        """As it is now."""
        counts = self.counts
        told = {
            name: counts[name]
            for name in (
                "imported", "deduplicated", "skipped_reserved", "skipped_filtered", "skipped_reimported",
                "skipped_encrypted",
            )
        }  # fmt: skip
        first, last = (self._sequences[0], self._sequences[-1]) if self._sequences else (None, None)
        body = ImportBody(
            schema_version=SCHEMA_VERSION,
            source_namespace=self._namespace,
            after_global_sequence=self._after,
            source_high_watermark=self.watermark,
            first_global_sequence=first,
            last_global_sequence=last,
            events_digest=self._digest.digest(),
            **told,
        )
        return ImportReport(
            **told,
            source_high_watermark=self.watermark,
            causes_kept=counts["causes_kept"],
            causes_dropped=counts["causes_dropped"],
            evidence=Evidence(body, self._diagnostics),
        )
