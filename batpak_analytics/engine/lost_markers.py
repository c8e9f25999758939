"""Batch markers among damaged bytes, known by what is left of them.

A marker says nothing that its bytes do not show: from its kind on, every BEGIN and every COMMIT ends in the same bytes
(segments spec 2.10). Half of them in their place are enough to know one; an ordinary frame shares the last 20.
"""

from __future__ import annotations

import numpy as np

from batpak_analytics.engine.mapping import SegmentFile
from batpak_analytics.engine.recovery import FrameScan
from batpak_analytics.format.layout import KIND_BATCH_BEGIN, KIND_BATCH_COMMIT

KIND_KEY = b"\xaaevent_kind"
# After the one byte of the kind.
REST = (
    b"\xa5flags\x00\xaccontent_hash\xdc\x00\x20" + bytes(32) + b"\xafpayload_version\x00\xa7payload\x90"
    b"\xaahash_chain\xc0\xa6entity\xa6_batch\xa5scope\xa7_system\xb2receipt_extensions\x80"
)
TAIL_BYTES = len(KIND_KEY) + 1 + len(REST)
PARTS = (b"\xa6_batch\xa5scope\xa7_system", b"\xa7payload\x90\xaahash_chain\xc0")
# An item and a COMMIT have at least so many bytes: behind a BEGIN with less damage, its batch cannot have ended.
ROOM_FOR_COMMIT = 630
LONGEST_MARKER = 400  # with every integer in its longest form


def lost_markers(file: SegmentFile, scan: FrameScan) -> dict[int, int]:
    """Row of `scan` -> kind of the damaged marker that stood before it, with nothing whole between.

    The kind is what the bytes say if they say one. Else it is 0, where the damage is not longer than one marker.
    """
    found = {}
    for loss in scan.losses:
        kind = _kind_of_remains(file, loss.start, loss.end)
        if kind is not None:
            found[loss.before_row] = kind
    return found


def _kind_of_remains(file: SegmentFile, start: int, end: int) -> int | None:
    low = max(start, end - ROOM_FOR_COMMIT - TAIL_BYTES)
    data = bytes(file.window(low, end))
    for stop in sorted(_possible_ends(data), reverse=True):
        kind = data[stop - len(REST) - 1]
        wanted = np.frombuffer(KIND_KEY + bytes([kind]) + REST, np.uint8)
        if int((np.frombuffer(data[stop - TAIL_BYTES : stop], np.uint8) == wanted).sum()) * 2 < TAIL_BYTES:
            continue
        if kind in (KIND_BATCH_BEGIN, KIND_BATCH_COMMIT):
            return kind
        return 0 if end - start <= LONGEST_MARKER else None
    return None


def _possible_ends(data: bytes) -> set[int]:
    """Where a marker may end in the bytes: at their end, or where a part of one says so."""
    ends = {len(data)}
    for part in PARTS:
        at = data.find(part)
        while at >= 0:
            ends.add(at + len(REST) - REST.index(part))
            at = data.find(part, at + 1)
    return {end for end in ends if TAIL_BYTES <= end <= len(data)}
