"""Every magic, name, size, limit, kind, field list and byte order of batpak 0.9.0: their only home.

Frame and file headers are big-endian, the footer and every sidecar are little-endian. Ids (u128) are
big-endian wherever they are MessagePack (frames, sidecar bodies) and little-endian in fixed-size records
(footer rows, mmap index rows).
"""

from __future__ import annotations

import struct
from enum import StrEnum
from typing import Final

import numpy as np

# -- names in a store directory (core/src/store/segment/mod.rs, file_classification.rs) --------------------
SEGMENT_EXTENSION: Final = "fbat"
SEGMENT_NAME_DIGITS: Final = 6
COMPACT_SOURCE_SUFFIX: Final = ".compact-src"
MARKER_NAME: Final = "compaction.pending.json"
SWAP_NAME: Final = "compaction.swap.json"  # of this package: what the marker links to
LOCK_NAME: Final = ".batpak.lock"
CHECKPOINT_NAME: Final = "index.ckpt"
MMAP_INDEX_NAME: Final = "index.fbati"
IDEMPOTENCY_NAME: Final = "index.idemp"
VISIBILITY_NAME: Final = "visibility_ranges.fbv"
KEYSET_NAME: Final = "keyset.fbatk"
CURSOR_FOLDER: Final = "cursors"
CURSOR_SUFFIX: Final = ".ckpt"
TEMPORARY_PREFIX: Final = ".tmp"
COMPACTED_PREFIX: Final = ".tmp-compacted-"  # an output that is no segment yet

# -- integer ranges ---------------------------------------------------------------------------------------
U8_MAX: Final = 0xFF
U16_MAX: Final = 0xFFFF
U32_MAX: Final = 0xFFFF_FFFF
U64_MAX: Final = 0xFFFF_FFFF_FFFF_FFFF
I64_MIN: Final = -(1 << 63)
I64_MAX: Final = (1 << 63) - 1

# -- segment file (core/src/store/segment/mod.rs) ---------------------------------------------------------
SEGMENT_MAGIC: Final = b"FBAT"
SEGMENT_PREFIX: Final = struct.Struct(">4sI")  # magic, header_len
SEGMENT_PREFIX_SIZE: Final = 8
SEGMENT_VERSION: Final = 1
MAX_SEGMENT_HEADER: Final = 65_536
SEGMENT_HEADER_FIELDS: Final = ("version", "flags", "created_ns", "segment_id")

# -- frame ------------------------------------------------------------------------------------------------
FRAME_HEADER: Final = struct.Struct(">II")  # payload_len, crc32 of the payload
FRAME_HEADER_SIZE: Final = 8
MAX_FRAME_PAYLOAD: Final = 256 * 1024 * 1024

FRAME_OK: Final = 0
FRAME_CRC: Final = 1  # the stored CRC differs
FRAME_BOUNDS: Final = 2  # offset or length outside the buffer, or length != 8 + payload_len
FRAME_MALFORMED: Final = 3  # CRC fine, body not an event
FRAME_TOO_LARGE: Final = 4  # payload_len above the limit
FRAME_PAST_END: Final = 5  # the frame would end past the region
FRAME_END: Final = 6  # fewer than 8 bytes left

# -- frame body: field names in the order written (core/src/event/header.rs and neighbours) ---------------
FRAME_FIELDS: Final = ("event", "entity", "scope", "receipt_extensions")
EVENT_FIELDS: Final = ("header", "payload", "hash_chain")
HEADER_FIELDS: Final = (
    "event_id",
    "correlation_id",
    "causation_id",
    "timestamp_us",
    "position",
    "payload_size",
    "event_kind",
    "flags",
    "content_hash",
    "payload_version",
    "payload_encryption",
)
POSITION_FIELDS: Final = ("wall_ms", "counter", "depth", "lane", "sequence")
CHAIN_FIELDS: Final = ("prev_hash", "event_hash")
ENCRYPTION_FIELDS: Final = ("keyscope_id", "nonce")

ID_SIZE: Final = 16
HASH_SIZE: Final = 32
NONCE_SIZE: Final = 24
ZERO_ID: Final = bytes(ID_SIZE)
ZERO_HASH: Final = bytes(HASH_SIZE)
# 1023 nested containers decode in the reference and 1024 do not (spec segments 2.5).
MAX_NESTING: Final = 1023

# How the payload array of a frame is written; only PAYLOAD_INTS comes from batpak itself.
PAYLOAD_INTS: Final = 0  # int-array of minimal ints: 00..7f | cc 80..ff
PAYLOAD_BIN: Final = 1
PAYLOAD_OTHER_INTS: Final = 2  # int-array holding other encodings of 0..255

