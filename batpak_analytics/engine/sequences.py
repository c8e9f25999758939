"""Global sequence numbers: from an index image, else from a footer, else counted as the reference counts.

A frame does not hold its sequence (segments spec 2.6), and a compaction writes no footer, so after one only an index
image knows the numbers (sidecars spec 21.3). An image is used as a map from event id to sequence, believed for a row
only when the event hash agrees too, and for nothing else: its positions may be stale.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, partial
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from batpak_analytics import kernels
from batpak_analytics.engine.listing import Listing
from batpak_analytics.engine.parallel import crc32_in_threads, in_order, threads_for
from batpak_analytics.engine.problems import Problems
from batpak_analytics.engine.recount import NO_RECOUNT, Recount
from batpak_analytics.engine.stretches import AnyScan
from batpak_analytics.errors import FormatError, FutureVersionError
from batpak_analytics.format.layout import CHECKPOINT_NAME, MMAP_INDEX_NAME
from batpak_analytics.format.sidecars import checkpoint, mmap_index
from batpak_analytics.format.sidecars.image import IndexImage
from batpak_analytics.model import Finding

FROM_IMAGE, FROM_FOOTER, SYNTHESISED = 0, 1, 2
SOURCE_NAMES = ("image", "footer", "synthesised")

Numbers = tuple[list[Any], list[Any]]
"""(sequence, source) of each segment's rows."""


def load_image(listing: Listing, problems: Problems) -> IndexImage | None:
    """The index image to number events by, or None; an unusable one is a finding.

    It is the first that the reference would believe. Failing that, the first whose watermark is in the last segment or
    behind it: only damage brings that about. Any other is older than a compaction, which gave new numbers; sessions of
    other settings refresh one image and leave the other as it was.
    """
    left = None
    for image in _readable_images(listing, problems):
        if is_believed(image, listing):
            return image
        left = left or (None if is_outdated(image, listing) else image)
    return left


def has_outdated_image(listing: Listing) -> bool:
    """Whether an image is older than a compaction. It may be believed again, once a later output has its size."""
    return any(is_outdated(image, listing) for image in _readable_images(listing, Problems("report")))


def _readable_images(listing: Listing, problems: Problems) -> Iterator[IndexImage]:
    """Each image that can be decoded, in the order in which the reference tries them."""
    for name, decode in (
        (MMAP_INDEX_NAME, partial(mmap_index.decode_sequences, crc=crc32_in_threads)),
        (CHECKPOINT_NAME, checkpoint.decode_sequences),
    ):
        data = listing.sidecars.get(name)
        if data is None:
            continue
        if isinstance(data, OSError):
            reason = f"it may not be read ({data.strerror or data})"
        else:
            try:
                yield decode(data)
                continue
            except (FormatError, FutureVersionError) as error:
                reason = getattr(error, "reason", "") or str(error)
        problems.add(
            Finding("warning" if isinstance(data, OSError) else "info", "image-unusable", None, name, None,
                    f"The index image was not used: {reason}.",
                    "Events are complete without it; after a compaction their sequence numbers may differ.")
        )  # fmt: skip


def is_believed(image: IndexImage, listing: Listing) -> bool:
    """Whether the reference takes the image for one of these files (sidecars spec 6.2): nothing but a size says so."""
    size = listing.size_of(image.watermark_segment)
    return size is not None and size >= image.watermark_offset


def is_outdated(image: IndexImage, listing: Listing) -> bool:
    """Whether the file of the watermark went or shrank although later ones are there, as a compaction leaves it.

    Not while one is under way: what is shown then must not change as its sources go, or when it is undone.
    """
    if listing.marker is not None or is_believed(image, listing):
        return False
    return listing.highest_id > image.watermark_segment


