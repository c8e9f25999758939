"""A file of the projection cache: a body, then when it was made and up to which event (spec sidecars 13)."""

from __future__ import annotations

from dataclasses import dataclass

from blake3 import blake3

from batpak_analytics.errors import TruncatedError
from batpak_analytics.format import layout


@dataclass(frozen=True, slots=True)
class Trailer:
    """`watermark` is a global sequence; `cached_at_us` wall time since 1970.

    `mono_ns` counts from the start of the process that started at `boot_ns` (since 1970). Both are None in the old
    form.
    """

    watermark: int
    cached_at_us: int
    mono_ns: int | None = None
    boot_ns: int | None = None


def decode(data: bytes) -> tuple[bytes, Trailer]:
    """Body and trailer of a whole file, of either form. Raises `TruncatedError` where it is shorter than a trailer."""
    size = layout.PROJECTION_TRAILER.size
    if len(data) >= size:
        watermark, cached_at_us, mono_ns, boot_ns, magic = layout.PROJECTION_TRAILER.unpack_from(data, len(data) - size)
        if magic == layout.PROJECTION_MAGIC:
            return data[:-size], Trailer(watermark, cached_at_us, mono_ns, boot_ns)
    size = layout.PROJECTION_OLD_TRAILER.size
    if len(data) < size:
        raise TruncatedError("a cached state without its trailer", expected=size, actual=len(data))
    return data[:-size], Trailer(*layout.PROJECTION_OLD_TRAILER.unpack_from(data, len(data) - size))


def encode(body: bytes, trailer: Trailer) -> bytes:
    """The whole file; the old form where the trailer knows nothing of a process."""
    if trailer.mono_ns is None or trailer.boot_ns is None:
        return body + layout.PROJECTION_OLD_TRAILER.pack(trailer.watermark, trailer.cached_at_us)
    return body + layout.PROJECTION_TRAILER.pack(
        trailer.watermark, trailer.cached_at_us, trailer.mono_ns, trailer.boot_ns, layout.PROJECTION_MAGIC
    )


def key(entity: str, projection: bytes, version: int, kinds: bytes) -> bytes:
    """The key of a state. `projection` and `kinds` are eight bytes each, which stand for them.

    In the reference those come from a hash of the process that is good for nothing elsewhere (trap T-17).
    """
    halves = int.from_bytes(projection, "little"), version, int.from_bytes(kinds, "little")
    return entity.encode() + b"\0" + layout.PROJECTION_KEY.pack(*halves)


def place(key: bytes) -> tuple[str, str]:
    """Folder and file name of a key. One whose name no file system takes goes under its BLAKE3 (trap 24)."""
    name = key.hex()
    if len(name) + len(layout.PROJECTION_SUFFIX) > layout.MAX_NAME_BYTES:
        name = blake3(key).hexdigest()
    return name[:2] or "00", name + layout.PROJECTION_SUFFIX
