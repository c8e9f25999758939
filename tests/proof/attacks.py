"""What somebody who may write the files can do, and repair every checksum after it."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import blake3
import numpy as np

import batpak_analytics as bp
from batpak_analytics.format.event import decode_event, encode_event
from batpak_analytics.format.footer import encode_footer, read_footer
from batpak_analytics.format.frame import encode_frame
from batpak_analytics.format.layout import CHECKPOINT_NAME, FOOTER_DTYPE, MMAP_INDEX_NAME, VISIBILITY_NAME, FooterState
from batpak_analytics.format.rows import walk_frames
from batpak_analytics.format.segment import encode_segment_header, read_segment_header
from batpak_analytics.format.sidecars import visibility
from batpak_analytics.format.sidecars.visibility import HiddenRanges
from batpak_analytics.model import Event, EventKind, HashChain

FORGED = b"\x81\xa6forged\x01"


@dataclass
class Held:
    """One segment file taken apart: its events, batch markers among them, with their sequence numbers."""

    path: Path
    segment_id: int
    created_ns: int
    events: list[Event]
    numbers: list[int | None]

    def save(self, change_row: Callable[[np.ndarray], None] | None = None) -> None:
        """Write the file anew, with right checksums and a footer that says what the frames say."""
        header = encode_segment_header(self.segment_id, self.created_ns)
        frames = [encode_frame(encode_event(event)) for event in self.events]
        data = header + b"".join(frames)
        rows, strings = self._rows(len(header), [len(frame) for frame in frames])
        if change_row is not None:
            change_row(rows)
        self.path.write_bytes(data + encode_footer(rows, strings, len(data)))

    def _rows(self, start: int, sizes: list[int]) -> tuple[np.ndarray, list[str]]:
        strings: dict[str, int] = {}
        rows = np.zeros(sum(number is not None for number in self.numbers), FOOTER_DTYPE)
        at, offset = 0, start
        for event, number, size in zip(self.events, self.numbers, sizes, strict=True):
            if number is not None:
                fill(rows[at], event, number, offset, size, strings)
                at += 1
            offset += size
        return rows, list(strings)


def fill(row: np.ndarray, event: Event, number: int, offset: int, size: int, strings: dict[str, int]) -> None:
    """One footer row."""
    assert event.hash_chain is not None
    for name in ("event_id", "correlation_id"):
        row[name] = np.void(getattr(event, name)[::-1])
    if event.causation_id is not None:
        row["causation_id"] = np.void(event.causation_id[::-1])
    row["entity_idx"] = strings.setdefault(event.entity, len(strings))
    row["scope_idx"] = strings.setdefault(event.scope, len(strings))
    position = event.position
    row["kind"], row["wall_ms"], row["clock"] = event.kind, position.wall_ms, position.clock
    row["lane"], row["depth"] = position.lane, position.depth
    row["prev_hash"] = np.void(event.hash_chain.prev_hash)
    row["event_hash"] = np.void(event.hash_chain.event_hash)
    row["offset"], row["length"], row["global_sequence"] = offset, size, number


def take_apart(store: Path) -> list[Held]:
    """The segments of a store whose footers are all good."""
    found = []
    for path in sorted(store.glob("*.fbat")):
        data = path.read_bytes()
        header, footer = read_segment_header(data), read_footer(data)
        assert footer.state is FooterState.TRUSTED and footer.entries is not None
        offsets, lengths, _, _ = walk_frames(data, header.frames_start, footer.frames_end or 0)
        places = list(zip(offsets.tolist(), lengths.tolist(), strict=True))
        numbers = {int(row["offset"]): int(row["global_sequence"]) for row in footer.entries}
        events = [decode_event(data, low + 8, low + size) for low, size in places]
        listed = [numbers.get(low) for low, _ in places]
        found.append(Held(path, header.segment_id, header.created_ns, events, listed))
    return found


class Victim:
    """A copy of a store, taken apart, with an event in the middle of a chain to attack."""

    def __init__(self, store: Path, target: Path) -> None:
        self.path = Path(shutil.copytree(store, target))
        self.segments = take_apart(self.path)
        self.chains: defaultdict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)
        for at, segment in enumerate(self.segments):
            for row, event in enumerate(segment.events):
                if not event.is_marker:
                    self.chains[event.entity, event.position.lane].append((at, row))

    def event(self, place: tuple[int, int]) -> Event:
        return self.segments[place[0]].events[place[1]]

    def put(self, place: tuple[int, int], event: Event) -> None:
        self.segments[place[0]].events[place[1]] = event

    def single(self, place: tuple[int, int]) -> bool:
        """Whether the event was appended alone, and is not the store's own."""
        events, row = self.segments[place[0]].events, place[1]
        before = [event for event in events[:row] if event.is_marker]
        in_batch = bool(before) and before[-1].kind == 6
        return not in_batch and events[row].kind.category != 0

    def middle(self, skip: int = 0) -> tuple[int, int]:
        """An event with one before and one behind it on its chain."""
        inner = [place for chain in self.chains.values() for place in chain[2:-2] if self.single(place)]
        return inner[skip]

    def chain_of(self, place: tuple[int, int]) -> list[tuple[int, int]]:
        event = self.event(place)
        return self.chains[event.entity, event.position.lane]

    def remove(self, place: tuple[int, int]) -> None:
        """Take an event away and give the numbers anew, without a hole."""
        segment = self.segments[place[0]]
        del segment.events[place[1]], segment.numbers[place[1]]
        number = 0
        for one in self.segments:
            for row, old in enumerate(one.numbers):
                if old is not None:
                    one.numbers[row] = number
                    number += 1

    def save(self) -> None:
        """Write every file, and remove the index images, which 0.9.0 writes anew."""
        for segment in self.segments:
            segment.save()
        for name in (MMAP_INDEX_NAME, CHECKPOINT_NAME):
            (self.path / name).unlink(missing_ok=True)


