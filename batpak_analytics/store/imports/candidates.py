"""An event of another store as one of this: its key, its provenance, and what is kept of its header."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from batpak_analytics.errors import AppendRefusedError, PayloadEncryptedError
from batpak_analytics.format import layout, provenance
from batpak_analytics.format.event import encode_extensions
from batpak_analytics.format.provenance import Provenance
from batpak_analytics.model import Event, IndexEntry
from batpak_analytics.store.config import StoreConfig
from batpak_analytics.store.idempotency import IdempotencyKey
from batpak_analytics.store.imports.report import Progress
from batpak_analytics.store.items import Draft, check_part


@dataclass(frozen=True, slots=True)
class Options:
    """What an import keeps of each event; see `Store.import_events`."""

    namespace: str
    chunk_size: int
    causes: Literal["map", "clear"]
    lanes: bool
    versions: bool
    encrypted: Literal["refuse", "skip"]

    def __post_init__(self) -> None:
        if not isinstance(self.namespace, str):
            raise TypeError(f"namespace={self.namespace!r}: give text that names the source.")
        if not self.namespace:
            raise ValueError("The namespace is empty. Give a name that stays with the source, such as its host.")
        if self.chunk_size < 1:
            raise ValueError(f"chunk_size={self.chunk_size}. Give a number from 1 on.")
        for name, allowed in (("causes", ("map", "clear")), ("encrypted", ("refuse", "skip"))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}={getattr(self, name)!r}. Pass {allowed[0]!r} or {allowed[1]!r}.")


class Candidate(NamedTuple):
    """An event that may be imported. Whether it is here already, and its cause, is seen when it is written."""

    source_id: bytes
    cause: bytes | None
    draft: Draft


def import_key(namespace: str, source_id: bytes) -> bytes:
    """The key, and so the id, of an imported event: both engines derive it (spec engine-read 16), so that each knows
    what the other imported.
    """
    return bytes(IdempotencyKey.for_operation(layout.IMPORT_KEY_DOMAIN, [namespace, source_id.hex()]))


def chunks(
    found: Iterable[tuple[IndexEntry, Event]], config: StoreConfig, options: Options, progress: Progress
) -> Iterator[list[Candidate]]:
    """Candidates in order, as many at a time as one batch takes; one that no batch takes is alone."""
    most = min(options.chunk_size, config.batch_max_items)
    waiting: list[Candidate] = []
    size = 0
    for entry, event in found:
        if event.payload_encryption is not None:
            refuse_sealed(entry, event, options)
            progress.counts["skipped_encrypted"] += 1
            continue
        one = _candidate(entry, event, config, options)
        if waiting and (len(waiting) == most or size + one.draft.size_bytes > config.batch_max_bytes):
            yield waiting
            waiting, size = [], 0
        waiting.append(one)
        size += one.draft.size_bytes
    if waiting:
        yield waiting


def refuse_sealed(entry: IndexEntry, event: Event, options: Options) -> None:
    """Raise for a sealed payload, unless those are skipped: without its key it can never be opened (trap T-13)."""
    if event.payload_encryption is not None and options.encrypted == "refuse":
        raise PayloadEncryptedError(
            f"Event {entry.event_id.hex()} of the source, sequence {entry.global_sequence}, is sealed with a key that "
            f"does not travel, so its payload could never be read here. Pass encrypted='skip' to leave such events out."
        )


def _candidate(entry: IndexEntry, event: Event, config: StoreConfig, options: Options) -> Candidate:
    check_part("entity", event.entity)
    check_part("scope", event.scope)
    origin = Provenance(
        options.namespace, event.event_id, entry.global_sequence, int(event.kind), event.content_hash
    )  # fmt: skip
    extensions = {layout.IMPORT_PROVENANCE_KEY: provenance.encode(origin)}
    payload = bytes(event.payload)
    size = len(payload) + len(encode_extensions(extensions))
    if size > config.append_max_bytes:
        raise AppendRefusedError(
            f"Event {event.event_id.hex()} of the source takes {size} bytes with its provenance, and "
            f"{config.append_max_bytes} are allowed. Raise append_max_bytes.",
            expected=config.append_max_bytes,
            actual=size,
        )
    position = event.position
    lane, depth = (position.lane, position.depth) if options.lanes else (0, 0)
    flags, version = (event.flags, event.payload_version) if options.versions else (0, 0)
    draft = Draft(
        event.entity, event.scope, event.kind, payload, event.correlation_id, None, lane, depth, flags, version,
        extensions, size, import_key(options.namespace, event.event_id),
    )  # fmt: skip
    return Candidate(event.event_id, event.causation_id, draft)
