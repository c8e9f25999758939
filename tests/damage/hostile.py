"""Files made to exhaust a reader: impossible lengths, counts and depths, most of them behind right checksums.

`python -m tests.damage.hostile` reads each in this process, its memory limited, and prints one JSON line a case.
"""

from __future__ import annotations

import faulthandler
import json
import resource
import struct
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import batpak_analytics as bp
from batpak_analytics.format.event import encode_event
from batpak_analytics.format.footer import encode_footer
from batpak_analytics.format.frame import encode_frame
from batpak_analytics.format.layout import (
    CHECKPOINT_MAGIC,
    KEYSET_MAGIC,
    MMAP_INDEX_MAGIC,
    MMAP_INDEX_TAILS,
    VISIBILITY_MAGIC,
)
from tests.damage.reading import as_rows
from tests.engine.building import make_event, three_segments, write_store

MEMORY_BYTES = 3 << 30  # of address space; libraries alone map half of it
SECONDS = 20
MANY = b"\xff\xff\xff\xff"
DEEP = 100_000

Files = dict[str, bytes]


def behind_events(tail: bytes) -> Files:
    """The second segment ends in these bytes, and has no footer."""
    return {"000002.fbat": replace(three_segments()[1], footer=False, tail=tail).to_bytes()}


def between_events(middle: bytes) -> Files:
    """The second segment holds these bytes between its second and its third event."""
    one = replace(three_segments()[1], footer=False)
    at = one.offsets()[2]
    data = one.to_bytes()
    return {"000002.fbat": data[:at] + middle + data[at:]}


def event_with(old: bytes, new: bytes) -> Files:
    """One more event, its body changed, its checksum right."""
    body = encode_event(make_event(77))
    assert body.count(old) == 1
    return behind_events(encode_frame(body.replace(old, new)))


def payload(data: bytes) -> Files:
    return behind_events(encode_frame(encode_event(replace(make_event(77), payload=data, payload_size=len(data)))))


def sidecar(name: str, magic: bytes, version: int, body: bytes) -> Files:
    """A sidecar in its envelope, the checksum right."""
    return {name: struct.pack("<6sHI", magic, version, zlib.crc32(body)) + body}


def footer(change: Callable[[bytearray, int], None] | None = None, table: bytes | None = None) -> Files:
    """The second segment with its footer changed (rows start at the given place), its checksum made right."""
    one = three_segments()[1]
    frames = replace(one, footer=False).to_bytes()
    rows, strings = one._rows()
    plain = encode_footer(rows, strings, len(frames))
    names = plain[: len(plain) - 20 - rows.nbytes]
    body = bytearray((names if table is None else table) + rows.tobytes())
    if change is not None:
        change(body, len(body) - rows.nbytes)
    trailer = struct.pack("<IQI4s", zlib.crc32(body), len(frames), len(rows), b"SDX3")
    return {"000002.fbat": frames + bytes(body) + trailer}


def put(form: str, offset: int, value: int) -> Callable[[bytearray, int], None]:
    """Write into the second row."""
    return lambda body, rows: struct.pack_into(form, body, rows + 162 + offset, value)


def trailer(offset: int, count: int) -> Files:
    data = three_segments()[1].to_bytes()
    return {"000002.fbat": data[:-16] + struct.pack("<QI4s", offset, count, b"SDX3")}


def image(**lies: int) -> Files:
    fields = dict.fromkeys(("segment", "offset", "allocator", "strings", "rows", "sizes", "summary", "blob"), 0) | lies
    return sidecar("index.fbati", MMAP_INDEX_MAGIC, 5, MMAP_INDEX_TAILS[5].pack(*fields.values()) + bytes(64))


def header(body: bytes, length: int | None = None) -> Files:
    data = three_segments()[1].to_bytes()
    at = 8 + struct.unpack_from(">I", data, 4)[0]
    return {"000002.fbat": b"FBAT" + struct.pack(">I", len(body) if length is None else length) + body + data[at:]}


