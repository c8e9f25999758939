"""Compare what `batpak_analytics` reads from a store with what the reference engine returned for it.

`assert_store_equals(store, rows)` is exact: every key of every row, in order. One thing the engine itself loses is
known here: it indexes a segment from its footer, which holds no receipt extensions, and then reports none. There the
frame's own extensions are what must be read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack
import pyarrow as pa

import batpak_analytics as bp
from tests.interop.rows import PAYLOAD_TEXT, Row
from tests.interop.swallowed import counted_with

# Row key -> column, for values that need no translation.
PLAIN = {
    "global_sequence": "global_sequence",
    "entity": "entity",
    "scope": "scope",
    "kind": "kind",
    "wall_ms": "wall_time",
    "clock": "clock",
    "lane": "lane",
    "depth": "depth",
    "segment_id": "segment_id",
    "offset": "offset",
    "length": "length",
}
HEX = ("event_id", "correlation_id", "causation_id", "prev_hash", "event_hash")
# The engine gives these as null where it could not read the frame.
FRAME = {
    "timestamp_us": "timestamp",
    "flags": "flags",
    "payload_version": "payload_version",
    "payload_size": "payload_size",
}
# Length and CRC, four bytes each, before the body of a frame.
FRAME_HEAD = 8


@dataclass(frozen=True)
class Difference:
    """One value that differs, with enough around it to find the event."""

    row: int
    event_id: str
    global_sequence: object
    key: str
    expected: object
    actual: object

    def __str__(self) -> str:
        place = f"row {self.row}, event ...{self.event_id[-8:]}, global_sequence {self.global_sequence}"
        return f"{place}: {self.key}\n  engine: {_shorten(self.expected)}\n  ours:   {_shorten(self.actual)}"


def _shorten(value: object, limit: int = 300) -> str:
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def assert_store_equals(store: Any, rows: Iterable[Row], swallowed: frozenset[str] = frozenset()) -> None:
    """Fail with the first difference between a store (path or reader) and the engine's rows.

    `swallowed` are the ids of the events that the engine is known to lose (`swallowed_events`). Each must be in the
    store, and have a number of its own.
    """
    expected = list(rows)
    actual = read_store(store)
    if swallowed:
        all_events = [row["event_id"] for row in actual]
        actual = [row for row in actual if row["event_id"] not in swallowed]
        if len(all_events) - len(actual) != len(swallowed):
            raise AssertionError(f"{store}: events that only the engine loses are missing, or shown twice")
        expected = counted_with(expected, all_events)
    order = _order_difference([row["event_id"] for row in expected], [row["event_id"] for row in actual])
    if order:
        raise AssertionError(f"{store}: {order}")
    segments = Segments(Path(getattr(store, "path", store)))
    for number, (wanted, got) in enumerate(zip(expected, actual, strict=True)):
        for difference in row_differences(number, segments.complete(wanted, got), got):
            raise AssertionError(f"{store}: {difference}")


def read_store(store: Any) -> list[dict[str, Any]]:
    """Every event of a store, the lifecycle events too, as plain Python values under their column names."""
    table = bp.scan_batpak(store, columns="all", payload="json", system=True).to_arrow()
    stored = bp.scan_batpak(store, columns="all", payload="binary", system=True).to_arrow()
    if not stored.column("event_id").equals(table.column("event_id")):
        raise AssertionError(f"{store}: two scans of the same store return different events")
    rows: list[dict[str, Any]] = as_integers(table).to_pylist()
    for row, raw in zip(rows, stored.column("payload").to_pylist(), strict=True):
        row["payload_raw"] = raw
        row["event_id"] = row["event_id"].hex()
    return rows


def as_integers(table: pa.Table) -> pa.Table:
    """The same with times as numbers: Python's have no year 10000."""
    for place, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            table = table.set_column(place, field.name, table.column(place).cast(pa.int64()))
    return table


