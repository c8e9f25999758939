"""A compaction plan carried out while the store goes on: the long part beside the appends, the change itself in a turn.

First the plan is held against the files, and the output is written under a temporary name; appends go on meanwhile, as
sources are sealed and nothing changes them. Then, in one turn of the store, the output takes their place (`swap`). What
fails before that leaves every event as it was, and makes a report that says so; what fails behind it is cleared away
later, as neither engine looks at it any more.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from blake3 import blake3

from batpak_analytics.compaction.output import layout_of
from batpak_analytics.compaction.plan import CompactionPlan
from batpak_analytics.compaction.sources import require_unchanged, sources_in
from batpak_analytics.engine.filesystem import list_files
from batpak_analytics.engine.problems import Problems
from batpak_analytics.engine.sequences import load_image
from batpak_analytics.engine.view import SegmentRows, View
from batpak_analytics.errors import BatpakError, CompactionPlanError, FenceActiveError, FormatError, WriteFailedError
from batpak_analytics.evidence.compaction import Failed, Performed, Shape, Skipped, compaction_evidence
from batpak_analytics.format.layout import COMPACTED_PREFIX
from batpak_analytics.format.segment import parse_file_name
from batpak_analytics.format.sidecars.marker import CompactionMarker
from batpak_analytics.store import swap
from batpak_analytics.store.compact_report import CompactionReport, report_of
from batpak_analytics.store.files import Files, write_all
from batpak_analytics.store.idempotency import KeyHistory
from batpak_analytics.store.image import remove_images
from batpak_analytics.store.live import LiveRows
from batpak_analytics.store.repair import covers, repair, unnumbered
from batpak_analytics.store.writer import Writer

SHAPES: dict[str, Shape] = {"merge": "Merge", "retention": "Retention", "tombstone": "Tombstone"}
FAILED = "compaction pre-swap phase failed; disk layout rolled back: "
"""How the reference begins its reason."""


class Site(NamedTuple):
    """The parts of an open store that a compaction deals with; `running` raises once the store is closed.

    Segments from `first_own` on were begun by this store.
    """

    files: Files
    directory: Path
    turns: Any
    running: Callable[[], Writer]
    live: LiveRows
    history: KeyHistory
    look: Callable[[], View]
    clock_us: Callable[[], int]
    first_own: int


class Compactor:
    """Compacts a store, one plan after the other."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._one_at_a_time = threading.Lock()
        self._last: Swap | None = None

    def compact(self, plan: CompactionPlan) -> CompactionReport:
        """What `Store.compact` does."""
        with self._one_at_a_time:
            with self._site.turns:
                self._site.running()
                self.finish()
            started = time.perf_counter_ns()
            site = self._site
            if plan.outcome == "skipped":
                measured = _skipped(plan, site.directory)
            else:
                self._last = Swap(site, plan, site.look())
                measured = self._last.run()
                self._let_go()
            return report_of(plan, elapsed_seconds=(time.perf_counter_ns() - started) / 1e9, **measured)

    def _let_go(self) -> None:
        """Nothing here keeps the sources: their room is free when nobody else looks at them."""
        if self._last is not None and not self._last.unfinished:
            self._last = None
        with suppress(BatpakError, OSError):
            self._site.look()

    def finish(self) -> None:
        """Clear away what the disk refused to let go of after the last one, in a turn of the caller's."""
        if self._last is not None and self._last.unfinished:
            self._last.finish()


