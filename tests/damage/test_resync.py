"""Finding the next frame costs work in proportion to the bytes, whatever they claim; counted, not timed."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batpak_analytics import kernels
from batpak_analytics.engine import recovery, resync
from batpak_analytics.format.event import encode_event
from batpak_analytics.format.frame import crc32, crc32_of_rest, encode_frame
from batpak_analytics.reader import open_reader
from tests.damage.reading import read
from tests.engine.building import Segment, make_event, numbers, three_segments, write_store

START = resync.BODY_START
FRAME = encode_frame(encode_event(make_event(500)))


def frame(number: int) -> bytes:
    return encode_frame(encode_event(make_event(number)))


def to_the_end(size: int) -> bytes:
    """Candidates every few bytes, each claiming everything up to the end of the region."""
    step = 8 + len(START)
    return b"".join(struct.pack(">II", size - at - 8, 1) + START for at in range(0, size - step, step))


def small_claims(size: int) -> bytes:
    step = 8 + len(START)
    return b"".join(struct.pack(">II", 3000, 1) + START for _ in range(0, size - step, step))


def frames_and_long_claims(size: int) -> bytes:
    """Whole events, each followed by a length that points at the end: the walk itself is led astray."""
    found, at, number = [], 0, 1000
    while at + len(FRAME) + 8 + 3000 < size:
        part = frame(number) + struct.pack(">II", size - at - len(FRAME) - 8, 1)
        found.append(part)
        at, number = at + len(part), number + 1
    return b"".join(found)


def nested_frames(size: int) -> bytes:
    """Frames with right checksums that are no events, each inside the one before."""
    body = b""
    while len(body) < size:
        body = struct.pack(">II", len(body), zlib.crc32(body)) + body if len(body) % 16 else body + bytes(24) + START
        body = bytes(24) + body
    return body


def damaged_events(size: int) -> bytes:
    return b"".join(FRAME[:50] + b"\xff" + FRAME[51:] + frame(1000 + n) for n in range(size // (2 * len(FRAME))))


def zeros(size: int) -> bytes:
    return bytes(size)


REGIONS: list[Callable[[int], bytes]] = [
    to_the_end, small_claims, frames_and_long_claims, nested_frames, damaged_events, zeros,
]  # fmt: skip


class Work:
    """Bytes that were put into a CRC, searched or walked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bytes = 0
        monkeypatch.setattr(resync, "crc32", self._counting(crc32))
        monkeypatch.setattr(kernels, "walk_frames", self._counting(kernels.walk_frames))
        monkeypatch.setattr(kernels, "parse_frames", self._parsing(kernels.parse_frames))
        candidates = resync.Prover._candidates

        def searched(prover: Any, start: int) -> Any:
            last = start
            try:
                for last in candidates(prover, start):
                    yield last
            finally:
                self.bytes += last - start

        monkeypatch.setattr(resync.Prover, "_candidates", searched)

    def _counting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(buffer: Any, *arguments: Any) -> Any:
            self.bytes += len(memoryview(buffer))
            return function(buffer, *arguments)

        return counted

    def _parsing(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(buffer: Any, offsets: Any, lengths: Any, **options: Any) -> Any:
            self.bytes += int(sum(lengths))
            return function(buffer, offsets, lengths, **options)

        return counted


def work_for(directory: Path, region: bytes, work: Work) -> int:
    """What reading a store costs whose segment holds this region between its events; none of them may be lost."""
    directory.mkdir()
    (directory / "000001.fbat").write_bytes(Segment(1).header + frame(1) + region + frame(2))
    before = work.bytes
    shown = numbers(open_reader(directory).view)
    assert shown[0] == 1 and shown[-1] == 2
    return work.bytes - before


@pytest.mark.parametrize("make", REGIONS)
def test_work_is_linear_in_the_damaged_region(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[int], bytes]
) -> None:
    work = Work(monkeypatch)
    small = work_for(tmp_path / "small", make(1 << 16), work)
    large = work_for(tmp_path / "large", make(1 << 18), work)
    assert large < 4.6 * small, (small, large)
    assert large < 250 * (1 << 18), "the price of a candidate is not bounded"


@pytest.mark.parametrize("make", [frames_and_long_claims, damaged_events])
def test_every_whole_event_of_a_hostile_region_is_found(tmp_path: Path, make: Callable[[int], bytes]) -> None:
    region = make(1 << 17)
    (tmp_path / "000001.fbat").write_bytes(Segment(1).header + region)
    count = region.count(START) if make is frames_and_long_claims else region.count(START) // 2
    assert sorted(numbers(open_reader(tmp_path).view)) == list(range(1000, 1000 + count))


@pytest.mark.parametrize("left", range(9))
def test_zeros_that_end_anywhere_before_a_frame_do_not_hide_it(tmp_path: Path, left: int) -> None:
    """A walk in steps of empty frames would step over the start of the next one."""
    one = Segment(1, footer=False)
    (tmp_path / "000001.fbat").write_bytes(one.header + frame(1) + bytes(64 + left) + frame(2))
    assert numbers(open_reader(tmp_path).view) == [1, 2]


def test_length_that_leads_to_the_very_end_hides_no_frame(tmp_path: Path) -> None:
    segments = three_segments(footer=False)
    write_store(tmp_path, segments)
    data = bytearray((tmp_path / "000003.fbat").read_bytes())
    at = segments[2].offsets()[0]
    struct.pack_into(">I", data, at, len(data) - at - 8)
    (tmp_path / "000003.fbat").write_bytes(data)
    assert numbers(open_reader(tmp_path).view) == [0, 1, 2, 3, 4, 5, 7, 8]


@pytest.mark.parametrize("length", [0, 10, 305, 65536, 1 << 31])
def test_header_length_that_leads_astray_costs_no_event(tmp_path: Path, length: int) -> None:
    write_store(tmp_path, three_segments(footer=False))
    data = bytearray((tmp_path / "000003.fbat").read_bytes())
    struct.pack_into(">I", data, 4, length)
    (tmp_path / "000003.fbat").write_bytes(data)
    assert numbers(open_reader(tmp_path).view) == list(range(9))


@pytest.mark.parametrize("size", [100, 5_000, 300_000])
def test_long_events_behind_damage_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(recovery, "READ_AHEAD", 1 << 16)
    events = [encode_frame(encode_event(_long(n, size))) for n in range(4)]
    events[1] = events[1][:60] + b"\xff" + events[1][61:]
    (tmp_path / "000001.fbat").write_bytes(Segment(1).header + b"".join(events))
    assert [row["clock"] for row in read(tmp_path).rows] == [0, 2, 3]


def _long(number: int, size: int) -> Any:
    from dataclasses import replace

    return replace(make_event(number), payload=b"\xc6" + struct.pack(">I", size) + bytes(size), payload_size=size + 5)


@pytest.mark.parametrize(("first", "second"), [(b"", b""), (b"a", b""), (b"", b"b"), (b"abc" * 99, b"defgh" * 1234)])
def test_crc_of_the_rest_follows_from_the_whole(first: bytes, second: bytes) -> None:
    assert crc32_of_rest(crc32(first), crc32(first + second), len(second)) == zlib.crc32(second)
