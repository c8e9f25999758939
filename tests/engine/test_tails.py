"""A part of a frame is told from damage: nothing that was whole is taken for one, and no part for damage."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import blake3
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batpak_analytics.engine.holes import SECTOR, first_hole
from batpak_analytics.model import HashChain
from batpak_analytics.reader import open_reader
from tests.engine.building import Segment, make_event, numbers, rules, write_store

PAYLOADS = st.binary(min_size=1, max_size=2_000) | st.integers(1, 2_000).map(bytes)
ONE_PATH = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


def store_with(path: Path, payload: bytes) -> tuple[Path, int]:
    """Two segments, the first without a footer; its last event has that payload. The segment, and where that begins."""
    shutil.rmtree(path, ignore_errors=True)
    last = make_event(1)
    digest = blake3.blake3(payload).digest()
    last = replace(last, payload=payload, payload_size=len(payload), content_hash=digest)
    last = replace(last, hash_chain=HashChain(bytes(32), digest))
    first = Segment(1, [make_event(0), last], footer=False)
    write_store(path, [first, Segment(2, [make_event(2)], first_sequence=2)])
    return path / "000001.fbat", first.offsets()[1]


@ONE_PATH
@given(payload=PAYLOADS, data=st.data())
def test_every_part_of_a_frame_is_known_as_one(tmp_path: Path, payload: bytes, data: st.DataObject) -> None:
    segment, start = store_with(tmp_path / "store", payload)
    whole = segment.read_bytes()
    segment.write_bytes(whole[: data.draw(st.integers(start + 8, len(whole) - 1))])
    view = open_reader(segment.parent).view
    assert numbers(view) == [0, 2]
    assert [(one.rule, one.severity, one.offset) for one in view.findings] == [("unfinished-tail", "warning", start)]


@pytest.mark.parametrize("last", [True, False])
@ONE_PATH
@given(payload=PAYLOADS, bit=st.integers(0, 31))
def test_whole_frame_whose_length_is_damaged_is_no_part(tmp_path: Path, payload: bytes, bit: int, last: bool) -> None:
    segment, start = store_with(tmp_path / "store", payload)
    if last:
        (segment.parent / "000002.fbat").unlink()
    whole = bytearray(segment.read_bytes())
    whole[start + bit // 8] ^= 1 << bit % 8
    segment.write_bytes(whole)
    view = open_reader(segment.parent).view
    assert rules(view, "error") == {"frames-damaged"}
    assert "unfinished-tail" not in rules(view)


@settings(deadline=None)
@given(
    data=st.lists(st.sampled_from([b"\0" * 200, b"\0", b"x", b"x" * 100]), max_size=20).map(b"".join),
    offset=st.integers(0, 2 * SECTOR),
    ends_file=st.booleans(),
)
def test_first_hole_is_where_a_look_at_every_byte_finds_it(data: bytes, offset: int, ends_file: bool) -> None:
    edges = sorted({0, *(at for at in range(1, len(data) + 1) if (offset + at) % SECTOR == 0)})
    whole = [low for low, high in pairwise(edges) if high - low >= 3 and not any(data[low:high])]
    tail = len(data.rstrip(b"\0"))
    expected = whole[0] if whole else tail if ends_file and tail < len(data) else None
    assert first_hole(np.frombuffer(data, np.uint8), offset, ends_file=ends_file) == expected
