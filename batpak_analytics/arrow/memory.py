"""Would the result fit? Asked before a whole result is built, and again while it grows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa

from batpak_analytics.arrow.schema import PAYLOAD, is_field, is_hash, is_id
from batpak_analytics.errors import ResultTooLargeError

HEADER_BYTES = 400
"""About what a frame holds besides its payload; payload bytes from 128 up take two bytes in a frame, so
`length - HEADER_BYTES` is a fair guess at the decoded size."""

_TEXT_BYTES = 24  # of a short Python or Arrow string beside its characters


def available_bytes() -> int | None:
    """Memory that can still be taken without swapping, as Linux tells it, or None where nobody does."""
    found = [value for value in (_meminfo(), _control_group()) if value is not None]
    return min(found, default=None)


def _meminfo() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _control_group() -> int | None:
    """What the container may still take (control groups, version 2)."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit = (folder / "memory.max").read_text().strip()
        used = int((folder / "memory.current").read_text())
        return None if limit == "max" else max(int(limit) - used, 0)
    except (OSError, ValueError):
        return None


def estimate_bytes(schema: Any, rows: int, frame_bytes: int, *, pandas: bool) -> int:
    """A low guess at the memory of `rows` rows, whose frames hold `frame_bytes` bytes."""
    width = sum(_width(field.name, field.type, pandas) for field in schema)
    payload = any((f.name == PAYLOAD and not _is_view(f.type)) or is_field(f.name) for f in schema)
    return rows * width + (max(frame_bytes - rows * HEADER_BYTES, 0) if payload else 0)


def _width(name: str, kind: Any, pandas: bool) -> int:
    if _is_view(kind):
        return 16
    if is_id(name, kind) or is_hash(name, kind):
        return kind.byte_width * 2 + 8 if pandas else int(kind.byte_width)
    if pa.types.is_dictionary(kind):
        return 4
    if pa.types.is_primitive(kind):
        return max(int(kind.bit_width) // 8, 1)
    return _TEXT_BYTES if pandas else 8


def _is_view(kind: Any) -> bool:
    return bool(pa.types.is_binary_view(kind))


def refuse_if_too_large(needed: int, available: int | None, what: str) -> None:
    """Raise `ResultTooLargeError` where `needed` bytes are clearly more than there are."""
    if available is None or needed <= available:
        return
    raise ResultTooLargeError(
        f"{what} needs about {_gib(needed)}, and {_gib(available)} of memory are free. Ask for fewer rows with "
        f"limit= or filters, for fewer columns with columns=, or stream it with scan_batpak(...).to_batches().",
        expected=available,
        actual=needed,
    )


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"
