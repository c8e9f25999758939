"""A store at one moment: its segments as index rows, in commit order, with what is hidden and what was found wrong.

A view never changes. Everything it shows is pinned by (device, inode, size), so a compaction that reuses a file's name
cannot slip other bytes under it.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from batpak_analytics.engine.filesystem import DescriptorCache
from batpak_analytics.engine.listing import Listing, take_listing
from batpak_analytics.engine.mapping import SegmentFile
from batpak_analytics.engine.numbering import Numbered, Numbering, Run
from batpak_analytics.engine.problems import Problems, together
from batpak_analytics.engine.sequences import load_image
from batpak_analytics.engine.sidecar_state import check_names, check_strings, load_keyset
from batpak_analytics.engine.straddling import settle_open_batches
from batpak_analytics.engine.stretch_rows import PartOfNumbering, StretchRows, frame_bytes, used_strings
from batpak_analytics.engine.stretches import AnyScan, StretchScan
from batpak_analytics.engine.topology import resolve_segments
from batpak_analytics.engine.visibility import load_hidden
from batpak_analytics.errors import (
    CorruptFrameError,
    CrcMismatchError,
    NotAStoreError,
    StoreNotFoundError,
    StorePermissionError,
)
from batpak_analytics.format.sidecars.keyset import Keyset
from batpak_analytics.format.sidecars.visibility import HiddenRanges
from batpak_analytics.model import Finding


@dataclass(frozen=True, slots=True, eq=False)
class SegmentRows(Numbered):
    """One segment of a view.

    `rows` is a `FOOTER_DTYPE` array in file order, one per committed event, hidden ones included; for a sealed segment
    it is a view of the map.
    """

    segment_id: int
    name: str
    path: str
    role: str
    size_bytes: int
    footer_state: str
    frames_start: int
    frames_end: int
    rows: Any
    strings: tuple[str, ...]
    numbering: Numbering | PartOfNumbering
    position: int
    file: SegmentFile

    joined = False

    @property
    def mapped(self) -> bool:
        """Whether windows are slices of a map rather than reads."""
        return self.file.map is not None

    def window(self, low: int, high: int) -> Any:
        """Bytes `[low, high)` of the file as a `pyarrow.Buffer`; zero-copy when the file is mapped."""
        return self.file.window(low, high)

    def release(self, low: int, high: int) -> None:
        """Let the process forget the pages of `[low, high)`: it can still read them."""
        self.file.release(low, high)

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self.rows)

    def used_strings(self, mask: Any) -> tuple[Any, Any]:
        """Which of `strings` the rows use as entity and which as scope; `mask` chooses rows, None all."""
        return used_strings(self, mask)

    def frame_bytes(self, mask: Any) -> int:
        """Bytes of the frames of all rows or of those that `mask` chooses."""
        return frame_bytes(self, mask, self.numbering.frame_bytes(self.position))

    @property
    def id_range(self) -> tuple[int, int]:
        """The lowest and the highest segment id: that of this one."""
        return self.segment_id, self.segment_id

    def place(self, row: int) -> tuple[int, str, int]:
        """Segment id, file name and offset in the file of a row's frame."""
        return self.segment_id, self.name, int(self.rows["offset"][row])

    def segment_ids(self, _: Any) -> Any:
        """The segment id of any rows."""
        return self.segment_id

    def offsets(self, rows: Any) -> Any:
        """The offset of each of `rows`, a slice or row numbers, in the file."""
        return self.rows["offset"][rows]


Stretch = SegmentRows | StretchRows


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The store as it was when it was opened or last refreshed. Safe to share between threads.

    `stretches` are what is read as one: nearly always a segment each; runs of small ones that hold nothing unusual are
    one together. Numbers, runs and scans go by these.
    """

    path: str
    stretches: tuple[Stretch, ...]
    numbering: Numbering
    keyset: Keyset | None
    hidden: HiddenRanges
    listing: Listing
    opening: Problems
    problems: Problems
    descriptors: DescriptorCache
    cache: dict[Any, Any] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def segments(self) -> tuple[SegmentRows, ...]:
        """Every segment by itself. Cost, the first time: what it takes to open those of the stretches."""
        found: tuple[SegmentRows, ...] | None = self.cache.get("segments")
        if found is None:
            found = self.cache["segments"] = tuple(one for stretch in self.stretches for one in _segments(stretch))
        return found

    @property
    def by_segment(self) -> View:
        """The same rows, each segment a stretch of its own: to tell of each, not to read by."""
        if not any(stretch.joined for stretch in self.stretches):
            return self
        return replace(self, stretches=self.segments, cache={}, lock=threading.RLock())

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found wrong so far, by the open and by the reads since."""
        return together(self.opening, self.numbering.settle(), self.problems)

    @property
    def runs(self) -> tuple[Run, ...]:
        """Row ranges in commit order."""
        return self.numbering.runs

    @property
    def in_order(self) -> bool:
        """True when commit order is stretch by stretch, file order inside each."""
        return len(self.runs) == sum(1 for stretch in self.stretches if stretch.count)

    @property
    def event_count(self) -> int:
        """Visible events, the store's own lifecycle events included."""
        count = sum(stretch.count for stretch in self.stretches)
        return count - sum(int(stretch.excluded.sum()) for stretch in self.stretches if stretch.hides_rows)

    @property
    def last_sequence(self) -> int | None:
        """The highest global sequence in the view, hidden rows included; None for an empty store."""
        return max((int(stretch.sequence.max()) for stretch in self.stretches if stretch.count), default=None)

    def note(self, finding: Finding) -> None:
        """Record damage met while reading. In `on_damage="raise"`, damage that a reference read refuses is raised."""
        fails = {"frame-crc": CrcMismatchError, "frame-unreadable": CorruptFrameError}.get(finding.rule)
        self.problems.add(finding, fails=fails)

    @contextmanager
    def pinned(self) -> Iterator[None]:
        """Hold every file that is not mapped open, so that a stream fails before its first batch or not at all."""
        single = [one for one in self.stretches if isinstance(one, SegmentRows)]
        files = [(one.file.path, one.file.identity) for one in single if not one.mapped and one.size_bytes]
        with self.descriptors.holding(files):
            yield


