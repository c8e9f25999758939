"""The reference's damage table (segments spec 6.9): we show what can be proven and say what was lost."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from batpak_analytics.errors import CorruptFrameError, CorruptSegmentError, CrcMismatchError
from batpak_analytics.format.footer import encode_footer
from batpak_analytics.reader import open_reader
from tests.engine.building import Segment, make_event, numbers, rules, three_segments, write_store

ALL = list(range(9))


def rewrite(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def flipped(data: bytes, offset: int) -> bytes:
    return data[:offset] + bytes([data[offset] ^ 0xFF]) + data[offset + 1 :]


def test_whole_store_has_no_findings(tmp_path: Path) -> None:
    view = open_reader(write_store(tmp_path, three_segments())).view
    assert numbers(view) == ALL
    assert view.findings == ()


@pytest.mark.parametrize("cut", [1, 5, 16, 20])
def test_cut_footer_loses_no_event(tmp_path: Path, cut: int) -> None:
    write_store(tmp_path, three_segments())
    path = tmp_path / "000001.fbat"
    rewrite(path, path.read_bytes()[:-cut])
    view = open_reader(tmp_path).view
    assert numbers(view) == ALL
    assert [(one.rule, one.severity) for one in view.findings] == [("footer-unusable", "warning")]
    with pytest.raises(CorruptFrameError):  # as 0.9.0, which takes the footer's bytes for a frame
        open_reader(tmp_path, on_damage="raise")


def test_missing_footer_loses_no_event_and_keeps_numbers(tmp_path: Path) -> None:
    segments = three_segments()
    segments[0].footer = False
    view = open_reader(write_store(tmp_path, segments)).view
    assert numbers(view) == ALL
    assert view.segments[0].sequence.tolist() == [0, 1, 2]
    assert view.segments[0].source.tolist() == [2, 2, 2]


@pytest.mark.parametrize("stray", [3, 7])
def test_stray_bytes_after_frames_are_told_but_harmless(tmp_path: Path, stray: int) -> None:
    segments = three_segments()
    segments[0].footer, segments[0].tail = False, bytes(stray)
    view = open_reader(write_store(tmp_path, segments)).view
    assert numbers(view) == ALL
    assert rules(view) == {"unfinished-tail"}


def test_flipped_footer_byte_is_found_and_frames_are_read(tmp_path: Path) -> None:
    segments = three_segments()
    write_store(tmp_path, segments)
    path = tmp_path / "000002.fbat"
    data = path.read_bytes()
    rewrite(path, flipped(data, len(data) - 100))
    view = open_reader(tmp_path).view
    assert numbers(view) == ALL
    assert rules(view, "warning") == {"footer-unusable"}
    assert view.segments[1].source.tolist() == [2, 2, 2]


def test_unfinished_tail_of_the_last_segment_is_normal(tmp_path: Path) -> None:
    segments = three_segments(footer=False)
    write_store(tmp_path, segments)
    path = tmp_path / "000003.fbat"
    whole = path.read_bytes()
    start = segments[2].offsets()[2]
    for size in range(start, len(whole)):
        rewrite(path, whole[:size])
        view = open_reader(tmp_path, on_damage="raise").view
        assert numbers(view) == ALL[:-1]
        assert rules(view) <= {"unfinished-tail"}
        assert rules(view, "error", "warning") == set()


def test_damaged_frame_in_the_middle_loses_only_itself(tmp_path: Path) -> None:
    segments = three_segments()
    segments[1].footer = False
    write_store(tmp_path, segments)
    path = tmp_path / "000002.fbat"
    rewrite(path, flipped(path.read_bytes(), segments[1].offsets()[1] + 40))
    view = open_reader(tmp_path).view
    assert numbers(view) == [0, 1, 2, 3, 5, 6, 7, 8]
    (finding,) = view.findings
    assert (finding.severity, finding.segment, finding.offset) == ("error", 2, segments[1].offsets()[1])
    with pytest.raises(CrcMismatchError) as error:
        open_reader(tmp_path, on_damage="raise")
    assert (error.value.segment_id, error.value.offset) == (2, segments[1].offsets()[1])


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x0FFFFFFF, 100_000, 3])
def test_frames_after_a_bad_length_are_found_again(tmp_path: Path, length: int) -> None:
    segments = three_segments(footer=False)
    write_store(tmp_path, segments)
    path = tmp_path / "000003.fbat"
    data = bytearray(path.read_bytes())
    struct.pack_into(">I", data, segments[2].offsets()[0], length)
    rewrite(path, bytes(data))
    view = open_reader(tmp_path).view
    assert numbers(view) == [0, 1, 2, 3, 4, 5, 7, 8]
    assert rules(view, "error") == {"frames-damaged"}
    with pytest.raises((CorruptFrameError, CrcMismatchError)):
        open_reader(tmp_path, on_damage="raise")


def test_zero_filled_tail_is_one_finding(tmp_path: Path) -> None:
    view = open_reader(write_store(tmp_path, three_segments(footer=False, tail=bytes(4096)))).view
    assert numbers(view) == ALL
    assert len(view.findings) == 1


def test_footer_that_leaves_out_an_event_is_not_believed(tmp_path: Path) -> None:
    segments = three_segments()
    honest = segments[1]
    liar = Segment(2, honest.events[:2], first_sequence=3)
    rows, strings = liar._rows()
    frames = Segment(2, honest.events, footer=False).to_bytes()
    write_store(tmp_path, segments)
    rewrite(tmp_path / "000002.fbat", frames + encode_footer(rows, strings, len(frames)))
    view = open_reader(tmp_path).view
    assert numbers(view) == ALL
    assert rules(view, "warning") == {"footer-lies"}
    assert view.segments[1].source.tolist() == [1, 1, 2]


def test_footer_that_lists_a_lost_event_proves_the_loss(tmp_path: Path) -> None:
    segments = three_segments()
    write_store(tmp_path, segments)
    path = tmp_path / "000002.fbat"
    data = path.read_bytes()
    cut = segments[1].offsets()[2]
    rewrite(path, data[: cut + 100] + data[cut + 110 :])
    view = open_reader(tmp_path).view
    assert numbers(view) == [0, 1, 2, 3, 4, 6, 7, 8]
    assert "events-lost" in rules(view, "error")
    with pytest.raises(CorruptSegmentError):
        open_reader(tmp_path, on_damage="raise")


@pytest.mark.parametrize("size", [0, 3, 8, 20])
def test_segment_shorter_than_its_header_is_no_reason_to_fail(tmp_path: Path, size: int) -> None:
    write_store(tmp_path, three_segments())
    rewrite(tmp_path / "000004.fbat", Segment(4, [], footer=False).to_bytes()[:size])
    view = open_reader(tmp_path).view
    assert numbers(view) == ALL
    assert rules(view, "error", "warning") == set()


def test_footer_whose_every_hash_is_wrong_proves_nothing(tmp_path: Path) -> None:
    """0.9.0 refuses such a segment unless it is the last; its frames are whole and are shown."""
    segments = three_segments()
    write_store(tmp_path, segments)
    path = tmp_path / "000002.fbat"
    data = bytearray(path.read_bytes())
    rows = len(data) - 20 - 3 * 162
    for row in range(3):
        data[rows + row * 162 + 80] ^= 0xFF
    rewrite(path, bytes(data))
    assert numbers(open_reader(tmp_path).view) == ALL
    with pytest.raises(CorruptSegmentError):
        open_reader(tmp_path, on_damage="raise")


def test_header_only_segment_has_no_events(tmp_path: Path) -> None:
    write_store(tmp_path, [*three_segments(), Segment(4, [], footer=False)])
    assert numbers(open_reader(tmp_path, on_damage="raise").view) == ALL


def test_damaged_header_of_a_footed_segment_is_a_finding(tmp_path: Path) -> None:
    write_store(tmp_path, three_segments())
    path = tmp_path / "000001.fbat"
    rewrite(path, b"XXXX" + path.read_bytes()[4:])
    view = open_reader(tmp_path).view
    assert numbers(view) == ALL
    assert rules(view, "error") == {"segment-header"}
    open_reader(tmp_path, on_damage="raise")  # 0.9.0 never reads that header either


def test_copied_segment_shows_each_event_once(tmp_path: Path) -> None:
    write_store(tmp_path, three_segments())
    (tmp_path / "000009.fbat").write_bytes((tmp_path / "000002.fbat").read_bytes())
    view = open_reader(tmp_path).view
    assert sorted(numbers(view)) == ALL
    assert rules(view) == {"duplicate-event", "segment-name"}


def test_two_events_with_one_id_are_both_shown(tmp_path: Path) -> None:
    twin = replace(make_event(9), event_id=make_event(8).event_id)
    view = open_reader(write_store(tmp_path, [*three_segments(), Segment(4, [twin], first_sequence=9)])).view
    assert numbers(view) == [*ALL, 9]
    assert rules(view) == {"shared-event-id"}
    assert open_reader(tmp_path).get(twin.event_id).payload == {"n": 9}


@pytest.mark.parametrize("name", ["x1.fbat", "-1.fbat", "1e3.fbat"])
def test_name_that_is_no_segment_is_reported(tmp_path: Path, name: str) -> None:
    write_store(tmp_path, three_segments())
    (tmp_path / name).write_bytes(b"anything")
    view = open_reader(tmp_path).view
    assert numbers(view) == ALL
    assert rules(view) == {"segment-name"}


def test_unpadded_name_is_read(tmp_path: Path) -> None:
    segments = three_segments()
    write_store(tmp_path, segments[:2])
    segments[2].write(tmp_path, "+3.fbat")
    assert numbers(open_reader(tmp_path).view) == ALL


def test_impossible_coordinate_is_told(tmp_path: Path) -> None:
    odd = make_event(9, entity="a/b")
    write_store(tmp_path, [*three_segments(), Segment(4, [odd], first_sequence=9)])
    assert rules(open_reader(tmp_path).view) == {"coordinate"}
    with pytest.raises(CorruptSegmentError):
        open_reader(tmp_path, on_damage="raise")
