"""The body of an import's report. The reference reports the same counts, and has no evidence of them: this is ours."""

from __future__ import annotations

from dataclasses import dataclass

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class ImportBody:
    """What an import did. `events_digest` is BLAKE3 of the old id and the new id of each imported event, in order."""

    schema_version: int
    source_namespace: str
    after_global_sequence: int | None
    source_high_watermark: int | None
    imported: int
    deduplicated: int
    skipped_reserved: int
    skipped_filtered: int
    skipped_reimported: int
    skipped_encrypted: int
    first_global_sequence: int | None
    last_global_sequence: int | None
    events_digest: bytes
