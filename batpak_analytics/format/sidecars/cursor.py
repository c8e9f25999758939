"""``cursors/ID.ckpt``: how far a consumer has read. No magic, version or CRC (spec sidecars 11)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from batpak_analytics.format import codec


@dataclass(frozen=True, slots=True)
class CursorCheckpoint:
    """The consumer continues after sequence ``position`` if ``started``, else from 0.

    ``region_identity`` must equal the region that the consumer asks for; None never does.
    """

    position: int
    started: bool
    process_boot_ns: int | None = None
    region_identity: str | None = None


_read = codec.Struct(
    "the cursor",
    {
        "position": codec.read_u64,
        "started": codec.read_bool,
        "process_boot_ns": codec.optional(codec.read_u64),
        "region_identity": codec.optional(codec.read_str),
    },
    nullable=("process_boot_ns", "region_identity"),
)


def decode(buf: Any) -> CursorCheckpoint:
    """The checkpoint in a whole file."""
    return CursorCheckpoint(**_read(codec.Cursor(codec.as_bytes(buf))))


def encode(value: CursorCheckpoint) -> bytes:
    """The whole file."""
    boot, region = value.process_boot_ns, value.region_identity
    return codec.pack_map(
        [
            ("position", codec.pack_uint(value.position)),
            ("started", codec.pack_bool(value.started)),
            ("process_boot_ns", codec.NIL if boot is None else codec.pack_uint(boot)),
            ("region_identity", codec.NIL if region is None else codec.pack_str(region)),
        ]
    )