FRAME_DTYPE: Final = np.dtype(
    [
        ("status", "u1"),
        ("has_chain", "u1"),
        ("encrypted", "u1"),
        ("flags", "u1"),
        ("payload_form", "u1"),
        ("pad", "u1"),
        ("kind", "<u2"),
        ("payload_version", "<u2"),
        ("pad2", "<u2"),
        ("payload_size", "<u4"),
        ("payload_count", "<u4"),
        ("depth", "<u4"),
        ("lane", "<u4"),
        ("clock", "<u4"),
        ("timestamp_us", "<i8"),
        ("wall_ms", "<u8"),
        ("payload_start", "<u8"),
        ("payload_end", "<u8"),
        ("entity_start", "<u8"),
        ("scope_start", "<u8"),
        ("extensions_start", "<u8"),
        ("extensions_end", "<u8"),
        ("keyscope_start", "<u8"),
        ("keyscope_end", "<u8"),
        ("entity_size", "<u4"),
        ("scope_size", "<u4"),
        ("event_id", "V16"),
        ("correlation_id", "V16"),
        ("causation_id", "V16"),
        ("content_hash", "V32"),
        ("prev_hash", "V32"),
        ("event_hash", "V32"),
    ]
)
"""One parsed frame. Ids are big-endian; ``*_start`` and ``*_end`` index the buffer that was parsed."""

# -- event kinds (core/src/event/kind.rs) -----------------------------------------------------------------
KIND_INIT: Final = 0x0001
KIND_SHUTDOWN: Final = 0x0002
KIND_HEARTBEAT: Final = 0x0003
KIND_CONFIG_CHANGE: Final = 0x0004
KIND_CHECKPOINT: Final = 0x0005
KIND_BATCH_BEGIN: Final = 0x0006
KIND_BATCH_COMMIT: Final = 0x0007
KIND_OPEN_COMPLETED: Final = 0x0008
KIND_CLOSE_COMPLETED: Final = 0x0009
KIND_DENIAL: Final = 0x000F
KIND_TOMBSTONE: Final = 0x0FFE
KIND_DATA: Final = 0x1000
KIND_EFFECT_ERROR: Final = 0xD001
CATEGORY_SYSTEM: Final = 0x0
CATEGORY_EFFECT: Final = 0xD
CATEGORY_MAX: Final = 0xF
KIND_NAMES: Final = {
    KIND_INIT: "SYSTEM_INIT",
    KIND_SHUTDOWN: "SYSTEM_SHUTDOWN",
    KIND_HEARTBEAT: "SYSTEM_HEARTBEAT",
    KIND_CONFIG_CHANGE: "SYSTEM_CONFIG_CHANGE",
    KIND_CHECKPOINT: "SYSTEM_CHECKPOINT",
    KIND_BATCH_BEGIN: "SYSTEM_BATCH_BEGIN",
    KIND_BATCH_COMMIT: "SYSTEM_BATCH_COMMIT",
    KIND_OPEN_COMPLETED: "SYSTEM_OPEN_COMPLETED",
    KIND_CLOSE_COMPLETED: "SYSTEM_CLOSE_COMPLETED",
    KIND_DENIAL: "SYSTEM_DENIAL",
    KIND_TOMBSTONE: "TOMBSTONE",
    KIND_DATA: "DATA",
    KIND_EFFECT_ERROR: "EFFECT_ERROR",
    0xD002: "EFFECT_RETRY",
    0xD004: "EFFECT_ACK",
    0xD005: "EFFECT_BACKPRESSURE",
    0xD006: "EFFECT_CANCEL",
    0xD007: "EFFECT_CONFLICT",
}
MARKER_KINDS: Final = frozenset((KIND_BATCH_BEGIN, KIND_BATCH_COMMIT))
KNOWN_SYSTEM_KINDS: Final = frozenset(k for k in KIND_NAMES if k >> 12 == CATEGORY_SYSTEM)
KNOWN_EFFECT_KINDS: Final = frozenset(k for k in KIND_NAMES if k >> 12 == CATEGORY_EFFECT)

FLAG_REQUIRES_ACK: Final = 0x01
FLAG_TRANSACTIONAL: Final = 0x02
FLAG_REPLAY: Final = 0x08

# -- limits on what is written (spec segments 2.11) -------------------------------------------------------
MAX_COORDINATE_PART: Final = 1024
MAX_BATCH_RECOVERY_ITEMS: Final = 1_000_000
MAX_EXTENSION_KEY: Final = 256
MAX_PAYLOAD_DEPTH: Final = 256  # of what is encoded here: the reference has no limit of its own below MAX_NESTING
BATCH_ENTITY: Final = "_batch"
BATCH_SCOPE: Final = "_system"
LIFECYCLE_ENTITY: Final = "batpak:store"
LIFECYCLE_SCOPE: Final = "batpak:lifecycle"

