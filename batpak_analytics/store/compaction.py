"""A compaction that stopped half-way, undone or finished on disk before anything is added to the store.

Which files count is what the reader has decided by their contents (`engine/topology.py`); here the directory is made to
say the same, for both engines. A file is removed only when every event in it stands in a file that stays, or when
sources were being deleted already, which proves that the output is whole.

The order matters, as a crash may come between any two steps. Until the marker is gone, each state is one of those that
a compaction itself leaves, so the next open decides the same and goes on:

1. the moved-aside source takes its name back, in one rename, from whatever was written under it; or the sources of a
   whole output go, those last that prove it to be one;
2. every segment gets a footer (`repair`), which keeps the sequence numbers that are shown now;
3. the index images go (`image`): they are older than the compaction, or were written by a batpak that did not see all
   of the store, and without the marker it would believe them;
4. the marker goes.

Of a compaction from here (`swap`) there is less to decide: where the output has its place, the sources go; then 2 to 4.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from batpak_analytics.engine.duplicates import event_folds
from batpak_analytics.engine.listing import ListedSegment
from batpak_analytics.engine.problems import Problems
from batpak_analytics.engine.segments import scan_segment
from batpak_analytics.engine.view import View
from batpak_analytics.errors import StoreNeedsRepairError
from batpak_analytics.format.layout import COMPACTED_PREFIX, MARKER_NAME, SEGMENT_EXTENSION, SWAP_NAME, TEMPORARY_PREFIX
from batpak_analytics.format.segment import canonical_name
from batpak_analytics.format.sidecars.marker import CompactionMarker
from batpak_analytics.store import swap
from batpak_analytics.store.files import Files
from batpak_analytics.store.report import Repair

COMPACTION_RULES = frozenset(("compaction-running", "compaction-cut-short", "compaction-finished", "compaction-orphan"))
"""What the reader says of a compaction that this module settles, or refuses."""


def settle(files: Files, view: View) -> list[Repair]:
    """Step 1: only the files that count are left, under their own names; and moved-aside copies that nothing names go.

    Raises `StoreNeedsRepairError` with nothing changed where a file holds events that no other has, and OSError.
    """
    directory = view.listing.directory
    idle = [one for one in view.listing.segments if one.file.name not in _names(view)]
    unnamed = [one for one in idle if one.moved_aside and not _is_source(view, one)]
    _require_copies(view, unnamed)
    repairs = [_remove(files, directory, one, "nothing names it, and its events stand elsewhere") for one in unnamed]
    if unnamed:
        files.sync_directory(directory)
    marker = view.listing.marker
    if marker is None:
        return repairs
    _require_numbers_once(view)
    if marker.is_swap:
        return repairs + _finish_swap(files, view, [one.file.name for one in idle if one not in unnamed])
    moved = [one for one in view.segments if one.role == "moved-aside"]
    if not moved:
        return repairs + _remove_sources(files, view, [one for one in idle if one not in unnamed])
    _require_copies(view, [one for one in idle if one not in unnamed])
    name = canonical_name(marker.merged_id)
    files.rename(directory / moved[0].name, directory / name)
    files.sync_directory(directory)
    why = "a compaction stopped before its output was whole"
    return [*repairs, Repair(name, "its compaction was undone", why)]


def forget(files: Files, directory: Path, marker: CompactionMarker) -> list[Repair]:
    """Step 4. Raises OSError."""
    swap.forget(files, directory, marker)
    return [Repair(MARKER_NAME, "it was removed", "its compaction is settled")]


def clear_away(files: Files, directory: Path, names: Collection[str]) -> list[Repair]:
    """What was left by a compaction or repair that was stopped before its file was used. Raises OSError."""
    going = [(name, "what was to become a segment was not finished") for name in names if _is_unfinished(name)]
    if MARKER_NAME not in names:
        if (directory / MARKER_NAME).is_symlink():
            going.append((MARKER_NAME, "it is a link to nothing"))
        elif SWAP_NAME in names and swap.unnamed_output(directory) is None:
            going.append((SWAP_NAME, "a compaction was stopped before anything changed"))
    for name, _ in going:
        files.remove(directory / name)
    return [Repair(name, "it was removed", why) for name, why in going]


def _is_unfinished(name: str) -> bool:
    repaired = name.startswith(TEMPORARY_PREFIX) and name.endswith(SEGMENT_EXTENSION)
    return repaired or name.startswith(COMPACTED_PREFIX)


def name_output(files: Files, directory: Path, marker: CompactionMarker) -> list[Repair]:
    """The last step of a compaction that was done but for the name of its output. Raises OSError."""
    swap.name_output(files, directory, marker)
    name = canonical_name(marker.lasting_id)
    return [Repair(name, "it took its name", "its compaction was done but for that")]


def _finish_swap(files: Files, view: View, sources: list[str]) -> list[Repair]:
    """What is in the way of the output goes, where it took its place; otherwise there is nothing to undo."""
    marker = view.listing.marker
    if marker is None or not sources:
        return []
    swap.remove_sources(files, view.listing.directory, marker, sources)
    return [Repair(name, "it was removed", "its compaction had put its output in place") for name in sources]


def _names(view: View) -> set[str]:
    return {segment.name for segment in view.segments}


def _is_source(view: View, one: ListedSegment) -> bool:
    marker = view.listing.marker
    return marker is not None and not marker.is_swap and one.segment_id == marker.merged_id


def _remove_sources(files: Files, view: View, sources: list[ListedSegment]) -> list[Repair]:
    """Remove the sources of a whole output. Those that share events with it prove that it is one: they go last."""
    marker = view.listing.marker
    assert marker is not None
    output = np.concatenate([event_folds(one.rows) for one in view.segments if one.segment_id == marker.merged_id])
    proof = {one.file.name for one in sources if np.isin(_events_of(one), output).any()}
    repairs = []
    for last in (False, True):
        going = [one for one in sources if (one.file.name in proof) == last]
        why = "its compaction had written the output whole"
        repairs += [_remove(files, view.listing.directory, one, why) for one in going]
        if going:
            files.sync_directory(view.listing.directory)
    return repairs


def _remove(files: Files, directory: Path, one: ListedSegment, why: str) -> Repair:
    files.remove(directory / one.file.name)
    return Repair(one.file.name, "it was removed", why)


def _require_copies(view: View, going: list[ListedSegment]) -> None:
    """Refuse to remove a file with an event that no file that stays has."""
    if not going:
        return
    kept = np.concatenate([np.empty(0, np.uint64), *(event_folds(one.rows) for one in view.segments)])
    for one in going:
        alone = int((~np.isin(_events_of(one), kept)).sum())
        if alone:
            raise StoreNeedsRepairError(
                f"{view.listing.directory / one.file.name} is left of a compaction and holds {alone} events that no "
                f"other segment has, so it is neither its output nor a copy. Nothing was changed. Move the file away "
                f"if those events are not missed, or restore a backup.",
                path=view.listing.directory / one.file.name,
                segment_id=one.segment_id,
            )


def _require_numbers_once(view: View) -> None:
    """Refuse a store in which batpak went on writing while it did not see the sources: it gave their numbers again."""
    numbers = np.concatenate([np.empty(0, np.uint64), *(segment.sequence for segment in view.segments)])
    twice = len(numbers) - len(np.unique(numbers))
    if twice:
        raise StoreNeedsRepairError(
            f"{view.listing.directory / MARKER_NAME} is left of a compaction, and batpak went on writing without its "
            f"sources: {twice} sequence numbers stand for two events. Nothing was changed. Read the store with "
            f"open_reader(), which shows them all, and append them to a new one.",
            path=view.listing.directory / MARKER_NAME,
        )


def _events_of(one: ListedSegment) -> Any:
    return event_folds(scan_segment(one, Problems("report"), last=False).rows)
