"""Which files a view is made of, taken while a writer may be adding, compacting and deleting them.

The order is: marker, directory, map and read, directory and marker again, repeated until nothing moved. Growth of the
highest segment and newer segments are not movement: the view is the store as it was when the listing began.
Which of the files count while a compaction is under way is decided by content, not by the reference's rule, which
loses events in three crash windows (sidecars spec 7.2, 7.4, 21.1).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from batpak_analytics.engine.filesystem import DescriptorCache, FileIdentity, list_files, read_file
from batpak_analytics.engine.mapping import SegmentFile, map_file, open_segment
from batpak_analytics.engine.packs import Pack, find_packs
from batpak_analytics.errors import FormatError, MarkerCorruptError, ViewExpiredError
from batpak_analytics.format.layout import (
    CHECKPOINT_NAME,
    COMPACT_SOURCE_SUFFIX,
    KEYSET_NAME,
    MARKER_NAME,
    MMAP_INDEX_NAME,
    VISIBILITY_NAME,
)
from batpak_analytics.format.segment import canonical_name, parse_file_name
from batpak_analytics.format.sidecars import marker as marker_format
from batpak_analytics.format.sidecars.marker import CompactionMarker

ATTEMPTS = 60
LONGEST_PAUSE_S = 0.25
# A segment this short holds its header and no frame: at most 8 + 57 bytes (segments spec 2.2).
BARE_HEADER_BYTES = 65
SIDECARS = (MMAP_INDEX_NAME, CHECKPOINT_NAME, VISIBILITY_NAME, KEYSET_NAME)


@dataclass(frozen=True, slots=True, eq=False)
class ListedSegment:
    """One segment file of a listing; `moved_aside` is a compaction source under its `.compact-src` name."""

    segment_id: int
    file: SegmentFile
    moved_aside: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """The pinned files of one moment: segments by ascending id, sidecars by name, odd names apart.

    Small sealed segments are in `packs` instead, where there are many; none while a compaction is under way.
    """

    directory: Path
    segments: tuple[ListedSegment, ...]
    marker: CompactionMarker | None
    sidecars: dict[str, Any] = field(default_factory=dict)
    malformed_names: tuple[str, ...] = ()
    has_store_files: bool = False
    packs: tuple[Pack, ...] = ()

    @property
    def highest_id(self) -> int:
        """The id of the segment that a running writer may still be appending to; 0 without segments."""
        return max((one.segment_id for one in self.segments if not one.moved_aside), default=0)

    @property
    def unfinished_ids(self) -> frozenset[int]:
        """The segments whose end may still be being written: an unfinished frame or footer there is normal."""
        return _unfinished([(one.segment_id, one.file.size_bytes) for one in self.segments if not one.moved_aside])

    def size_of(self, segment_id: int) -> int | None:
        """Bytes of the segment under its own name, moved aside or not; None where there is none."""
        for pack in self.packs:
            if segment_id in pack.ids:
                return pack.identities[pack.ids.index(segment_id)].size
        names = canonical_name(segment_id), canonical_name(segment_id) + COMPACT_SOURCE_SUFFIX
        return next((one.file.size_bytes for one in self.segments if one.file.name in names), None)


def take_listing(directory: Path, descriptors: DescriptorCache, previous: Listing | None = None) -> Listing:
    """A consistent listing of `directory`. `previous` lends its maps for the files that are still the same.

    Raises `MarkerCorruptError` for a marker that is not one, `StorePermissionError` for what may not be read and
    `ViewExpiredError` when the directory does not hold still (about ten seconds of constant change).
    """
    pause = 0.001
    for _ in range(ATTEMPTS):
        marker_bytes = read_file(directory / MARKER_NAME)
        before = list_files(directory)
        listing = _open_listing(directory, descriptors, before, marker_bytes, previous)
        after = list_files(directory, {name: file for pack in listing.packs for name, file in pack.listed})
        if read_file(directory / MARKER_NAME) == marker_bytes and _held_still(before, after):
            return listing
        time.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_S)
    raise ViewExpiredError(
        f"{directory} was rewritten on each of {ATTEMPTS} attempts to list it. "
        f"A compaction is running; wait for it to end and open the store again.",
        path=str(directory),
    )


def _open_listing(
    directory: Path,
    descriptors: DescriptorCache,
    names: dict[str, FileIdentity],
    marker_bytes: bytes | None,
    previous: Listing | None,
) -> Listing:
    ids, malformed = _segment_names(names)
    ids.sort(key=lambda one: (one[1], one[2], one[0]))
    highest = ((segment_id, names[name].size) for name, segment_id, moved in reversed(ids) if not moved)
    unfinished = _unfinished(list(islice(highest, 2)))
    segments = []
    place = str(directory)
    packs: tuple[Pack, ...] = ()
    if marker_bytes is None:
        packs = find_packs(place, ids, names, unfinished, descriptors, previous.packs if previous else ())
    packed = {name for pack in packs for name in pack.names}
    known = _known_files(previous, packs)
    for name, segment_id, moved in ids:
        if name in packed:
            continue
        identity, old = names[name], known.get(name)
        # Reuse only what was mapped: a map of the same inode and size shows the same bytes for ever.
        if old is not None and old.identity == identity and old.map is not None:
            file = old
        else:
            sealed = moved or segment_id not in unfinished or _ends_in_footer(directory / name, identity, descriptors)
            file = open_segment(place, name, identity, descriptors, mapped=sealed)
        segments.append(ListedSegment(segment_id, file, moved))
    return Listing(
        directory,
        tuple(segments),
        _decode_marker(directory, marker_bytes),
        {name: _read_sidecar(directory / name, names[name]) for name in SIDECARS if name in names},
        tuple(malformed),
        any(name in names for name in (*SIDECARS, MARKER_NAME, ".batpak.lock", "index.idemp")),
        packs,
    )


def _known_files(previous: Listing | None, packs: tuple[Pack, ...]) -> dict[str, SegmentFile]:
    """The files of the previous listing by name, but for those of packs that stay."""
    if previous is None:
        return {}
    known = {one.file.name: one.file for one in previous.segments}
    for pack in previous.packs:
        if pack not in packs:
            known |= {file.name: file for file in pack.files()}
    return known


def _unfinished(sizes: list[tuple[int, int]]) -> frozenset[int]:
    """Of (id, size): the highest segment, and the one before it while the highest has no room for a frame.

    The writer creates the next segment first, then writes the footer of the last one, then the next event.
    """
    ordered = sorted(sizes, reverse=True)
    newborn = len(ordered) > 1 and ordered[0][1] <= BARE_HEADER_BYTES
    return frozenset(segment_id for segment_id, _ in ordered[: 2 if newborn else 1])


def _ends_in_footer(path: Path, identity: FileIdentity, descriptors: DescriptorCache) -> bool:
    """True when an unfinished segment already carries a footer: it is sealed, and as safe to map as the others."""
    if identity.size < 4:
        return False
    try:
        return descriptors.read(path, identity, identity.size - 4, 4) == b"SDX3"
    except ViewExpiredError:
        return False  # moved since the listing; the second look at the directory will say so


def _segment_names(names: dict[str, FileIdentity]) -> tuple[list[tuple[str, int, bool]], list[str]]:
    ids: list[tuple[str, int, bool]] = []
    malformed: list[str] = []
    for name in names:
        moved = name.endswith(COMPACT_SOURCE_SUFFIX)
        try:
            segment_id = parse_file_name(name.removesuffix(COMPACT_SOURCE_SUFFIX))
        except FormatError:
            malformed.append(name)
            continue
        if segment_id is not None:
            ids.append((name, segment_id, moved))
    return ids, malformed


def _decode_marker(directory: Path, data: bytes | None) -> CompactionMarker | None:
    if data is None:
        return None
    try:
        return marker_format.decode(data)
    except FormatError as error:
        path = directory / MARKER_NAME
        raise MarkerCorruptError(
            f"{path} is not a compaction marker ({error.reason}), so which segments count is unknown. "
            f"Ask the store's owner to restore it, or move it away after checking that no compaction was cut short.",
            path=str(path),
            offset=error.offset,
        ) from error


def _read_sidecar(path: Path, identity: FileIdentity) -> Any:
    """Bytes of a sidecar, mapped when large (an image grows with the store); an OSError is kept as the value."""
    try:
        if path.name in (MMAP_INDEX_NAME, CHECKPOINT_NAME) and identity.size > 1 << 20:
            mapped = map_file(str(path), identity)  # published by rename, so the mapped inode never changes
            if mapped is not None:
                return mapped
        return read_file(path)
    except OSError as error:
        return error


def _held_still(before: dict[str, FileIdentity], after: dict[str, FileIdentity]) -> bool:
    """True when every file listed first is still there and the same; what is being written may have grown."""
    if before == after:
        return True
    ids, _ = _segment_names(before)
    highest = max((segment_id for _, segment_id, moved in ids if not moved), default=0)
    unfinished = _unfinished([(segment_id, before[name].size) for name, segment_id, moved in ids if not moved])
    for name, segment_id, moved in ids:
        now = after.get(name)
        if now is None or not before[name].same_file(now):
            return False
        if before[name].size != now.size and (moved or segment_id not in unfinished):
            return False
    later = {name: identity for name, identity in after.items() if name not in before}
    return all(moved is False and segment_id > highest for _, segment_id, moved in _segment_names(later)[0])
