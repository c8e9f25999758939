"""Many frames at once, one after another: the readable twin and the oracle of the compiled ``kernels``.

Call these through ``batpak_analytics.kernels``, which chooses the compiled form where there is one. Frames
are ``u32be payload_len, u32be crc32, payload`` back to back (spec segments 2.3). Data never raises: a frame
that is not good gets a status from ``layout``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from batpak_analytics.errors import FormatError
from batpak_analytics.format.event import parse_event
from batpak_analytics.format.frame import crc32, probe_frame
from batpak_analytics.format.layout import (
    FRAME_BOUNDS,
    FRAME_CRC,
    FRAME_DTYPE,
    FRAME_END,
    FRAME_HEADER,
    FRAME_HEADER_SIZE,
    FRAME_MALFORMED,
    FRAME_OK,
    FRAME_TOO_LARGE,
    MAX_FRAME_PAYLOAD,
    PAYLOAD_BIN,
    PAYLOAD_INTS,
)
from batpak_analytics.format.payload import as_view, read_head

Bytes = npt.NDArray[np.uint8]
_INT_PREFIX: Final = 0xCC  # the tag before a byte from 80 to ff (spec segments 2.4)
_NOT_COPIED: Final = frozenset(("status", "pad", "pad2"))


def walk_frames(
    buffer: Any, start: int, end: int, limit: int = MAX_FRAME_PAYLOAD
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint32], int, int]:
    """Offsets and lengths of the good frames from ``start``, then where and why the walk stopped.

    The last number is the status of what is at ``stop``: FRAME_END where fewer than 8 bytes are left.
    """
    view = as_view(buffer)
    end = min(end, len(view))
    at = max(start, 0)
    offsets, lengths = [], []
    status, length = probe_frame(view, at, end, limit) if at < end else (FRAME_END, 0)
    while status == FRAME_OK:
        offsets.append(at)
        lengths.append(length)
        at += length
        status, length = probe_frame(view, at, end, limit)
    return np.array(offsets, np.uint64), np.array(lengths, np.uint32), at, status


def _check(view: memoryview, offset: int, length: int) -> int:
    if length < FRAME_HEADER_SIZE or offset + length > len(view):
        return FRAME_BOUNDS
    payload_size, stored = FRAME_HEADER.unpack_from(view, offset)
    if payload_size != length - FRAME_HEADER_SIZE:
        return FRAME_BOUNDS
    if payload_size > MAX_FRAME_PAYLOAD:
        return FRAME_TOO_LARGE
    good = crc32(view[offset + FRAME_HEADER_SIZE : offset + length]) == stored
    return FRAME_OK if good else FRAME_CRC


def _places(offsets: Any, lengths: Any) -> zip[tuple[int, int]]:
    firsts = np.asarray(offsets).astype(np.uint64).tolist()
    return zip(firsts, np.asarray(lengths).astype(np.uint32).tolist(), strict=True)


def check_frames(buffer: Any, offsets: Any, lengths: Any) -> Bytes:
    """The status of each frame from its place, its length and its CRC alone."""
    view = as_view(buffer)
    return np.array([_check(view, *place) for place in _places(offsets, lengths)], np.uint8)


def parse_row(buffer: Any, start: int, end: int, row: Any) -> None:
    """Fill one FRAME_DTYPE ``row`` from the frame body ``buffer[start:end]``, by the reference's rules."""
    try:
        event = parse_event(buffer, start, end)
    except FormatError:
        row["status"] = FRAME_MALFORMED
        return
    for name in FRAME_DTYPE.names or ():
        if name not in _NOT_COPIED:
            row[name] = getattr(event, name)


def parse_frames(buffer: Any, offsets: Any, lengths: Any, check_crc: bool = True) -> npt.NDArray[Any]:
    """One FRAME_DTYPE row for each frame; a row whose status is not FRAME_OK is zero otherwise.

    ``check_crc=False`` is for frames whose CRC was checked before, as by ``walk_frames``.
    """
    view = as_view(buffer)
    places = list(_places(offsets, lengths))
    rows = np.zeros(len(places), FRAME_DTYPE)
    for row, (offset, length) in zip(rows, places, strict=True):
        status = _check(view, offset, length)
        if status == FRAME_CRC and not check_crc:
            status = FRAME_OK
        row["status"] = status
        if status == FRAME_OK:
            parse_row(view, offset + FRAME_HEADER_SIZE, offset + length, row)
    return rows


