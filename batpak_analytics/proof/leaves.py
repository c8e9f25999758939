"""One leaf for each committed frame of a view, and leaf hashes in a file of our own.

Leaves are in (segment id, offset) order, hidden events included; the data of a leaf is the whole body of its frame:
header, payload, links, entity and scope, extensions. The checksum in front is left out, since the body decides it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import crc32c
import numpy as np

from batpak_analytics import kernels
from batpak_analytics.arrow.windows import windows
from batpak_analytics.engine.parallel import in_order
from batpak_analytics.errors import AnchorError
from batpak_analytics.format.layout import FRAME_HEADER_SIZE, HASH_SIZE, ID_SIZE
from batpak_analytics.proof.merkle import LEAF

ROWS_AT_ONCE = 1 << 14
MAGIC = b"BPKLEAF\x00"
VERSION = 1
HEADER = struct.Struct("<8sHHIQ")  # magic, version, bytes of a record, CRC-32C of the records, how many there are
HEADER_CRC = struct.Struct("<I")  # of the header
RECORD = np.dtype([("hash", np.uint8, HASH_SIZE), ("event_id", np.uint8, ID_SIZE)])


def leaf_hashes(view: Any, size: int | None = None) -> Any:
    """The leaf hashes of the first `size` events of a view, or of all, as an `(n, 32)` array. Reads every frame."""

    def hashed(work: tuple[Any, slice]) -> Any:
        segment, rows = work
        parts = [np.empty((0, HASH_SIZE), np.uint8)]
        for window in windows(segment, rows):
            offsets, lengths = window.places(segment)
            bodies = offsets.astype(np.int64) + FRAME_HEADER_SIZE
            sizes = lengths.astype(np.int64) - FRAME_HEADER_SIZE
            parts.append(kernels.hash_spans(window.buffer, bodies, sizes, LEAF))
        return np.concatenate(parts)

    with view.pinned():
        found = list(in_order(hashed, pieces_of(view, size)))
    return np.concatenate([np.empty((0, HASH_SIZE), np.uint8), *found])


def pieces_of(view: Any, size: int | None = None) -> Iterator[tuple[Any, slice]]:
    """(segment, rows) of the first `size` rows of a view, a few thousand at a time."""
    left = sum(len(segment.rows) for segment in view.segments) if size is None else size
    for segment in view.segments:
        for first in range(0, len(segment.rows), ROWS_AT_ONCE):
            stop = min(first + ROWS_AT_ONCE, len(segment.rows), first + left)
            if stop > first:
                yield segment, slice(first, stop)
                left -= stop - first


@dataclass(frozen=True, eq=False)
class LeafFile:
    """Leaf hashes with the id of each event, as they were saved beside a checkpoint."""

    hashes: Any
    event_ids: Any

    def save(self, path: str | PathLike[str]) -> None:
        """Write the file: a header with its CRC-32C, then 48 bytes for each leaf."""
        records = np.empty(len(self.hashes), RECORD)
        records["hash"], records["event_id"] = self.hashes, self.event_ids
        body = records.tobytes()
        header = HEADER.pack(MAGIC, VERSION, RECORD.itemsize, crc32c.crc32c(body), len(records))
        Path(path).write_bytes(header + HEADER_CRC.pack(crc32c.crc32c(header)) + body)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> LeafFile:
        """Read one back; raises `AnchorError` where it is damaged, none, or newer than this package."""
        data = Path(path).read_bytes()
        start = HEADER.size + HEADER_CRC.size
        if len(data) < start or not data.startswith(MAGIC):
            raise AnchorError(f"{path} is no file of leaf hashes. Give the one that checkpoint(leaves=...) wrote.")
        _, version, width, crc, count = HEADER.unpack_from(data)
        if version != VERSION:
            raise AnchorError(f"{path} has version {version}, and this package knows {VERSION}. Update the package.")
        body = memoryview(data)[start:]
        sound = HEADER_CRC.unpack_from(data, HEADER.size) == (crc32c.crc32c(data[: HEADER.size]),)
        if not sound or width != RECORD.itemsize or len(body) != width * count or crc32c.crc32c(body) != crc:
            raise AnchorError(f"{path} is damaged. Verify without it: only which event differs first is lost by that.")
        records = np.frombuffer(body, RECORD)
        return cls(records["hash"], records["event_id"])