class Swap:
    """One plan that is carried out, from the output to the last file that goes."""

    def __init__(self, site: Site, plan: CompactionPlan, view: View) -> None:
        if not plan.applicable:
            raise CompactionPlanError(f"This plan cannot be applied: {plan!r}. Plan again, with other options.")
        require_unchanged(plan, view)
        self._site, self._plan, self._view = site, plan, view
        self._sources = sources_in(plan, view)
        self._layout = layout_of(plan, view)
        self._require_hidden_events_hidden()
        self._output = site.directory / f"{COMPACTED_PREFIX}{os.getpid()}"
        self._hash = b""
        self._marker: CompactionMarker | None = None
        self._segment: SegmentRows | None = None
        self._evicted: list[bytes] = []
        self.unfinished = ""

    def run(self) -> dict[str, Any]:
        """What came of it, for the report. Raises with nothing changed for what is not the disk's fault."""
        site = self._site
        with site.turns:
            active = site.running().segment.segment_id
            self._require_no_fence(site.running())
        try:
            self._write()
            segment = site.live.prepared(self._output, self._layout.segment_id)
            self._evicted = self._keys_that_go()
            with site.turns:
                writer = site.running()
                self._number_what_stays()
                return self._exchange(writer, segment)
        except WriteFailedError:  # the writer has stopped, which is more than a compaction that failed
            raise
        except OSError as error:
            if self._segment is not None:  # it is done, and cannot be measured
                raise
            unfinished = (self.unfinished,) if self.unfinished else ()
            return {**_failed(self._plan, site.directory, active, error), "unfinished": unfinished}
        finally:
            self._drop_output()

    def _require_no_fence(self, writer: Writer) -> None:
        """What waits behind a fence in the sources could not be taken back any more."""
        first = writer.shown_below
        if first is not None and any(len(one.rows) and int(one.sequence.max()) >= first for one in self._sources):
            raise FenceActiveError(
                "A visibility fence is open, and events behind it are in segments that are to be compacted. Commit or "
                "cancel it first.",
                path=self._site.directory,
            )

    def _require_hidden_events_hidden(self) -> None:
        """Where the output has no footer its events are counted anew, and hidden ranges would mean others (T-1)."""
        if not self._layout.footer and self._plan.summary().hidden_ranges_stale:
            raise CompactionPlanError(
                "The sources hold kinds that the output's footer could not keep, so its events would get other "
                "numbers, and cancelled events would be shown in place of others. Nothing was changed. Leave this "
                "store as it is, or append what is to be kept to a new one."
            )

    def _write(self) -> None:
        """The output, whole and on disk, under a name that neither engine takes for a segment's."""
        files, hasher, size = self._site.files, blake3(), 0
        if self._output.exists():  # which the disk did not let go of
            files.remove(self._output)
        descriptor = files.create(self._output)
        try:
            files.keep_access(Path(self._sources[0].path), self._output)
            for piece in self._layout.pieces(self._site.clock_us() * 1000):
                write_all(files, descriptor, piece)
                hasher.update(piece)
                size += len(piece)
            files.sync(descriptor)
        finally:
            files.close(descriptor)
        if size != self._layout.size_bytes:
            raise AssertionError(f"the output has {size} bytes, and {self._layout.size_bytes} were planned")
        self._hash = hasher.digest()

    def _number_what_stays(self) -> None:
        """Give a footer to every segment of which only an image, or counting, knows the numbers: it will not, or not
        count so, beside the output. Sources keep theirs until they go, and need one only where an image knows better.

        Such are only segments from before this session, which nobody writes to any more: the view may be older than
        the end of any other.
        """
        image = load_image(self._view.listing, Problems("report"))
        mine = {segment.segment_id for segment in self._sources}
        bare = [one for one in unnumbered(self._view) if one.segment_id < self._site.first_own]
        bare = [one for one in bare if image is not None or one.segment_id not in mine]
        for one in bare:
            repair(self._site.files, [one], self._site.clock_us() * 1000)
            self._site.live.reopen(one)

    def _exchange(self, writer: Writer, segment: SegmentRows) -> dict[str, Any]:
        """The change, in this turn: before it all is as it was, behind it the output stands for the sources."""
        site = self._site
        self._require_no_fence(writer)
        active = writer.segment.segment_id
        writer.seal()  # and sync: a key must not be on disk before its event is
        site.history.save(site.files)
        site.live.catch_up()
        self._hold_the_numbers_behind(segment)
        self._marker = self._marked()
        try:
            swap.publish(site.files, site.directory, self._marker, self._output)
        except BaseException as error:
            self._withdraw()
            if not swap.merged_path(site.directory, self._marker).exists():
                raise
            self._adopt(segment)  # it is in place, and the disk lets nobody take it back
            if not isinstance(error, OSError):
                raise
            return self._measured(active)
        try:
            self._clear_away()
        finally:
            self._adopt(segment)
        return self._measured(active)

    def _hold_the_numbers_behind(self, output: SegmentRows) -> None:
        """What follows the output must not be counted from its end by 0.9.0, where events were dropped there."""
        following = self._site.live.first_sealed({segment.segment_id for segment in self._sources})
        if following is None or covers(following):
            return
        top = int(output.sequence.max()) if output.count else -1
        if int(following.sequence[0]) != top + 1:
            repair(self._site.files, [following], self._site.clock_us() * 1000)
            self._site.live.reopen(following)

    def _marked(self) -> CompactionMarker:
        sources = tuple(segment.segment_id for segment in self._sources)
        merged = swap.free_id([one for one, _, _ in segments_in(self._site.directory)], sources)
        if merged is None:
            raise OSError(f"{self._site.directory} has no segment number left below those that stay")
        return CompactionMarker(merged, sources)

    def _withdraw(self) -> None:
        """Undo what was begun; `unfinished` says what the disk refused of that."""
        assert self._marker is not None
        try:
            swap.withdraw(self._site.files, self._site.directory, self._marker, self._output)
            self.unfinished = ""
        except OSError as error:
            self.unfinished = f"undoing what was begun failed ({error.strerror or error})"

    def _adopt(self, segment: SegmentRows) -> None:
        """From here on the store's own queries see the output."""
        self._segment = segment
        self._site.history.forget_places(self._evicted)
        self._site.live.replace({one.segment_id for one in self._sources}, segment, self._place)

    def _struck(self) -> list[Any]:
        """The struck rows of each source, as masks."""
        both = zip(self._plan.sources, self._sources, strict=True)
        return [source.struck.choose(segment.rows["offset"]) for source, segment in both]

    def _keys_that_go(self) -> list[bytes]:
        """The keys whose events are dropped; events of sources have their keys in the history for long."""
        if self._plan.strategy != "retention":
            return []
        both = zip(self._sources, self._struck(), strict=True)
        ids = (one.tobytes()[::-1] for segment, struck in both for one in segment.rows["event_id"][struck])
        return self._site.history.used(ids)

    @property
    def _place(self) -> Path:
        """Where the output is now."""
        assert self._marker is not None
        merged = swap.merged_path(self._site.directory, self._marker)
        return merged if merged.exists() else swap.lasting_path(self._site.directory, self._marker)

    def finish(self) -> None:
        """What the disk refused once more, in a later turn."""
        if self._segment is not None:
            self._clear_away()
            self._adopt(self._segment)
        else:
            self._withdraw()

    def _clear_away(self) -> None:
        """Everything that the output replaced goes; `unfinished` says what the disk did not let go of."""
        assert self._marker is not None
        files, directory = self._site.files, self._site.directory
        confirmed, self.unfinished = not self.unfinished, "clearing away what was replaced was interrupted"
        try:
            if not confirmed:
                files.sync_directory(directory)
            swap.remove_sources(files, directory, self._marker, [source.name for source in self._sources])
            remove_images(files, directory)
            swap.forget(files, directory, self._marker)
            self.unfinished = ""
        except OSError as error:
            self.unfinished = f"clearing away what was replaced failed ({error.strerror or error})"

    def _drop_output(self) -> None:
        """Where it was not used, it goes; a disk that refuses leaves it to the next open."""
        try:
            if self._output.exists():
                self._site.files.remove(self._output)
        except OSError:
            pass

    def _measured(self, active: int) -> dict[str, Any]:
        """What was done, for the report: sizes of files, and counts of rows."""
        assert self._marker is not None
        output = self._place
        gone = {source.name for source in self._sources} | {output.name}
        staying = [size for _, name, size in segments_in(self._site.directory) if name not in gone]
        gross, after = sum(source.size_bytes for source in self._sources), output.stat().st_size
        struck = sum(int(mask.sum()) for mask in self._struck())
        marked = struck if self._plan.strategy == "tombstone" else 0
        return {
            "outcome": "performed",
            "output": output,
            "events_kept": (self._segment.count if self._segment is not None else 0) - marked,
            "events_dropped": struck - marked,
            "events_tombstoned": marked,
            "bytes_before": sum(staying) + gross,
            "bytes_after": sum(staying) + after,
            "bytes_net": after - gross,
            "bytes_gross": gross,
            "segments_before": len(staying) + len(self._sources),
            "segments_after": len(staying) + 1,
            "unfinished": (self.unfinished,) if self.unfinished else (),
            "evidence": compaction_evidence(
                SHAPES[self._plan.strategy], Performed(), min_segments=self._plan.min_segments,
                active_segment_id=active, source_ids=self._marker.source_ids, merged_id=self._marker.lasting_id,
                output_hash=self._hash, segments_removed=len(self._sources), bytes_reclaimed=gross,
            ),
        }  # fmt: skip


