"""The only module that opens, stats and reads files of a store. It never creates, writes or locks one.

A store directory belongs to its writer. A reader that left so much as a probe file in it could not be pointed at
production (the reference takes an exclusive lock and writes a probe even for a read-only open; sidecars spec 12 and
2.1). Everything here opens with ``O_RDONLY`` and nothing else.
"""

from __future__ import annotations

import errno
import os
import stat as stat_bits
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from batpak_analytics.errors import CorruptSegmentError, StorePermissionError, ViewExpiredError

READ_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class FileIdentity(NamedTuple):
    """Which file this is, whatever its name says later: compaction reuses the lowest segment's name."""

    device: int
    inode: int
    size: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileIdentity:
        """The identity that a stat gives."""
        return cls(status.st_dev, status.st_ino, status.st_size)

    def same_file(self, other: FileIdentity | None) -> bool:
        """True when both name one inode; the sizes may differ, because the tail grows."""
        return other is not None and self.inode == other.inode and self.device == other.device


_NONE: Mapping[str, FileIdentity] = {}


def list_files(directory: Path, held: Mapping[str, FileIdentity] = _NONE) -> dict[str, FileIdentity]:
    """The regular files of `directory` by name. Symbolic links to files count as the file they name.

    No file of `held` is asked for its status again while its name has its inode: it is mapped, so that no other file
    can have that, and finished, so that its size is what it was.
    """
    found: dict[str, FileIdentity] = {}
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                known = held.get(entry.name)
                if known is not None and entry.inode() == known.inode and not entry.is_symlink():
                    found[entry.name] = known
                    continue
                try:
                    status = entry.stat()
                except FileNotFoundError:
                    continue  # unlinked between the listing and the stat; the caller lists again anyway
                if stat_bits.S_ISREG(status.st_mode):
                    found[entry.name] = FileIdentity.of(status)
    except PermissionError as error:
        raise permission_error(directory, error) from error
    return found


def read_file(path: Path) -> bytes | None:
    """The whole of a small sidecar, or None when there is none. A file that may not be read raises."""
    try:
        with open(path, "rb") as handle:
            return handle.read()
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise permission_error(path, error) from error


def permission_error(path: Path, error: OSError) -> StorePermissionError:
    """The error for a path this user may not read, with the remedy. Sidecars are published with mode 0600."""
    return StorePermissionError(
        f"{path} may not be read by this user ({error.strerror or error}). 0.9.0 publishes its sidecars with mode "
        f"0600, so run as the user that writes the store, or let that user grant read access (chmod g+r).",
        path=str(path),
    )


class DescriptorCache:
    """A bounded, least-recently-used set of open descriptors for positioned reads, safe to share between threads.

    The reference keeps 64 (segments spec 6.10). A descriptor is opened by name and then checked against the pinned
    identity, so a name that compaction has reused is never mistaken for the file that was listed.
    """

    def __init__(self, budget: int = 64) -> None:
        if budget < 1:
            raise ValueError(f"a descriptor budget must be at least 1, not {budget}")
        self._budget = budget
        self._open: OrderedDict[tuple[str, int, int], int] = OrderedDict()
        self._pinned: dict[tuple[str, int, int], int] = {}
        self._lock = threading.Lock()

    def read(self, path: Path, identity: FileIdentity, offset: int, size: int) -> bytes:
        """Exactly `size` bytes at `offset` of the pinned file, or an error: never a short read."""
        parts: list[bytes] = []
        want, position = size, offset
        with self._lock:  # held during the read, so that an eviction cannot close the descriptor under it
            descriptor = self._descriptor(path, identity)
            while want:
                part = os.pread(descriptor, want, position)
                if not part:
                    raise CorruptSegmentError(
                        f"{path} ends at {position}, {want} bytes before the end of the read that began at {offset}. "
                        f"The file was cut after it was listed; open the store again.",
                        path=str(path),
                        offset=position,
                        expected=size,
                        actual=size - want,
                    )
                parts.append(part)
                want -= len(part)
                position += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    @contextmanager
    def holding(self, files: list[tuple[Path, FileIdentity]]) -> Iterator[None]:
        """Keep `files` open for as long as the block runs, so that a stream that began can be finished."""
        held: list[tuple[str, int, int]] = []
        try:
            with self._lock:
                for path, identity in files:
                    self._descriptor(path, identity)
                    held.append((str(path), identity.device, identity.inode))
                    self._pinned[held[-1]] = self._pinned.get(held[-1], 0) + 1
            yield
        finally:
            with self._lock:
                for key in held:
                    self._pinned[key] -= 1
                    if not self._pinned[key]:
                        del self._pinned[key]
                self._evict()

    def close(self) -> None:
        """Close every descriptor; a later read opens what it needs again."""
        with self._lock:
            while self._open:
                os.close(self._open.popitem()[1])

    def __len__(self) -> int:
        return len(self._open)

    def _descriptor(self, path: Path, identity: FileIdentity) -> int:
        key = (str(path), identity.device, identity.inode)
        found = self._open.get(key)
        if found is not None:
            self._open.move_to_end(key)
            return found
        descriptor = _open_pinned(path, identity)
        self._open[key] = descriptor
        self._evict(keep=key)
        return descriptor

    def _evict(self, keep: tuple[str, int, int] | None = None) -> None:
        for key in list(self._open):
            if len(self._open) <= self._budget:
                return
            if key != keep and key not in self._pinned:
                os.close(self._open.pop(key))

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        # `close` is bound now because the interpreter may have dismantled `os` when the last reader goes.
        for descriptor in getattr(self, "_open", {}).values():
            close(descriptor)


def _open_pinned(path: Path, identity: FileIdentity) -> int:
    try:
        descriptor = os.open(path, READ_FLAGS)
    except FileNotFoundError as error:
        raise expired(path) from error
    except PermissionError as error:
        raise permission_error(path, error) from error
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            raise expired(path) from error
        raise
    if not identity.same_file(FileIdentity.of(os.fstat(descriptor))):
        os.close(descriptor)
        raise expired(path)
    return descriptor


def open_listed(location: str, identity: FileIdentity) -> int | None:
    """A descriptor of the file that was listed, whole, or None where the name now belongs to something else."""
    try:
        descriptor = os.open(location, READ_FLAGS)
    except OSError:
        return None
    status = os.fstat(descriptor)
    if status.st_ino == identity.inode and status.st_dev == identity.device and status.st_size >= identity.size:
        return descriptor
    os.close(descriptor)
    return None


def expired(path: Path) -> ViewExpiredError:
    """The error for a pinned file whose name now belongs to nothing or to another file."""
    return ViewExpiredError(
        f"{path.name} was compacted away after this view was opened, and it was not mapped. "
        f"Call refresh() on the reader (or open the store again) and repeat the read.",
        path=str(path),
    )