def assign_sequences(scans: list[AnyScan], image: IndexImage | None, recount: Recount = NO_RECOUNT) -> Numbers:
    """(sequence, source) of each segment's rows, in the order given; the first may be a read-only view.

    Rows that neither image nor footer numbers get the highest number seen so far plus one, in file order; with an
    image, counting starts at its allocator (sidecars spec 6.3 to 6.5). So do the `counted` rows of a `recount`,
    whatever a footer says; those that are `swallowed`, and unknown to the image, share the number of the next event.
    """
    known = _ImageNumbers(image) if image is not None and len(image.event_id) else None
    seen = int(image.allocator) - 1 if image is not None else -1
    reached = -1
    sequences, sources = [], []
    matched = known.match_in_turn(scans) if known is not None else iter(())
    for index, scan in enumerate(scans):
        count = scan.count
        found = known.all_of(scan, next(matched)) if known is not None and count else None
        if found is not None:
            sequence, source = found, np.full(count, FROM_IMAGE, np.uint8)
            top = int(sequence.max())
        elif known is None and scan.survey is not None and index not in recount.counted:
            sequence, source = scan.recorded, np.full(count, FROM_FOOTER, np.uint8)
            top = int(sequence.max()) if count else reached
        else:
            sequence, source = _from_all(scan, known, recount.counted.get(index))
            unknown = source == SYNTHESISED
            if index in recount.swallowed:
                top = _count_around(sequence, unknown, unknown & recount.swallowed[index], seen, reached)
            else:
                _count_up(sequence, unknown, seen)
                top = int(sequence.max()) if count else reached
        seen, reached = max(seen, top), max(reached, top)
        sequences.append(sequence)
        sources.append(source)
    return sequences, sources


def ascending(numbers: Numbers) -> Numbers:
    """These numbers, each raised to one above that of the event before it in the files where it is not above."""
    sequences, sources = [], []
    last = -1
    for sequence, source in zip(*numbers, strict=True):
        steps = np.arange(len(sequence))
        least = np.maximum.accumulate(np.append(last + 1, sequence.astype(np.int64) - steps))[1:]
        raised = (least + steps).astype(np.uint64)
        sequences.append(raised)
        sources.append(np.where(raised == sequence, source, np.uint8(SYNTHESISED)))
        last = int(raised[-1]) if len(raised) else last
    return sequences, sources


def _from_all(scan: AnyScan, known: _ImageNumbers | None, counted: Any) -> tuple[Any, Any]:
    """(sequence, source) of each row from image and footer, row by row; those that are neither's are not filled in."""
    sequence = scan.rows["global_sequence"].astype(np.uint64)
    believed = scan.numbered if counted is None else scan.numbered & ~counted
    source = np.where(believed, FROM_FOOTER, SYNTHESISED).astype(np.uint8)
    if known is not None and scan.count:
        hit, numbers = known.look_up(scan.rows)
        sequence[hit] = numbers[hit]
        source[hit] = FROM_IMAGE
    return sequence, source


def in_file_order(sequences: list[Any]) -> bool:
    """Whether no number is below one before it in the files."""
    last = -1
    for sequence in sequences:
        if not len(sequence):
            continue
        if int(sequence[0]) < last or not bool((sequence[1:] >= sequence[:-1]).all()):
            return False
        last = int(sequence[-1])
    return True


def given_again(sequences: list[Any]) -> bool:
    """Whether a segment begins with a number that is not above the last of the one before."""
    edges = [(int(sequence[0]), int(sequence[-1])) for sequence in sequences if len(sequence)]
    return any(first <= last for (_, last), (first, _) in pairwise(edges))


def _count_around(sequence: Any, unknown: Any, swallowed: Any, seen: int, reached: int) -> int:
    """Fill the unknown numbers in place; returns the highest of all but the swallowed rows.

    `seen` is what counting goes on from, `reached` the highest number before these rows in the files.
    """
    kept = np.flatnonzero(~swallowed)
    numbers = sequence[kept]
    _count_up(numbers, unknown[kept], seen)
    sequence[kept] = numbers
    if len(kept) < len(sequence):
        behind = np.where(swallowed, np.uint64(0), sequence + np.uint64(1))
        following = np.maximum.accumulate(np.append(np.uint64(reached + 1), behind))
        sequence[swallowed] = following[:-1][swallowed]
    return int(numbers.max()) if len(numbers) else reached