def build_view(
    path: Path,
    on_damage: str,
    descriptors: DescriptorCache,
    scans: dict[tuple[Any, ...], Any],
    old: View | None = None,
) -> View:
    """List, scan, number and hide. `scans` keeps the scans of sealed files from one refresh to the next."""
    listing = take_listing(path, descriptors, old.listing if old else None)
    if not listing.segments and not listing.packs and not listing.has_store_files:
        raise NotAStoreError(
            f"{path} holds no segment files (*.fbat), so it is not a batpak store. "
            f"Give the data directory that the application passed to batpak, not its parent.",
            path=str(path),
        )
    problems = Problems(on_damage)
    check_names(listing, problems)
    hidden = load_hidden(listing)
    keyset = load_keyset(listing, problems)
    found = settle_open_batches(resolve_segments(listing, problems, scans))
    check_strings(found, problems)
    numbering = Numbering(found, partial(load_image, listing), hidden, Problems(on_damage))
    if on_damage == "raise":
        numbering.settle()
    _forget(scans, listing, found)
    highest = listing.highest_id
    stretches = tuple(_stretch(scan, highest, numbering, position) for position, scan in enumerate(found))
    met = Problems(on_damage)
    return View(str(path), stretches, numbering, keyset, hidden, listing, problems, met, descriptors)


def given_path(path: str | os.PathLike[str]) -> Path:
    """The path of a store as a caller gave it, with `~` for the home directory."""
    return Path(os.path.expanduser(path))


def require_directory(path: Path) -> None:
    """Raise the error that says what is wrong with a path that cannot be a store."""
    try:
        mode = path.stat().st_mode
    except PermissionError as error:
        raise StorePermissionError(
            f"{path} may not be reached by this user ({error.strerror}). Run as the user that writes the store, or let "
            f"that user grant passage through the directories above it (chmod g+x).",
            path=str(path),
        ) from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StoreNotFoundError(
            f"{path} does not exist. Give the data directory that the application passed to batpak.",
            path=str(path),
        ) from error
    if not stat.S_ISDIR(mode):
        raise NotAStoreError(
            f"{path} is a file, and a store is a directory of *.fbat segments. Give the directory that holds it.",
            path=str(path),
        )


def _stretch(scan: AnyScan, highest_id: int, numbering: Numbering, position: int) -> Stretch:
    if isinstance(scan, StretchScan):
        return StretchRows(scan, numbering, position)
    listed = scan.listed
    sealed = listed.segment_id != highest_id or scan.footer_state == "trusted"
    return SegmentRows(
        listed.segment_id, listed.file.name, listed.file.location,
        "moved-aside" if listed.moved_aside else "sealed" if sealed else "tail",
        listed.file.size_bytes, scan.footer_state, scan.frames_start, scan.frames_end,
        scan.rows, scan.strings, numbering, position, listed.file,
    )  # fmt: skip


def _segments(stretch: Stretch) -> Iterator[SegmentRows]:
    """The segments of a stretch, as they are where each is read by itself."""
    if isinstance(stretch, SegmentRows):
        yield stretch
    else:
        yield from (_member(stretch, at) for at in range(stretch.scan.last - stretch.scan.first))


def _member(stretch: StretchRows, at: int) -> SegmentRows:
    scan, rows = stretch.scan.single(at), stretch.scan.rows_of(at)
    listed = scan.listed
    return SegmentRows(
        listed.segment_id, listed.file.name, listed.file.location, "sealed",
        listed.file.size_bytes, scan.footer_state, scan.frames_start, scan.frames_end,
        scan.rows, scan.strings, PartOfNumbering(stretch.numbering, stretch.position, rows), 0, listed.file,
    )  # fmt: skip


def _forget(scans: dict[tuple[Any, ...], Any], listing: Listing, found: list[AnyScan]) -> None:
    """Drop cached scans of files that are no longer part of the store, so that their maps can be released."""
    single = [one for one in found if not isinstance(one, StretchScan)]
    keep: set[tuple[Any, ...]] = {(pack,) for pack in listing.packs}
    keep |= {(one.listed.file.name, one.listed.file.identity) for one in single}
    for key in [key for key in scans if key[:2] not in keep]:
        del scans[key]
