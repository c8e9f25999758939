"""Maps and positioned reads give the same bytes, views hold still, and nothing is ever written."""

from __future__ import annotations

import gc
import os
import shutil
import threading
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from batpak_analytics.engine import mapping
from batpak_analytics.engine.filesystem import DescriptorCache, FileIdentity
from batpak_analytics.errors import (
    CrcMismatchError,
    EventNotFoundError,
    NotAStoreError,
    StoreNotFoundError,
    ViewExpiredError,
)
from batpak_analytics.reader import open_reader
from tests.engine.building import Segment, make_event, numbers, rules, shown, three_segments, write_store

ALL = list(range(9))


def everything(path: Path) -> list[bytes]:
    """The bytes of every frame, read through the windows of a view."""
    found = []
    for segment in open_reader(path).view.segments:
        for row in segment.rows:
            low = int(row["offset"])
            found.append(bytes(segment.window(low, low + int(row["length"]))))
    return found


@pytest.mark.parametrize("name", ["segments", "crash", "merge", "encrypted", "hidden"])
def test_positioned_reads_equal_maps(fixture_stores: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mapped, order = everything(fixture_stores / name), shown(open_reader(fixture_stores / name).view)
    monkeypatch.setattr(mapping, "MAPPING", False)
    monkeypatch.setattr("batpak_analytics.engine.recovery.READ_AHEAD", 700)
    view = open_reader(fixture_stores / name).view
    assert not any(segment.mapped for segment in view.segments)
    assert everything(fixture_stores / name) == mapped
    assert shown(view) == order


def test_sealed_segments_are_mapped_and_the_tail_is_not(tmp_path: Path) -> None:
    view = open_reader(write_store(tmp_path, three_segments(footer=False))).view
    assert [segment.mapped for segment in view.segments] == [True, True, False]
    assert [segment.role for segment in view.segments] == ["sealed", "sealed", "tail"]


def test_maps_keep_no_descriptor(tmp_path: Path) -> None:
    write_store(tmp_path, [Segment(n + 1, [make_event(n)], first_sequence=n) for n in range(200)])
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    reader = open_reader(tmp_path)
    assert reader.view.event_count == 200
    assert len(os.listdir("/proc/self/fd")) - before <= 2


def test_descriptors_are_bounded_and_least_recently_used_go_first(tmp_path: Path) -> None:
    cache = DescriptorCache(budget=3)
    files = []
    for n in range(6):
        path = tmp_path / str(n)
        path.write_bytes(bytes([n]) * 10)
        files.append((path, FileIdentity.of(path.stat())))
    for path, identity in [*files, *reversed(files)]:
        assert cache.read(path, identity, 2, 3) == bytes([int(path.name)]) * 3
        assert len(cache) <= 3
    cache.close()
    assert len(cache) == 0


def test_files_that_cannot_be_held_together_are_let_go_of(tmp_path: Path) -> None:
    cache = DescriptorCache(budget=1)
    files = []
    for n in range(3):
        path = tmp_path / str(n)
        path.write_bytes(bytes([n]))
        files.append((path, FileIdentity.of(path.stat())))
    files[2][0].unlink()
    with pytest.raises(ViewExpiredError), cache.holding(files):
        raise AssertionError("one of them is gone")
    assert len(cache) == 1
    with cache.holding(files[:2]):
        assert len(cache) == 2
    assert len(cache) == 1


def test_reused_name_is_never_mistaken_for_the_pinned_file(tmp_path: Path) -> None:
    path = tmp_path / "000001.fbat"
    path.write_bytes(b"old bytes")
    identity = FileIdentity.of(path.stat())
    (tmp_path / "new").write_bytes(b"new bytes")
    (tmp_path / "new").rename(path)
    with pytest.raises(ViewExpiredError, match="refresh"):
        DescriptorCache().read(path, identity, 0, 3)


def test_view_holds_still_and_refresh_moves_it(tmp_path: Path) -> None:
    segments = three_segments(footer=False)
    write_store(tmp_path, segments)
    reader = open_reader(tmp_path)
    old = reader.view
    grown = replace(segments[2], events=[*segments[2].events, make_event(9)])
    with open(tmp_path / "000003.fbat", "ab") as handle:
        handle.write(grown.to_bytes()[len(segments[2].to_bytes()) :])
    assert numbers(old) == ALL
    assert numbers(reader.refresh().view) == [*ALL, 9]
    assert numbers(old) == ALL


def test_refresh_shares_the_scans_of_sealed_segments(tmp_path: Path) -> None:
    write_store(tmp_path, three_segments(footer=False))
    reader = open_reader(tmp_path)
    old = reader.view
    assert reader.refresh().view.segments[0].rows is old.segments[0].rows


def test_mapped_segments_survive_a_compaction_and_unmapped_ones_expire_at_once(tmp_path: Path) -> None:
    write_store(tmp_path, three_segments(footer=False))
    view = open_reader(tmp_path).view
    with view.pinned():
        pass
    view.descriptors.close()
    for path in tmp_path.iterdir():
        path.unlink()
    first = view.segments[0]
    assert bytes(first.window(0, 4)) == b"FBAT"
    with pytest.raises(ViewExpiredError), view.pinned():
        pass


def test_pinned_files_can_be_read_after_they_were_deleted(tmp_path: Path) -> None:
    write_store(tmp_path, three_segments(footer=False))
    view = open_reader(tmp_path).view
    with view.pinned():
        (tmp_path / "000003.fbat").unlink()
        assert bytes(view.segments[2].window(0, 4)) == b"FBAT"


def test_reading_writes_nothing(tmp_path: Path, fixture_stores: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(fixture_stores / "segments", store)
    before = {path.name: (path.stat().st_mtime_ns, path.stat().st_size) for path in store.iterdir()}
    directory = store.stat().st_mtime_ns
    reader = open_reader(store)
    reader.check()
    reader.refresh()
    assert {path.name: (path.stat().st_mtime_ns, path.stat().st_size) for path in store.iterdir()} == before
    assert store.stat().st_mtime_ns == directory


def test_point_reads_take_every_form_of_an_id(tmp_path: Path) -> None:
    reader = open_reader(write_store(tmp_path, three_segments()))
    name = make_event(4).event_id
    same = uuid.UUID(bytes=name)
    forms: list[bytes | str | int | uuid.UUID] = [name, name.hex(), name.hex().upper(), same, str(same), same.int]
    for form in forms:
        event = reader.get(form)
        assert (event.payload, event.global_sequence, event.entity) == ({"n": 4}, 4, "order:1")
        assert reader.get_raw(form) == make_event(4).payload


@pytest.mark.parametrize("wrong", ["zz", b"short", -1, 1 << 128, None, 1.5, True])
def test_what_is_no_id_is_refused(tmp_path: Path, wrong: object) -> None:
    reader = open_reader(write_store(tmp_path, three_segments()))
    with pytest.raises(ValueError, match="not an event id"):
        reader.get(wrong)  # type: ignore[arg-type]


def test_unknown_id_says_what_may_have_happened(tmp_path: Path) -> None:
    with pytest.raises(EventNotFoundError, match="hidden, compacted away or newer"):
        open_reader(write_store(tmp_path, three_segments())).get(0)


def test_check_finds_a_damaged_frame_behind_a_good_footer(tmp_path: Path) -> None:
    segments = three_segments()
    write_store(tmp_path, segments)
    path = tmp_path / "000002.fbat"
    data = bytearray(path.read_bytes())
    offset = segments[1].offsets()[1]
    data[offset + 100] ^= 0xFF
    path.write_bytes(bytes(data))
    reader = open_reader(tmp_path, on_damage="report")
    assert numbers(reader.view) == ALL
    assert [(one.rule, one.segment, one.offset) for one in reader.check()] == [("frame-crc", 2, offset)]
    with pytest.raises(CrcMismatchError):
        reader.get(make_event(4).event_id)


def test_clean_store_checks_clean(fixture_stores: Path) -> None:
    for store in sorted(path for path in fixture_stores.iterdir() if path.is_dir()):
        assert [one for one in open_reader(store).check() if one.severity != "info"] == [], store.name


def test_wrong_paths_say_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match="does not exist"):
        open_reader(tmp_path / "nowhere")
    with pytest.raises(NotAStoreError, match="no segment files"):
        open_reader(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotAStoreError, match="is a file"):
        open_reader(tmp_path / "file")


def test_store_without_events_is_empty_not_wrong(tmp_path: Path) -> None:
    (tmp_path / ".batpak.lock").write_bytes(b"")
    reader = open_reader(tmp_path)
    assert (reader.view.event_count, reader.view.last_sequence) == (0, None)
    assert rules(reader.view) == set()


def test_threads_share_a_reader(tmp_path: Path) -> None:
    reader = open_reader(write_store(tmp_path, three_segments(footer=False)))
    wrong: list[object] = []

    def work() -> None:
        for n in ALL * 5:
            if reader.get(make_event(n).event_id).payload != {"n": n}:
                wrong.append(n)
            reader.refresh()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
