"""Files as buffers: mapped where that is safe, read by position where it is not. Both give identical bytes.

Sealed segments never change, so they are mapped once, at open, and shared. `pyarrow.memory_map` keeps no descriptor
per file (CPython's own mmap does before 3.13), so ten thousand segments cost no descriptors. The tail is read by
position: a writer that recovers after a crash may cut a torn tail, and touching a cut map kills the process (SIGBUS).
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from batpak_analytics.engine.filesystem import DescriptorCache, FileIdentity
from batpak_analytics.errors import CorruptSegmentError

MAPPING = os.environ.get("BATPAK_MMAP", "on") != "off"


def _madvise() -> Any:
    """The system's own call: pyarrow maps files but does not give advice about them."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        call = ctypes.CDLL(None).madvise
    except (OSError, AttributeError):
        return None
    call.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return call


_MADVISE = _madvise()


@dataclass(frozen=True, slots=True, eq=False)
class SegmentFile:
    """One pinned file of a view.

    `map` is the whole file as a zero-copy buffer, or None, and then every window is a positioned read of its own
    bytes object: no buffer is ever reused, so none can show bytes of an earlier read.
    """

    location: str
    name: str
    identity: FileIdentity
    map: Any
    descriptors: DescriptorCache

    @property
    def path(self) -> Path:
        """Where it was listed."""
        return Path(self.location)

    @property
    def size_bytes(self) -> int:
        """The size that was pinned; a file that grew since does not grow here."""
        return self.identity.size

    def window(self, low: int, high: int) -> Any:
        """Bytes `[low, high)` of the file as a `pyarrow.Buffer`: a slice of the map, or a fresh read."""
        if not 0 <= low <= high <= self.identity.size:
            raise CorruptSegmentError(
                f"{self.location} has {self.identity.size} bytes, and something in it points at [{low}, {high}). "
                f"Run `batpak check` on the store to see what is damaged.",
                path=self.location,
                offset=low,
                expected=high,
                actual=self.identity.size,
            )
        if self.map is not None:
            return self.map.slice(low, high - low)
        return pa.py_buffer(self.descriptors.read(self.path, self.identity, low, high - low))

    def release(self, low: int, high: int) -> None:
        """Let the process forget the pages of `[low, high)`: it can still read them."""
        if self.map is None or _MADVISE is None:
            return
        page = mmap.PAGESIZE
        start = -(-(self.map.address + max(low, 0)) // page) * page
        stop = (self.map.address + min(high, self.map.size)) // page * page
        if start < stop:
            _MADVISE(start, stop - start, mmap.MADV_DONTNEED)


def open_segment(
    directory: str, name: str, identity: FileIdentity, descriptors: DescriptorCache, *, mapped: bool
) -> SegmentFile:
    """Pin the file that was listed as `identity`; map it when `mapped` and the system allows it."""
    location = os.path.join(directory, name)
    return SegmentFile(location, name, identity, map_file(location, identity) if mapped else None, descriptors)


def map_file(path: str, identity: FileIdentity) -> Any:
    """The file as one zero-copy `pyarrow.Buffer`, or None where it cannot be mapped as the file that was listed."""
    if not MAPPING or identity.size == 0:
        return None
    try:
        with pa.memory_map(path) as source:
            if source.size() < identity.size or not identity.same_file(FileIdentity.of(os.stat(path))):
                return None
            # Reading the whole would ask the system to fetch the whole: a byte gives the map, and keeps it alive.
            first = source.read_buffer(1)
            return pa.foreign_buffer(first.address, identity.size, first)
    except (OSError, pa.ArrowException):
        return None
