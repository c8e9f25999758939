"""Where an imported event comes from: the reserved receipt extension, and its wire form (core/src/store/import.rs)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgpack

from batpak_analytics.errors import FormatError, FutureVersionError
from batpak_analytics.format import codec, layout
from batpak_analytics.format.sidecars.envelope import body_cursor, close_envelope, open_envelope


@dataclass(frozen=True, slots=True)
class Provenance:
    """The event that was imported. The id is 16 big-endian bytes; the hash is that of its stored payload."""

    source_namespace: str
    source_event_id: bytes
    source_global_sequence: int
    source_kind: int
    source_content_hash: bytes
    schema_version: int = layout.IMPORT_PROVENANCE_VERSION


_read = codec.Struct(
    "the provenance",
    {
        "schema_version": codec.read_u16,
        "source_namespace": codec.read_str,
        "source_event_id": codec.read_plain_u128,
        "source_global_sequence": codec.read_u64,
        "source_kind": codec.read_u16,
        "source_content_hash": codec.fixed_bytes(layout.HASH_SIZE),
    },
)


def encode(value: Provenance) -> bytes:
    """The bytes of the extension `batpak.import.provenance`."""
    # Ids are bin, other bytes are arrays of integers, and every integer has its shortest form: what msgpack does.
    packed: bytes = msgpack.packb(
        {
            "schema_version": value.schema_version,
            "source_namespace": value.source_namespace,
            "source_event_id": value.source_event_id,
            "source_global_sequence": value.source_global_sequence,
            "source_kind": value.source_kind,
            "source_content_hash": list(value.source_content_hash),
        }
    )
    return packed


def decode(data: Any) -> Provenance:
    """The provenance in the bytes of the extension; raises `FormatError` for others."""
    return Provenance(**_read(codec.Cursor(codec.as_bytes(data))))


def of_extensions(extensions: Any) -> Provenance | None:
    """The provenance among an event's extensions; None where there is none that can be read, as in the reference."""
    data = extensions.get(layout.IMPORT_PROVENANCE_KEY)
    if data is None:
        return None
    try:
        return decode(data)
    except FormatError:
        return None


def encode_wire(value: Provenance) -> bytes:
    """The provenance as it travels: magic, version, CRC-32 and the extension's bytes."""
    return close_envelope(layout.IMPORT_PROVENANCE_MAGIC, value.schema_version, encode(value))


def decode_wire(data: bytes) -> Provenance:
    """The provenance in its wire form.

    Raises `FutureVersionError` for a newer version, of the frame or of the body, and `FormatError` for other bytes.
    """
    open_envelope(data, layout.IMPORT_PROVENANCE_MAGIC, layout.IMPORT_PROVENANCE_VERSION, oldest=0)
    value = Provenance(**_read(body_cursor(data)))
    if value.schema_version > layout.IMPORT_PROVENANCE_VERSION:
        raise FutureVersionError(
            f"Version {value.schema_version} of an import's provenance is newer than "
            f"{layout.IMPORT_PROVENANCE_VERSION}. Update batpak-analytics.",
            expected=layout.IMPORT_PROVENANCE_VERSION,
            actual=value.schema_version,
        )
    return value
