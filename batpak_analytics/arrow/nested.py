"""Find values inside MessagePack values: the fields of maps, the elements of arrays.

A *position* is the absolute index into ``data`` of a value's first byte, -1 where a row has no such value.
Everything here takes positions and gives positions, for all rows at once, so a column of structs of lists
costs a few kernel calls instead of one Python object per value. Bytes: MessagePack as in the segment
specification, section 2.4; every position handed in lies in a value the kernels have found well-formed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from batpak_analytics import kernels

Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

MAX_CELLS = 8_000_000
"""Most positions (fields times rows) held at once: 64 MB."""

NIL = 0xC0
_FEW_ROWS = 32  # below this, stepping through the last long arrays in Python beats one kernel call a step


def _tags(*ranges: tuple[int, int]) -> Mask:
    table = np.zeros(256, bool)
    for first, last in ranges:
        table[first : last + 1] = True
    return table


IS_MAP = _tags((0x80, 0x8F), (0xDE, 0xDF))
IS_ARRAY = _tags((0x90, 0x9F), (0xDC, 0xDD))


def as_bytes(data: Any) -> Bytes:
    """Any buffer as a one-dimensional array of bytes, without a copy."""
    if isinstance(data, np.ndarray):
        return data
    return np.frombuffer(data, np.uint8)


def where_tag(data: Bytes, pos: Positions, table: Mask) -> Positions:
    """The rows (indexes into ``pos``) that have a value whose first byte is in ``table``."""
    rows = np.flatnonzero(pos >= 0)
    return rows[table[data[pos[rows]]]]


def prefilled_table(names: Sequence[bytes]) -> kernels.FieldTable:
    """A field table that knows exactly ``names``, in that order, and learns no others."""
    table = kernels.FieldTable(max_fields=len(names))
    for name in names:
        table.slot(name)
    return table


def locate_values(
    data: Bytes,
    starts: Positions,
    ends: Positions,
    table: kernels.FieldTable,
    width: int,
    present: Bytes | None = None,
) -> Iterator[tuple[int, int, Bytes, Positions]]:
    """Locate fields in a bounded number of values at a time: ``(first, end, root bits, positions)``.

    ``width`` is the most fields ``table`` can come to hold. Values that are not maps with string keys have no
    positions.
    """
    step = max(1, MAX_CELLS // max(width, 1))
    for low in range(0, len(starts), step):
        high = min(len(starts), low + step)
        some = None if present is None else np.asarray(present[low:high], np.uint8)
        found = kernels.locate_fields(data, starts[low:high], table, some, ends[low:high])
        yield low, high, found.root, found.pos


def whole_values(data: Bytes, pos: Positions) -> tuple[Positions, Positions]:
    """Start and end of each value, so that it can be read as a row of its own."""
    starts, ends = kernels.take_spans(data, pos)
    return starts, ends


def root_bits(data: Bytes, starts: Positions, ends: Positions, present: Bytes | None = None) -> Bytes:
    """The kernel's judgement of each value: map or other, not JSON, malformed, skipped."""
    nothing = kernels.FieldTable(max_fields=0)
    parts = [root for _, _, root, _ in locate_values(data, starts, ends, nothing, 1, present)]
    return np.concatenate(parts) if parts else np.empty(0, np.uint8)


def element_positions(data: Bytes, pos: Positions) -> tuple[Positions, Positions]:
    """``(counts, positions)`` of the elements of the arrays at ``pos`` (all >= 0, all arrays), in order."""
    counts, current = _array_headers(data, pos)
    starts = np.cumsum(counts) - counts
    out = np.empty(int(counts.sum()), np.int64)
    active = np.flatnonzero(counts)
    current = current[active]
    step = 0
    while len(active) > _FEW_ROWS:
        out[starts[active] + step] = current
        step += 1
        going_on = counts[active] > step
        if not going_on.all():
            active, current = active[going_on], current[going_on]
        if len(active):
            current = kernels.take_spans(data, current)[1]
    for row, first in zip(active.tolist(), current.tolist(), strict=True):
        _walk_array(data, first, out[starts[row] + step : starts[row] + counts[row]])
    return counts, out


def _array_headers(data: Bytes, pos: Positions) -> tuple[Positions, Positions]:
    """Element count and position of the first element of each array."""
    tags = data[pos]
    counts = (tags & 0x0F).astype(np.int64)
    first = pos + 1
    for tag, width in ((0xDC, 2), (0xDD, 4)):
        rows = np.flatnonzero(tags == tag)
        if len(rows):
            at = pos[rows, None] + np.arange(1, width + 1)
            weights = 256 ** np.arange(width - 1, -1, -1, dtype=np.int64)
            counts[rows] = data[at].astype(np.int64) @ weights
            first[rows] += width
    return counts, first


def _fixed_sizes() -> list[int]:
    """Bytes of a whole value by its first byte, where that byte alone tells; else 0."""
    sizes = [1] * 0x80 + [0] * 0x20 + [1 + n for n in range(0x20)] + [0] * 0x20 + [1] * 0x20
    sizes[0x80] = sizes[0x90] = sizes[0xC0] = sizes[0xC2] = sizes[0xC3] = 1
    for tag, size in ((0xCC, 2), (0xCD, 3), (0xCE, 5), (0xCF, 9), (0xCA, 5), (0xCB, 9)):
        sizes[tag] = size
    for tag, size in ((0xD0, 2), (0xD1, 3), (0xD2, 5), (0xD3, 9)):
        sizes[tag] = size
    return sizes


_SIZES = _fixed_sizes()


def _walk_array(data: Bytes, first: int, out: Positions) -> None:
    """Fill ``out`` with the positions of consecutive values, the first of them at ``first``."""
    view = data.data
    found = []
    for _ in range(len(out)):
        found.append(first)
        size = _SIZES[view[first]]
        first = first + size if size else int(kernels.take_spans(data, np.array([first], np.int64))[1][0])
    out[:] = found


def display_names(names: Sequence[bytes]) -> list[str]:
    """Field names as Arrow can hold them: no NUL, for C strings carry them, and no two alike."""
    shown: list[str] = []
    used: set[str] = set()
    for raw in names:
        name = raw.decode().replace("\0", "\\x00")
        while name in used:
            name += "'"
        used.add(name)
        shown.append(name)
    return shown
