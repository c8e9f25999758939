"""A segment that ends in a part of a frame, with other segments behind it: mended where a crash explains all of it."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
import pytest

import batpak_analytics as bp
from batpak_analytics.engine.recovery import scan_frames
from batpak_analytics.errors import CorruptFrameError, StoreNeedsRepairError, WriteFailedError
from batpak_analytics.format.footer import encode_footer
from batpak_analytics.format.layout import FOOTER_DTYPE
from batpak_analytics.store.config import StoreConfig
from batpak_analytics.store.store import Store
from tests.store.failing import FailingCall
from tests.store.power import Power
from tests.store.test_half_compaction import Dying, Shown, shown
from tests.store.test_power_cut import cuts, die
from tests.store.test_repair import crashed

KIND = 0x1001
FIRST, SECOND = "000001.fbat", "000002.fbat"


def cut_and_continued(path: Path, frames: bytes, *, footer: bool = True) -> Path:
    """What 0.9.0 leaves of a segment that ends in a part of a frame: another one behind it, written by a session that
    saw what is whole in the first.
    """
    path.mkdir()
    (path / FIRST).write_bytes(frames)
    with Store.open(path) as store:
        for number in range(3):
            store.append("e", "s", KIND, {"later": number})
        store.append("g", "s", KIND, 1, lane=7)
        with bp.open_reader(path) as reader:
            end = reader.view.segments[-1].frames_end
    if not footer:
        second = path / SECOND
        second.write_bytes(second.read_bytes()[:end])
    (path / FIRST).write_bytes(frames)
    return path


def assert_mended(path: Path, before: Shown, name: str = FIRST) -> None:
    """Opening keeps every event and its number, says what it did, and the next time finds nothing to do."""
    with Store.open(path) as store:
        assert [one.file for one in store.open_report.repairs] == [name]
        added = store.append("e", "s", KIND, "after")
    after = shown(path)
    assert after[: len(before)] == before
    assert added.event_id in [event for event, _ in after]
    with Store.open(path) as store:
        assert store.open_report.repairs == ()
    assert not bp.open_reader(path, on_damage="raise").check()


@pytest.mark.parametrize("footer", [True, False])
def test_segment_cut_at_any_byte_and_continued_is_mended(tmp_path: Path, footer: bool) -> None:
    frames, parts = crashed(tmp_path / "made")
    edges = {start for start, _, _ in parts}
    batch_frames = _edges(tmp_path / "made")
    for size in range(parts[0][0], len(frames), 97):
        if size in edges or any(0 <= size - edge < 8 for edge in batch_frames):
            continue  # fewer than 8 bytes trouble nobody
        path = cut_and_continued(tmp_path / str(size), frames[:size], footer=footer)
        with bp.open_reader(path) as reader:
            troubles = [(one.rule, one.severity) for one in reader.view.findings if one.severity != "info"]
        assert troubles == [("unfinished-tail", "warning")], size
        with pytest.raises(CorruptFrameError):
            bp.open_reader(path, on_damage="raise")
        assert_mended(path, shown(path))


def _edges(path: Path) -> list[int]:
    """Where the frames of a store's first segment end, those of markers included."""
    with bp.open_reader(path) as reader:
        segment = reader.view.segments[0]
        scan = scan_frames(segment.file, segment.frames_start, segment.frames_end)
    return [int(end) for end in scan.offsets + scan.lengths]


def torn(path: Path, bytes_left: int = 100) -> tuple[bytes, list[tuple[int, int, list[bytes]]]]:
    """A segment that ends in so many bytes of the frame of a second single event, and its parts."""
    frames, parts = crashed(path)
    return frames[: parts[1][0] + bytes_left], parts


def test_several_cut_segments_are_all_mended(tmp_path: Path) -> None:
    """An index image hides one from 0.9.0, which goes on, and is stopped in the same way again."""
    first, _ = torn(tmp_path / "made")
    path = cut_and_continued(tmp_path / "store", first)
    store = Store.open(path)
    store.append("e", "s", KIND, "whole")
    one = store.append("e", "s", KIND, "cut")
    store.drop()
    third = path / "000003.fbat"
    cut = third.read_bytes()[: one.offset + 200]
    third.write_bytes(cut)
    with Store.open(path) as store:
        store.append("e", "s", KIND, "last")
    third.write_bytes(cut)
    (path / FIRST).write_bytes(first)
    before = shown(path)
    with Store.open(path) as store:
        assert [one.file for one in store.open_report.repairs] == [FIRST, third.name]
    assert shown(path)[: len(before)] == before
    assert not bp.open_reader(path, on_damage="raise").check()