@dataclass(frozen=True)
class Segments:
    """The segment files of a store, read by other means than the package under test."""

    path: Path

    def _bytes(self, segment_id: int) -> bytes:
        return (self.path / f"{segment_id:06}.fbat").read_bytes()

    def complete(self, expected: Row, actual: Mapping[str, Any]) -> Row:
        """The engine's row, with the frame's extensions where the engine had only a footer to go by."""
        if expected["extensions"] or not actual["extensions"] or not self.has_footer(expected["segment_id"]):
            return expected
        return {**expected, "extensions": self.extensions(expected)}

    def has_footer(self, segment_id: int) -> bool:
        """Whether the file ends in a footer's magic."""
        return self._bytes(segment_id).endswith(b"SDX3")

    def extensions(self, row: Row) -> dict[str, str]:
        """The receipt extensions inside the frame of a row."""
        start = row["offset"] + FRAME_HEAD
        body = msgpack.unpackb(self._bytes(row["segment_id"])[start : row["offset"] + row["length"]])
        return {name: bytes(value).hex() for name, value in body["receipt_extensions"].items()}


def _order_difference(expected: list[str], actual: list[str]) -> str | None:
    if expected == actual:
        return None
    missing = [event for event in expected if event not in set(actual)]
    extra = [event for event in actual if event not in set(expected)]
    if missing or extra:
        return f"engine has {len(expected)} events, ours {len(actual)}; missing {missing[:3]}, extra {extra[:3]}"
    place = next(number for number, pair in enumerate(zip(expected, actual, strict=False)) if pair[0] != pair[1])
    theirs, ours = expected[place : place + 3], actual[place : place + 3]
    return f"same events, other order from row {place}: engine {theirs}, ours {ours}"


def row_differences(number: int, expected: Mapping[str, Any], actual: Mapping[str, Any]) -> list[Difference]:
    """Every key in which one row differs."""
    pairs = [*_index_pairs(expected, actual), *_frame_pairs(expected, actual)]
    return [
        Difference(number, expected["event_id"], expected["global_sequence"], key, wanted, got)
        for key, wanted, got in pairs
        if not same_value(wanted, got)
    ]


Pair = tuple[str, Any, Any]


def _index_pairs(expected: Mapping[str, Any], actual: Mapping[str, Any]) -> list[Pair]:
    pairs: list[Pair] = [(key, expected[key], actual[column]) for key, column in PLAIN.items()]
    pairs += [(key, expected[key], _hex(actual[key])) for key in HEX]
    extensions = {name: value.hex() for name, value in actual["extensions"]}
    return [*pairs, ("extensions", expected["extensions"], extensions)]


def _frame_pairs(expected: Mapping[str, Any], actual: Mapping[str, Any]) -> list[Pair]:
    if expected["encrypted"] is None:
        return []
    pairs: list[Pair] = [(key, expected[key], actual[column]) for key, column in FRAME.items()]
    # The engine's header copy of the hash is not in the rows; it equals the chain's by construction.
    pairs.append(("content_hash", expected["event_hash"], _hex(actual["content_hash"])))
    pairs.append(("payload_raw", expected["payload_raw"], _hex(actual["payload_raw"])))
    pairs.append(("disposition", _disposition(expected), actual["disposition"]))
    return pairs + _payload_pairs(expected, actual["payload"])


def _disposition(expected: Mapping[str, Any]) -> str:
    payload = expected["payload"]
    if expected["encrypted"]:
        return "shredded" if payload == {"$shredded": True} else "encrypted"
    return "undecodable" if _is_error(payload) else "present"


def _is_error(payload: object) -> bool:
    return isinstance(payload, dict) and payload.keys() == {"$error"}


def _payload_pairs(expected: Mapping[str, Any], text: str | None) -> list[Pair]:
    if _disposition(expected) != "present":
        return [("payload", None, text)]
    if text is None:
        return [("payload", expected["payload"], None)]
    pairs: list[Pair] = [("payload", expected["payload"], json.loads(text))]
    if PAYLOAD_TEXT in expected:
        pairs.append(("payload text", expected[PAYLOAD_TEXT], text))
    return pairs


def _hex(value: bytes | str | None) -> str | None:
    return value.hex() if isinstance(value, bytes) else value


def same_value(left: Any, right: Any) -> bool:
    """Equality of JSON values that tells 1 from 1.0, True from 1 and 0.0 from -0.0; any depth."""
    pending = [(left, right)]
    while pending:
        one, other = pending.pop()
        if type(one) is not type(other):
            return False
        if isinstance(one, dict):
            if one.keys() != other.keys():
                return False
            pending += [(one[key], other[key]) for key in one]
        elif isinstance(one, list):
            if len(one) != len(other):
                return False
            pending += zip(one, other, strict=True)
        elif one.hex() != other.hex() if isinstance(one, float) else one != other:
            return False
    return True
