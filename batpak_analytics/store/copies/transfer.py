"""The files of a copy, and the directory that appears with all of them or not at all.

They are written beside the destination, under a name that says what it is, and synced; then that directory takes the
name asked for. A crash before leaves the other name, which the next call names; a crash after leaves the copy.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from blake3 import blake3

from batpak_analytics.engine.filesystem import FileIdentity
from batpak_analytics.engine.view import SegmentRows
from batpak_analytics.errors import CopyFailedError, CopyRefusedError
from batpak_analytics.store.copies.destination import Destination, left_over
from batpak_analytics.store.files import Buffer, Files, write_all

How = Literal["reflink", "hardlink", "copy"]
LADDERS: dict[How, tuple[How, ...]] = {"reflink": ("reflink", "hardlink"), "hardlink": ("hardlink",), "copy": ()}
"""What is tried, in order, before the bytes are copied."""
PIECE_BYTES = 1 << 23
BLOCK_BYTES = 4096
"""A file takes whole blocks, and a directory at least one."""


@dataclass(frozen=True, slots=True)
class CopiedFile:
    """One file of a copy. `digest` is BLAKE3 of its bytes, None where it is shared and was not read."""

    name: str
    how: How
    size_bytes: int
    digest: str | None
    segment_id: int | None = None
    new_footer: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A file that is going to be part of a copy."""

    name: str
    size_bytes: int
    mode: int
    pieces: Callable[[], Iterable[Buffer]]
    segment: SegmentRows | None = None
    shared: bool = False
    """Whether it never changes, so that both stores may have one file."""
    new_footer: bool = False


def transfer(
    files: Files, tasks: Sequence[Task], target: Destination, store: Path, mode: int, how: How
) -> tuple[CopiedFile, ...]:  # fmt: skip
    """Make the copy, on disk and whole when this returns.

    Raises `CopyRefusedError` with nothing touched where there is no room, and `CopyFailedError` where the disk fails.
    """
    _require_room(files, tasks, target, store, how)
    try:
        with _partial(files, target):
            copied = tuple(_make(files, task, target.partial / task.name, LADDERS[how]) for task in tasks)
            files.set_mode(target.partial, mode)
            files.sync_directory(target.partial)
            files.rename(target.partial, target.path)
    except OSError as error:
        raise CopyFailedError(
            f"Copying {store} to {target.path} failed ({error.strerror or error}). The store is as it was, and "
            f"{_what_is_left(target)}. Free or replace the disk, then repeat.",
            path=target.path,
        ) from error
    try:
        files.sync_directory(target.path.parent)
    except OSError as error:
        raise CopyFailedError(
            f"{target.path} is whole, and its name may not be on disk ({error.strerror or error}). Sync its file "
            f"system, or remove it and repeat.",
            path=target.path,
        ) from error
    return copied


def _what_is_left(target: Destination) -> str:
    if os.path.lexists(target.partial):
        return f"{target.partial}, which holds a part of the copy, could not be removed; remove it (rm -r)"
    return "nothing of the copy is left"


def _require_room(files: Files, tasks: Sequence[Task], target: Destination, store: Path, how: How) -> None:
    """Refuse before anything is written; what is linked takes no room, if it can be linked at all."""
    linkable = bool(LADDERS[how]) and os.stat(store).st_dev == os.stat(target.path.parent).st_dev
    needed = BLOCK_BYTES + sum(_on_disk(task) for task in tasks if not (task.shared and linkable))
    free = files.free_bytes(target.path.parent)
    if needed > free:
        raise CopyRefusedError(
            f"A copy to {target.path} takes {needed:,} bytes, and {free:,} are free there. Free some, or give a place "
            f"with more.",
            path=target.path,
            expected=needed,
            actual=free,
        )


def _on_disk(task: Task) -> int:
    return -(-task.size_bytes // BLOCK_BYTES) * BLOCK_BYTES


@contextmanager
def _partial(files: Files, target: Destination) -> Iterator[None]:
    """The directory that is being filled; removed again when something goes wrong, an interrupt included."""
    try:
        files.new_directory(target.partial)
    except FileExistsError as error:
        raise left_over(target.path, target.partial) from error
    try:
        yield
    except BaseException:
        with suppress(OSError):  # the error that led here says more, and what is left will be named
            _remove(files, target.partial)
        raise


def _remove(files: Files, directory: Path) -> None:
    try:
        names = os.listdir(directory)
    except FileNotFoundError:  # it has its own name already
        return
    for name in names:
        files.remove(directory / name)
    files.remove_directory(directory)


def _make(files: Files, task: Task, path: Path, ladder: tuple[How, ...]) -> CopiedFile:
    shared = task.segment if task.shared else None
    if shared is not None:
        for how in ladder:
            if _share(files, shared, path, how):
                if how == "reflink":  # a file of its own, where a link has the mode of the one file
                    files.set_mode(path, task.mode)
                    files.sync_file(path)
                return CopiedFile(task.name, how, task.size_bytes, None, shared.segment_id)
    digest, size = blake3(), 0
    descriptor = files.create(path)
    try:
        for piece in task.pieces():
            digest.update(piece)
            size += len(piece)
            write_all(files, descriptor, piece)
        files.set_mode(path, task.mode)  # before the sync, which brings that to disk too
        files.sync(descriptor)
    finally:
        files.close(descriptor)
    segment_id = None if task.segment is None else task.segment.segment_id
    return CopiedFile(task.name, "copy", size, digest.hexdigest(), segment_id, task.new_footer)


def _share(files: Files, segment: SegmentRows, path: Path, how: How) -> bool:
    """Whether the file is there now, as the same blocks. Whatever the reason is that it cannot be, it is copied."""
    source = segment.file
    try:
        files.sync_file(source.path)  # before it has two names: what is clean costs nothing
        (files.clone if how == "reflink" else files.link)(source.path, path)
        if _is_same(source.path, path, source.identity, how):
            return True
    except OSError:
        pass
    with suppress(FileNotFoundError):
        files.remove(path)
    return False


def _is_same(source: Path, path: Path, wanted: FileIdentity, how: How) -> bool:
    """Whether it was the pinned file that had the name: a compaction gives its output the name of a source."""
    if how == "hardlink":
        return FileIdentity.of(os.stat(path)) == wanted
    return FileIdentity.of(os.stat(source)) == wanted and os.stat(path).st_size == wanted.size


def pieces_of_file(segment: SegmentRows) -> Iterator[memoryview]:
    """The bytes of a pinned file, whole."""
    for low in range(0, segment.size_bytes, PIECE_BYTES):
        high = min(low + PIECE_BYTES, segment.size_bytes)
        yield memoryview(segment.window(low, high))
        segment.release(low, high)
