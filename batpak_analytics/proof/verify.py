"""`verify`: every rule that the level asks for, on all processors, and an earlier checkpoint where there is one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from os import PathLike
from typing import Any

import numpy as np

from batpak_analytics.engine.parallel import in_order
from batpak_analytics.proof.anchor import Anchored, hold_against
from batpak_analytics.proof.bridge import Bridge
from batpak_analytics.proof.by_batch import check_batches
from batpak_analytics.proof.by_frame import NO_TIME, check_rows
from batpak_analytics.proof.by_index import check_clocks, check_links, check_segments, check_sequences
from batpak_analytics.proof.by_sidecar import check_sidecars
from batpak_analytics.proof.by_time import check_times
from batpak_analytics.proof.faults import Fault, Faults
from batpak_analytics.proof.known import Known
from batpak_analytics.proof.leaves import LeafFile, leaf_hashes, pieces_of
from batpak_analytics.proof.links import Links, find_links
from batpak_analytics.proof.note import Checkpoint
from batpak_analytics.proof.report import FAILS, HOLDS, IN_DOUBT, NOT_CHECKED, Outcome, VerifyReport
from batpak_analytics.proof.rows import AllRows
from batpak_analytics.proof.rules import LEVELS, RULE_NAMES, RULES, Rule, applies

Progress = Callable[[int, int], Any]
Path = str | PathLike[str]

SAID_ELSEWHERE = frozenset(("image-unusable", "keyset-unusable"))
SAID_BY_FRAMES = frozenset(("frame-crc", "frame-unreadable", "frame-contradicts-index"))
HOME_OF = {
    "duplicate-event": "event-id",
    "shared-event-id": "event-id",
    "frame-contradicts-index": "footer-row",
}


def verify(
    view: Any,
    level: str = "full",
    against: Path | Checkpoint | None = None,
    *,
    leaves: Path | None = None,
    public_key: Any = None,
    bridge: Path | Bridge | None = None,
    progress: Progress | None = None,
    known: Path | Known | None = None,
) -> VerifyReport:
    """Check the history of a view as far as `level` goes, and against an earlier checkpoint.

    Parameters
    ----------
    view
        The state of a store; `Reader.verify` passes its own.
    level
        `"index"`: what index rows and small files tell: links, clocks, sequences, ids, names, envelopes. `"frames"`:
        also the CRC of every frame, each frame against its index row, headers, batches. `"full"`: also BLAKE3 of every
        payload. `VerifyReport.rules` says what each rule proves and what it leaves open.
    against
        A `Checkpoint`, or the path of one. Its events are compared byte for byte and in their order, by a Merkle tree
        over the bodies of their frames; this reads every frame of the store, whatever the level.
    leaves
        The leaf hashes that were saved with it, to name the first event that differs.
    public_key
        Ed25519 (32 bytes, a PEM file, or a key of `cryptography`): who has to have signed the checkpoint.
    bridge
        What a compaction wrote, if the checkpoint is older than it; needs `public_key`.
    progress
        A function of (events checked, events in all).
    known
        A record from `VerifyReport.known`, or its path: sealed segments in it are not read again while device, inode,
        size, time of modification and the end of the footer are what they were. That is no proof against somebody who
        can write files; links, clocks and sequences are always checked.

    Returns
    -------
    A `VerifyReport`, whose verdict is `verified`, `unanchored` or `broken`. Nothing is written.

    Raises
    ------
    AnchorError
        The checkpoint, leaves, bridge or record is none, does not fit, or its signature does not hold.
    MissingExtraError
        `public_key` was given and `cryptography` is not installed.

    Cost: `full` about a microsecond an event and processor, `index` half of it, the comparison with a checkpoint
    another microsecond; about 150 bytes of memory an event.

    Examples
    --------
    >>> import batpak_analytics as bp
    >>> reader = bp.open_reader(bp.demo_store())
    >>> report = reader.verify()
    >>> report.verdict
    'unanchored'
    >>> reader.verify(against=report.checkpoint()).verdict
    'verified'
    """
    if level not in LEVELS:
        raise ValueError(f"level={level!r} is not a level. Use one of {', '.join(map(repr, LEVELS))}.")
    checkpoint = Checkpoint.load(against) if isinstance(against, str | PathLike) else against
    if checkpoint is None and (leaves is not None or public_key is not None or bridge is not None):
        raise ValueError("leaves=, public_key= and bridge= belong to a checkpoint. Give against= too.")
    crossing = Bridge.load(bridge) if isinstance(bridge, str | PathLike) else bridge
    saved = None if leaves is None else LeafFile.load(leaves)
    before = Known.load(known) if isinstance(known, str | PathLike) else known or Known()
    run = _Run(view, level, before, progress)
    anchored = None
    if checkpoint is not None:
        hashes = leaf_hashes(view)
        anchored = hold_against(
            run.rows, hashes, checkpoint, saved=saved, bridge=crossing, public_key=public_key
        )  # fmt: skip
    run.check()
    return run.report(anchored, None if anchored is None else hashes)


class _Run:
    """One run: the faults so far, and of how many things each rule was checked."""

    def __init__(self, view: Any, level: str, known: Known, progress: Progress | None) -> None:
        self.view, self.level, self.progress = view, level, progress
        self.rows = AllRows.of(view)
        self.faults = Faults()
        self.checked: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.unread = [one for one in view.segments if level != "index" and known.covers(one, level)]

    def check(self) -> None:
        """Every rule of the level."""
        self._by_opening()
        links = find_links(self.rows)
        self._by_index(links)
        if self.level != "index":
            self._by_frames(links)

    def _note(self, rule: str, checked: int, faults: Any) -> None:
        self.checked[rule] += checked
        self.faults.extend(faults)

    def _by_opening(self) -> None:
        left_out = SAID_ELSEWHERE | (SAID_BY_FRAMES if self.level != "index" else frozenset())
        found = [Fault.of(one) for one in self.view.findings if one.rule not in left_out]
        self._note("files", len(self.view.segments), found)

    def _by_index(self, links: Links) -> None:
        count = len(self.rows)
        self._note("segment-missing", len(self.view.segments), check_segments(self.view))
        self._note("sidecar", *check_sidecars(self.view))
        self._note("link", count, check_links(self.rows, links))
        self._note("clock", count, check_clocks(self.rows))
        self._note("sequence", count, check_sequences(self.rows))
        self._note("event-id", count, ())

    def _by_frames(self, links: Links) -> None:
        total, done = len(self.rows), 0
        times = np.full(total, NO_TIME, np.int64)
        unread = set(map(id, self.unread))
        work = [piece for piece in pieces_of(self.view) if id(piece[0]) not in unread]
        starts = {id(segment): int(self.rows.starts[at]) for at, segment in enumerate(self.view.segments)}
        left = sum(len(one.rows) for one in self.unread)
        payloads = self.level == "full"
        with self.view.pinned():
            results = in_order(lambda piece: check_rows(*piece, payloads=payloads), work)
            for (segment, rows), found in zip(work, results, strict=True):
                first = starts[id(segment)] + rows.start
                times[first : first + len(found.timestamps)] = found.timestamps
                self.faults.extend(found.faults)
                done += rows.stop - rows.start
                if self.progress is not None:
                    self.progress(done, total - left)
            self._batches(times, unread, starts)
        for rule in ("frame", "footer-row", "header", *(("payload",) if payloads else ())):
            self.checked[rule], self.skipped[rule] = done, left
        self.faults.extend(check_times(self.rows, links, times))

    def _batches(self, times: Any, unread: set[int], starts: dict[int, int]) -> None:
        for segment in self.view.segments:
            if id(segment) not in unread:
                first = starts[id(segment)]
                self._note("batch", *check_batches(segment, times[first : first + len(segment.rows)]))

    def report(self, anchored: Anchored | None, leaves: Any) -> VerifyReport:
        """What came of it."""
        if anchored is not None:
            self._note("anchor", anchored.checkpoint.size, anchored.faults)
        failed: Counter[str] = Counter()
        for name, count in self.faults.serious.items():
            failed[home_of(name)] += count
        worst = {name: IN_DOUBT for name in failed}
        worst |= {home_of(fault.rule): FAILS for fault in self.faults.listed if fault.severity == "error"}
        outcomes = tuple(self._outcome(rule, worst.get(rule.name), failed[rule.name], anchored) for rule in RULES)
        names = tuple(segment.name for segment in self.unread)
        report = VerifyReport(self.view, self.level, outcomes, self.faults, anchored, names, self.rows)
        if leaves is not None:
            report.__dict__["leaves"] = leaves  # the cached property: they were made for the checkpoint
        return report

    def _outcome(self, rule: Rule, worst: str | None, failed: int, anchored: Anchored | None) -> Outcome:
        checked = applies(rule, self.level) if rule.name != "anchor" else anchored is not None
        state = worst or (HOLDS if checked else NOT_CHECKED)
        return Outcome(rule, state, self.checked[rule.name], self.skipped[rule.name], failed)


def home_of(rule: str) -> str:
    """The rule that a fault's own rule belongs to."""
    if rule in HOME_OF:
        return HOME_OF[rule]
    return next((name for name in RULE_NAMES if rule == name or rule.startswith(f"{name}-")), "files")