def segments_in(directory: Path) -> list[tuple[int, str, int]]:
    """Id, name and size of every segment file, moved-aside ones not."""
    found = []
    for name, identity in list_files(directory).items():
        try:
            segment_id = parse_file_name(name)
        except FormatError:
            continue
        if segment_id is not None:
            found.append((segment_id, name, identity.size))
    return found


def _skipped(plan: CompactionPlan, directory: Path) -> dict[str, Any]:
    """Nothing was touched: the plan has fewer sources than it asks for."""
    sizes = [size for _, _, size in segments_in(directory)]
    evidence = compaction_evidence(
        SHAPES[plan.strategy], Skipped(), min_segments=plan.min_segments, active_segment_id=plan.active_segment_id,
        source_ids=[source.segment_id for source in plan.sources],
    )  # fmt: skip
    return {"outcome": "skipped", "evidence": evidence, **_unchanged(sizes)}


def _failed(plan: CompactionPlan, directory: Path, active: int, error: OSError) -> dict[str, Any]:
    """Nothing was changed; the reason begins as the reference's does."""
    sizes = [size for _, _, size in segments_in(directory)]
    reason = FAILED + (error.strerror or str(error))
    evidence = compaction_evidence(
        SHAPES[plan.strategy], Failed(reason), min_segments=plan.min_segments, active_segment_id=active,
        source_ids=[source.segment_id for source in plan.sources],
        merged_id=min(source.segment_id for source in plan.sources),
    )  # fmt: skip
    return {"outcome": "failed", "reason": reason, "evidence": evidence, **_unchanged(sizes)}


def _unchanged(sizes: list[int]) -> dict[str, int]:
    names = ("bytes_before", "bytes_after"), ("segments_before", "segments_after")
    return dict.fromkeys(names[0], sum(sizes)) | dict.fromkeys(names[1], len(sizes))
