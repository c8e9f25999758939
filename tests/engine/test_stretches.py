"""Small segments that are read as one, against the same segments read one by one: nobody may tell the difference."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from batpak_analytics.engine import joined_rows, mapping, packs, stretches, topology
from batpak_analytics.engine.filesystem import FileIdentity, list_files, open_listed
from batpak_analytics.engine.joined_rows import JoinedRows, Memory
from batpak_analytics.engine.stretch_rows import StretchRows
from batpak_analytics.engine.view import View
from batpak_analytics.errors import CorruptSegmentError
from batpak_analytics.format.layout import VISIBILITY_NAME
from batpak_analytics.format.sidecars import visibility
from batpak_analytics.format.sidecars.visibility import HiddenRanges
from batpak_analytics.reader import Reader, open_reader
from tests.engine.building import Segment, begin, commit, make_event, write_store

NEVER = 1 << 62
Packing = Callable[[int], None]


@pytest.fixture
def packing(monkeypatch: pytest.MonkeyPatch) -> Packing:
    """Sets how many neighbours are packed."""

    def at_least(files: int) -> None:
        monkeypatch.setattr(packs, "FEWEST", files)
        monkeypatch.setattr(stretches, "FEWEST", min(files, 2))

    return at_least


def small_segments(count: int = 9, events: int = 4) -> list[Segment]:
    """Sealed segments, and a tail without a footer behind them."""
    made = [
        Segment(n + 1, [event_of(n * events + at) for at in range(events)], first_sequence=n * events)
        for n in range(count)
    ]
    return [*made[:-1], replace(made[-1], footer=False)]


def event_of(number: int) -> Any:
    """Neighbouring segments share some of their strings and not their order."""
    return make_event(number, entity=f"order:{number * 7 % 5}")


def told(reader: Reader) -> dict[str, Any]:
    """All that a reader tells of a store."""
    view = reader.view
    everything = reader.events(columns="all", system=True)
    filtered = reader.events(
        columns=["event_id", "offset", "segment_id"],
        filters=[("segment_id", ">=", 3), ("segment_id", "<", 7), ("offset", ">", 400)],
    )
    ids = [one.hex() for one in everything.to_arrow().column("event_id").to_pylist()]
    return {
        "segments": [
            (one.segment_id, one.name, one.role, one.size_bytes, one.footer_state, one.frames_start, one.frames_end,
             one.strings, one.rows.tobytes(), one.sequence.tolist(), one.source.tolist(), one.excluded.tolist())
            for one in view.segments
        ],
        "rows": everything.to_arrow().to_pylist(),
        "streamed": [row for batch in everything.to_batches(5) for row in batch.to_pylist()],
        "frames": reader.events(payload="frame").to_arrow().to_pylist(),
        "filtered": (filtered.to_arrow().to_pylist(), str(filtered.explain())),
        "one entity": reader.events(entity="order:3").to_arrow().to_pylist(),
        "as of": reader.events(as_of=9).to_arrow().to_pylist(),
        "explained": str(everything.explain()),
        "counts": (view.event_count, view.last_sequence, everything.count()),
        "events": [reader.get(one) for one in ids[::3]],
        "findings": sorted(map(repr, reader.check())),
    }  # fmt: skip


def same_both_ways(path: Path, packing: Packing) -> View:
    """The view of packed segments, once it is shown that all of it is that of single ones."""
    packing(NEVER)
    with open_reader(path) as reader:
        assert not any(one.joined for one in reader.view.stretches)
        single = told(reader)
    packing(2)
    with open_reader(path) as reader:
        joined = told(reader)
        for name, value in single.items():
            assert joined[name] == value, name
        return reader.view


def joined(view: View) -> list[tuple[int, int]]:
    """The first and last id of each stretch of several segments."""
    return [one.id_range for one in view.stretches if isinstance(one, StretchRows)]


def test_plain_segments_are_one_stretch_and_nobody_can_tell(tmp_path: Path, packing: Packing) -> None:
    view = same_both_ways(write_store(tmp_path / "s", small_segments()), packing)
    assert joined(view) == [(1, 8)]
    assert len(view.segments) == 9


@pytest.mark.parametrize("threads", ["1", "3"])
def test_any_number_of_threads_gives_the_same(
    tmp_path: Path, packing: Packing, monkeypatch: pytest.MonkeyPatch, threads: str
) -> None:
    monkeypatch.setenv("BATPAK_THREADS", threads)
    monkeypatch.setattr(packs, "MOST", 3)
    assert joined(same_both_ways(write_store(tmp_path / "s", small_segments()), packing)) == [(1, 3), (4, 6), (7, 8)]


def without_footer(path: Path) -> None:
    path.write_bytes(replace(small_segments()[3], footer=False).to_bytes())


def with_other_id(path: Path) -> None:
    path.write_bytes(replace(small_segments()[3], segment_id=77).to_bytes())


def with_a_batch(path: Path) -> None:
    at = 1_700_000_000_000_000 + 50_000
    items = [make_event(12, at_us=at), make_event(13, at_us=at)]
    events = [begin(5, 2, at_us=at + 1), *items, commit(5, at_us=at + 2), make_event(14), make_event(15)]
    path.write_bytes(Segment(4, events, first_sequence=12).to_bytes())


def with_an_odd_name(path: Path) -> None:
    path.rename(path.with_name("4.fbat"))


def with_a_refused_entity(path: Path) -> None:
    segment = small_segments()[3]
    path.write_bytes(replace(segment, events=[replace(one, entity="a|b") for one in segment.events]).to_bytes())


def without_events(path: Path) -> None:
    path.write_bytes(Segment(4).to_bytes())


def empty(path: Path) -> None:
    path.write_bytes(b"")


def gone(path: Path) -> None:
    path.unlink()


def large(path: Path) -> None:
    path.write_bytes(Segment(4, [make_event(n) for n in range(12, 16)], first_sequence=12).to_bytes())
    os.truncate(path, packs.SMALL_BYTES + 1)


ODD: list[Callable[[Path], None]] = [
    without_footer, with_other_id, with_a_batch, with_an_odd_name, with_a_refused_entity, without_events, empty, large,
]  # fmt: skip


@pytest.mark.parametrize("change", ODD)
def test_an_odd_segment_goes_the_way_of_all_others(
    tmp_path: Path, packing: Packing, change: Callable[[Path], None]
) -> None:
    store = write_store(tmp_path / "s", small_segments())
    change(store / "000004.fbat")
    assert joined(same_both_ways(store, packing)) == [(1, 3), (5, 8)]


def test_a_missing_segment_is_no_matter(tmp_path: Path, packing: Packing) -> None:
    store = write_store(tmp_path / "s", small_segments())
    gone(store / "000004.fbat")
    assert joined(same_both_ways(store, packing)) == [(1, 8)]


def test_every_damaged_byte_tells_the_same(tmp_path: Path, packing: Packing) -> None:
    store = write_store(tmp_path / "s", small_segments(5, 2))
    path = store / "000003.fbat"
    whole = path.read_bytes()
    for at in range(0, len(whole), 37):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :])
        same_both_ways(store, packing)
    for at in range(0, len(whole), 131):
        path.write_bytes(whole[:at])
        same_both_ways(store, packing)


def test_damaged_frames_are_found_in_their_own_files_up_to_the_limit_of_each(
    tmp_path: Path, packing: Packing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batpak_analytics.arrow.decode.MAX_FRAME_FINDINGS", 2)
    store = write_store(tmp_path / "s", small_segments(6, 5))
    for number in (2, 4):
        path = store / f"{number:06}.fbat"
        data = bytearray(path.read_bytes())
        for offset in small_segments(6, 5)[number - 1].offsets()[:5]:
            data[offset + 30] ^= 0xFF
        path.write_bytes(data)
    packing(2)
    with open_reader(store) as reader:
        assert joined(reader.view) == [(1, 5)]
        reader.events().to_arrow()
        found = [(one.rule, one.file, one.offset) for one in reader.view.findings]
    wanted: list[tuple[str, str | None, int | None]] = []
    for number in (2, 4):
        offsets, name = small_segments(6, 5)[number - 1].offsets(), f"{number:06}.fbat"
        wanted += [("frame-crc", name, offsets[0]), ("frame-crc", name, offsets[1]), ("frame-findings-cut", name, None)]
    assert found == wanted


def test_a_frame_that_contradicts_its_row_wins(tmp_path: Path, packing: Packing) -> None:
    segments = small_segments()
    store = write_store(tmp_path / "s", segments)
    lying = replace(segments[2], events=[replace(one, entity="order:9") for one in segments[2].events])
    footer = segments[2].to_bytes()[segments[2].offsets()[-1] :]
    (store / "000003.fbat").write_bytes(lying.header + b"".join(lying.frames()) + footer)
    view = same_both_ways(store, packing)
    assert joined(view) == [(1, 8)]
    assert {one.rule for one in view.findings if one.segment == 3} == {"frame-contradicts-index"}


def test_hidden_events_and_second_copies_stay_hidden(tmp_path: Path, packing: Packing) -> None:
    segments = small_segments()
    segments[5] = replace(segments[5], events=[*segments[1].events[:2], *segments[5].events[2:]])
    store = write_store(tmp_path / "s", segments)
    (store / VISIBILITY_NAME).write_bytes(visibility.encode(HiddenRanges(((9, 14),), {})))
    view = same_both_ways(store, packing)
    assert joined(view) == [(1, 8)]
    assert view.event_count == 36 - 5 - 2
    assert {one.file for one in view.findings if one.rule == "duplicate-event"} == {"000002.fbat"}


def test_numbers_that_repeat_or_descend_give_the_same_order(tmp_path: Path, packing: Packing) -> None:
    segments = small_segments()
    segments[2], segments[4] = replace(segments[2], first_sequence=16), replace(segments[4], first_sequence=7)
    same_both_ways(write_store(tmp_path / "s", segments), packing)


def test_raise_raises_for_packed_segments_too(tmp_path: Path, packing: Packing) -> None:
    store = write_store(tmp_path / "s", small_segments())
    with_a_refused_entity(store / "000004.fbat")
    packing(2)
    with pytest.raises(CorruptSegmentError):
        open_reader(store, on_damage="raise")


def test_a_refresh_maps_nothing_twice_and_packs_what_has_come(
    tmp_path: Path, packing: Packing, monkeypatch: pytest.MonkeyPatch
) -> None:
    segments = small_segments(12)
    store = write_store(tmp_path / "s", segments[:6])
    packing(3)
    mapped: list[str] = []

    def spy(location: str, identity: FileIdentity) -> int | None:
        mapped.append(location)
        return open_listed(location, identity)

    monkeypatch.setattr(mapping, "open_listed", spy)
    with open_reader(store) as reader:
        first, rows = reader.view.stretches[0], reader.view.segments[0].rows
        assert isinstance(first, StretchRows) and names(mapped) == [1, 2, 3, 4, 5]
        for segment in segments[6:]:
            segment.write(store)
            stretch = reader.refresh().view.stretches[0]
            assert isinstance(stretch, StretchRows) and stretch.scan is first.scan
            assert reader.view.segments[0].rows is rows
        assert names(mapped) == [*range(1, 12)]
        assert joined(reader.view) == [(1, 5), (6, 8), (9, 11)]
        with open_reader(store) as fresh:
            assert told(reader) == told(fresh)


def names(paths: list[str]) -> list[int]:
    return [int(Path(path).stem) for path in paths]


def test_a_pack_in_which_everything_is_odd_is_looked_at_once(
    tmp_path: Path, packing: Packing, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = write_store(tmp_path / "s", [replace(one, footer=False) for one in small_segments()])
    packing(2)
    looked: list[packs.Pack] = []

    def spy(pack: packs.Pack) -> Any:
        looked.append(pack)
        return stretches.stretches_of(pack)

    monkeypatch.setattr(topology, "stretches_of", spy)
    with open_reader(store) as reader:
        before = reader.view.segments[0].rows
        assert reader.refresh().refresh().view.segments[0].rows is before
    assert len(looked) == 1


def test_an_old_view_reads_what_a_compaction_has_deleted_and_a_new_one_what_it_wrote(
    tmp_path: Path, packing: Packing
) -> None:
    segments = small_segments()
    store = write_store(tmp_path / "s", segments)
    packing(2)
    with open_reader(store) as reader:
        before, old = told(reader)["rows"], reader.events(columns="all", system=True)
        merged = replace(segments[0], events=[one for part in segments[:8] for one in part.events], footer=False)
        for number in range(2, 9):
            (store / f"{number:06}.fbat").unlink()
        (store / "new").write_bytes(merged.to_bytes())
        (store / "new").rename(store / "000001.fbat")
        assert old.to_arrow().to_pylist() == before
        assert joined(reader.refresh().view) == []
        assert [row["clock"] for row in told(reader)["rows"]] == [row["clock"] for row in before]


def test_a_file_that_was_replaced_since_it_was_listed_is_in_no_pack(
    tmp_path: Path, packing: Packing, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = write_store(tmp_path / "s", small_segments())
    packing(2)
    path = store / "000004.fbat"
    replaced: list[int] = []

    def replace_first(location: str, identity: FileIdentity) -> int | None:
        if location.endswith("000004.fbat") and not replaced:
            replaced.append(identity.inode)
            other = path.with_suffix(".other")
            other.write_bytes(path.read_bytes())
            other.rename(path)
            assert open_listed(location, identity) is None
        return open_listed(location, identity)

    monkeypatch.setattr(mapping, "open_listed", replace_first)
    with open_reader(store) as reader:
        assert joined(reader.view) == [(1, 8)]  # by the second look at the directory
        [pack] = reader.view.listing.packs
        assert pack.identities[3].inode == path.stat().st_ino != replaced[0]


def test_a_second_look_asks_again_about_every_name_that_may_have_another_file(tmp_path: Path) -> None:
    for name in ("same", "replaced", "linked", "grown"):
        (tmp_path / name).write_bytes(b"1")
    held = {name: one._replace(size=100) for name, one in list_files(tmp_path).items() if name != "grown"}
    (tmp_path / "other").write_bytes(b"22")
    (tmp_path / "other").rename(tmp_path / "replaced")
    (tmp_path / "linked").rename(tmp_path / "target")
    (tmp_path / "linked").symlink_to("target")
    (tmp_path / "grown").write_bytes(b"333")
    found, whole = list_files(tmp_path, held), list_files(tmp_path)
    assert found.pop("same") is held["same"]  # and nothing else is taken for what it was
    assert found == {name: one for name, one in whole.items() if name != "same"}


def test_a_compaction_between_the_two_looks_is_seen_in_packs_too(
    tmp_path: Path, packing: Packing, monkeypatch: pytest.MonkeyPatch
) -> None:
    segments = small_segments()
    store = write_store(tmp_path / "s", segments)
    packing(2)
    compacted: list[Path] = []

    def compact_behind(location: str, identity: FileIdentity) -> int | None:
        opened = open_listed(location, identity)
        if location.endswith("000004.fbat") and not compacted:
            merged = replace(segments[0], events=[one for part in segments[:3] for one in part.events])
            (store / "new").write_bytes(merged.to_bytes())
            (store / "new").rename(store / "000001.fbat")
            compacted.extend([store / "000002.fbat", store / "000003.fbat"])
            for gone in compacted:
                gone.unlink()
        return opened

    monkeypatch.setattr(mapping, "open_listed", compact_behind)
    with open_reader(store) as reader, open_reader(store) as fresh:
        assert compacted and told(reader) == told(fresh)
        assert [one.segment_id for one in reader.view.segments] == [1, *range(4, 10)]


def test_where_files_cannot_be_mapped_side_by_side_each_is_mapped_by_itself(
    tmp_path: Path, packing: Packing, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = write_store(tmp_path / "s", small_segments())
    packing(2)
    monkeypatch.setattr(mapping, "_MMAP", None)
    with open_reader(store) as reader:
        assert joined(reader.view) == [] and all(one.mapped for one in reader.view.segments[:8])


def test_a_closed_view_leaves_no_map_behind(tmp_path: Path, packing: Packing) -> None:
    store = write_store(tmp_path / "s", small_segments())
    packing(2)
    with open_reader(store) as reader:
        told(reader)
        assert maps_of(store)
    del reader
    gc.collect()
    assert not maps_of(store)


def maps_of(store: Path) -> list[str]:
    lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if str(store) in line]


# -- joined rows ------------------------------------------------------------------------------------------


class Owner:
    """Somebody with rows."""


@pytest.fixture
def small_room(monkeypatch: pytest.MonkeyPatch) -> Iterator[JoinedRows]:
    room = JoinedRows(kept_bytes=0, recent_bytes=1)
    monkeypatch.setattr(stretches, "ALL", room)
    yield room


def test_rows_that_are_joined_again_are_the_same(
    tmp_path: Path, packing: Packing, monkeypatch: pytest.MonkeyPatch, small_room: JoinedRows
) -> None:
    monkeypatch.setattr(packs, "MOST", 2)
    same_both_ways(write_store(tmp_path / "s", small_segments()), packing)


def test_only_so_many_rows_are_kept() -> None:
    room, owners = JoinedRows(kept_bytes=250, recent_bytes=250), [Owner() for _ in range(6)]
    made: list[int] = []

    def rows(number: int) -> Any:
        def join() -> Any:
            made.append(number)
            return np.zeros(100, np.uint8)

        return room.of(owners[number], join)

    for number in (0, 1, 2, 3, 4, 0, 1, 4, 3, 2, 2, 4):
        rows(number)
    # 0 and 1 stay; of the others the last two are remembered
    assert made == [0, 1, 2, 3, 4, 2]
    del owners[:2]  # what was kept of the dead makes room
    for number in (3, 2, 1, 0, 3, 3):
        rows(number)
    assert made == [0, 1, 2, 3, 4, 2, 3, 1]


def test_the_limits_of_a_process_are_what_streaming_may_take() -> None:
    assert joined_rows.KEPT_BYTES + joined_rows.RECENT_BYTES <= 64 << 20


def test_no_memory_is_used_again_while_anything_looks_at_it() -> None:
    memory = Memory(spare_bytes=1 << 20)
    other, rows = memory.take(300_000), memory.take(300_000)
    place = rows.ctypes.data
    for look in (lambda one: one[5:9].view("<u4"), memoryview, lambda one: np.asarray(one).reshape(2, -1)[1]):
        seen = look(rows)
        del rows
        fresh = memory.take(300_000)
        assert fresh.ctypes.data != place
        del seen
        rows, fresh = memory.take(290_000), None
        assert rows.ctypes.data == place and len(rows) == 290_000
    del other


def test_memory_that_waits_is_bounded_and_goes_with_the_last_that_was_used() -> None:
    memory = Memory(spare_bytes=700_000)
    held = [memory.take(300_000) for _ in range(6)]
    del held[1:]
    assert sum(map(len, memory._spare)) <= 700_000 and memory._spare
    assert len(memory.take(30_000_000)) == 30_000_000  # too small does not do
    assert len(memory.take(10)) == 10  # nor does far too large: that would be missed elsewhere
    assert all(len(one) > 100_000 for one in memory._spare)
    held.clear()
    assert not memory._spare