# -- footer (core/src/store/segment/sidx.rs, sidx/footer.rs) ----------------------------------------------
FOOTER_MAGIC: Final = b"SDX3"
FOOTER_MAGIC_LEGACY: Final = b"SDX2"  # before 0.8.3: no CRC field, never trusted
FOOTER_TRAILER: Final = struct.Struct("<QI4s")  # string_table_offset, entry_count, magic
FOOTER_TRAILER_SIZE: Final = 16
FOOTER_CRC: Final = struct.Struct("<I")
FOOTER_CRC_SIZE: Final = 4
FOOTER_ENTRY_SIZE: Final = 162

FOOTER_DTYPE: Final = np.dtype(
    [
        ("event_id", "V16"),
        ("entity_idx", "<u4"),
        ("scope_idx", "<u4"),
        ("kind", "<u2"),
        ("wall_ms", "<u8"),
        ("clock", "<u4"),
        ("lane", "<u4"),
        ("depth", "<u4"),
        ("prev_hash", "V32"),
        ("event_hash", "V32"),
        ("offset", "<u8"),
        ("length", "<u4"),
        ("global_sequence", "<u8"),
        ("correlation_id", "V16"),
        ("causation_id", "V16"),
    ]
)
"""One footer row, packed. Ids are little-endian, as on disk; a zero ``causation_id`` means none."""


class FooterState(StrEnum):
    """What the end of a segment file holds."""

    ABSENT = "absent"  # no footer magic: frames run to the end of the file
    TRUSTED = "trusted"  # geometry, CRC, string table and indexes all hold
    BAD_CRC = "bad-crc"  # a possible geometry whose CRC differs
    LEGACY = "legacy"  # SDX2, which carries no CRC
    MALFORMED = "malformed"  # impossible geometry, or a string table that contradicts the rows


# -- sidecars: common envelope (magic, version, CRC-32 of everything after it), little-endian --------------
ENVELOPE: Final = struct.Struct("<6sHI")
ENVELOPE_SIZE: Final = 12

CHECKPOINT_MAGIC: Final = b"FBATCK"
CHECKPOINT_VERSION: Final = 6
CHECKPOINT_OLDEST_VERSION: Final = 2
MMAP_INDEX_MAGIC: Final = b"FBATIX"
MMAP_INDEX_VERSION: Final = 5
IDEMPOTENCY_MAGIC: Final = b"FBATID"
IDEMPOTENCY_VERSION: Final = 1
VISIBILITY_MAGIC: Final = b"FBATVR"
VISIBILITY_VERSION: Final = 2
KEYSET_MAGIC: Final = b"FBATKS"
KEYSET_VERSION: Final = 1
KEY_SIZE: Final = 32

# Header tails after the envelope, by version (core/src/store/cold_start/mmap/format.rs). All start with
# watermark_segment, watermark_offset, allocator, interner_count, entry_count, interner_len; version 2 adds
# summary_len and version 5 ext_blob_len.
MMAP_INDEX_TAILS: Final = {
    1: struct.Struct("<QQQIQQ"),
    2: struct.Struct("<QQQIQQQ"),
    3: struct.Struct("<QQQIQQQ"),
    4: struct.Struct("<QQQIQQQ"),
    5: struct.Struct("<QQQIQQQQ"),
}

_ROW_HEAD = [
    ("event_id", "V16"),
    ("entity_id", "<u4"),
    ("scope_id", "<u4"),
    ("kind", "<u2"),
    ("wall_ms", "<u8"),
    ("clock", "<u4"),
]
_ROW_LANES = [("lane", "<u4"), ("depth", "<u4")]
_ROW_TAIL = [
    ("prev_hash", "V32"),
    ("event_hash", "V32"),
    ("segment_id", "<u8"),
    ("offset", "<u8"),
    ("length", "<u4"),
    ("global_sequence", "<u8"),
    ("correlation_id", "V16"),
    ("causation_id", "V16"),
]
_ROW_EXTENSIONS = [("extensions_offset", "<u8"), ("extensions_size", "<u8"), ("extensions_hash", "V32")]
_MMAP_ROW_V1: Final = np.dtype(_ROW_HEAD + _ROW_TAIL)
_MMAP_ROW_V3: Final = np.dtype(_ROW_HEAD + _ROW_LANES + _ROW_TAIL)
MMAP_INDEX_DTYPE: Final = np.dtype(_ROW_HEAD + _ROW_LANES + _ROW_TAIL + _ROW_EXTENSIONS)
"""One row of ``index.fbati`` version 5 (218 bytes). Ids are little-endian."""
MMAP_INDEX_DTYPES: Final = {
    1: _MMAP_ROW_V1,
    2: _MMAP_ROW_V1,
    3: _MMAP_ROW_V3,
    4: _MMAP_ROW_V3,
    5: MMAP_INDEX_DTYPE,
}

# -- keyset granularity (core/src/store/keyscope.rs) ------------------------------------------------------
GRANULARITY_NAMES: Final = {1: "PerEntity", 2: "PerCategory", 3: "PerTypeId", 4: "PerEvent"}
