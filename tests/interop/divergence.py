"""Where the engine itself misnumbers events or hides other ones, and what must be read there instead.

A frame holds no sequence number. Without a usable index image the engine takes numbers from footers, but not from a
footer whose last entry ends before the frames do. A batch's COMMIT frame is in no footer, so a segment that ends with
a batch is counted anew ("highest so far plus one") as soon as one other segment has no footer. After a gap in the
numbers (a failed batch, a retention compaction) that count differs from what was recorded, and the hidden ranges,
which name recorded numbers, then hide other events than the ones that were cancelled.

This reader believes every footer whose checksum holds. `explain_differences` accepts what it reads only if each
difference from the engine has one of these causes, checked against the bytes of the store:

- ``recounted``: our number is the one recorded in a footer that the engine passes over;
- ``counted-after``: neither number is recorded, and a recounted segment comes before;
- ``hidden-otherwise``: one side leaves the event out, and our number, recorded in a footer that the engine passes
  over or counted after one, says who is right;
- ``ambiguous``: the number is recorded nowhere, a ``hidden-ambiguous`` finding names the segment, and the event is
  left out;
- ``shared-id``: the engine knows one event per id, and shows the later one.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgpack

import batpak_analytics as bp
from tests.interop.compare import Segments, read_store, row_differences
from tests.interop.rows import Row

TRAILER = struct.Struct("<QI4s")
FOOTER_MAGIC = b"SDX3"
CRC_BYTES = 4
ENTRY_BYTES = 162
ENTRY_PLACE = struct.Struct("<QIQ")  # frame offset, frame length, sequence
ENTRY_PLACE_AT = 110
HIDDEN_RANGES = "visibility_ranges.fbv"
HIDDEN_RANGES_HEAD = 12
IMAGES = ("index.fbati", "index.ckpt")

Place = tuple[int, int]


@dataclass(frozen=True)
class Footer:
    """What one footer recorded."""

    numbers: dict[int, int]  # by frame offset
    covers: bool  # the last entry ends where the frames end


def read_footer(data: bytes) -> Footer | None:
    """The footer of a segment that the engine wrote, or None."""
    frames_end, count, magic = TRAILER.unpack_from(data, len(data) - TRAILER.size)
    if magic != FOOTER_MAGIC:
        return None
    first = len(data) - TRAILER.size - CRC_BYTES - count * ENTRY_BYTES
    places = [ENTRY_PLACE.unpack_from(data, first + n * ENTRY_BYTES + ENTRY_PLACE_AT) for n in range(count)]
    end = max((offset + length for offset, length, _ in places), default=0)
    return Footer({offset: number for offset, _, number in places}, end == frames_end)


@dataclass(frozen=True)
class Recorded:
    """The numbers on disk, read by other means than the package under test."""

    path: Path

    @cached_property
    def footers(self) -> dict[int, Footer | None]:
        """The footer of each segment."""
        return {int(file.stem): read_footer(file.read_bytes()) for file in sorted(self.path.glob("*.fbat"))}

    @cached_property
    def hidden(self) -> list[tuple[int, int]]:
        """Half-open ranges of hidden numbers."""
        file = self.path / HIDDEN_RANGES
        if not file.exists():
            return []
        body = msgpack.unpackb(file.read_bytes()[HIDDEN_RANGES_HEAD:])
        return [(each["start"], each["end"]) for each in body["ranges"]]

    def is_hidden(self, number: int) -> bool:
        """Whether a number lies in a hidden range."""
        return any(start <= number < end for start, end in self.hidden)

    def number(self, place: Place) -> int | None:
        """The number a footer records for the event at a place."""
        footer = self.footers[place[0]]
        return footer.numbers.get(place[1]) if footer else None

    def passed_over(self, segment_id: int) -> bool:
        """Whether the engine counts the rows of a segment although its footer has their numbers."""
        footer = self.footers[segment_id]
        if footer is None or footer.covers:
            return False
        has_image = any((self.path / name).exists() for name in IMAGES)
        return has_image or None in self.footers.values()

    def after_passed_over(self, segment_id: int) -> bool:
        """Whether an earlier segment is counted anew, so that later counts may differ."""
        return any(self.passed_over(other) for other in self.footers if other < segment_id)


class Unexplained(AssertionError):
    """A difference from the engine that is none of the known ones."""


def explain_differences(store: Path, rows: list[Row]) -> Counter[str]:
    """Compare as exactly as `assert_store_equals`, and count the known causes of what differs."""
    actual = read_store(store)
    numbers = [row["global_sequence"] for row in actual]
    if numbers != sorted(numbers):
        raise Unexplained(f"{store}: rows are not in the order of their numbers")
    return _Explanation(store, rows, actual).causes()


class _Explanation:
    def __init__(self, store: Path, expected: list[Row], actual: list[dict[str, Any]]) -> None:
        self.store = store
        self.recorded = Recorded(store)
        self.expected = {(row["segment_id"], row["offset"]): row for row in expected}
        self.actual = {(row["segment_id"], row["offset"]): row for row in actual}
        self.known_ids = {row["event_id"] for row in expected}

    def causes(self) -> Counter[str]:
        causes: Counter[str] = Counter()
        for place in sorted(self.expected.keys() | self.actual.keys()):
            if place not in self.actual:
                causes[self._why_left_out(place)] += 1
            elif place not in self.expected:
                causes[self._why_shown(place)] += 1
            else:
                self._compare(place, causes)
        return causes

    def _compare(self, place: Place, causes: Counter[str]) -> None:
        got = self.actual[place]
        wanted = Segments(self.store).complete(self.expected[place], got)
        for difference in row_differences(place[1], wanted, got):
            if difference.key != "global_sequence":
                raise Unexplained(f"{self.store}: {difference}")
            causes[self._why_numbered(place, str(difference))] += 1

    def _why_numbered(self, place: Place, difference: str) -> str:
        number, source = self.actual[place]["global_sequence"], self.actual[place]["sequence_source"]
        if source == "footer" and self.recorded.passed_over(place[0]) and self.recorded.number(place) == number:
            return "recounted"
        if source == "synthesised" and self.recorded.after_passed_over(place[0]):
            return "counted-after"
        raise Unexplained(f"{self.store}: {difference}\n  source: {source}")

    def _why_shown(self, place: Place) -> str:
        got = self.actual[place]
        number = got["global_sequence"]
        if self.recorded.is_hidden(number):
            raise Unexplained(f"{self.store}: {place} is shown, but its number {number} is hidden")
        if got["event_id"] in self.known_ids:
            return "shared-id"
        recorded = self.recorded.passed_over(place[0]) and self.recorded.number(place) == number
        if recorded or self.recorded.after_passed_over(place[0]):
            return "hidden-otherwise"
        raise Unexplained(f"{self.store}: {place} is shown, but the engine leaves it out")

    def _why_left_out(self, place: Place) -> str:
        number = self.recorded.number(place)
        if number is not None:
            if self.recorded.passed_over(place[0]) and self.recorded.is_hidden(number):
                return "hidden-otherwise"
        elif place[0] in self._ambiguous_segments:
            return "ambiguous"
        elif self.recorded.after_passed_over(place[0]) and self.recorded.hidden:
            return "hidden-otherwise"
        raise Unexplained(f"{self.store}: {place} is left out, but the engine shows it")

    @cached_property
    def _ambiguous_segments(self) -> set[int]:
        with bp.open_reader(self.store) as reader:
            findings = reader.findings()
        return set(findings.loc[findings["rule"] == "hidden-ambiguous", "segment"])