def hashed(event: Event, payload: bytes, prev: bytes | None = None) -> Event:
    """The event with another payload and the hash that belongs to it."""
    assert event.hash_chain is not None
    digest = blake3.blake3(payload).digest()
    chain = HashChain(event.hash_chain.prev_hash if prev is None else prev, digest)
    return replace(event, payload=payload, payload_size=len(payload), content_hash=digest, hash_chain=chain)


def payload_byte(victim: Victim) -> None:
    """a byte of a payload"""
    place = victim.middle()
    event = victim.event(place)
    victim.put(place, replace(event, payload=event.payload[:-1] + bytes([event.payload[-1] ^ 1])))


def payload_with_hash(victim: Victim) -> None:
    """a payload, with its hash"""
    place = victim.middle()
    victim.put(place, hashed(victim.event(place), FORGED))


def payload_at_the_end(victim: Victim) -> None:
    """a payload, with its hash, at the end of a chain"""
    chain = next(chain for chain in victim.chains.values() if len(chain) > 1 and victim.single(chain[-1]))
    victim.put(chain[-1], hashed(victim.event(chain[-1]), FORGED))


def time_alone(victim: Victim) -> None:
    """a timestamp"""
    place = victim.middle()
    event = victim.event(place)
    victim.put(place, replace(event, timestamp_us=event.timestamp_us + 1_000_000))