@pytest.mark.parametrize("footer", [True, False])
def test_file_that_lost_whole_events_too_is_refused(tmp_path: Path, footer: bool) -> None:
    """A footer behind it has the numbers, and without one the clocks tell."""
    frames, parts = crashed(tmp_path / "made")
    path = cut_and_continued(tmp_path / "store", frames, footer=footer)
    cut = frames[: parts[2][0] + 100]
    (path / FIRST).write_bytes(cut)
    with pytest.raises(StoreNeedsRepairError, match=SECOND) as error:
        Store.open(path)
    assert ("4 events are missing" if footer else "lane 0 of 'e' goes on in 000002.fbat with clock 2, after 0") in str(
        error.value
    )
    assert (error.value.segment_id, error.value.offset) == (1, parts[2][0])
    assert (path / FIRST).read_bytes() == cut


def test_part_of_a_frame_in_the_middle_of_a_session_is_refused(tmp_path: Path) -> None:
    """A writer that lives on never leaves one behind: the file was cut."""
    with Store.open(tmp_path, config=StoreConfig(segment_max_bytes=1_000)) as store:
        for number in range(6):
            store.append("e", "s", KIND, number)
    first = tmp_path / FIRST
    with bp.open_reader(tmp_path) as reader:
        last = reader.view.segments[0].rows[-1]
    first.write_bytes(first.read_bytes()[: int(last["offset"]) + 100])
    with pytest.raises(StoreNeedsRepairError, match="goes on without the opening of a session"):
        Store.open(tmp_path)


@pytest.mark.parametrize("continued", [True, False])
@pytest.mark.parametrize("length", [0x7FFF, 0x7FFFFFFF])
def test_whole_event_whose_length_is_damaged_is_not_taken_for_a_part(
    tmp_path: Path, continued: bool, length: int
) -> None:
    """0.9.0 drops it without a word while its segment is the last; it was acknowledged."""
    frames, parts = crashed(tmp_path / "made")
    start = parts[2][0]
    frames = frames[: parts[2][1]] if parts[2][1] > start else frames[: parts[3][0]]
    path = tmp_path / "store"
    if continued:
        cut_and_continued(path, frames)
    else:
        path.mkdir()
    damaged = frames[:start] + length.to_bytes(4, "big") + frames[start + 4 :]
    (path / FIRST).write_bytes(damaged)
    with pytest.raises(StoreNeedsRepairError, match="frames-damaged"):
        Store.open(path)
    assert (path / FIRST).read_bytes() == damaged


@pytest.mark.parametrize("left", [8, 60, 300])
def test_other_bytes_at_the_end_are_damage(tmp_path: Path, left: int) -> None:
    frames, parts = crashed(tmp_path / "made")
    start = parts[1][0]
    path = cut_and_continued(tmp_path / "store", frames[: start + left])
    for at in (start, start + 12) if left > 12 else (start,):
        damaged = bytearray(frames[: start + left])
        damaged[at] ^= 0x11
        (path / FIRST).write_bytes(damaged)
        with pytest.raises(StoreNeedsRepairError, match="frames-damaged"):
            Store.open(path)
        assert (path / FIRST).read_bytes() == damaged


