"""The MessagePack profile of batpak: how it writes, and all its readers accept (spec segments 2.4, 2.5).

Writing is rmp-serde's named mode: shortest integers, structs as maps in declaration order, byte vectors as
*arrays of integers*, ids as 16-byte ``bin``. Reading is one small function per Rust type over a
``Cursor``; :class:`Struct` combines them the way serde's derive does (any
key order, unknown keys skipped, a positional array in place of the map, a repeated key refused).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from batpak_analytics.format import layout
from batpak_analytics.format.cursor import (
    ARRAYS,
    FALSE_TAG,
    MAPS,
    NIL_TAG,
    SINTS,
    STRS,
    TRUE_TAG,
    UINTS,
    Buffer,
    Cursor,
    array_count,
    as_bytes,
    bin_size,
    decode_utf8,
    map_count,
    raw_int,
    skip_value,
    str_size,
)
from batpak_analytics.format.values import Extension, decode_value, read_value

__all__ = [
    "NIL",
    "Buffer",
    "ByteSpan",
    "Cursor",
    "Extension",
    "Reader",
    "Struct",
    "array_count",
    "as_bytes",
    "bin_size",
    "decode_value",
    "fixed_bytes",
    "map_count",
    "mapping",
    "optional",
    "pack_array",
    "pack_array_header",
    "pack_bin16",
    "pack_bool",
    "pack_int",
    "pack_int_array",
    "pack_map",
    "pack_map_header",
    "pack_str",
    "pack_uint",
    "read_bool",
    "read_bytes",
    "read_bytes_span",
    "read_i64",
    "read_id",
    "read_plain_u128",
    "read_str",
    "read_str_span",
    "read_u8",
    "read_u16",
    "read_u32",
    "read_u64",
    "read_value",
    "sequence",
    "skip_value",
    "span_bytes",
    "str_size",
    "unescape",
]

T = TypeVar("T")
K = TypeVar("K")
Reader = Callable[[Cursor], T]

# A run of minimal one-byte elements, or of minimal two-byte ones. Runs keep long payloads out of a loop; the
# repeated group is bounded because the regex engine remembers every repetition of it.
_MINIMAL_RUN: Final = re.compile(rb"([\x00-\x7f]+)|(?:\xcc[\x80-\xff]){1,4096}")
_PREFIX: Final = b"\xcc"
_TWO_PREFIXES: Final = b"\xcc\xcc"  # where they are not, nothing that follows a prefix is the byte cc


def _ranged(low: int, high: int, name: str) -> Reader[int]:
    def read(cur: Cursor) -> int:
        start = cur.pos
        value = raw_int(cur, cur.byte())
        if value is None or not low <= value <= high:
            cur.pos = start
            raise cur.fail(f"not a {name}")
        return value

    return read


read_u8 = _ranged(0, layout.U8_MAX, "u8")
read_u16 = _ranged(0, layout.U16_MAX, "u16")
read_u32 = _ranged(0, layout.U32_MAX, "u32")
read_u64 = _ranged(0, layout.U64_MAX, "u64")
read_i64 = _ranged(layout.I64_MIN, layout.I64_MAX, "i64")


def read_bool(cur: Cursor) -> bool:
    """A boolean."""
    tag = cur.byte()
    if tag not in (FALSE_TAG, TRUE_TAG):
        cur.pos -= 1
        raise cur.fail("not a boolean")
    return tag == TRUE_TAG


def read_str_span(cur: Cursor) -> tuple[int, int]:
    """(start, size) of a string whose bytes are valid UTF-8. serde's String takes a ``bin`` as well."""
    start = cur.pos
    tag = cur.byte()
    size = str_size(cur, tag)
    if size is None:
        size = bin_size(cur, tag)
    if size is None:
        cur.pos = start
        raise cur.fail("not a string")
    at = cur.pos
    decode_utf8(cur, cur.take(size, "a string"), at)
    return at, size


def read_str(cur: Cursor) -> str:
    """A string; invalid UTF-8 is an error."""
    start, size = read_str_span(cur)
    return cur.data[start : start + size].decode()


class ByteSpan(NamedTuple):
    """Where the elements of a byte vector lie, how many, and in which form (layout.PAYLOAD_*)."""

    start: int
    end: int
    length: int
    form: int


def read_bytes_span(cur: Cursor) -> ByteSpan:
    """A byte vector without decoding it: an array of integers 0..255, or a ``bin``."""
    start = cur.pos
    tag = cur.byte()
    size = bin_size(cur, tag)
    if size is not None:
        at = cur.pos
        if size > cur.left:
            raise cur.truncated("a byte vector")
        cur.pos += size
        return ByteSpan(at, cur.pos, size, layout.PAYLOAD_BIN)
    count = array_count(cur, tag)
    if count is None:
        cur.pos = start
        raise cur.fail("not a byte vector")
    cur.enter(count, 1)
    at = cur.pos
    form = _skip_byte_elements(cur, count)
    cur.leave()
    return ByteSpan(at, cur.pos, count, form)


