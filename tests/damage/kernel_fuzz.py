"""Hostile bytes straight into every kernel, in buffers of exactly their size, so that a sanitizer sees each overread.

`python -m tests.damage.kernel_fuzz --seconds 60 --seed 1` ends with 1 where a kernel raised or printed an error.
Mutated frames and payloads of every shape, offsets and lengths that point anywhere, parsed rows full of nonsense.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np

from batpak_analytics import kernels
from batpak_analytics.format.event import encode_event, encode_extensions
from batpak_analytics.format.footer import encode_footer
from batpak_analytics.format.frame import crc32
from batpak_analytics.format.framing import EventColumns, Lanes, Start
from batpak_analytics.format.gather import row_count
from batpak_analytics.format.layout import FOOTER_DTYPE, FRAME_DTYPE, FRAME_HEADER
from batpak_analytics.format.segment import encode_segment_header
from batpak_analytics.format.tabular import Column
from batpak_analytics.format.tabular import Form as TableForm
from batpak_analytics.model import Event, PayloadEncryption
from tests.damage.damages import TELLING
from tests.engine.building import make_event
from tests.kernels.samples import pack

TAKES = (
    "column_stats",
    "take_bool",
    "take_int64",
    "take_uint64",
    "take_float64",
    "take_string",
    "take_binary",
    "take_spans",
)
VALUES: list[Any] = [
    {}, {"a": 1}, {"a": -1, "b": "text", "c": None}, {"a": 1.5, "b": [1, 2, {"c": b"x" * 40}]}, [1, 2], "é" * 40,
    {"amount": 2**63, "user": "u" * 300, "é": {"é": {"é": []}}}, {str(n): n for n in range(20)}, 7, b"\xff" * 70,
]  # fmt: skip


def exact(data: bytes) -> Any:
    """The bytes in a block of memory of their own, with nothing behind them."""
    return np.array(np.frombuffer(data, np.uint8))


def mutated(random: Random, data: bytes) -> bytes:
    """A few telling bytes put in, and often cut short."""
    out = bytearray(data)
    for _ in range(random.randrange(4)):
        if out:
            out[random.randrange(len(out))] = random.choice(TELLING)
    if random.random() < 0.4:
        del out[random.randrange(len(out) + 1) :]
    return bytes(out)


def event(random: Random, number: int) -> Event:
    made = replace(make_event(number), payload=random.randbytes(random.randrange(80)))
    if random.random() < 0.3:
        sealed = PayloadEncryption(random.randbytes(random.randrange(70)), random.randbytes(24))
        made = replace(made, payload_encryption=sealed)
    if random.random() < 0.3:
        extensions = {f"a.{n}": random.randbytes(random.randrange(40)) for n in range(random.randrange(5))}
        made = replace(made, extensions=extensions)
    return replace(made, entity="e" * random.randrange(1, 60), hash_chain=random.choice([None, made.hash_chain]))


def anywhere(random: Random, size: int, count: int) -> list[int]:
    """Places inside, at the edge of, beyond and far beyond a buffer."""
    edges = [0, size, size + 1, max(size - 1, 0), 2**31, 2**32 - 1, 2**63, 2**64 - 1]
    return [random.choice([random.randrange(size + 9), random.choice(edges)]) for _ in range(count)]


def fuzz_frames(random: Random, number: int) -> None:
    """Walk, check, parse, un-escape, intern and compare frames whose bodies are damaged and whose CRCs are right."""
    bodies = [mutated(random, encode_event(event(random, number + n))) for n in range(random.randrange(1, 9))]
    frames = [FRAME_HEADER.pack(len(body), crc32(body)) + body for body in bodies]
    data = mutated(random, b"".join(frames)) if random.random() < 0.3 else b"".join(frames)
    buffer: Any = exact(data) if number % 2 else data
    kernels.walk_frames(
        buffer, random.choice([0, 0, 5, len(data) + 5]), random.choice([len(data), len(data) + 9, 2**63])
    )
    offsets = np.cumsum([0, *map(len, frames)])[:-1].astype(np.uint64)
    lengths = np.array([len(frame) for frame in frames], np.uint32)
    if random.random() < 0.4:
        offsets[-1] = random.choice(anywhere(random, len(data), 3))
        lengths[0] = random.choice(anywhere(random, len(data), 3)) & 0xFFFFFFFF
    kernels.check_frames(buffer, offsets, lengths)
    parsed = kernels.parse_frames(buffer, offsets, lengths, bool(number % 3))
    kernels.unescape(buffer, parsed)
    places = anywhere(random, len(data), 12)
    kernels.intern_strings(buffer, places, [place & 0xFFFFFFFF for place in anywhere(random, 40, 12)])
    compare(random, buffer, parsed, offsets, lengths)
    few = nonsense(random, len(data), min(3, len(offsets)))
    compare(random, buffer, few, offsets[: len(few)], lengths[: len(few)])
    kernels.unescape(buffer, nonsense(random, len(data), 3))


def nonsense(random: Random, size: int, count: int) -> Any:
    """Rows that no parser made: good status, places anywhere."""
    rows = np.frombuffer(random.randbytes(FRAME_DTYPE.itemsize * count), FRAME_DTYPE).copy()
    rows["status"], rows["payload_form"] = 0, rows["payload_form"] % 3
    for name in FRAME_DTYPE.names or ():
        if name.endswith(("_start", "_end")):
            rows[name] = anywhere(random, size, count)
    rows["payload_count"] = [random.choice(anywhere(random, 80, 2)) & 0xFFFFFFFF for _ in range(count)]
    return rows


def compare(random: Random, buffer: Any, frames: Any, offsets: Any, lengths: Any) -> None:
    """Frames against footer rows with string indexes and row numbers anywhere, and what else is done with rows."""
    entries = np.frombuffer(random.randbytes(FOOTER_DTYPE.itemsize * len(frames)), FOOTER_DTYPE).copy()
    for name in ("kind", "wall_ms", "clock", "lane", "depth"):
        entries[name] = frames[name]
    for name in ("event_id", "correlation_id", "causation_id"):
        entries[name] = [value.tobytes()[::-1] for value in frames[name]]
    for name in ("prev_hash", "event_hash"):
        entries[name] = frames[name]
    entries["entity_idx"] %= 4
    entries["scope_idx"] %= 5
    text = b"order:1" + b"e" * random.randrange(60)
    numbers = [random.choice([n, n, -1, len(entries), 2**62]) for n in range(len(frames))]
    bounds = np.array([0, 7, 7, len(text)], np.int64)
    entries["offset"], entries["length"] = offsets, lengths
    picks = np.array(numbers, np.int64)
    kernels.differing_rows(buffer, frames, entries, picks, text, bounds)
    rows: Any = random.choice([picks, slice(0, len(entries)), slice(len(entries) // 2, len(entries) + 2)])
    base = random.choice([0, 0, 1, 2**40])
    strings = random.choice([None, (text, bounds)])
    sources = [kernels.Source(buffer, base, entries, rows, strings)] * random.choice([1, 1, 2])
    kernels.take_frames(sources, random.random() < 0.8, random.random() < 0.5)
    kernels.survey_rows(entries)
    kernels.used_strings(entries, None, random.randrange(5))
    shorter = random.randrange(len(entries) + 1)
    hashes, sequences = entries["event_hash"][:shorter], entries["global_sequence"]
    kernels.match_rows(entries, entries["event_id"], hashes, sequences)
    ids = np.empty((2 * row_count(rows), 16), np.uint8)
    codes = np.empty(2 * row_count(rows), np.int32)
    jobs = [
        kernels.Job("event_id", kernels.Form.REVERSED, ids),
        kernels.Job("entity_idx", kernels.Form.CODE, codes),
    ]
    tables = {"entity_idx": np.arange(random.randrange(4), dtype=np.int32)}
    kernels.gather_rows([kernels.Part(entries, rows, tables)] * 2, jobs)
    kernels.write_hex(ids, np.empty(2 * ids.size, np.uint8))


def fuzz_payloads(random: Random, number: int) -> None:
    """Locate and take the fields of damaged payloads; take from places anywhere."""
    rows = [mutated(random, pack(random.choice(VALUES))) for _ in range(random.randrange(1, 12))]
    data = b"".join(rows)
    buffer: Any = exact(data) if number % 2 else data
    offsets = np.cumsum([0, *map(len, rows)])
    table = kernels.FieldTable(random.choice([1, 2, 1000]))
    located = kernels.locate_fields(buffer, offsets, table)
    loose = np.array([random.randrange(-2, len(data) + 3) for _ in range(20)], np.int64)
    for places in [*located.pos, loose]:
        for name in TAKES:
            getattr(kernels, name)(buffer, places)


def fuzz_segments(random: Random, number: int) -> None:
    """Small segments side by side: damaged, with checksums that hold for what is damaged, at places anywhere."""
    files = [damaged_segment(random, number + n) for n in range(random.randrange(1, 6))]
    data = b"".join(files)
    buffer: Any = exact(data) if number % 2 else data
    sizes = [len(file) for file in files]
    starts = np.cumsum([0, *sizes])[:-1]
    ids = [number + n for n in range(len(files))]
    found = kernels.plain_segments(buffer, starts, sizes, ids)
    join(buffer, starts, found.rows_start, found.rows, found.strings)
    places = [place - (place >> 63 << 64) for place in anywhere(random, len(data), 2 * len(files))]
    kernels.plain_segments(buffer, places[: len(files)], places[len(files) :], ids)
    few = [random.randrange(5) for _ in range(2 * len(files))]
    join(buffer, places[: len(files)], places[len(files) :], few[: len(files)], few[len(files) :])


def damaged_segment(random: Random, number: int) -> bytes:
    head = encode_segment_header(number, random.choice([0, 2**40, 2**63 - 1]))
    rows = np.zeros(random.randrange(4), FOOTER_DTYPE)
    rows["offset"], rows["length"] = len(head) + 30 * np.arange(len(rows)), 30
    for row in rows if random.random() < 0.4 else ():
        row[random.choice(["offset", "length", "entity_idx", "scope_idx"])] = (
            random.choice(anywhere(random, 99, 1)) % 2**32
        )
    frames = bytes(30 * len(rows))
    footer = encode_footer(rows, ("order:1", "é" * random.randrange(40)), len(head) + len(frames))
    table_end = len(footer) - rows.nbytes - 20
    if random.random() < 0.4:  # a table of anything, under a good checksum
        body = mutated(random, footer[:table_end]) + rows.tobytes()
        footer = body + crc32(body).to_bytes(4, "little") + footer[-16:]
    file = head + frames + footer
    return mutated(random, file) if random.random() < 0.4 else file


def join(buffer: Any, starts: Any, rows_start: Any, rows: Any, strings: Any) -> None:
    codes = np.arange(int(np.sum(strings)), dtype=np.uint32)
    out = np.empty(int(np.sum(rows)), FOOTER_DTYPE)
    kernels.join_rows(buffer, starts, rows_start, rows, strings, codes, out)


def fuzz_noise(random: Random, number: int) -> None:
    """Bytes that are nothing, short ones most of all."""
    data = random.randbytes(random.choice([0, 1, 3, 7, 8, 9, 30, 200, 5000]))
    buffer: Any = exact(data) if number % 2 else data
    kernels.walk_frames(buffer, 0, len(data))
    places = anywhere(random, len(data), 5)
    kernels.check_frames(buffer, places, [place & 0xFFFFFFFF for place in places])
    kernels.parse_frames(buffer, places, [place & 0xFFFFFFFF for place in places])
    kernels.unescape(buffer, nonsense(random, len(data), 2))
    kernels.locate_fields(buffer, np.array([0, len(data)]), kernels.FieldTable(10))


def fuzz_writing(random: Random, number: int) -> None:
    """Frame, hash and pack what is good in buffers of exactly its size, and what does not fit together."""
    for value in VALUES:
        kernels.pack_plain(value)
    data = random.randbytes(random.choice([0, 1, 64, 1024, 1025, 5000]))
    one = event(random, number)
    hashes = one.content_hash, one.content_hash
    kernels.put_frame(
        bytearray(), bytearray(), one.event_id, one.event_id, random.choice([None, one.event_id]), 1, 2, 3, 4, 5, 6, 7,
        8, random.choice([one.payload, b"\xff" * 70_000]), *hashes, one.entity, "é" * random.randrange(1, 512),
        encode_extensions(one.extensions), 1, 2, 3, 4,
    )  # fmt: skip
    count = random.randrange(5)
    offsets = np.sort(np.array([random.randrange(len(data) + 1) for _ in range(count + 1)], np.int64))
    if random.random() < 0.4:
        offsets[random.randrange(count + 1)] = random.choice([-1, len(data) + 1, 2**62, 0])
    text = Column(TableForm.TEXT, count, exact(data), None, offsets)
    numbers = Column(TableForm.INT, len(data), np.zeros(max(len(data) - random.randrange(2), 0), np.int64))
    lists = Column(TableForm.LIST, count, None, np.ones(count, bool), offsets, (numbers,))
    for column in (text, lists, Column(TableForm.MAP, count, children=(text, lists), keys=("a", "é" * 300))):
        with suppress(ValueError):
            kernels.pack_rows(column)
    with suppress(ValueError):
        batch(random, exact(data), offsets, count)


def batch(random: Random, data: Any, offsets: Any, count: int) -> None:
    """A batch of events whose codes and offsets may point anywhere."""
    ids = np.frombuffer(random.randbytes(16 * count), np.uint8).reshape(-1, 16)
    codes = np.array([random.choice([0, 1, 1, 2, 2**32 - 1]) for _ in range(count)], np.uint32)
    hashes = kernels.hash_spans(data, offsets[:-1], np.diff(offsets))
    events = EventColumns(
        data, offsets, hashes, ids, ids, ids, np.zeros(count, np.uint16), codes % 2, codes,
        ["e", "é" * 500], ["s" * 1024, "s"],
    )  # fmt: skip
    lanes = Lanes(np.zeros(2, np.int64), np.zeros(2, np.uint64), np.zeros((2, 32), np.uint8))
    names = np.zeros(2, np.uint32)
    kernels.put_frames(bytearray(3), random.randrange(4), bytearray(), events, lanes, Start(1, 2, 3, names, names))


def fuzz_graph(random: Random, number: int) -> None:
    """Ids that repeat or differ in one half, causes anywhere."""
    halves = [0, 1, 2**64 - 1, random.getrandbits(64)]
    pairs = [
        np.array([[random.choice(halves) for _ in range(2)] for _ in range(random.randrange(40))], np.uint64)
        for _ in range(2)
    ]
    ids, wanted = (pair.reshape(-1, 2) for pair in pairs)
    kernels.join_ids(ids, wanted, last=bool(number % 2))
    places = [random.choice([-(2**31), -1, len(ids), 2**31 - 1, random.randrange(len(ids) + 1)]) for _ in ids]
    kernels.measure_forest(np.array(places, np.int32))


def fuzz_hashes(random: Random, number: int) -> None:
    """Spans that lie in a buffer, at its edges and far from it."""
    data = exact(random.randbytes(random.choice([0, 1, 63, 64, 65, 1023, 1024, 1100])))
    starts = [place & (2**63 - 1) for place in anywhere(random, len(data), 20)]
    sizes = [place & (2**63 - 1) for place in anywhere(random, len(data), 20)]
    kernels.hash_spans(data, starts, sizes, random.choice([-1, 0, 255]))


ROUNDS: list[Callable[[Random, int], None]] = [
    fuzz_frames, fuzz_payloads, fuzz_segments, fuzz_noise, fuzz_writing, fuzz_graph, fuzz_hashes,
]  # fmt: skip


def run(seed: int, seconds: float, rounds: int = 1 << 62) -> int:
    """Rounds until the time is over; how many. An error that a kernel could not raise is raised here."""
    unraised: list[Any] = []
    hook, sys.unraisablehook = sys.unraisablehook, unraised.append
    deadline, number = time.monotonic() + seconds, 0
    try:
        while time.monotonic() < deadline and number < rounds:
            for fuzz in ROUNDS:
                fuzz(Random(f"{seed}/{fuzz.__name__}/{number}"), number)
                assert not unraised, f"--seed {seed}, {fuzz.__name__} {number}: {unraised[0]}"
            number += 1
    finally:
        sys.unraisablehook = hook
    return number


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.damage.kernel_fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60)
    arguments = parser.parse_args()
    assert kernels.COMPILED, "only compiled kernels can read outside a buffer"
    print(f"{run(arguments.seed, arguments.seconds):,} rounds, compiled kernels from {kernels.__file__}")


if __name__ == "__main__":
    main()
