"""`snapshot` and `fork`: what each of them copies, shares and leaves out, and what their reports say of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Literal, get_args

from batpak_analytics.engine.view import SegmentRows
from batpak_analytics.errors import CopyRefusedError
from batpak_analytics.evidence.fork import ForkBody
from batpak_analytics.evidence.snapshot import SnapshotBody
from batpak_analytics.format import layout
from batpak_analytics.format.segment import canonical_name
from batpak_analytics.format.sidecars import visibility
from batpak_analytics.store.copies.destination import Destination, destination_of
from batpak_analytics.store.copies.images import true_images
from batpak_analytics.store.copies.report import CopyReport, Made, fork_report, snapshot_report
from batpak_analytics.store.copies.source import CopySource, require_same_hidden
from batpak_analytics.store.copies.transfer import How, Task, pieces_of_file, transfer
from batpak_analytics.store.files import Files
from batpak_analytics.store.repair import contents_of, is_unnumbered, sound_bytes
from batpak_analytics.store.sealed import evidence_of_sealing

Keys = Literal["refuse", "exclude"]
Pin = Callable[[], CopySource]
Dest = str | PathLike[str]
_MARGIN_BYTES = 128
"""More than the head of a segment and the end of a footer take."""
_STRING_HEADER_BYTES = 5


def snapshot(store: Path, pin: Pin, files: Files, dest: Dest, *, keys: Keys) -> CopyReport[SnapshotBody]:
    """See `Copies.snapshot`; `pin` gives what is copied, once nothing speaks against the destination."""
    return snapshot_report(_copied(store, pin, files, dest, keys, "copy", caches=False))


def fork(
    store: Path, pin: Pin, files: Files, dest: Dest, *, copy: How, exclude_caches: bool, keys: Keys
) -> CopyReport[ForkBody]:
    """See `Copies.fork`."""
    if copy not in get_args(How):
        raise ValueError(f"copy={copy!r}. Pass 'reflink', 'hardlink' or 'copy'.")
    return fork_report(_copied(store, pin, files, dest, keys, copy, caches=not exclude_caches))


def _copied(store: Path, pin: Pin, files: Files, dest: Dest, keys: Keys, how: How, *, caches: bool) -> Made:
    if keys not in get_args(Keys):
        raise ValueError(f"keys={keys!r}. Pass 'refuse' or 'exclude'.")
    started = time.perf_counter()
    target = destination_of(store, dest)
    source = pin()
    require_same_hidden(source)
    names = os.listdir(store)
    sealed = _sealed(source, names, target, keys)
    tasks = [*_segment_tasks(source), *_sidecar_tasks(source)]
    if caches:
        tasks += [_bytes_task(source, name, data) for name, data in true_images(source)]
    mode = source.mode_of(".") | 0o700
    copied = transfer(files, tasks, target, store, mode, how)
    return Made(source, target, copied, tuple(names), sealed, time.perf_counter() - started)


def _sealed(source: CopySource, names: Iterable[str], target: Destination, keys: Keys) -> bool:
    """Whether payloads are sealed, which is no reason to refuse where `keys` says so. Keys are never copied."""
    evidence = evidence_of_sealing(source.path, names, source.segments)
    if evidence is not None and keys == "refuse":
        raise CopyRefusedError(
            f"{evidence} shows that this store seals its payloads, and keys never travel with what they open: they "
            f"could bring back what was shredded since. Pass keys='exclude' for a copy without them, and carry "
            f"{layout.KEYSET_NAME} by another way.",
            path=target.path,
        )
    return evidence is not None


def _segment_tasks(source: CopySource) -> Iterable[Task]:
    """Byte by byte where a segment's own footer has the numbers that are shown; else with a footer that has them.

    Then neither engine needs an index image, or counts: in the copy every event has the number it has here.
    """
    highest = max((one.segment_id for one in source.segments), default=0)
    for segment in source.segments:
        name, mode = canonical_name(segment.segment_id), source.mode_of(segment.name)
        if is_unnumbered(segment):
            yield _with_footer(segment, name, mode)
        else:
            pieces = partial(pieces_of_file, segment)
            shared = segment.segment_id < highest
            yield Task(name, segment.size_bytes, mode, pieces, segment, shared)


def _with_footer(segment: SegmentRows, name: str, mode: int) -> Task:
    """Its rows are copied when it is written, one segment at a time."""
    strings = sum(len(text.encode()) + _STRING_HEADER_BYTES for text in segment.strings)
    most = segment.size_bytes + segment.count * layout.FOOTER_ENTRY_SIZE + strings + _MARGIN_BYTES
    return Task(name, most, mode, partial(_sealed_pieces, segment), segment, new_footer=True)


def _sealed_pieces(segment: SegmentRows) -> Iterable[bytes]:
    return sound_bytes(contents_of(segment), time.time_ns())


def _sidecar_tasks(source: CopySource) -> Iterable[Task]:
    hidden = source.hidden_here
    if hidden:
        yield _bytes_task(source, layout.VISIBILITY_NAME, visibility.encode(hidden))
    if source.keys is not None:
        yield _bytes_task(source, layout.IDEMPOTENCY_NAME, source.keys)


def _bytes_task(source: CopySource, name: str, data: bytes) -> Task:
    return Task(name, len(data), source.mode_of(name), lambda: [data])