def time_and_wall_clock(victim: Victim) -> None:
    """a timestamp and its wall clock, within those of the neighbours"""
    for chain in victim.chains.values():
        for place, behind in pairwise(chain):
            event, after = victim.event(place), victim.event(behind)
            if victim.single(place) and after.timestamp_us // 1000 > event.position.wall_ms:
                position = replace(event.position, wall_ms=after.timestamp_us // 1000)
                victim.put(place, replace(event, timestamp_us=position.wall_ms * 1000, position=position))
                return
    raise AssertionError("the store has no room for this attack")


def causation(victim: Victim) -> None:
    """a cause"""
    place = victim.middle()
    victim.put(place, replace(victim.event(place), causation_id=victim.event(victim.middle(3)).event_id))


def correlation(victim: Victim) -> None:
    """a correlation"""
    place = victim.middle()
    victim.put(place, replace(victim.event(place), correlation_id=bytes(range(16))))


def entity(victim: Victim) -> None:
    """an entity"""
    place = victim.middle()
    victim.put(place, replace(victim.event(place), entity="somebody:else"))


def kind(victim: Victim) -> None:
    """a kind"""
    place = victim.middle()
    victim.put(place, replace(victim.event(place), kind=EventKind(victim.event(place).kind ^ 1)))


def prev_hash(victim: Victim) -> None:
    """a `prev_hash`"""
    place = victim.middle()
    event = victim.event(place)
    assert event.hash_chain is not None
    victim.put(place, replace(event, hash_chain=HashChain(bytes(range(32)), event.hash_chain.event_hash)))


def prev_hash_to_another(victim: Victim) -> None:
    """a `prev_hash`, to the hash of an event of another chain"""
    place = victim.middle()
    event = victim.event(place)
    other = next(chain for chain in victim.chains.values() if chain is not victim.chain_of(place))
    stranger = victim.event(other[0]).hash_chain
    assert event.hash_chain is not None and stranger is not None
    victim.put(place, replace(event, hash_chain=HashChain(stranger.event_hash, event.hash_chain.event_hash)))


def swapped_neighbours(victim: Victim) -> None:
    """two events of different chains change places"""
    for segment in victim.segments:
        for row in range(len(segment.events) - 1):
            left, right = segment.events[row], segment.events[row + 1]
            if not left.is_marker and not right.is_marker and left.entity != right.entity:
                segment.events[row], segment.events[row + 1] = right, left
                return
    raise AssertionError("the store has no room for this attack")


def swapped_in_chain(victim: Victim) -> None:
    """two events of one chain change places, clocks and links too"""
    first = victim.middle()
    chain = victim.chain_of(first)
    second = chain[chain.index(first) + 1]
    left, right = victim.event(first), victim.event(second)
    assert left.hash_chain is not None and right.hash_chain is not None
    moved = hashed(right, right.payload, left.hash_chain.prev_hash)
    victim.put(first, replace(moved, position=left.position, timestamp_us=left.timestamp_us))
    moved = hashed(left, left.payload, right.hash_chain.event_hash)
    victim.put(second, replace(moved, position=right.position, timestamp_us=right.timestamp_us))


def removed_in_the_middle(victim: Victim) -> None:
    """an event removed from the middle of a chain"""
    victim.remove(victim.middle())


def removed_at_the_head(victim: Victim) -> None:
    """an event removed from the head of a chain"""
    chain = next(chain for chain in victim.chains.values() if len(chain) > 1 and victim.single(chain[0]))
    victim.remove(chain[0])


def removed_at_the_tail(victim: Victim) -> None:
    """an event removed from the tail of a chain"""
    chain = next(chain for chain in victim.chains.values() if len(chain) > 1 and victim.single(chain[-1]))
    victim.remove(chain[-1])


def segment_removed(victim: Victim) -> None:
    """a segment removed from the middle"""
    victim.segments.pop(len(victim.segments) // 2).path.unlink()


def last_segment_removed(victim: Victim) -> None:
    """the last segment removed"""
    victim.segments.pop().path.unlink()


def footer_kind(victim: Victim) -> None:
    """a kind, in the footer alone"""
    victim.save()
    place = victim.middle()
    row = sum(number is not None for number in victim.segments[place[0]].numbers[: place[1]])
    victim.segments[place[0]].save(lambda rows: rows["kind"].__setitem__(row, int(rows["kind"][row]) ^ 1))


def footer_numbers(victim: Victim) -> None:
    """two sequence numbers exchanged in the footer"""
    victim.save()

    def exchange(rows: np.ndarray) -> None:
        rows["global_sequence"][:2] = rows["global_sequence"][1::-1]

    victim.segments[1].save(exchange)


def everything(victim: Victim) -> None:
    """the whole store rewritten: a payload, its hash and every link behind it"""
    place = victim.middle()
    victim.put(place, hashed(victim.event(place), FORGED))
    for chain in victim.chains.values():
        prev = bytes(32)
        for one in chain:
            event = victim.event(one)
            assert event.hash_chain is not None
            victim.put(one, replace(event, hash_chain=HashChain(prev, event.hash_chain.event_hash)))
            prev = event.hash_chain.event_hash


def hidden_by_record(victim: Victim) -> None:
    """an event hidden by a forged record of a cancelled fence"""
    place = victim.middle()
    number = victim.segments[place[0]].numbers[place[1]]
    assert number is not None
    lane = victim.event(place).position.lane
    ranges = ((number, number + 1),)
    (victim.path / VISIBILITY_NAME).write_bytes(visibility.encode(HiddenRanges(ranges, {lane: ranges})))


Attack = Callable[[Victim], None]
ATTACKS: tuple[Attack, ...] = (
    payload_byte, payload_with_hash, payload_at_the_end, time_alone, time_and_wall_clock, causation, correlation,
    entity, kind, prev_hash, prev_hash_to_another, swapped_neighbours, swapped_in_chain, removed_in_the_middle,
    removed_at_the_head, removed_at_the_tail, segment_removed, last_segment_removed, footer_kind, footer_numbers,
    everything, hidden_by_record,
)  # fmt: skip
OUTSIDE_THE_FRAMES = (hidden_by_record,)
"""Attacks that change no frame, which is all that a checkpoint covers."""


def attacked(attack: Attack, store: Path, target: Path) -> Path:
    """A copy of the store after the attack."""
    victim = Victim(store, target)
    attack(victim)
    if attack not in (footer_kind, footer_numbers):
        victim.save()
    return victim.path


def named(attack: Attack) -> str:
    """The attack in words."""
    return (attack.__doc__ or "").strip()


def found_by(report: bp.VerifyReport) -> list[str]:
    """The rules with errors or warnings, most telling first."""
    seen = [fault.rule for fault in report.faults.listed if fault.severity != "info"]
    return sorted(set(seen), key=lambda rule: (rule != "anchor-differs", seen.index(rule)))
