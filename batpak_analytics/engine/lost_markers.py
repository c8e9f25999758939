"""Batch markers among damaged bytes, known by what is left of them.

A marker says nothing that its bytes do not show: from its kind on, every BEGIN and every COMMIT ends in the same bytes
(segments spec 2.10). Half of them in their place are enough to know one; an ordinary frame shares the last 20.
"""

from __future__ import annotations

from typing import Any

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
LONGEST_MARKER = 400  # with every integer in its longest form


def lost_markers(file: SegmentFile, scan: FrameScan) -> dict[int, int]:
    """Row of `scan` -> kind of the damaged marker that stood right before it.

    The kind is what the bytes say if they say one. Else it is 0, where the damage is not longer than one marker.
    """
    found = {}
    for loss in scan.losses:
        kind = _kind_of_remains(file, loss.start, loss.end)
        if kind is not None:
            found[loss.before_row] = kind
    return found


def _kind_of_remains(file: SegmentFile, start: int, end: int) -> int | None:
    if end - start < TAIL_BYTES:
        return None
    tail: Any = np.frombuffer(file.window(end - TAIL_BYTES, end), np.uint8)
    kind = int(tail[len(KIND_KEY)])
    wanted = np.frombuffer(KIND_KEY + bytes([kind]) + REST, np.uint8)
    if int((tail == wanted).sum()) * 2 < TAIL_BYTES:
        return None
    if kind in (KIND_BATCH_BEGIN, KIND_BATCH_COMMIT):
        return kind
    return 0 if end - start <= LONGEST_MARKER else None