def int_array_bytes(view: memoryview, start: int, end: int) -> bytes:
    """The bytes that the elements of an int-array stand for, in any encoding of 0 to 255."""
    taken = bytearray()
    at = start
    while at < end:
        head = read_head(view, at, end)
        if head is None or head.type != "int" or not 0 <= head.value <= 0xFF:
            return b""
        taken.append(head.value)
        at = head.end
    return bytes(taken)


def minimal_int_bytes(view: memoryview, start: int, end: int) -> bytes:
    """The same for minimal integers, the form batpak writes: ``00..7f``, or ``cc`` and ``80..ff``."""
    taken = bytearray()
    at = start
    while at < end:
        escaped = view[at] >> 7
        if escaped and (view[at] != _INT_PREFIX or at + 1 >= end or view[at + 1] < 0x80):
            return b""
        taken.append(view[at + escaped])
        at += 1 + escaped
    return bytes(taken)


def stored_payload(view: memoryview, row: Any) -> bytes:
    """The payload bytes that a parsed frame stores; empty when the frame is not good or not in ``view``."""
    start, end = int(row["payload_start"]), int(row["payload_end"])
    if row["status"] != FRAME_OK or not start <= end <= len(view):
        return b""
    if row["payload_form"] == PAYLOAD_BIN:
        taken = bytes(view[start:end])
    elif row["payload_form"] == PAYLOAD_INTS:
        taken = minimal_int_bytes(view, start, end)
    else:
        taken = int_array_bytes(view, start, end)
    return taken if len(taken) == row["payload_count"] else b""


def unescape(buffer: Any, frames: npt.NDArray[Any]) -> tuple[Bytes, npt.NDArray[np.int64]]:
    """The stored payload bytes of parsed frames back to back, and the n + 1 offsets between them."""
    view = as_view(buffer)
    payloads = [stored_payload(view, row) for row in frames]
    offsets = np.zeros(len(payloads) + 1, np.int64)
    np.cumsum([len(payload) for payload in payloads], out=offsets[1:])
    return np.frombuffer(b"".join(payloads), np.uint8), offsets


def intern_strings(buffer: Any, starts: Any, sizes: Any) -> tuple[npt.NDArray[np.uint32], list[bytes]]:
    """A code for each string and the distinct strings in the order of first use.

    A place that is not inside the buffer counts as the empty string.
    """
    view = as_view(buffer)
    known: dict[bytes, int] = {}
    codes = []
    for start, size in _places(starts, sizes):
        text = bytes(view[start : start + size]) if start + size <= len(view) else b""
        codes.append(known.setdefault(text, len(known)))
    return np.array(codes, np.uint32), list(known)


def differing_rows(
    buffer: Any, frames: npt.NDArray[Any], entries: npt.NDArray[Any], numbers: Any, text: bytes, bounds: Any
) -> npt.NDArray[np.bool_]:
    """Which good frames do not say what their footer rows ``entries[numbers]`` say.

    String ``i`` of the footer's table is ``text[bounds[i]:bounds[i + 1]]``. What a frame does not hold (the
    hashes of one without a chain) does not differ; a row number or a string index out of range does.
    """
    view = as_view(buffer)
    edges = np.asarray(bounds).tolist()
    table = [text[low:high] for low, high in pairwise(edges)]
    pairs = zip(frames, np.asarray(numbers).tolist(), strict=True)
    return np.array([_differs(view, frame, entries, at, table) for frame, at in pairs], bool)


class Source(NamedTuple):
    """Rows of one segment to take frames of, with ``buffer`` holding the file from ``base`` on.

    ``rows`` are ``slice(first, last)`` or numbers into ``entries``; one that is not there is FRAME_BOUNDS. With
    ``strings``, text and bounds as in `differing_rows`, frames are compared with their rows.
    """

    buffer: Any
    base: int
    entries: npt.NDArray[Any]
    rows: slice | npt.NDArray[np.int64]
    strings: tuple[bytes, Any] | None = None


