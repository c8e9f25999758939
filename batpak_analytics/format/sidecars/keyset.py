"""``keyset.fbatk``: which payload keys exist (spec sidecars 10.1).

The file holds the keys themselves, in clear. To tell a shredded payload from an encrypted one only the scopes
are needed, so :func:`decode` steps over the key bytes and keeps none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from batpak_analytics.errors import FormatError
from batpak_analytics.format import codec, layout
from batpak_analytics.format.sidecars.envelope import body_cursor, close_envelope, open_envelope


@dataclass(frozen=True, slots=True)
class Keyset:
    """The scopes that still have a key, as the bytes that frames carry in ``keyscope_id``."""

    granularity: int
    scopes: frozenset[bytes]

    @property
    def granularity_name(self) -> str:
        """The name of the granularity, such as ``PerEntity``."""
        return layout.GRANULARITY_NAMES[self.granularity]


def _skip_key(cur: codec.Cursor) -> None:
    """Check that a key of 32 bytes lies here, without making an object of it."""
    span = codec.read_bytes_span(cur)
    if span.length != layout.KEY_SIZE:
        raise cur.fail("wrong length of a key", expected=layout.KEY_SIZE, actual=span.length)


_read_body = codec.Struct(
    "the keyset",
    {
        "granularity": codec.read_u8,
        "entries": codec.sequence(codec.Struct("a keyset entry", {"scope": codec.read_bytes, "key": _skip_key})),
    },
)


def decode(buf: Any) -> Keyset:
    """Granularity and scopes of a whole file; a file without entries is legal."""
    data = codec.as_bytes(buf)
    open_envelope(data, layout.KEYSET_MAGIC, layout.KEYSET_VERSION)
    values = _read_body(body_cursor(data))
    if values["granularity"] not in layout.GRANULARITY_NAMES:
        raise FormatError("unknown key granularity", expected="1 to 4", actual=values["granularity"])
    return Keyset(values["granularity"], frozenset(entry["scope"] for entry in values["entries"]))


def encode(granularity: int, keys: Mapping[bytes, bytes]) -> bytes:
    """The whole file for keys by scope, in ascending scope order as batpak writes it."""
    if granularity not in layout.GRANULARITY_NAMES:
        raise ValueError(f"{granularity} is not a key granularity. Pass 1, 2, 3 or 4.")
    entries = []
    for scope, key in sorted(keys.items()):
        if len(key) != layout.KEY_SIZE:
            raise ValueError(f"A key is 32 bytes, not {len(key)}. Pass the key as it is stored.")
        pairs = [("scope", codec.pack_int_array(scope)), ("key", codec.pack_int_array(key))]
        entries.append(codec.pack_map(pairs))
    body = codec.pack_map([("granularity", codec.pack_uint(granularity)), ("entries", codec.pack_array(entries))])
    return close_envelope(layout.KEYSET_MAGIC, layout.KEYSET_VERSION, body)


def entity_scope(entity: str) -> bytes:
    """The scope of a PerEntity key."""
    return b"\x01" + entity.encode()


def category_scope(category: int) -> bytes:
    """The scope of a PerCategory key."""
    return bytes((2, category))


def type_scope(kind: int) -> bytes:
    """The scope of a PerTypeId key, from the whole 16-bit kind."""
    return b"\x03" + kind.to_bytes(2, "big")


def event_scope(event_id: bytes) -> bytes:
    """The scope of a PerEvent key, from the big-endian id."""
    return b"\x04" + event_id
