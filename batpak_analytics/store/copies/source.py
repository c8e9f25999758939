"""What is copied: the state of a store at one moment, pinned, whatever is written or compacted afterwards."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from batpak_analytics.engine.filesystem import read_file
from batpak_analytics.engine.ids import find
from batpak_analytics.engine.view import SegmentRows, View
from batpak_analytics.errors import CopyRefusedError, FormatError, FutureVersionError
from batpak_analytics.evidence.snapshot import SourceWatermark
from batpak_analytics.format import layout
from batpak_analytics.format.sidecars import idempotency
from batpak_analytics.format.sidecars.idempotency import IdempotencyEntry
from batpak_analytics.format.sidecars.visibility import HiddenRanges, below
from batpak_analytics.store.compaction import COMPACTION_RULES
from batpak_analytics.store.repair import HARMLESS_RULES, repairable, unnumbered

_FALLBACK_MODE = 0o600
_NO_MATTER = HARMLESS_RULES | {"keyset-unusable"}
"""Findings that are as true of the copy, or about what is not copied."""


@dataclass(frozen=True, slots=True, eq=False)
class CopySource:
    """The segments that count, in the order of their ids; what is hidden; and the contents of ``index.idemp``.

    `fence_token` is None where nothing had to stand still for it.
    """

    path: Path
    segments: Sequence[SegmentRows]
    hidden: HiddenRanges
    keys: bytes | None
    fence_token: int | None = None

    @property
    def last_sequence(self) -> int | None:
        """The highest sequence, hidden events included; None without events."""
        return max((int(one.sequence.max()) for one in self.segments if one.count), default=None)

    @property
    def watermark(self) -> SourceWatermark:
        """The highest segment, and how much of it there is."""
        last = max(self.segments, key=lambda one: one.segment_id, default=None)
        return SourceWatermark(0, 0) if last is None else SourceWatermark(last.segment_id, last.size_bytes)

    @property
    def events(self) -> int:
        """How many events are shown."""
        hidden = sum(int(one.excluded.sum()) for one in self.segments if one.hides_rows)
        return sum(one.count for one in self.segments) - hidden

    @property
    def hidden_here(self) -> HiddenRanges:
        """What is hidden of these segments: a number that none of their events has must not be born hidden."""
        last = self.last_sequence
        return below(self.hidden, 0 if last is None else last + 1)

    def mode_of(self, name: str) -> int:
        """Who may read the copy of a file: whoever may read the file, and its owner may write."""
        try:
            return stat.S_IMODE(os.stat(self.path / name).st_mode) | _FALLBACK_MODE
        except FileNotFoundError:
            return _FALLBACK_MODE


def source_of_view(view: View) -> CopySource:
    """What a reader shows. Raises `CopyRefusedError` where a copy would not show the same."""
    segments = view.segments
    _refuse_damaged(view)
    _require_one_name_each(Path(view.path), segments)
    return CopySource(Path(view.path), segments, view.hidden, _keys_of(view))


def _refuse_damaged(view: View) -> None:
    """Refuse what a footer cannot be made for without guessing, and what is known of the store as a whole only.

    A segment that is copied byte by byte is as good, or as bad, as the one it was copied from.
    """
    new_footer = {one.segment_id for one in unnumbered(view)}
    sound = {one.segment_id for one in repairable(view)}
    for one in view.findings:
        if one.rule in _NO_MATTER or one.rule in COMPACTION_RULES or one.segment in sound:
            continue
        if one.segment is not None and one.segment not in new_footer and one.rule != "hidden-ambiguous":
            continue
        raise CopyRefusedError(
            f"{one.file or view.path}: {one.meaning} ({one.rule}). A copy might not show the same events, so none "
            f"was made. Open the store with Store.open(), which repairs what can be, or copy the directory by hand.",
            path=view.path,
            segment_id=one.segment,
            offset=one.offset,
        )


def require_same_hidden(source: CopySource) -> None:
    """Refuse where hidden ranges mean other events than those that have these numbers now: a copy has no others."""
    for one in source.segments if source.hidden.ranges else ():
        meant, now = one.numbering.kept(one.position), one.sequence
        if not np.array_equal(source.hidden.hides(meant), source.hidden.hides(now)):
            raise CopyRefusedError(
                f"{one.name}: 0.9.0 gave numbers of cancelled events to others after a crash. A copy would show what "
                f"was cancelled, and hide others, so none was made. Copy the directory by hand, or append its events "
                f"to a new store with import_events().",
                path=source.path,
                segment_id=one.segment_id,
            )


def _require_one_name_each(path: Path, segments: Iterable[SegmentRows]) -> None:
    (segment_id, count), *_ = Counter(one.segment_id for one in segments).most_common(1) or [(0, 0)]
    if count > 1:
        raise CopyRefusedError(
            f"{path} has {count} files for segment {segment_id}, and a copy has room for one. Move the others away.",
            path=path,
            segment_id=segment_id,
        )


def _keys_of(view: View) -> bytes | None:
    """The list of used keys without those of appends that came after the view.

    The file may be younger than the view, and a key whose event is not in the copy would answer for an append that
    is not there. Keys of compacted events stay: no event has them, and they are older than the last one.
    """
    path = Path(view.path) / layout.IDEMPOTENCY_NAME
    data = read_file(path)
    if data is None:
        return None
    try:
        entries = idempotency.decode(data)
    except FutureVersionError as error:
        raise CopyRefusedError(
            f"{path} was written by a newer batpak ({error}), so which keys were used is unknown. Update "
            f"batpak-analytics.",
            path=path,
        ) from error
    except FormatError:
        return None  # which counts as none for both engines
    last = view.last_sequence
    kept = [entry for entry in entries if _belongs(entry, view, -1 if last is None else last)]
    return data if len(kept) == len(entries) else idempotency.encode(kept)


def _belongs(entry: IdempotencyEntry, view: View, last: int) -> bool:
    return entry.event_evicted or entry.recorded_global_sequence <= last or find(view, entry.event_id) is not None
