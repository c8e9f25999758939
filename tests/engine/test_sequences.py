"""Sequence numbers come from an image, else from a footer, else they are counted as the reference counts."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from batpak_analytics.engine.sequences import FROM_FOOTER, FROM_IMAGE, SYNTHESISED
from batpak_analytics.format.sidecars import checkpoint, mmap_index
from batpak_analytics.model import Finding
from batpak_analytics.reader import open_reader
from batpak_analytics.store.store import Store
from tests.engine.building import make_event, numbers, rules, shown, three_segments, write_store


def sources(path: Path) -> set[int]:
    return {int(value) for segment in open_reader(path).view.segments for value in segment.source}


def copy_of(store: Path, target: Path) -> Path:
    shutil.copytree(store, target)
    return target


def test_image_numbers_win(fixture_stores: Path) -> None:
    assert sources(fixture_stores / "segments") == {FROM_IMAGE}
    assert sources(fixture_stores / "checkpoint") == {FROM_IMAGE}


def test_footer_numbers_without_an_image(fixture_stores: Path) -> None:
    assert sources(fixture_stores / "lanes") == {FROM_FOOTER}


def test_crashed_tail_is_counted_on(fixture_stores: Path) -> None:
    assert sources(fixture_stores / "crash") == {FROM_FOOTER, SYNTHESISED}


@pytest.mark.parametrize("name", ["segments", "checkpoint", "hidden", "merge"])
def test_without_image_the_same_events_in_the_same_order(fixture_stores: Path, tmp_path: Path, name: str) -> None:
    store = copy_of(fixture_stores / name, tmp_path / name)
    before = [clock for clock, _ in shown(open_reader(store).view)]
    for image in ("index.fbati", "index.ckpt"):
        (store / image).unlink(missing_ok=True)
    view = open_reader(store).view
    assert [clock for clock, _ in shown(view)] == before
    assert FROM_IMAGE not in sources(store)


@pytest.mark.parametrize("damage", [0, 6, 20, -1])
def test_damaged_image_is_a_finding_and_nothing_else(fixture_stores: Path, tmp_path: Path, damage: int) -> None:
    store = copy_of(fixture_stores / "segments", tmp_path / "store")
    wanted = shown(open_reader(store).view)
    data = bytearray((store / "index.fbati").read_bytes())
    data[damage] ^= 0xFF
    (store / "index.fbati").chmod(0o600)
    (store / "index.fbati").write_bytes(bytes(data))
    view = open_reader(store).view
    assert shown(view) == wanted
    assert rules(view) == {"image-unusable"}


def test_stale_image_numbers_what_it_knows(fixture_stores: Path, tmp_path: Path) -> None:
    """The watermark names a segment that is gone: the reference rejects the image, we still use its numbers."""
    store = copy_of(fixture_stores / "segments", tmp_path / "store")
    last = max(store.glob("*.fbat"))
    gone = len(open_reader(store).view.segments[-1].rows)
    wanted = shown(open_reader(store).view)[:-gone]
    last.unlink()
    assert shown(open_reader(store).view) == wanted
    assert sources(store) == {FROM_IMAGE}


def test_image_of_before_a_compaction_does_not_hide_the_one_that_is_believed(
    fixture_stores: Path, tmp_path: Path
) -> None:
    """Sessions without the mmap index refresh the checkpoint alone: the reference passes the other, the first."""
    store = copy_of(fixture_stores / "checkpoint", tmp_path / "store")
    wanted = shown(open_reader(store).view)
    image = checkpoint.decode((store / "index.ckpt").read_bytes())
    rows = tuple(replace(row, global_sequence=row.global_sequence + 7) for row in image.entries)
    old = replace(image, version=5, watermark_segment=image.watermark_segment + 1, allocator=image.allocator + 7)
    (store / "index.fbati").write_bytes(mmap_index.encode(replace(old, entries=rows)))
    assert shown(open_reader(store).view) == wanted


@pytest.mark.parametrize("name", ["index.fbati", "index.ckpt"])
def test_image_of_before_a_compaction_numbers_nothing(fixture_stores: Path, tmp_path: Path, name: str) -> None:
    """The segment of its watermark is gone and later ones are there: the numbers of then would hide other events."""
    store = copy_of(fixture_stores / "retention", tmp_path / "store")
    for one in ("index.fbati", "index.ckpt"):
        (store / one).unlink(missing_ok=True)
    wanted = shown(open_reader(store).view)
    old = mmap_index.decode((fixture_stores / "segments" / "index.fbati").read_bytes())
    view = open_reader(store).view
    last = view.listing.highest_id
    rows = [
        replace(old.entries[0], event_id=row["event_id"].tobytes()[::-1], event_hash=row["event_hash"].tobytes(),
                global_sequence=100 + number)
        for number, row in enumerate(view.segments[0].rows)
    ]  # fmt: skip
    encode = mmap_index.encode if name == "index.fbati" else checkpoint.encode
    image = replace(old, watermark_segment=last - 1, watermark_offset=1 << 30, entries=tuple(rows), allocator=200)
    (store / name).write_bytes(encode(image if name == "index.fbati" else replace(image, version=6)))
    assert shown(open_reader(store).view) == wanted
    with Store.open(store) as writer:
        assert writer.open_report.repairs
    assert not (store / name).exists()


def test_image_is_not_believed_for_another_payload(fixture_stores: Path, tmp_path: Path) -> None:
    store = copy_of(fixture_stores / "quickstart", tmp_path / "a")
    other = write_store(tmp_path / "b", three_segments())
    shutil.copy(store / "index.fbati", other / "index.fbati")
    assert sources(other) == {FROM_FOOTER}


def test_repeated_numbers_keep_file_order(tmp_path: Path) -> None:
    first, second, third = three_segments()
    view = open_reader(write_store(tmp_path, [first, replace(second, first_sequence=1), third])).view
    assert numbers(view) == [0, 1, 3, 2, 4, 5, 6, 7, 8]
    assert not view.in_order


def test_repeated_numbers_stay_as_the_reference_shows_them_when_it_counts_on(tmp_path: Path) -> None:
    """A compaction that dropped events gave numbers again; the last segment has no footer, as in a copy or a crash."""
    first, second, third = three_segments()
    third = replace(third, footer=False)
    view = open_reader(write_store(tmp_path, [first, replace(second, first_sequence=2), third])).view
    assert [int(one) for segment in view.segments for one in segment.sequence] == [0, 1, 2, 2, 3, 4, 5, 6, 7]
    assert {int(one) for one in view.segments[1].source} == {FROM_FOOTER}


def test_numbers_out_of_file_order_are_shown_in_commit_order(tmp_path: Path) -> None:
    first, second, third = three_segments()
    view = open_reader(
        write_store(tmp_path, [replace(first, first_sequence=6), second, replace(third, first_sequence=0)])
    ).view
    assert numbers(view) == [6, 7, 8, 3, 4, 5, 0, 1, 2]
    assert view.last_sequence == 8
    assert make_event(0).position.clock == 0


def test_findings_come_in_one_order_whenever_they_are_met(fixture_stores: Path, tmp_path: Path) -> None:
    store = copy_of(fixture_stores / "segments", tmp_path / "store")
    (store / "index.fbati").unlink()
    (store / "index.fbati").write_bytes(b"no image")
    met = Finding("error", "frame-crc", 1, "000001.fbat", 57, "Met while reading.", "None.")
    early, late = open_reader(store).view, open_reader(store).view
    assert late.findings
    for view in (early, late):
        view.note(met)
    assert early.findings == late.findings
    assert [one.rule for one in early.findings] == ["image-unusable", "frame-crc"]


def test_a_count_looks_at_no_image_even_where_ids_are_in_no_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("the image was read")

    segments = three_segments()
    segments[0].events.reverse()
    monkeypatch.setattr("batpak_analytics.engine.view.load_image", refused)
    reader = open_reader(write_store(tmp_path / "store", segments))
    assert reader.events(system=True).count() == reader.view.event_count == 9


def test_threads_that_ask_at_once_get_one_answer(fixture_stores: Path) -> None:
    for _ in range(20):
        view = open_reader(fixture_stores / "hidden").view
        asked = [lambda v=view: v.findings, lambda v=view: v.segments[0].excluded, lambda v=view: v.runs] * 2
        with ThreadPoolExecutor(6) as pool:
            answers = [one.result(timeout=60) for one in [pool.submit(ask) for ask in asked]]
        assert answers[1] is answers[4] and answers[2] is answers[5]
