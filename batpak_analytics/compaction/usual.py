"""Frames whose bytes are exactly those that batpak 0.9.0 writes for their event, found many at a time.

Of such a frame, encoding the event anew gives the same bytes, so that another kind is a change of two of them. Every
key, the tag of every number and every length is compared with what the encoder writes (segments spec 2.4, 2.6); a frame
that differs anywhere, or has extensions or a sealed payload, is not usual, and takes the long way.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from batpak_analytics.format import codec, layout

NOT_USUAL = -1
_KEY = {
    name: codec.pack_str(name)
    for fields in (
        layout.FRAME_FIELDS, layout.EVENT_FIELDS, layout.HEADER_FIELDS, layout.POSITION_FIELDS, layout.CHAIN_FIELDS
    )
    for name in fields
}  # fmt: skip
_ID = b"\xc4\x10"
_NIL = b"\xc0"
_HASH_ARRAY = b"\xdc\x00\x20"
_NO_EXTENSIONS = b"\x80"


def kind_places(data: Any, offsets: Any, lengths: Any, frames: Any) -> Any:
    """Where in `data` the kind of each frame stands, `NOT_USUAL` for one that is not usual.

    `data` are the bytes that `offsets` count in, `frames` the parsed frames. Cost: about a microsecond a frame.
    """
    at = _Comparison(np.frombuffer(data, np.uint8), offsets.astype(np.int64) + layout.FRAME_HEADER_SIZE)
    at.good &= (frames["status"] == layout.FRAME_OK) & (frames["has_chain"] == 1) & (frames["encrypted"] == 0)
    at.good &= frames["payload_form"] == layout.PAYLOAD_INTS
    at.skip(b"\x84" + _KEY["event"] + b"\x83" + _KEY["header"] + b"\x8a")
    for name in ("event_id", "correlation_id"):
        at.skip(_KEY[name] + _ID)
        at.move(layout.ID_SIZE)
    at.cause(frames["causation_id"])
    at.number("timestamp_us", frames["timestamp_us"])
    at.skip(_KEY["position"] + b"\x85")
    at.number("wall_ms", frames["wall_ms"])
    at.skip(_KEY["counter"] + b"\x00")
    for name in ("depth", "lane"):
        at.number(name, frames[name])
    at.number("sequence", frames["clock"])
    at.number("payload_size", frames["payload_size"])
    at.skip(_KEY["event_kind"])
    found = at.place.copy()
    at.value(frames["kind"])
    at.number("flags", frames["flags"])
    at.hash("content_hash", frames["content_hash"])
    at.number("payload_version", frames["payload_version"])
    at.skip(_KEY["payload"])
    at.array(frames["payload_count"])
    at.good &= at.place == frames["payload_start"].astype(np.int64)
    at.place = frames["payload_end"].astype(np.int64)
    at.skip(_KEY["hash_chain"] + b"\x82")
    at.hash("prev_hash", frames["prev_hash"])
    at.hash("event_hash", frames["event_hash"])
    for name in ("entity", "scope"):
        at.text(name, frames[f"{name}_start"].astype(np.int64), frames[f"{name}_size"].astype(np.int64))
    at.skip(_KEY["receipt_extensions"] + _NO_EXTENSIONS)
    at.good &= at.place == offsets.astype(np.int64) + lengths
    return np.where(at.good, found, NOT_USUAL)


def _as_bytes(values: Any, size: int) -> Any:
    return np.ascontiguousarray(values).view(np.uint8).reshape(-1, size)


class _Comparison:
    """Goes through all frames in step; `good` stays True for those that have been as the encoder writes them."""

    def __init__(self, data: Any, place: Any) -> None:
        self.data, self.place = data, place
        self.good = np.ones(len(place), bool)

    def _bytes(self, count: int) -> Any:
        places = self.place[:, None] + np.arange(count)
        return self.data[np.minimum(places, len(self.data) - 1)]

    def move(self, count: Any) -> None:
        self.place = self.place + count

    def skip(self, literal: bytes) -> None:
        """These very bytes."""
        self.good &= (self._bytes(len(literal)) == np.frombuffer(literal, np.uint8)).all(axis=1)
        self.move(len(literal))

    def number(self, name: str, values: Any) -> None:
        """A key and the shortest form of a number."""
        self.skip(_KEY[name])
        self.value(values)

    def value(self, values: Any) -> None:
        """The shortest form of a number that is not negative; what is negative is not usual."""
        large = values.astype(np.uint64)
        self.good &= values >= 0
        rank = np.searchsorted(_FROM, large, side="right")
        tag = np.where(rank == 0, large.astype(np.uint8), _TAGS[rank])
        self.good &= self._bytes(1)[:, 0] == tag
        self.move(_SIZES[rank])

    def cause(self, ids: Any) -> None:
        """No cause, or the id of one."""
        self.skip(_KEY["causation_id"])
        none = (_as_bytes(ids, layout.ID_SIZE) == 0).all(axis=1)
        head = self._bytes(2)
        self.good &= np.where(none, head[:, 0] == _NIL[0], (head == np.frombuffer(_ID, np.uint8)).all(axis=1))
        self.move(np.where(none, 1, len(_ID) + layout.ID_SIZE))

    def hash(self, name: str, hashes: Any) -> None:
        """An array of 32 numbers, each in its shortest form: one byte, and two from 0x80 on."""
        self.skip(_KEY[name] + _HASH_ARRAY)
        wide = (_as_bytes(hashes, layout.HASH_SIZE) >= 0x80).sum(axis=1)
        self.move(layout.HASH_SIZE + wide)

    def array(self, counts: Any) -> None:
        """The head of an array."""
        rank = np.searchsorted(_ARRAY_FROM, counts, side="right")
        tag = np.where(rank == 0, 0x90 | (counts & 0xF), _ARRAY_TAGS[rank])
        self.good &= self._bytes(1)[:, 0] == tag
        self.move(_ARRAY_SIZES[rank])

    def text(self, name: str, starts: Any, sizes: Any) -> None:
        """A key and a text whose bytes are at `starts`."""
        self.skip(_KEY[name])
        rank = np.searchsorted(_TEXT_FROM, sizes, side="right")
        tag = np.where(rank == 0, 0xA0 | (sizes & 0x1F), _TEXT_TAGS[rank])
        self.good &= self._bytes(1)[:, 0] == tag
        self.move(_TEXT_SIZES[rank])
        self.good &= self.place == starts
        self.place = starts + sizes


_FROM = np.array([1 << 7, 1 << 8, 1 << 16, 1 << 32], np.uint64)
_TAGS = np.array([0, 0xCC, 0xCD, 0xCE, 0xCF], np.uint8)
_SIZES = np.array([1, 2, 3, 5, 9])
_ARRAY_FROM = np.array([1 << 4, 1 << 16])
_ARRAY_TAGS = np.array([0, 0xDC, 0xDD])
_ARRAY_SIZES = np.array([1, 3, 5])
_TEXT_FROM = np.array([1 << 5, 1 << 8, 1 << 16])
_TEXT_TAGS = np.array([0, 0xD9, 0xDA, 0xDB])
_TEXT_SIZES = np.array([1, 2, 3, 5])
