"""Many small segments in one buffer that hold nothing unusual: the readable twin of ``kernels/plain.py``.

A segment is plain when its header is the one batpak writes under that id, its footer can be believed, and the rows of
the footer name every byte between the two: no batch, no gap, no damage. Then nothing has to be asked of it but rows.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from batpak_analytics.errors import FormatError
from batpak_analytics.format import codec, layout
from batpak_analytics.format.footer import read_footer
from batpak_analytics.format.payload import as_view, read_head
from batpak_analytics.format.segment import encode_segment_header, read_segment_header

_KEY: Final = codec.pack_str("created_ns")
_BODY: Final = encode_segment_header(0, 0)[layout.SEGMENT_PREFIX_SIZE :]
HEADER_BEFORE_TIME: Final = _BODY[: _BODY.index(_KEY) + len(_KEY)]
"""The header's map up to the time of creation, for version 1 without flags."""
HEADER_BEFORE_ID: Final = codec.pack_str("segment_id")


class Plain(NamedTuple):
    """What was found of each segment; all numbers but ``plain`` are 0 where it is not plain.

    Its ``rows`` footer rows start at ``rows_start`` of the buffer. It has ``strings`` strings; those of all segments in
    turn start at ``string_starts`` of the buffer and are ``string_sizes`` bytes long.
    """

    plain: npt.NDArray[np.bool_]
    rows_start: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    strings: npt.NDArray[np.int64]
    string_starts: npt.NDArray[np.uint64]
    string_sizes: npt.NDArray[np.uint32]


def plain_segments(buffer: Any, starts: Any, sizes: Any, ids: Any) -> Plain:
    """Look at the files ``buffer[start:start + size]``; each should be segment ``id``. None has to be in the buffer."""
    view = as_view(buffer)
    count = len(starts)
    plain = np.zeros(count, bool)
    rows_start, rows, strings = (np.zeros(count, np.int64) for _ in range(3))
    places: list[tuple[int, int]] = []
    for number, (start, size, segment_id) in enumerate(zip(starts, sizes, ids, strict=True)):
        low, high = int(start), int(start) + int(size)
        if low < 0 or high < low or high > len(view):
            continue
        found = _plain(view[low:high], int(segment_id))
        if found is not None:
            plain[number] = True
            rows_start[number], rows[number] = low + found[0], found[1]
            strings[number] = len(found[2])
            places += [(low + at, length) for at, length in found[2]]
    return Plain(
        plain,
        rows_start,
        rows,
        strings,
        np.array([at for at, _ in places], np.uint64),
        np.array([length for _, length in places], np.uint32),
    )


def _plain(file: memoryview, segment_id: int) -> tuple[int, int, list[tuple[int, int]]] | None:
    """Where the rows of a plain segment start, how many they are, and the places of its strings."""
    footer = read_footer(file)
    entries, seen = footer.entries, footer.survey
    if entries is None or seen is None or not len(entries) or footer.frames_end is None:
        return None
    frames_start = _frames_start(file, segment_id)
    first, end = int(entries["offset"][0]), int(entries["offset"][-1]) + int(entries["length"][-1])
    if not seen.in_order or len(seen.gaps) or seen.markers or (first, end) != (frames_start, footer.frames_end):
        return None
    rows_start = len(file) - layout.FOOTER_TRAILER_SIZE - layout.FOOTER_CRC_SIZE - entries.nbytes
    places = _string_places(file, footer.frames_end, rows_start)
    return None if places is None else (rows_start, len(entries), places)


def _frames_start(file: memoryview, segment_id: int) -> int | None:
    """Where the usual header of this segment ends, or None where there is another."""
    try:
        header = read_segment_header(file)
    except FormatError:
        return None
    at = layout.SEGMENT_PREFIX_SIZE + len(HEADER_BEFORE_TIME)
    time = read_head(file, at, header.frames_start)
    if file[layout.SEGMENT_PREFIX_SIZE : at] != HEADER_BEFORE_TIME or time is None:
        return None
    usual = header.created_ns >= 0 and header.segment_id == segment_id
    usual = usual and file[time.end : time.end + len(HEADER_BEFORE_ID)] == HEADER_BEFORE_ID
    return header.frames_start if usual else None


def _string_places(file: memoryview, start: int, end: int) -> list[tuple[int, int]] | None:
    """The strings of the table, or None where something stands behind it: the footer would be believed all the same."""
    table = read_head(file, start, end)
    places: list[tuple[int, int]] = []
    at = -1 if table is None else table.end
    for _ in range(0 if table is None else table.size):
        text = read_head(file, at, end)
        if text is None:
            return None
        places.append((text.start, text.size))
        at = text.end
    return places if at == end else None


def join_rows(
    buffer: Any, starts: Any, rows_start: Any, rows: Any, strings: Any, codes: Any, out: npt.NDArray[np.void]
) -> None:
    """Fill ``out`` with the footer rows of many segments: offsets count from the start of the buffer, names are codes.

    Segment ``i`` has ``strings[i]`` of the ``codes``, the first one those at the beginning. A row that is not in the
    buffer is zero, and so is the code of a string that is not in the table.
    """
    view = as_view(buffer)
    if len(out) != int(np.sum(rows)):
        raise ValueError("out has another size than there are rows. Pass one place for each row.")
    first = done = 0
    for start, at, count, known in zip(
        *(np.asarray(one).tolist() for one in (starts, rows_start, rows, strings)), strict=True
    ):
        table = np.append(np.asarray(codes[first : first + known], np.uint32), np.uint32(0))
        first += known
        part = np.zeros(count, layout.FOOTER_DTYPE)
        inside = 0 <= at <= len(view) and count * layout.FOOTER_ENTRY_SIZE <= len(view) - at
        if inside:
            part = np.frombuffer(view, layout.FOOTER_DTYPE, count, at).copy()
            part["offset"] += np.uint64(start % 2**64)
            for name in ("entity_idx", "scope_idx"):
                part[name] = table[np.minimum(part[name], np.uint32(len(table) - 1))]
        out[done : done + count] = part
        done += count