def _count_up(sequence: Any, unknown: Any, seen: int) -> None:
    """Fill the unknown numbers in place, each one above the highest before it."""
    if not unknown.any():
        return
    start = 0
    for stop in [*np.flatnonzero(np.diff(unknown.astype(np.int8))).tolist(), len(unknown) - 1]:
        run = slice(start, stop + 1)
        if unknown[start]:
            sequence[run] = np.arange(seen + 1, seen + 2 + stop - start, dtype=np.uint64)
        seen = max(seen, int(sequence[run].max()))
        start = stop + 1


class _ImageNumbers:
    """The image's rows by event id. Rows usually come in the image's own order, which needs no search."""

    def __init__(self, image: IndexImage) -> None:
        self._image = image
        self._numbers = image.global_sequence
        self._next = 0
        self._order: Any = None

    @cached_property
    def _ids(self) -> Any:
        return np.ascontiguousarray(self._image.event_id).view("<u8").reshape(-1, 2)

    @cached_property
    def _hash(self) -> Any:
        return np.ascontiguousarray(self._image.event_hash).view("<u8").reshape(-1, 4)

    def match_in_turn(self, scans: list[AnyScan]) -> Iterator[tuple[int, kernels.Matched]]:
        """For each segment that has rows, the place in the image where they would be if all came in its order, and how
        far they do.
        """
        filled = [scan for scan in scans if scan.count]
        starts = accumulate((scan.count for scan in filled), initial=0)
        threads = threads_for(len(self._numbers), len(filled))
        return in_order(self._match, zip(starts, filled, strict=False), threads)

    def _match(self, at: tuple[int, AnyScan]) -> tuple[int, kernels.Matched]:
        start, scan = at
        image, here = self._image, slice(start, start + scan.count)
        return start, kernels.match_rows(scan.rows, image.event_id[here], image.event_hash[here], self._numbers[here])

    def all_of(self, scan: AnyScan, ahead: tuple[int, kernels.Matched]) -> Any:
        """The numbers of all rows of a segment, where the image has them next, row by row; else None."""
        found = ahead[1] if ahead[0] == self._next else self._match((self._next, scan))[1]
        if found.rows < scan.count:
            return None
        self._next += found.rows
        return scan.recorded if found.same else found.numbers

    def look_up(self, rows: Any) -> tuple[Any, Any]:
        """(found and corroborated by hash, number) for each row."""
        ids = np.ascontiguousarray(rows["event_id"]).view("<u8").reshape(-1, 2)
        at = np.arange(self._next, self._next + len(ids))
        inside = int(at[-1]) < len(self._ids)
        if not inside or not np.array_equal(self._ids[at], ids):
            at = self._search(ids)
        found = (self._ids[at] == ids).all(axis=1)
        hashes = np.ascontiguousarray(rows["event_hash"]).view("<u8").reshape(-1, 4)
        found &= (self._hash[at] == hashes).all(axis=1)
        if found.any():
            self._next = int(at[np.flatnonzero(found)[-1]]) + 1
        return found, self._numbers[at]

    def _search(self, ids: Any) -> Any:
        """The last image row with each id (ids are unique in an image), or some other row where there is none."""
        if self._order is None:
            self._order = np.lexsort((self._ids[:, 1], self._ids[:, 0]))
            self._sorted = self._ids[self._order].view([("a", "<u8"), ("b", "<u8")]).reshape(-1)
        wanted = np.ascontiguousarray(ids).view([("a", "<u8"), ("b", "<u8")]).reshape(-1)
        place = np.searchsorted(self._sorted, wanted)
        return self._order[np.minimum(place, len(self._order) - 1)]