def test_holes_of_a_power_cut_in_the_part_are_no_damage(tmp_path: Path) -> None:
    """Pages of the frame that had not reached the disk are zeros; in the last segment 0.9.0 tolerates that."""
    made = tmp_path / "made"
    store = Store.open(made)
    store.append("e", "s", KIND, 1)
    one = store.append("e", "s", KIND, "x" * 4_000)
    store.drop()
    frames = (made / FIRST).read_bytes()[: one.offset + 3_000]
    edge = (one.offset // 512 + 1) * 512
    holes = [(edge, edge + 512), (edge + 512, edge + 1_536), (one.offset + 8, edge), (edge + 700, len(frames))]
    for number, (low, high) in enumerate(holes):
        data = bytearray(frames)
        data[low:high] = bytes(high - low)
        path = cut_and_continued(tmp_path / str(number), bytes(data))
        assert_mended(path, shown(path))


@pytest.mark.parametrize("entries", [0, 3])
def test_part_of_a_footer_cut_at_any_byte_is_mended(tmp_path: Path, entries: int) -> None:
    made = tmp_path / "made"
    with Store.open(made, config=StoreConfig(segment_max_bytes=1 if not entries else 1 << 20)) as store:
        store.append("entity:of:some:length", "s", KIND, 1)
    whole = (made / FIRST).read_bytes()
    end = int.from_bytes(whole[-16:-8], "little")
    if not entries:
        assert whole[end:] == encode_footer(np.empty(0, FOOTER_DTYPE), (), end)
    for size in sorted({*range(end + 8, min(end + 40, len(whole)), 3), len(whole) - 1}):
        path = tmp_path / str(size)
        shutil.copytree(made, path)
        if entries:
            (path / FIRST).write_bytes(whole[:end])
            Store.open(path).close()
        (path / FIRST).write_bytes(whole[:size])
        assert_mended(path, shown(path))


def test_hidden_events_stay_hidden_behind_a_cut_segment(tmp_path: Path) -> None:
    """What was cut off had no number, so what is counted behind it is exact."""
    frames, _ = torn(tmp_path / "made")
    path = tmp_path / "store"
    path.mkdir()
    (path / FIRST).write_bytes(frames)
    with Store.open(path) as store:
        fence = store.begin_fence()
        hidden = fence.submit("h", "s", KIND, "taken back")
        fence.cancel()
        kept = store.append("h", "s", KIND, "kept")
    second = path / SECOND
    end = int.from_bytes(second.read_bytes()[-16:-8], "little")
    second.write_bytes(second.read_bytes()[:end])
    (path / FIRST).write_bytes(frames)
    before = shown(path)
    assert kept.event_id in dict(before)
    assert hidden.event_id not in dict(before)
    assert_mended(path, before)
    assert hidden.event_id not in dict(shown(path))


def test_repair_may_be_cut_short_before_any_call(tmp_path: Path) -> None:
    made = cut_and_continued(tmp_path / "store", torn(tmp_path / "made")[0])
    before = shown(made)
    for at in range(1, 100):
        path = tmp_path / str(at)
        shutil.copytree(made, path)
        try:
            Store.open(path, files=Dying(at)).close()
        except Dying.Died:
            assert shown(path)[: len(before)] == before
            Store.open(path).close()
            assert shown(path)[: len(before)] == before
            assert not bp.open_reader(path, on_damage="raise").check()
        else:
            break
    assert 5 < at < 99


@pytest.mark.parametrize("sticky", [True, False])
def test_disk_that_refuses_any_call_of_the_repair_costs_nothing(tmp_path: Path, sticky: bool) -> None:
    made = cut_and_continued(tmp_path / "store", torn(tmp_path / "made")[0])
    before = shown(made)
    for at in range(1, 100):
        path = tmp_path / str(at)
        shutil.copytree(made, path)
        files = FailingCall(at, sticky=sticky)
        try:
            Store.open(path, files=files).drop()
        except (WriteFailedError, OSError):
            assert shown(path)[: len(before)] == before
            Store.open(path).close()
            assert shown(path)[: len(before)] == before
        if files.calls < at:
            break
    assert 5 < at < 99


def test_power_that_fails_in_the_repair_costs_nothing(tmp_path: Path) -> None:
    path = cut_and_continued(tmp_path / "store", torn(tmp_path / "made")[0])
    before = shown(path)
    files, chance = Power(path), random.Random(1)
    die(Store.open(path, files=files))
    for state in cuts(files, chance, 40):
        left = files.states[state].after_power_cut(chance, tmp_path / "left")
        Store.open(left).close()
        assert shown(left)[: len(before)] == before
        shutil.rmtree(left)


def test_reader_of_the_cut_file_goes_on_and_sees_the_repair(tmp_path: Path) -> None:
    path = cut_and_continued(tmp_path / "store", torn(tmp_path / "made")[0])
    with bp.open_reader(path) as reader:
        before = reader.events(system=True).to_arrow()
        with Store.open(path) as store:
            store.append("e", "s", KIND, 1)
        assert reader.events(system=True).to_arrow().equals(before)
        reader.refresh()
        assert reader.events(system=True).to_arrow().num_rows == before.num_rows + 3
        assert reader.findings().empty


def test_copy_of_a_cut_store_is_a_sound_one(tmp_path: Path) -> None:
    path = cut_and_continued(tmp_path / "store", torn(tmp_path / "made")[0])
    with bp.open_reader(path) as reader:
        reader.snapshot(tmp_path / "copy")
    assert shown(tmp_path / "copy") == shown(path)
    assert not bp.open_reader(tmp_path / "copy", on_damage="raise").check()
