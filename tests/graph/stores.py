"""Random stores whose events cause each other in every way that bytes allow, and the rows a reader sees of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from batpak_analytics.format import layout
from batpak_analytics.format.sidecars import visibility
from batpak_analytics.format.sidecars.visibility import HiddenRanges
from batpak_analytics.model import Event
from tests.arrow.scan_stores import event, store_of
from tests.engine.building import EPOCH_US
from tests.graph.brute_force import Row

ENTITIES = ("order:1", "order:2", "user:7")
SCOPES = ("shop", "office")
KINDS = (0x1001, 0x1002, 0xF001)
UNKNOWN = bytes(range(16))


@dataclass(frozen=True)
class Made:
    """Events by segment with their sequences, those sequences that are hidden, and whether the last has no footer."""

    groups: tuple[tuple[Event, ...], ...]
    sequences: tuple[int, ...]
    hidden: tuple[int, int] | None
    torn: bool

    def write(self, directory: Path) -> Path:
        """The store."""
        starts = [sum(map(len, self.groups[:position])) for position in range(len(self.groups))]

        def number(position: int, table: Any, _: Any) -> None:
            table["global_sequence"] = self.sequences[starts[position] :][: len(table)]

        store_of(directory, *self.groups, broken=number)
        if self.torn:
            last = max(directory.glob("*.fbat"))
            data = last.read_bytes()
            frames_end = layout.FOOTER_TRAILER.unpack_from(data, len(data) - layout.FOOTER_TRAILER_SIZE)[0]
            last.write_bytes(data[:frames_end])
        if self.hidden:
            ranges = visibility.encode(HiddenRanges((self.hidden,), {}))
            (directory / layout.VISIBILITY_NAME).write_bytes(ranges)
        return directory

    def rows(self) -> list[Row]:
        """What is visible, in commit order."""
        events = [one for group in self.groups for one in group]
        low, high = self.hidden or (0, 0)
        numbered = sorted(zip(self.sequences, events, strict=True), key=lambda pair: pair[0])
        return [row_of(one, sequence) for sequence, one in numbered if not low <= sequence < high]


def row_of(one: Event, sequence: int) -> Row:
    """An event as the `.jsonl` files have it."""
    return {
        "event_id": one.event_id.hex(),
        "correlation_id": one.correlation_id.hex(),
        "causation_id": one.causation_id and one.causation_id.hex(),
        "global_sequence": sequence,
        "kind": int(one.kind),
        "entity": one.entity,
        "scope": one.scope,
        "timestamp_us": one.timestamp_us,
        "wall_ms": one.position.wall_ms,
        "lane": one.position.lane,
        "n": one.position.clock,
    }


def id_of(number: int) -> bytes:
    """The id of event `number`, which `make_event` gives it."""
    made: bytes = event(number).event_id
    return made


@st.composite
def made_event(draw: st.DrawFn, number: int, count: int) -> Event:
    """One that may be caused by any event, itself and later ones included, by none, or by one that is not there."""
    anyone = st.integers(0, count - 1).map(id_of)
    near = st.integers(max(number - 3, 0), number).map(id_of)
    made = event(
        number,
        entity=draw(st.sampled_from(ENTITIES)),
        scope=draw(st.sampled_from(SCOPES)),
        kind=draw(st.sampled_from(KINDS)),
        lane=draw(st.integers(0, 1)),
        causation_id=draw(st.one_of(near, near, anyone, st.just(UNKNOWN), st.none())),
        timestamp_us=EPOCH_US + draw(st.integers(-5000, 5000)),
    )
    correlation = draw(st.one_of(st.just(id_of(0)), st.just(UNKNOWN), anyone, st.just(made.event_id)))
    shared = draw(st.sampled_from([False] * 9 + [True]))
    name = draw(anyone) if shared else made.event_id
    return replace(made, event_id=name, correlation_id=correlation)


@st.composite
def stores(draw: st.DrawFn) -> Made:
    """Up to four segments; numbers that ascend or do not; a hidden range; a last segment that was never sealed."""
    sizes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    count = sum(sizes)
    events = [draw(made_event(number, count)) for number in range(count)]
    torn = draw(st.booleans())
    numbers: Sequence[int] = range(count) if torn else draw(st.permutations(range(count)))
    groups, at = [], 0
    for size in sizes:
        groups.append(tuple(events[at : at + size]))
        at += size
    low = draw(st.integers(0, count))
    hidden = draw(st.one_of(st.none(), st.just((low, min(low + 3, count))))) if low < count else None
    return Made(tuple(groups), tuple(numbers), hidden, torn)