CASES: dict[str, Callable[[], Files]] = {
    "frame of 4 GiB": lambda: between_events(MANY + bytes(4)),
    "frame of 256 MiB": lambda: between_events(struct.pack(">II", 1 << 28, 0)),
    "frame up to the end": lambda: between_events(struct.pack(">II", 400, 0)),
    "1 MiB of zeros": lambda: between_events(bytes(1 << 20)),
    "64 MiB of zeros at the end": lambda: behind_events(bytes(64 << 20)),
    "100,000 empty frames": lambda: between_events(bytes(800_000)),
    "payload of 4 Gi elements": lambda: event_with(b"\xa7payload\x94", b"\xa7payload\xdd" + MANY),
    "entity of 4 GiB": lambda: event_with(b"\xa6entity\xa7order:1", b"\xa6entity\xdb" + MANY + b"order:1"),
    "4 Gi extensions": lambda: event_with(b"receipt_extensions\x80", b"receipt_extensions\xdf" + MANY),
    "deep extensions": lambda: event_with(b"extensions\x80", b"extensions\x81\xa1a" + b"\x91" * DEEP + b"\x00"),
    "deep unknown key": lambda: event_with(b"\x84\xa5event", b"\x85\xa1x" + b"\x91" * DEEP + b"\x00\xa5event"),
    "deep event": lambda: behind_events(encode_frame(b"\x84\xa5event" + b"\x91" * DEEP)),
    "deep payload": lambda: payload(b"\x91" * DEEP + b"\x00"),
    "deep maps in payload": lambda: payload(b"\x81\xa1a" * DEEP + b"\x00"),
    "payload map of 4 Gi": lambda: payload(b"\xdf" + MANY),
    "payload field of 4 Gi": lambda: payload(b"\x81\xa1n\xdd" + MANY + b"\x01"),
    "payload text of 4 GiB": lambda: payload(b"\x81\xa1n\xdb" + MANY + b"x"),
    "payload of 5,000 fields": lambda: payload(b"\xde\x13\x88" + b"".join(b"\xa4%04d\x01" % n for n in range(5_000))),
    "footer of 4 Gi rows": lambda: trailer(57, 0xFFFFFFFF),
    "footer at 2**64": lambda: trailer(2**64 - 1, 3),
    "string table of 4 Gi": lambda: footer(table=b"\xdd" + MANY),
    "string of 4 GiB": lambda: footer(table=b"\x92\xdb" + MANY + b"abc"),
    "deep string table": lambda: footer(table=b"\x91" * DEEP + b"\xa0"),
    "no string table": lambda: footer(table=b""),
    "index outside the strings": lambda: footer(put("<I", 16, 2)),
    "index of 4 Gi": lambda: footer(put("<I", 20, 0xFFFFFFFF)),
    "row at 2**64": lambda: footer(put("<Q", 110, 2**64 - 1)),
    "row of 4 GiB": lambda: footer(put("<I", 118, 0xFFFFFFFF)),
    "row of no bytes": lambda: footer(put("<I", 118, 0)),
    "rows overlap": lambda: footer(put("<Q", 110, 57)),
    "row inside another": lambda: footer(put("<Q", 110, 100)),
    "number of 2**64": lambda: footer(put("<Q", 122, 2**64 - 1)),
    "time of 2**64": lambda: footer(put("<Q", 26, 2**64 - 1)),
    "header of 4 GiB": lambda: header(b"\x84", 0xFFFFFFFF),
    "header of 64 KiB": lambda: header(b"\x84", 65536),
    "header with 4 Gi keys": lambda: header(b"\xdf" + MANY),
    "deep header": lambda: header(b"\x81\xa1a" + b"\x91" * 60_000),
    "image of 4 Gi strings": lambda: image(strings=0xFFFFFFFF, sizes=10),
    "image of 2**63 rows": lambda: image(rows=2**63),
    "image of 2**64 rows": lambda: image(rows=2**64 - 1),
    "image sizes that overflow": lambda: image(sizes=2**64 - 1, summary=1, blob=2**63),
    "checkpoint of 4 Gi keys": lambda: sidecar("index.ckpt", CHECKPOINT_MAGIC, 6, b"\xdf" + MANY),
    "checkpoint of 4 Gi rows": lambda: sidecar("index.ckpt", CHECKPOINT_MAGIC, 6, b"\x81\xa7entries\xdd" + MANY),
    "deep checkpoint": lambda: sidecar("index.ckpt", CHECKPOINT_MAGIC, 6, b"\x81\xa1a" + b"\x91" * DEEP),
    "keyset of 4 Gi": lambda: sidecar(
        "keyset.fbatk", KEYSET_MAGIC, 1, b"\x82\xabgranularity\x01\xa7entries\xdd" + MANY
    ),
    "deep keyset": lambda: sidecar("keyset.fbatk", KEYSET_MAGIC, 1, b"\x91" * DEEP),
    "4 Gi hidden ranges": lambda: sidecar("visibility_ranges.fbv", VISIBILITY_MAGIC, 2, b"\x81\xa6ranges\xdd" + MANY),
    "deep hidden ranges": lambda: sidecar("visibility_ranges.fbv", VISIBILITY_MAGIC, 2, b"\x81\xa1a" + b"\x91" * DEEP),
    "deep marker": lambda: {"compaction.pending.json": b"[" * DEEP},
    "marker with a long number": lambda: {
        "compaction.pending.json": b'{"merged_id":1,"source_segment_ids":[' + b"9" * 100_000 + b"]}"
    },
    "marker of a million sources": lambda: {
        "compaction.pending.json": b'{"merged_id":1,"source_segment_ids":[1' + b",2" * 1_000_000 + b"]}"
    },
}  # fmt: skip


def read_case(name: str, directory: Path) -> dict[str, object]:
    """Read the store in every payload mode; what was shown and found, and what it cost."""
    write_store(directory, three_segments())
    for file, data in CASES[name]().items():
        (directory / file).write_bytes(data)
    began = time.monotonic()
    clocks: list[int] = []
    said = ""
    try:
        with bp.open_reader(directory) as reader:
            rows = as_rows(reader.events(columns="all", system=True, payload="binary").to_arrow())
            clocks = [row["clock"] for row in rows]
            for mode in ("columns", "struct", "json", "frame"):
                reader.events(columns="all", system=True, payload=mode).to_arrow()
            rules = sorted({one.rule for one in reader.check()})
    except bp.BatpakError as error:
        rules, said = [], type(error).__name__
    return {"case": name, "clocks": clocks, "rules": rules, "error": said, "seconds": time.monotonic() - began}


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    for name in CASES:
        faulthandler.dump_traceback_later(SECONDS * 3, exit=True)
        with tempfile.TemporaryDirectory() as directory:
            print(json.dumps(read_case(name, Path(directory))), flush=True)


if __name__ == "__main__":
    main()