class Taken(NamedTuple):
    """What `take_frames` found of each row, source after source.

    ``status`` and ``encrypted`` are those of FRAME_DTYPE, ``differs`` those of `differing_rows`, and payload ``i`` is
    ``data[bounds[i]:bounds[i + 1]]``. ``frames`` are the parsed rows where they were to be kept; their positions are
    in the buffer of their source.
    """

    status: Bytes
    encrypted: Bytes
    differs: npt.NDArray[np.bool_]
    data: Bytes
    bounds: npt.NDArray[np.int64]
    frames: npt.NDArray[Any] | None


Tools = tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]
"""Some `parse_frames`, `unescape` and `differing_rows`."""


def take_frames(sources: Sequence[Source], payloads: bool = True, keep: bool = False) -> Taken:
    """The frames that footer rows name. Payloads are taken and parsed rows kept where wanted."""
    return taken_apart(_TOOLS, sources, payloads, keep)


def taken_apart(tools: Tools, sources: Sequence[Source], payloads: bool, keep: bool) -> Taken:
    """`take_frames`, one step after the other."""
    parts = [_taken(tools, source, payloads) for source in sources]
    status = np.concatenate([np.empty(0, np.uint8), *(frames["status"] for frames, _, _, _ in parts)])
    encrypted = np.concatenate([np.empty(0, np.uint8), *(frames["encrypted"] for frames, _, _, _ in parts)])
    sizes = np.concatenate([np.zeros(1, np.int64), *(np.diff(bounds) for _, _, _, bounds in parts)])
    return Taken(
        status,
        encrypted,
        np.concatenate([np.empty(0, bool), *(differs for _, differs, _, _ in parts)]),
        np.concatenate([np.empty(0, np.uint8), *(data for _, _, data, _ in parts)]),
        np.cumsum(sizes),
        np.concatenate([np.empty(0, FRAME_DTYPE), *(frames for frames, _, _, _ in parts)]) if keep else None,
    )


def _taken(tools: Tools, source: Source, payloads: bool) -> tuple[Any, Any, Any, Any]:
    """(frames, which differ from their rows, payload bytes, their bounds) of one source."""
    parse, unescaped, differing = tools
    buffer, base, entries, rows, strings = source
    numbers = np.arange(rows.start, max(rows.start, rows.stop)) if isinstance(rows, slice) else np.asarray(rows)
    inside = (numbers >= 0) & (numbers < len(entries))
    offsets, lengths = np.zeros(len(numbers), np.uint64), np.zeros(len(numbers), np.uint32)
    offsets[inside] = entries["offset"][numbers[inside]] - np.uint64(base)
    lengths[inside] = entries["length"][numbers[inside]]
    frames = parse(buffer, offsets, lengths)
    data, bounds = np.empty(0, np.uint8), np.zeros(len(numbers) + 1, np.int64)
    if payloads:
        data, bounds = unescaped(buffer, frames)
    differs = np.zeros(len(numbers), bool)
    if strings is not None:
        differs = differing(buffer, frames, entries, numbers, *strings)
    return frames, differs, data, bounds


_TOOLS: Final = (parse_frames, unescape, differing_rows)


def _differs(view: memoryview, frame: Any, entries: npt.NDArray[Any], at: int, table: list[bytes]) -> bool:
    if frame["status"] != FRAME_OK:
        return False
    if not 0 <= at < len(entries):
        return True
    entry = entries[at]
    if any(frame[name] != entry[name] for name in ("kind", "wall_ms", "clock", "lane", "depth")):
        return True
    ids = ("event_id", "correlation_id", "causation_id")
    if any(frame[name].tobytes() != entry[name].tobytes()[::-1] for name in ids):
        return True
    hashes = ("prev_hash", "event_hash") if frame["has_chain"] else ()
    if any(frame[name].tobytes() != entry[name].tobytes() for name in hashes):
        return True
    for name in ("entity", "scope"):
        start, size, code = int(frame[f"{name}_start"]), int(frame[f"{name}_size"]), int(entry[f"{name}_idx"])
        if start + size > len(view) or code >= len(table) or bytes(view[start : start + size]) != table[code]:
            return True
    return False
