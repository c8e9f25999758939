"""What an existing store leaves to its next writer: the heads of its lanes, the next sequence, the next segment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from batpak_analytics.engine.filesystem import DescriptorCache, list_files
from batpak_analytics.engine.problems import Problems
from batpak_analytics.engine.sequences import has_outdated_image, load_image
from batpak_analytics.engine.view import SegmentRows, View, build_view
from batpak_analytics.errors import FormatError, StoreNeedsRepairError
from batpak_analytics.format import layout
from batpak_analytics.format.layout import (
    CHECKPOINT_NAME,
    COMPACT_SOURCE_SUFFIX,
    KIND_CLOSE_COMPLETED,
    MARKER_NAME,
    MMAP_INDEX_NAME,
    VISIBILITY_NAME,
    FooterState,
)
from batpak_analytics.format.segment import parse_file_name
from batpak_analytics.format.sidecars import visibility
from batpak_analytics.format.sidecars.image import IndexImage
from batpak_analytics.format.sidecars.visibility import HiddenRanges, below
from batpak_analytics.store.compaction import COMPACTION_RULES, clear_away, forget, name_output, settle
from batpak_analytics.store.continued import missing_behind_cuts
from batpak_analytics.store.files import Files, replace_file
from batpak_analytics.store.image import is_true, remove_images
from batpak_analytics.store.repair import HARMLESS_RULES, renumber, repair, repairable, unnumbered
from batpak_analytics.store.report import Repair
from batpak_analytics.store.sealed import refuse_sealed
from batpak_analytics.store.swap import unnamed_output
from batpak_analytics.store.torn import Torn, repair_torn, torn_segments

# What a new segment behind it does not make worse.
_HARMLESS = HARMLESS_RULES | {"events-swallowed"}


class Head(NamedTuple):
    """The latest event of an (entity, lane), hidden ones included: they take part in clocks and links."""

    wall_ms: int
    clock: int
    event_hash: bytes


@dataclass(slots=True)
class Recovered:
    """The state that a writer continues from; as built, that of an empty store."""

    heads: dict[tuple[str, int], Head] = field(default_factory=dict)
    next_sequence: int = 0
    next_segment: int = 1
    segments: int = 0
    events: int = 0
    wall_ms: int = 0
    without_footer: list[Path] = field(default_factory=list)
    repairs: list[Repair] = field(default_factory=list)
    hidden: HiddenRanges = field(default_factory=HiddenRanges)
    has_mmap_index: bool = False
    has_checkpoint: bool = False
    view: View | None = None
    """The store as it was found and repaired; None for an empty one."""

    @property
    def image(self) -> str | None:
        """The index image that the reference would take."""
        return MMAP_INDEX_NAME if self.has_mmap_index else CHECKPOINT_NAME if self.has_checkpoint else None


def recover(directory: Path, files: Files, now_ns: int, *, allow_plaintext: bool = False) -> Recovered:
    """The state of the store in `directory`, which the caller has locked. What a crash left is repaired first.

    Raises `StoreNeedsRepairError` where a new segment could cost events that are there now, `StoreEncryptedError` for
    a store that seals its payloads unless `allow_plaintext`, and OSError where the disk refuses a repair. Cost: that of
    opening a reader, and one pass over the index rows; a repair copies the segment, and that of a compaction every
    segment without a footer.
    """
    names = list_files(directory)
    ids = [segment_id for name in names if (segment_id := _segment_id(name)) is not None]
    if not ids and MARKER_NAME not in names:
        return Recovered()
    with _views(directory) as look:
        view = look()
        if not allow_plaintext:
            refuse_sealed(directory, names, view)
        _refuse_damaged(view)
        image = load_image(view.listing, Problems("report"))
        repairs = clear_away(files, directory, names)
        if repairs:
            view = look()
        repairs += _made_harmless(files, look, view, image, now_ns)
        if repairs:
            view = look()
            _refuse_damaged(view)
            image = load_image(view.listing, Problems("report"))
        state = _state(view, image)
        state.view = view
        state.next_segment = max(ids, default=0) + 1
        _refuse_used_up(directory, state)
    state.repairs = repairs + _reveal_what_is_next(files, directory, state)
    state.has_mmap_index = MMAP_INDEX_NAME in view.listing.sidecars
    state.has_checkpoint = CHECKPOINT_NAME in view.listing.sidecars
    return state


@contextmanager
def _views(directory: Path) -> Iterator[Callable[[], View]]:
    """A function that looks at the store as it is now."""
    descriptors = DescriptorCache()

    def look() -> View:
        descriptors.close()
        return build_view(directory, "report", descriptors, {})

    try:
        yield look
    finally:
        descriptors.close()


def _made_harmless(
    files: Files, look: Callable[[], View], view: View, image: IndexImage | None, now_ns: int
) -> list[Repair]:
    """Whatever was left by a crash, made harmless for both engines; what was done."""
    directory, marker = view.listing.directory, view.listing.marker
    unnamed = unnamed_output(directory)
    repairs = settle(files, view)
    if repairs:
        view = look()
    if any(one.rule == "events-swallowed" for one in view.findings):
        repairs += _brought_back(files, view, now_ns)
        view = look()
        image = load_image(view.listing, Problems("report"))
    repairs += repair(files, repairable(view), now_ns, kept=True) + repair_torn(files, _torn(view), now_ns)
    true = not has_outdated_image(view.listing) and (image is None or is_true(view, image))
    if marker is None and unnamed is None and true:
        return repairs
    view = look()
    repairs += repair(files, unnumbered(view), now_ns, kept=True) + remove_images(files, directory)
    repairs += [] if marker is None else forget(files, directory, marker)
    return repairs + ([] if unnamed is None else name_output(files, directory, unnamed))


def _brought_back(files: Files, view: View, now_ns: int) -> list[Repair]:
    """Cut off the batches whose items the reference takes later events for. Raises OSError.

    It gave numbers again meanwhile. So that all events stay in their order, footers get the numbers that are shown, and
    an image goes: before the batches, as nothing tells those numbers afterwards. Hidden ranges name the numbers of
    before; where there are any, all keep those.
    """
    if view.hidden.ranges:
        return repair(files, repairable(view), now_ns, kept=True)
    told = {one.segment for one in view.findings if one.rule == "batch-incomplete"}
    unfinished = [one for one in repairable(view) if one.segment_id in told]
    repairs = []
    if view.numbering.is_recounted:
        others = [one for one in unnumbered(view) if one.segment_id not in told]
        repairs = renumber(files, others, now_ns) + remove_images(files, view.listing.directory)
    return repairs + repair(files, unfinished, now_ns)


def _torn(view: View) -> list[Torn]:
    """Segments that only a look at their pages explains."""
    plain = {segment.segment_id for segment in repairable(view)}
    told = {one.segment for one in view.findings if one.rule not in _HARMLESS} - plain
    return torn_segments(view, told)


def _segment_id(name: str) -> int | None:
    try:
        return parse_file_name(name.removesuffix(COMPACT_SOURCE_SUFFIX))
    except FormatError:
        return None


def _refuse_damaged(view: View) -> None:
    """Refuse what is neither harmless nor going to be made so; what stands in files that do not count is neither."""
    unfinished = {segment.segment_id for segment in repairable(view)}
    unfinished |= {one.kept.segment.segment_id for one in _torn(view)}
    idle = {one.file.name for one in view.listing.segments} - {segment.name for segment in view.segments}
    for finding in view.findings:
        settled = finding.rule in COMPACTION_RULES or finding.file in idle or finding.segment in unfinished
        if settled or finding.rule in _HARMLESS:
            continue
        missing = missing_behind_cuts(view).get(finding.segment or 0)
        reason = (
            f"More than that is gone from there: {missing}" if missing else "A new segment behind it could hide events"
        )
        raise StoreNeedsRepairError(
            f"{finding.file or view.path}: {finding.meaning} ({finding.rule}, at byte {finding.offset}). {reason}, so "
            f"the store was not opened for writing and nothing was changed. Read it with open_reader(), restore the "
            f"file from a backup or fork, or repair a copy.",
            path=view.path,
            segment_id=finding.segment,
            offset=finding.offset,
        )


def _refuse_used_up(directory: Path, state: Recovered) -> None:
    """Refuse a store to which no event can be added, as a number would not fit its field in the files."""
    limits = (
        ("sequence", state.next_sequence, layout.U64_MAX - 1),
        ("segment", state.next_segment, layout.U64_MAX),
        ("time, in milliseconds,", state.wall_ms, layout.I64_MAX // 1000),
    )
    for what, value, most in limits:
        if value > most:
            raise StoreNeedsRepairError(
                f"{directory}: the next {what} would be {value}, and the format ends at {most}. No event can be added; "
                f"read the store with open_reader(), and append its events to a new one with import_events().",
                path=directory,
                expected=most,
                actual=value,
            )


def _state(view: View, image: IndexImage | None) -> Recovered:
    state = Recovered(hidden=view.hidden, segments=len(view.segments))
    last_sequence = -1
    last_close = (0, 0)
    for segment in view.segments:
        # A footer proves that its frames are on disk, but for the last: a writer may have been killed before it synced.
        if segment.footer_state != FooterState.TRUSTED or segment is view.segments[-1]:
            state.without_footer.append(segment.file.path)
        rows = segment.rows
        state.events += len(rows)
        if not len(rows):
            continue
        sequence = segment.sequence
        top = int(sequence.argmax())
        if int(sequence[top]) > last_sequence:
            last_sequence, state.wall_ms = int(sequence[top]), int(rows["wall_ms"][top])
        for row in np.flatnonzero(rows["kind"] == KIND_CLOSE_COMPLETED):
            last_close = max(last_close, (int(rows["wall_ms"][row]), int(sequence[row])))
        _take_heads(segment, state.heads)
    state.wall_ms = max(state.wall_ms, last_close[0])
    state.next_sequence = max(last_sequence + 1, image.allocator if image else 0)
    return state


def _reveal_what_is_next(files: Files, directory: Path, state: Recovered) -> list[Repair]:
    """Take sequences that no event has yet out of the hidden ranges: what they are given to would be born hidden.

    A power cut can take cancelled events and leave their ranges (trap T9); a retention moves the numbers down and
    leaves the ranges (sidecars spec 21.2). To begin above them instead would not last: a frame does not hold its
    number, and without a footer the next open counts without gaps.
    """
    clipped = below(state.hidden, state.next_sequence)
    if clipped == state.hidden:
        return []
    replace_file(files, directory / VISIBILITY_NAME, [visibility.encode(clipped)])
    state.hidden = clipped
    return [Repair(VISIBILITY_NAME, f"sequences from {state.next_sequence} on are not hidden", "no event has them yet")]


def _take_heads(segment: SegmentRows, heads: dict[tuple[str, int], Head]) -> None:
    rows = segment.rows
    text = {name: index for index, name in enumerate(segment.strings)}
    # A table of strings may hold one twice; the first place stands for all.
    entity = np.array([text[name] for name in segment.strings])[rows["entity_idx"]]
    order = np.lexsort((rows["clock"], rows["wall_ms"], rows["lane"], entity))
    entity, lane = entity[order], rows["lane"][order]
    is_last = np.append((entity[1:] != entity[:-1]) | (lane[1:] != lane[:-1]), True)
    for row in order[is_last]:
        one = rows[row]
        key = segment.strings[int(one["entity_idx"])], int(one["lane"])
        head = Head(int(one["wall_ms"]), int(one["clock"]), one["event_hash"].tobytes())
        if key not in heads or heads[key] < head:
            heads[key] = head
