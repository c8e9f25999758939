"""Comparing frames with footer rows: compiled against readable, and both against what was changed."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from batpak_analytics import kernels
from batpak_analytics.format import rows
from batpak_analytics.format.event import encode_event
from batpak_analytics.format.frame import encode_frame
from batpak_analytics.format.layout import FOOTER_DTYPE
from batpak_analytics.model import Event
from tests.kernels import samples


def footer_rows(events: list[Event]) -> tuple[Any, list[bytes]]:
    """The rows that say what the events say, and their string table."""
    table: dict[bytes, int] = {}
    entries = np.zeros(len(events), FOOTER_DTYPE)
    for entry, one in zip(entries, events, strict=True):
        entry["event_id"] = np.void(one.event_id[::-1])
        entry["correlation_id"] = np.void(one.correlation_id[::-1])
        entry["causation_id"] = np.void((one.causation_id or bytes(16))[::-1])
        entry["entity_idx"] = table.setdefault(one.entity.encode(), len(table))
        entry["scope_idx"] = table.setdefault(one.scope.encode(), len(table))
        for name in ("wall_ms", "clock", "lane", "depth"):
            entry[name] = getattr(one.position, name)
        entry["kind"] = one.kind
        if one.hash_chain is not None:
            entry["prev_hash"] = np.void(one.hash_chain.prev_hash)
            entry["event_hash"] = np.void(one.hash_chain.event_hash)
    return entries, list(table)


def compared(events: list[Event], entries: Any, strings: list[bytes], numbers: list[int]) -> list[bool]:
    buffer, offsets = samples.joined([encode_frame(encode_event(one)) for one in events])
    frames = kernels.parse_frames(buffer, offsets[:-1], np.diff(offsets))
    bounds = np.cumsum([0, *map(len, strings)])
    given_all = (buffer, frames, entries, np.array(numbers, np.int64), b"".join(strings), bounds)
    found = kernels.differing_rows(*given_all)
    assert found.dtype == bool
    assert found.tolist() == rows.differing_rows(*given_all).tolist()
    answer: list[bool] = found.tolist()
    entries["offset"], entries["length"] = offsets[:-1], np.diff(offsets)
    inside = [number for number in numbers if 0 <= number < len(entries)]
    source = kernels.Source(buffer, 0, entries, np.array(inside, np.int64), (b"".join(strings), bounds))
    taken = kernels.take_frames([source])
    assert taken.differs.tolist() == [one for one, number in zip(answer, numbers, strict=True) if number in inside]
    return answer


@given(st.lists(samples.events(), max_size=4))
def test_rows_that_say_the_same_do_not_differ(events: list[Event]) -> None:
    entries, strings = footer_rows(events)
    assert compared(events, entries, strings, list(range(len(events)))) == [False] * len(events)


@settings(max_examples=300)
@given(st.lists(samples.events(), min_size=1, max_size=3), st.data())
def test_any_changed_byte_of_a_row_shows(events: list[Event], data: st.DataObject) -> None:
    entries, strings = footer_rows(events)
    at = data.draw(st.integers(0, len(events) - 1))
    places = {name: place for name, place in (FOOTER_DTYPE.fields or {}).items()}
    name = data.draw(st.sampled_from([name for name in places if name not in ("offset", "length", "global_sequence")]))
    kind, start = places[name][:2]
    byte = start + data.draw(st.integers(0, kind.itemsize - 1))
    raw = entries.view(np.uint8).reshape(len(events), -1)
    raw[at, byte] ^= data.draw(st.integers(1, 255))
    expected = [False] * len(events)
    expected[at] = name not in ("prev_hash", "event_hash") or events[at].hash_chain is not None
    if name in ("entity_idx", "scope_idx"):
        code, text = int(entries[name][at]), getattr(events[at], name.removesuffix("_idx")).encode()
        expected[at] = code >= len(strings) or strings[code] != text
    assert compared(events, entries, strings, list(range(len(events)))) == expected


@given(samples.events(), st.integers(-(2**40), 2**40))
def test_row_numbers_outside_the_footer_differ(one: Event, number: int) -> None:
    entries, strings = footer_rows([one])
    assert compared([one], entries, strings, [number]) == [number != 0]
