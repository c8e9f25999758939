"""Second copies of one event: the later one wins, as in the reference's index, and the earlier is reported.

A copied segment, or a retry after the idempotency history was lost, puts a frame with a known event id on disk again
(segments spec 6.2, sidecars spec 21.9). Only a true copy (same id, hash, lane, clock and time) is dropped: two
different events that share an id are both shown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from batpak_analytics.engine.problems import Problems
from batpak_analytics.engine.stretches import AnyScan
from batpak_analytics.format.survey import fold_ids
from batpak_analytics.model import Finding


def drop_duplicates(
    scans: list[AnyScan], numbers: Callable[[], list[Any]], excluded: list[Any], problems: Problems
) -> None:
    """Set `excluded` for every row that a later row repeats; `numbers` is asked for the sequences only then."""
    folded = [fold_ids(scan.rows["event_id"]) for scan in scans]
    if not folded:
        return
    everything = np.concatenate(folded)
    ordered = np.sort(everything)
    repeated = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(repeated) == 0:
        return
    candidates, sequences = [], numbers()
    for index, fold in enumerate(folded):
        candidates += [(index, int(row)) for row in np.flatnonzero(np.isin(fold, repeated))]
    candidates.sort(key=lambda place: int(sequences[place[0]][place[1]]))
    latest: dict[tuple[Any, ...], tuple[int, int]] = {}
    for index, row in candidates:
        key = _key(scans[index], row)
        earlier = latest.get(key)
        if earlier is not None:
            excluded[earlier[0]][earlier[1]] = True
            _report(scans[earlier[0]], earlier[1], problems)
        latest[key] = (index, row)
    _report_shared_ids(scans, list(latest.items()), problems)


def event_folds(rows: Any) -> Any:
    """64 bits of each event that are the same wherever a copy of it stands: of id, hash, time, clock and lane.

    A second event that was given a known id differs, as its clock does; a tombstone is the same, as only its kind
    changed.
    """
    folds = fold_ids(rows["event_id"])
    if len(rows) == 0:
        return folds
    hashes = np.ascontiguousarray(rows["event_hash"]).view("<u8").reshape(-1, 4)
    place = rows["wall_ms"].astype(np.uint64), rows["clock"].astype(np.uint64), rows["lane"].astype(np.uint64)
    for words in (*hashes.T, *place):
        folds = (folds ^ words ^ (folds >> np.uint64(29))) * np.uint64(0x9E3779B97F4A7C15)
    return folds


def _key(scan: AnyScan, row: int) -> tuple[Any, ...]:
    entry = scan.rows[row]
    return (
        entry["event_id"].tobytes(), entry["event_hash"].tobytes(), scan.strings[entry["entity_idx"]],
        int(entry["wall_ms"]), int(entry["clock"]), int(entry["lane"]),
    )  # fmt: skip


def _report(scan: AnyScan, row: int, problems: Problems) -> None:
    listed, offset = scan.place(row)
    problems.add(
        Finding("warning", "duplicate-event", listed.segment_id, listed.file.name, offset,
                "This event is stored twice; the copy with the higher sequence is shown.",
                "Harmless for reading; a segment file may have been copied by hand.")
    )  # fmt: skip


def _report_shared_ids(
    scans: list[AnyScan], kept: list[tuple[tuple[Any, ...], tuple[int, int]]], problems: Problems
) -> None:
    first: dict[bytes, tuple[int, int]] = {}
    for key, place in kept:
        if key[0] in first:
            listed, offset = scans[place[0]].place(place[1])
            problems.add(
                Finding("warning", "shared-event-id", listed.segment_id, listed.file.name, offset,
                        "Two different events carry one event id; both are shown, and get() gives the later one.",
                        "An idempotency key was probably used again after its history was lost.")
            )  # fmt: skip
        first[key[0]] = place
