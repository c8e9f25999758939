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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa

from batpak_analytics.engine.filesystem import DescriptorCache, FileIdentity, open_listed
from batpak_analytics.errors import CorruptSegmentError

MAPPING = os.environ.get("BATPAK_MMAP", "on") != "off"


def _system_call(library: Any, name: str, result: Any, *arguments: Any) -> Any:
    """A call of the system's own: pyarrow maps files, but not where they are wanted, and gives no advice about them."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        call = getattr(library(None), name)
    except (OSError, AttributeError):
        return None
    call.restype, call.argtypes = result, arguments
    return call


_MADVISE = _system_call(ctypes.CDLL, "madvise", ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_MUNMAP = _system_call(ctypes.CDLL, "munmap", ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
# This one is short: to let go of the interpreter for it costs more than it gives.
_MMAP = _system_call(
    ctypes.PyDLL, "mmap", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long
)
_FAILED = ctypes.c_void_p(-1).value
_PROT_NONE, _MAP_FIXED = 0, 0x10  # of Linux; Python names the others only


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
        if self.map is not None:
            release(self.map, low, high)


def release(buffer: Any, low: int, high: int) -> None:
    """Let the process forget the pages of `[low, high)` of a mapped buffer: it can still read them."""
    if _MADVISE is None:
        return
    page = mmap.PAGESIZE
    start = -(-(buffer.address + max(low, 0)) // page) * page
    stop = (buffer.address + min(high, buffer.size)) // page * page
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


class _Region:
    """Addresses that are given back when nothing refers to this any more."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.address = _MMAP(None, size, _PROT_NONE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)

    def map(self, at: int, descriptor: int, size: int) -> bool:
        """Put the first `size` bytes of a file at `at`."""
        place = self.address + at
        return bool(_MMAP(place, size, mmap.PROT_READ, mmap.MAP_SHARED | _MAP_FIXED, descriptor, 0) == place)

    def __del__(self, unmap: Callable[..., int] | None = _MUNMAP) -> None:
        # `unmap` is bound now because the interpreter may have dismantled this module when the last region goes.
        if unmap is not None and self.address != _FAILED:
            unmap(self.address, self.size)


def map_together(
    directory: str, names: Sequence[str], identities: Sequence[FileIdentity]
) -> tuple[Any, tuple[int, ...]] | None:
    """All files in one zero-copy `pyarrow.Buffer`, each from the start of a page on, and where those are.

    None where a file cannot be mapped as it was listed, or this system does not map side by side. It takes half the
    time of as many maps, and one object.
    """
    if not MAPPING or _MMAP is None or _MUNMAP is None:
        return None
    page = mmap.PAGESIZE
    *starts, end = accumulate((-(-identity.size // page) * page for identity in identities), initial=0)
    region = _Region(end)
    if region.address == _FAILED:
        return None
    for name, identity, start in zip(names, identities, starts, strict=True):
        descriptor = open_listed(f"{directory}/{name}", identity)
        if descriptor is None:
            return None
        mapped = region.map(start, descriptor, identity.size)
        os.close(descriptor)
        if not mapped:
            return None
    return pa.foreign_buffer(region.address, end, region), tuple(starts)
