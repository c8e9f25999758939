"""A cursor over MessagePack bytes: tags, headers, and stepping over values nobody asked for.

No allocation follows a claimed count: a count is compared with the bytes left before anything is built.
"""

from __future__ import annotations

from typing import Any, Final

from batpak_analytics.errors import FormatError, LimitError, TruncatedError
from batpak_analytics.format import layout

Buffer = Any  # anything with the buffer protocol; typing has no usable name for it before Python 3.12

# Sizes in bytes of what follows each tag: fixed numbers, then the width of a length field.
UINTS: Final = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
SINTS: Final = {0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
BINS: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4}
STRS: Final = {0xD9: 1, 0xDA: 2, 0xDB: 4}
ARRAYS: Final = {0xDC: 2, 0xDD: 4}
MAPS: Final = {0xDE: 2, 0xDF: 4}
EXTS: Final = {0xC7: 1, 0xC8: 2, 0xC9: 4}
FIXEXTS: Final = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
NIL_TAG: Final = 0xC0
FALSE_TAG: Final = 0xC2
TRUE_TAG: Final = 0xC3


class Cursor:
    """A position in some bytes. ``base`` is added to offsets in errors, ``depth`` counts open containers."""

    __slots__ = ("base", "data", "depth", "end", "pos")

    def __init__(self, data: bytes, pos: int = 0, end: int | None = None, *, base: int = 0) -> None:
        self.data = data
        self.pos = pos
        self.end = len(data) if end is None else end
        self.base = base
        self.depth = 0

    @property
    def left(self) -> int:
        """How many bytes are still unread."""
        return self.end - self.pos

    def fail(self, reason: str, **evidence: object) -> FormatError:
        """The error for ``reason`` at the current position, for the caller to raise."""
        return FormatError(reason, offset=self.base + self.pos, **evidence)  # type: ignore[arg-type]

    def truncated(self, what: str) -> TruncatedError:
        """The error for bytes that end inside ``what``."""
        return TruncatedError(f"the bytes end inside {what}", offset=self.base + self.end)

    def byte(self) -> int:
        """The next byte."""
        if self.pos >= self.end:
            raise self.truncated("a value")
        value = self.data[self.pos]
        self.pos += 1
        return value

    def peek(self) -> int:
        """The next byte, which stays unread."""
        if self.pos >= self.end:
            raise self.truncated("a value")
        return self.data[self.pos]

    def take(self, size: int, what: str = "a value") -> bytes:
        """The next ``size`` bytes."""
        stop = self.pos + size
        if stop > self.end:
            raise self.truncated(what)
        chunk = self.data[self.pos : stop]
        self.pos = stop
        return chunk

    def uint(self, width: int) -> int:
        """A big-endian unsigned number of ``width`` bytes."""
        return int.from_bytes(self.take(width, "a number"), "big")

    def enter(self, count: int, per_item: int) -> int:
        """Open a container of ``count`` items of at least ``per_item`` bytes each, checking both limits."""
        if count * per_item > self.left:
            raise self.truncated(f"a container of {count} items")
        self.depth += 1
        if self.depth > layout.MAX_NESTING:
            raise LimitError(
                "values are nested too deeply",
                offset=self.base + self.pos,
                expected=f"at most {layout.MAX_NESTING} levels",
                actual=self.depth,
            )
        return count

    def leave(self) -> None:
        """Close the container opened last."""
        self.depth -= 1


def array_count(cur: Cursor, tag: int) -> int | None:
    """The number of elements if ``tag`` (already read) starts an array, else None."""
    if tag & 0xF0 == 0x90:
        return tag & 0x0F
    width = ARRAYS.get(tag)
    return None if width is None else cur.uint(width)


def map_count(cur: Cursor, tag: int) -> int | None:
    """The number of pairs if ``tag`` (already read) starts a map, else None."""
    if tag & 0xF0 == 0x80:
        return tag & 0x0F
    width = MAPS.get(tag)
    return None if width is None else cur.uint(width)


def str_size(cur: Cursor, tag: int) -> int | None:
    """The number of bytes if ``tag`` (already read) starts a string, else None."""
    if tag & 0xE0 == 0xA0:
        return tag & 0x1F
    width = STRS.get(tag)
    return None if width is None else cur.uint(width)


def bin_size(cur: Cursor, tag: int) -> int | None:
    """The number of bytes if ``tag`` (already read) starts a ``bin``, else None."""
    width = BINS.get(tag)
    return None if width is None else cur.uint(width)


def raw_int(cur: Cursor, tag: int) -> int | None:
    """The integer that ``tag`` (already read) starts, else None. Any width is accepted."""
    if tag <= 0x7F:
        return tag
    if tag >= 0xE0:
        return tag - 0x100
    width = UINTS.get(tag)
    if width is not None:
        return cur.uint(width)
    width = SINTS.get(tag)
    return None if width is None else int.from_bytes(cur.take(width, "a number"), "big", signed=True)


def decode_utf8(cur: Cursor, raw: bytes, at: int) -> str:
    """The text of ``raw``, which was read at ``at``; invalid UTF-8 is an error."""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise FormatError("a string is not UTF-8", offset=cur.base + at + error.start) from None


def skip_value(cur: Cursor) -> None:
    """Step over one value of any type, without recursion and without building it."""
    depth = cur.depth
    left = [1]
    while left:
        if not left[-1]:
            left.pop()
            continue
        left[-1] -= 1
        tag = cur.byte()
        count = array_count(cur, tag)
        pairs = None if count is not None else map_count(cur, tag)
        if count is not None:
            left.append(cur.enter(count, 1))
        elif pairs is not None:
            left.append(2 * cur.enter(pairs, 2))
        else:
            _skip_scalar(cur, tag)
        cur.depth = depth + len(left) - 1
    cur.depth = depth


def _skip_scalar(cur: Cursor, tag: int) -> None:
    if raw_int(cur, tag) is not None or tag in (NIL_TAG, FALSE_TAG, TRUE_TAG):
        return
    size = str_size(cur, tag)
    if size is None:
        size = bin_size(cur, tag)
    if size is None:
        size = 4 if tag == 0xCA else 8 if tag == 0xCB else ext_size(cur, tag)
    if size > cur.left:
        raise cur.truncated("a value")
    cur.pos += size


def ext_size(cur: Cursor, tag: int) -> int:
    """Bytes of an extension after its length field: the type code and the data."""
    size = FIXEXTS.get(tag)
    if size is None:
        width = EXTS.get(tag)
        if width is None:
            cur.pos -= 1
            raise cur.fail("the tag c1 means nothing")
        size = cur.uint(width)
    return size + 1


def as_bytes(buf: Buffer) -> bytes:
    """The buffer as ``bytes``; a copy unless it already is."""
    return buf if isinstance(buf, bytes) else bytes(memoryview(buf).cast("B"))