def _skip_byte_elements(cur: Cursor, count: int) -> int:
    form = layout.PAYLOAD_INTS
    while count:
        run = _MINIMAL_RUN.match(cur.data, cur.pos, cur.end)
        if run is None:
            read_u8(cur)
            form = layout.PAYLOAD_OTHER_INTS
            count -= 1
            continue
        width = 2 if run[1] is None else 1
        taken = min(count, (run.end() - run.start()) // width)
        cur.pos += taken * width
        count -= taken
    return form


def unescape(raw: bytes) -> bytes:
    """The bytes behind the elements of an int-array that holds minimal integers only (PAYLOAD_INTS)."""
    if _TWO_PREFIXES not in raw:
        return raw.replace(_PREFIX, b"")
    plain = bytearray()
    for run in _MINIMAL_RUN.finditer(raw):
        plain += run[0] if run[1] is not None else run[0][1::2]
    return bytes(plain)


def span_bytes(data: bytes, span: ByteSpan) -> bytes:
    """The bytes that a span of ``data`` stands for."""
    raw = data[span.start : span.end]
    if span.form == layout.PAYLOAD_BIN:
        return raw
    if span.form == layout.PAYLOAD_INTS:
        return unescape(raw)
    cur = Cursor(raw)
    return bytes(read_u8(cur) for _ in range(span.length))


def read_bytes(cur: Cursor) -> bytes:
    """A byte vector of any length."""
    return span_bytes(cur.data, read_bytes_span(cur))


def fixed_bytes(size: int) -> Reader[bytes]:
    """A reader of ``[u8; size]``: an int-array or a ``bin`` of exactly that length."""

    def read(cur: Cursor) -> bytes:
        start = cur.pos
        span = read_bytes_span(cur)
        if span.length != size:
            cur.pos = start
            raise cur.fail("wrong length of a byte array", expected=size, actual=span.length)
        return span_bytes(cur.data, span)

    return read


read_id = fixed_bytes(layout.ID_SIZE)
"""A u128 id as 16 big-endian bytes, the form in frames."""


def read_plain_u128(cur: Cursor) -> bytes:
    """A u128 as 16 big-endian bytes; index images also take it as an integer (spec sidecars 0.1)."""
    if cur.peek() <= 0x7F or cur.peek() in UINTS or cur.peek() in SINTS:
        return read_u64(cur).to_bytes(layout.ID_SIZE, "big")
    return read_id(cur)


def optional(reader: Reader[T]) -> Reader[T | None]:
    """A reader of ``Option``: nil gives None."""

    def read(cur: Cursor) -> T | None:
        if cur.peek() == NIL_TAG:
            cur.pos += 1
            return None
        return reader(cur)

    return read


def sequence(reader: Reader[T]) -> Reader[list[T]]:
    """A reader of ``Vec``."""

    def read(cur: Cursor) -> list[T]:
        start = cur.pos
        count = array_count(cur, cur.byte())
        if count is None:
            cur.pos = start
            raise cur.fail("not an array")
        items = [reader(cur) for _ in range(cur.enter(count, 1))]
        cur.leave()
        return items

    return read


def mapping(key: Reader[K], value: Reader[T]) -> Reader[dict[K, T]]:
    """A reader of ``BTreeMap``: of equal keys the last wins."""

    def read(cur: Cursor) -> dict[K, T]:
        start = cur.pos
        count = map_count(cur, cur.byte())
        if count is None:
            cur.pos = start
            raise cur.fail("not a map")
        items: dict[K, T] = {}
        for _ in range(cur.enter(count, 2)):
            name = key(cur)
            items[name] = value(cur)
        cur.leave()
        return items

    return read


class Struct:
    """A Rust struct with serde's derived reading.

    ``defaults`` are fields with ``#[serde(default)]``; ``nullable`` are plain ``Option`` fields, which may be
    missing from a map but not from a positional array.
    """

    def __init__(
        self,
        name: str,
        fields: Mapping[str, Reader[Any]],
        *,
        defaults: Mapping[str, Any] | None = None,
        nullable: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.fields = tuple(fields.items())
        self.by_key = {key.encode(): (key, reader) for key, reader in fields.items()}
        self.defaults = dict(defaults or {})
        self.map_defaults = {**dict.fromkeys(nullable), **self.defaults}

    def __call__(self, cur: Cursor) -> dict[str, Any]:
        """The fields by name."""
        start = cur.pos
        tag = cur.byte()
        count = map_count(cur, tag)
        if count is not None:
            values = self._from_map(cur, cur.enter(count, 2))
            missing = self._fill(values, self.map_defaults)
        else:
            count = array_count(cur, tag)
            if count is None:
                cur.pos = start
                raise cur.fail(f"{self.name} is neither a map nor an array")
            values = self._from_array(cur, cur.enter(count, 1))
            missing = self._fill(values, self.defaults)
        if missing:
            cur.pos = start
            raise cur.fail(f"{self.name} lacks {', '.join(missing)}")
        cur.leave()
        return values

    def _from_map(self, cur: Cursor, count: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for _ in range(count):
            at = cur.pos
            field = self._field(cur)
            if field is None:
                skip_value(cur)
                continue
            key, reader = field
            if key in values:
                cur.pos = at
                raise cur.fail(f"{self.name} repeats {key}")
            values[key] = reader(cur)
        return values

    def _field(self, cur: Cursor) -> tuple[str, Reader[Any]] | None:
        """The field named by the next key. serde's derive also takes its name as ``bin`` or its index."""
        at = cur.pos
        tag = cur.byte()
        size = str_size(cur, tag)
        if size is None:
            size = bin_size(cur, tag)
        if size is not None:
            return self.by_key.get(cur.take(size, "a key"))
        if tag <= 0x7F or tag in UINTS:
            index = raw_int(cur, tag)
            return self.fields[index] if index is not None and index < len(self.fields) else None
        cur.pos = at
        raise cur.fail(f"{self.name} has a key that is not a string")

    def _from_array(self, cur: Cursor, count: int) -> dict[str, Any]:
        if count > len(self.fields):
            raise cur.fail(f"{self.name} has too many fields", expected=len(self.fields), actual=count)
        return {key: reader(cur) for key, reader in self.fields[:count]}

    def _fill(self, values: dict[str, Any], defaults: Mapping[str, Any]) -> list[str]:
        missing = []
        for key, _ in self.fields:
            if key in values:
                continue
            if key in defaults:
                values[key] = defaults[key]
            else:
                missing.append(key)
        return missing


# -- writing ----------------------------------------------------------------------------------------------
NIL: Final = b"\xc0"
# Each byte as the element of an int-array: 00..7f as is, 80..ff behind cc.
_ELEMENTS: Final = tuple(bytes((n,)) if n < 0x80 else bytes((0xCC, n)) for n in range(256))


def pack_uint(value: int) -> bytes:
    """The shortest unsigned form."""
    if not 0 <= value <= layout.U64_MAX:
        raise ValueError(f"{value} does not fit an unsigned 64-bit integer. Pass a number in range.")
    if value < 0x80:
        return bytes((value,))
    tag, width = next((tag, width) for tag, width in UINTS.items() if value < 1 << (8 * width))
    return bytes((tag,)) + value.to_bytes(width, "big")


def pack_int(value: int) -> bytes:
    """The shortest signed form; from 0 up that is the unsigned one."""
    if value >= 0:
        return pack_uint(value)
    if value < layout.I64_MIN:
        raise ValueError(f"{value} does not fit a signed 64-bit integer. Pass a number in range.")
    if value >= -32:
        return bytes((value & 0xFF,))
    tag, width = next((tag, width) for tag, width in SINTS.items() if value >= -(1 << (8 * width - 1)))
    return bytes((tag,)) + value.to_bytes(width, "big", signed=True)


def pack_bool(value: bool) -> bytes:
    """``c2`` or ``c3``."""
    return b"\xc3" if value else b"\xc2"


def _sized(count: int, fix: int, fix_limit: int, widths: Mapping[int, int], what: str) -> bytes:
    if count < fix_limit:
        return bytes((fix | count,))
    for tag, width in widths.items():
        if count < 1 << (8 * width):
            return bytes((tag,)) + count.to_bytes(width, "big")
    raise ValueError(f"{count} {what} are more than MessagePack can hold. Split the value.")


def pack_str(value: str) -> bytes:
    """A string in UTF-8 behind its shortest header."""
    raw = value.encode()
    return _sized(len(raw), 0xA0, 32, STRS, "bytes of text") + raw


def pack_array_header(count: int) -> bytes:
    """The header of an array; ``count`` values follow."""
    return _sized(count, 0x90, 16, ARRAYS, "elements")


def pack_map_header(count: int) -> bytes:
    """The header of a map; ``count`` pairs follow."""
    return _sized(count, 0x80, 16, MAPS, "pairs")


def pack_int_array(value: bytes) -> bytes:
    """A byte vector as batpak stores it: an array with one integer for each byte."""
    return pack_array_header(len(value)) + b"".join(map(_ELEMENTS.__getitem__, value))


def pack_bin16(value: bytes) -> bytes:
    """A u128 given as 16 big-endian bytes."""
    if len(value) != layout.ID_SIZE:
        raise ValueError(f"An id is 16 bytes, not {len(value)}. Pass the big-endian bytes of the id.")
    return b"\xc4\x10" + value


def pack_map(pairs: Sequence[tuple[str, bytes]]) -> bytes:
    """A map with string keys; each value is already packed."""
    return pack_map_header(len(pairs)) + b"".join(pack_str(key) + value for key, value in pairs)


def pack_array(items: Sequence[bytes]) -> bytes:
    """An array of values that are already packed."""
    return pack_array_header(len(items)) + b"".join(items)
