"""The one seam through which a store is written: every call that changes a disk, so that tests can make each fail."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from batpak_analytics.errors import StoreLockedError
from batpak_analytics.format.layout import TEMPORARY_PREFIX

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
_CLOSE_ON_EXEC = getattr(os, "O_CLOEXEC", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_FILE_MODE = 0o666
_PRIVATE = 0o700
_FICLONE = 0x40049409  # of Linux: _IOW(0x94, 9, int)

WRITE_BYTES = 1 << 20
"""Given to the system at a time. From 2 MB on, Linux takes its largest pages for them, which a virtual machine often
has to ask its host for anew: writing a table took several times as long."""

Buffer = bytes | bytearray | memoryview


class Files:
    """The operating system's files, called as they are; errors are its own."""

    def make_directory(self, path: Path) -> None:
        """Create the directory and its parents unless they exist; their names are on disk on return."""
        missing = [one for one in (path, *path.parents) if not one.exists()]
        path.mkdir(parents=True, exist_ok=True)
        for one in reversed(missing):
            self.sync_directory(one.parent)

    def create(self, path: Path) -> int:
        """A descriptor that appends to a new file; the name must be free."""
        return os.open(path, _CREATE | _CLOSE_ON_EXEC | _NO_LINK, _FILE_MODE)

    def write(self, descriptor: int, data: memoryview) -> int:
        """How many bytes of `data` were appended; it may be fewer than given."""
        return os.write(descriptor, data)

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut the file to its first `size` bytes."""
        os.ftruncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        """Return when the file's bytes are on disk."""
        os.fsync(descriptor)

    def sync_file(self, path: Path) -> None:
        """`sync` for a file that is not open."""
        descriptor = os.open(path, os.O_RDONLY | _CLOSE_ON_EXEC)
        try:
            self.sync(descriptor)
        finally:
            os.close(descriptor)

    def sync_directory(self, path: Path) -> None:
        """Return when the names in the directory are on disk."""
        descriptor = os.open(path, os.O_RDONLY | _CLOSE_ON_EXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Give the file another name, at once or not at all."""
        os.replace(source, target)

    def symlink(self, target: str, path: Path) -> None:
        """Create a symbolic link to a file of the same directory; the name must be free."""
        os.symlink(target, path)

    def remove(self, path: Path) -> None:
        """Remove a file of this store."""
        os.unlink(path)

    def new_directory(self, path: Path) -> None:
        """Create a directory that only its owner may enter; the name must be free."""
        os.mkdir(path, _PRIVATE)

    def remove_directory(self, path: Path) -> None:
        """Remove an empty directory."""
        os.rmdir(path)

    def set_mode(self, path: Path, mode: int) -> None:
        """Say who may read and write a file or enter a directory."""
        os.chmod(path, mode)

    def link(self, source: Path, target: Path) -> None:
        """Give the file a second name, which must be free: a hard link."""
        os.link(source, target, follow_symlinks=False)

    def clone(self, source: Path, target: Path) -> None:
        """A new file that shares the blocks of `source` until one of them is written to: a reflink.

        Raises OSError where the file system cannot; the new file is empty then, and is left.
        """
        import fcntl

        descriptor = self.create(target)
        try:
            origin = os.open(source, os.O_RDONLY | _CLOSE_ON_EXEC | _NO_LINK)
            try:
                fcntl.ioctl(descriptor, _FICLONE, origin)
            finally:
                os.close(origin)
            self.sync(descriptor)
        finally:
            self.close(descriptor)

    def free_bytes(self, path: Path) -> int:
        """How many bytes this process may still write to the file system of a directory."""
        room = os.statvfs(path)
        return room.f_bavail * room.f_frsize

    def close(self, descriptor: int) -> None:
        """Let go of a descriptor."""
        os.close(descriptor)

    def lock(self, path: Path) -> int:
        """A descriptor that holds the exclusive lock until it is closed.

        This is `flock`, as 0.9.0 takes it: record locks (`lockf`) do not exclude the Rust engine. The file stays
        empty and is never removed. Raises `StoreLockedError` at once when another owner holds it.
        """
        import fcntl

        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINK | _CLOSE_ON_EXEC, _FILE_MODE)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise StoreLockedError(
                f"{path} is a symbolic link, and a lock is never taken through one. Remove the link.", path=path
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            raise StoreLockedError(
                f"{path.parent} is open in another batpak writer (or another Store of this process), which holds "
                f"{path.name}. Close that one first; to read beside it, use open_reader().",
                path=path.parent,
            ) from error
        return descriptor


def write_all(files: Files, descriptor: int, data: Buffer) -> None:
    """Append all of `data`, however little the system takes at a time."""
    view = memoryview(data)
    while view:
        view = view[files.write(descriptor, view[:WRITE_BYTES]) :]


def write_pieces(files: Files, descriptor: int, pieces: Sequence[Buffer]) -> int:
    """Append the pieces one behind the other, small ones at once; large ones are not copied for it. Their size."""
    size = sum(map(len, pieces))
    for piece in pieces if size > WRITE_BYTES else [b"".join(pieces)]:
        write_all(files, descriptor, piece)
    return size


def replace_file(files: Files, path: Path, pieces: Iterable[bytes]) -> None:
    """Give a file other contents, at once and durably: they are whole and on disk before they take the name."""
    fresh = path.with_name(f"{TEMPORARY_PREFIX}{path.name}")
    fresh.unlink(missing_ok=True)
    descriptor = files.create(fresh)
    try:
        for piece in pieces:
            write_all(files, descriptor, piece)
        files.sync(descriptor)
    finally:
        files.close(descriptor)
    files.rename(fresh, path)
    files.sync_directory(path.parent)
