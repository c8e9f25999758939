"""Frames and payloads for the kernel tests: what batpak writes, what it merely accepts, and what is hostile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgpack
import numpy as np
from hypothesis import strategies as st

from batpak_analytics.format.event import encode_event
from batpak_analytics.format.frame import encode_frame
from batpak_analytics.model import Event, EventKind, HashChain, PayloadEncryption, Position

ids = st.binary(min_size=16, max_size=16)
hashes = st.binary(min_size=32, max_size=32)
u16, u32, u64 = (st.integers(0, 2**bits - 1) for bits in (16, 32, 64))
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)

chains = st.none() | st.builds(HashChain, hashes, hashes)
encryptions = st.none() | st.builds(PayloadEncryption, st.binary(max_size=40), st.binary(min_size=24, max_size=24))


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Any event that 0.9.0 could have written."""
    payload = draw(st.binary(max_size=80))
    return Event(
        event_id=draw(ids),
        correlation_id=draw(ids),
        causation_id=draw(st.none() | ids),
        timestamp_us=draw(st.integers(-(2**63), 2**63 - 1)),
        position=Position(draw(u64), draw(u16), draw(u32), draw(u32), draw(u32)),
        payload_size=draw(u32),
        kind=EventKind(draw(u16)),
        flags=draw(st.integers(0, 255)),
        content_hash=draw(hashes),
        payload_version=draw(u16),
        payload_encryption=draw(encryptions),
        payload=payload,
        hash_chain=draw(chains),
        entity=draw(names),
        scope=draw(names),
        extensions=draw(st.dictionaries(names, st.binary(max_size=20), max_size=3)),
    )


bodies = events().map(encode_event)
frames = bodies.map(encode_frame)
# Bytes that mean something in MessagePack, which random bytes seldom hit.
telling = st.sampled_from(
    list(b"\x00\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc4\xc6\xc7\xcc\xcd\xd4\xd9\xdb\xdc\xdd\xde\xdf\xff")
) | st.integers(0, 255)


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Bytes with a few places overwritten, cut short or run on."""
    data = bytearray(draw(whole))
    for _ in range(draw(st.integers(0, 3))):
        if data:
            data[draw(st.integers(0, len(data) - 1))] = draw(telling)
    kind = draw(st.sampled_from(["whole", "whole", "cut", "longer"]))
    if kind == "cut":
        del data[draw(st.integers(0, len(data))) :]
    elif kind == "longer":
        data += draw(st.binary(max_size=8))
    return bytes(data)


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=40)
    | st.binary(max_size=40)
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=17))
)
keys = st.sampled_from(["a", "b", "amount", "user", "é" * 20]) | st.text(max_size=4)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=20)
        | st.dictionaries(keys, inner, max_size=18)
        | st.dictionaries(keys | st.integers() | st.binary(max_size=3) | st.none(), inner, max_size=3)
    ),
    max_leaves=8,
)


def pack(value: Any) -> bytes:
    """MessagePack bytes; integers out of range, as keys, are cut to 64 bits."""
    return bytes(msgpack.packb(_in_range(value)))


def _in_range(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return value if -(2**63) <= value < 2**64 else value & (2**64 - 1)
    if isinstance(value, list):
        return [_in_range(item) for item in value]
    if isinstance(value, dict):
        return {_in_range(key): _in_range(item) for key, item in value.items()}
    return value


maps = st.dictionaries(keys, scalars, max_size=6)
payloads = (maps | values).map(pack)
hostile = st.sampled_from(
    [
        b"",
        b"\xc1",
        b"\xdf\xff\xff\xff\xff",  # a map of 2**32 - 1 pairs
        b"\xdd\xff\xff\xff\xff\x01",
        b"\xdb\xff\xff\xff\xff",
        b"\x91" * 1023 + b"\x00",
        b"\x91" * 1023 + b"\x90",
        b"\x91" * 1022 + b"\x90",
        b"\x81\xa1a" + b"\x91" * 1022 + b"\x00",
        b"\x81\xa1a" + b"\x91" * 1023 + b"\x00",
        b"\x81" + b"\x91" * 1022 + b"\x00\x01",
        b"\x81\xa2\xff\xfe\x01",  # a key that is not UTF-8
        b"\x81\xa1a\xa3\xed\xa0\x80",  # a lone surrogate
        b"\x82\xa1a\x01\xa1a\x02",  # one name twice
        b"\x82\xa1a\x01\x05\x02",
        b"\xde\x00\x01\xd9\x01a\xda\x00\x01b",  # every header longer than it need be
    ]
)
rows = st.lists(hostile | payloads | damaged(payloads), max_size=12)


def joined(parts: Sequence[bytes], gap: int = 0) -> tuple[bytes, Any]:
    """The parts back to back, and their n + 1 offsets."""
    offsets = np.cumsum([0, *(len(part) + gap for part in parts)])
    return b"".join(part + bytes(gap) for part in parts), offsets
