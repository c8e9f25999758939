"""What is appended is read back, in order, linked, and refused where batpak refuses it."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import batpak_analytics as bp
from batpak_analytics.engine.filesystem import DescriptorCache
from batpak_analytics.engine.view import build_view
from batpak_analytics.errors import (
    AppendRefusedError,
    ClockMismatchError,
    StoreClosedError,
    StoreEncryptedError,
    StoreLockedError,
    WriteFailedError,
)
from batpak_analytics.format.event import decode_event, encode_event
from batpak_analytics.format.frame import encode_frame, read_frame
from batpak_analytics.model import Receipt
from batpak_analytics.payloads.plain import encode_payload
from batpak_analytics.store.clock import IdSource, MonotoneClock
from batpak_analytics.store.config import StoreConfig
from batpak_analytics.store.files import Files
from batpak_analytics.store.items import BatchItem, PriorItem
from batpak_analytics.store.store import Store

KIND = 0x1001
FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"


def rows(path: Path, **options: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (
        bp.scan_batpak(path, columns="all", payload="json", system=True, **options).to_arrow().to_pylist()
    )
    return found


def test_appended_events_are_read_back_linked(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        first = store.append("order:1", "shop", KIND, {"b": 1, "a": [1.0, None, "x"]})
        second = store.append("order:1", "shop", KIND, None, causation_id=first.event_id, lane=0)
        other = store.append("order:1", "shop", KIND, 7, lane=3, depth=1, branch_root=True, flags=2)
    assert (first.global_sequence, first.clock, second.clock, other.clock) == (1, 0, 1, 0)
    found = rows(tmp_path)
    assert [row["global_sequence"] for row in found] == [0, 1, 2, 3, 4]
    assert found[1]["payload"] == '{"a":[1.0,null,"x"],"b":1}'
    assert found[2]["prev_hash"] == found[1]["event_hash"] == first.content_hash
    assert found[2]["causation_id"] == first.event_id
    assert (found[3]["lane"], found[3]["depth"], found[3]["flags"]) == (3, 2, 2)
    assert not bp.open_reader(tmp_path).check()


def test_reopened_store_continues_clocks_links_and_sequences(tmp_path: Path) -> None:
    for round_ in range(3):
        with Store.open(tmp_path) as store:
            receipt = store.append("order:1", "shop", KIND, round_)
            assert receipt.clock == round_
    found = [row for row in rows(tmp_path) if row["entity"] == "order:1"]
    assert [row["prev_hash"] for row in found[1:]] == [row["event_hash"] for row in found[:-1]]
    assert [row["global_sequence"] for row in rows(tmp_path)] == list(range(9))


def test_batch_links_inside_itself_and_is_durable(tmp_path: Path) -> None:
    with Store.open(tmp_path, config=StoreConfig(sync="batch")) as store:
        alone = store.append("a", "s", KIND, 1)
        assert not alone.durable
        receipts = store.append_batch(
            [
                BatchItem("a", "s", KIND, 2),
                BatchItem("a", "s", KIND, 3, causation_id=PriorItem(0)),
                BatchItem("b", "s", KIND, 4),
            ]
        )
        assert all(one.durable for one in receipts)
        assert [one.global_sequence for one in receipts] == [2, 3, 4]
        assert store.append_batch([]) == []
    found = {row["global_sequence"]: row for row in rows(tmp_path)}
    assert found[3]["causation_id"] == receipts[0].event_id
    assert found[2]["prev_hash"] == alone.content_hash
    assert found[3]["prev_hash"] == receipts[0].content_hash


def test_batch_items_keep_flags_and_payload_version(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        store.append_batch([BatchItem("e", "s", KIND, 1, flags=9, payload_version=3), BatchItem("e", "s", KIND, 2)])
    assert [(row["flags"], row["payload_version"]) for row in rows(tmp_path)[1:3]] == [(9, 3), (0, 0)]


def test_small_segments_rotate_with_footers(tmp_path: Path) -> None:
    with Store.open(tmp_path, config=StoreConfig(segment_max_bytes=1500)) as store:
        for number in range(20):
            store.append(f"e:{number % 3}", "s", KIND, {"n": number})
    view = build_view(tmp_path, "raise", DescriptorCache(), {})
    assert len(view.segments) > 3
    assert {segment.footer_state for segment in view.segments} == {"trusted"}
    assert [row["global_sequence"] for row in rows(tmp_path)] == list(range(22))


def test_cadence_and_always_say_what_is_durable(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a", config=StoreConfig(sync=2)) as store:
        assert [store.append("e", "s", KIND).durable for _ in range(4)] == [False, True, False, True]
        store.append("e", "s", KIND)
        assert store.durable_sequence == 4
        store.sync()
        assert store.durable_sequence == store.last_sequence == 5
    with Store.open(tmp_path / "b", config=StoreConfig(sync="always")) as store:
        assert store.append("e", "s", KIND).durable


def test_expected_clock_tells_an_empty_lane_from_one_event(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        with pytest.raises(ClockMismatchError):
            store.append("e", "s", KIND, expected_clock=0)
        store.append("e", "s", KIND, expected_clock=-1)
        store.append("e", "s", KIND, expected_clock=0)
        with pytest.raises(ClockMismatchError) as caught:
            store.append("e", "s", KIND, expected_clock=0)
        assert caught.value.actual == 1


@pytest.mark.parametrize(
    "item",
    [
        BatchItem("", "s", KIND), BatchItem("e", "a/b", KIND), BatchItem("e..f", "s", KIND), BatchItem("e|", "s", KIND),
        BatchItem("e", "=", KIND), BatchItem("é" * 513, "s", KIND), BatchItem("e\n", "s", KIND),
        BatchItem("\ud800", "s", KIND),
        BatchItem("e", "s", 0x0008), BatchItem("e", "s", 0xD001), BatchItem("e", "s", 0x10000),
        BatchItem("e", "s", KIND, b"x"),
        BatchItem("e", "s", KIND, {1: 2}), BatchItem("e", "s", KIND, 1 << 64), BatchItem("e", "s", KIND, object()),
        BatchItem("e", "s", KIND, lane=1 << 32), BatchItem("e", "s", KIND, extensions={"batpak.x": b""}),
        BatchItem("e", "s", KIND, extensions={"a.b.c": b""}), BatchItem("e", "s", KIND, "x" * (16 << 20)),
        BatchItem("e", "s", KIND, causation_id=PriorItem(0)),
    ],
)  # fmt: skip
def test_refused_item_leaves_nothing_behind(tmp_path: Path, item: BatchItem) -> None:
    with Store.open(tmp_path) as store:
        before = (tmp_path / "000001.fbat").read_bytes()
        with pytest.raises(AppendRefusedError):
            store.append_batch([BatchItem("e", "s", KIND, 1)] * (item.causation_id is None) + [item])
        assert (tmp_path / "000001.fbat").read_bytes() == before
        assert store.append("e", "s", KIND, 1).global_sequence == 1


def test_two_stores_never_hold_one_directory(tmp_path: Path) -> None:
    with Store.open(tmp_path):
        with pytest.raises(StoreLockedError):
            Store.open(tmp_path)
        assert bp.open_reader(tmp_path).view.event_count == 1
    Store.open(tmp_path).close()


def test_lock_is_not_taken_through_a_link(tmp_path: Path) -> None:
    (tmp_path / ".batpak.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreLockedError, match="symbolic link"):
        Store.open(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_threads_share_a_store(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:

        def work(name: str) -> None:
            for number in range(50):
                store.append(name, "s", KIND, number)

        threads = [threading.Thread(target=work, args=(f"e:{n % 2}",)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = rows(tmp_path)
    assert [row["global_sequence"] for row in found] == list(range(202))
    for name in ("e:0", "e:1"):
        assert [row["clock"] for row in found if row["entity"] == name] == list(range(100))


def test_dropped_store_has_no_closing_event_and_reopens(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.append("e", "s", KIND, 1)
    store.drop()
    with pytest.raises(StoreClosedError):
        store.append("e", "s", KIND, 2)
    store.close()
    assert [row["kind"] for row in rows(tmp_path)] == [0x0008, KIND]
    with Store.open(tmp_path) as store:
        assert store.append("e", "s", KIND, 2).clock == 1


@pytest.mark.parametrize("name", ["encrypted", "encrypted-event"])
@pytest.mark.parametrize("keyset", [True, False])
def test_store_that_seals_its_payloads_is_refused_unless_plaintext_is_wanted(
    tmp_path: Path, name: str, keyset: bool
) -> None:
    path = shutil.copytree(FIXTURES / name, tmp_path / "store")
    if not keyset:
        (path / "keyset.fbatk").unlink()
    before = {one.name: one.read_bytes() for one in path.iterdir() if one.name != ".batpak.lock"}
    with pytest.raises(StoreEncryptedError, match="allow_plaintext=True"):
        Store.open(path)
    assert {one.name: one.read_bytes() for one in path.iterdir() if one.name != ".batpak.lock"} == before
    with Store.open(path, config=StoreConfig(allow_plaintext=True)) as store:
        plain = store.append("order:1", "s", KIND, {"n": 1})
        assert store.get(plain.event_id).payload == {"n": 1}
    dispositions = bp.read_batpak(path, columns=["disposition"])["disposition"].tolist()
    assert dispositions[-1] == "present" and set(dispositions[:-1]) & {"encrypted", "shredded"}


def test_empty_keyset_is_one(tmp_path: Path) -> None:
    Store.open(tmp_path).close()
    (tmp_path / "keyset.fbatk").write_bytes(b"")
    with pytest.raises(StoreEncryptedError):
        Store.open(tmp_path)


class Failing(Files):
    """The real files, of which the call with number `at` fails; a failing write leaves half of its bytes."""

    def __init__(self) -> None:
        self.calls = 0
        self.at = -1
        self.sticky = False

    def _meet(self) -> None:
        self.calls += 1
        if self.calls == self.at or (self.sticky and self.calls >= self.at > 0):
            raise OSError(errno.EIO, "Input/output error")

    def create(self, path: Path) -> int:
        self._meet()
        return super().create(path)

    def write(self, descriptor: int, data: memoryview) -> int:
        try:
            self._meet()
        except OSError:
            os.write(descriptor, data[: len(data) // 2])
            raise
        return super().write(descriptor, data[: max(1, len(data) * 2 // 3)])

    def truncate(self, descriptor: int, size: int) -> None:
        if self.sticky:
            self._meet()
        super().truncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        self._meet()
        super().sync(descriptor)

    def sync_directory(self, path: Path) -> None:
        self._meet()
        super().sync_directory(path)

    def rename(self, source: Path, target: Path) -> None:
        self._meet()
        super().rename(source, target)

    def remove(self, path: Path) -> None:
        self._meet()
        super().remove(path)


def write_until_it_fails(path: Path, files: Failing) -> list[Receipt]:
    kept = []
    try:
        store = Store.open(path, config=StoreConfig(segment_max_bytes=1500, sync=3), files=files)
    except WriteFailedError:
        return []
    try:
        for number in range(3):
            kept.append(store.append("e", "s", KIND, number))
            kept += store.append_batch([BatchItem("f", "s", KIND, number), BatchItem("e", "s", KIND, -number)])
            with store.begin_fence() as fence:
                one = fence.submit("g", "s", KIND, number, idempotency_key=number + 1)
                many = fence.submit_batch([BatchItem("g", "s", KIND, number), BatchItem("e", "s", KIND, number)])
                if number % 2:
                    fence.cancel()
            kept += [] if number % 2 else [one, *many]
        store.close()
    except WriteFailedError as error:
        durable = -1 if error.durable_sequence is None else error.durable_sequence
        assert all(one.global_sequence <= durable for one in kept if one.durable)
        with pytest.raises(StoreClosedError):
            store.append("e", "s", KIND, 0)
        store.close()
    return kept


def test_a_failure_of_any_call_keeps_what_was_promised(tmp_path: Path, piece: int) -> None:
    calm = Failing()
    write_until_it_fails(tmp_path / "calm", calm)
    assert calm.calls > (40 if piece > 300 else 120)
    for at, sticky in [*((at, False) for at in range(1, calm.calls + 1)), *((at, True) for at in (9, 30, 55, 80))]:
        path = tmp_path / f"{at}{sticky}"
        files = Failing()
        files.at, files.sticky = at, sticky
        kept = write_until_it_fails(path, files)
        with Store.open(path) as store:
            store.append("e", "s", KIND, "after")
        found = rows(path)
        ids = {row["event_id"] for row in found}
        assert {one.event_id for one in kept} <= ids, f"failing call {at}"
        places = {row["event_id"]: row["global_sequence"] for row in found}
        assert all(places[one.event_id] == one.global_sequence for one in kept)
        assert not [one for one in bp.open_reader(path).check() if one.severity != "info"]


class Interrupted(Failing):
    """A process in which Ctrl-C is pressed in the middle of the call with number `at`."""

    def _meet(self) -> None:
        try:
            super()._meet()
        except OSError:
            raise KeyboardInterrupt from None

    def write(self, descriptor: int, data: memoryview) -> int:
        try:
            self._meet()
        except KeyboardInterrupt:
            os.write(descriptor, data[: len(data) // 2])
            raise
        return os.write(descriptor, data)


def test_interrupt_in_the_middle_of_any_call_costs_no_event(tmp_path: Path, piece: int) -> None:
    """In a notebook an append is interrupted, and the next cell goes on with the same store."""
    for at in range(1, 60 if piece > 300 else 150):
        path = tmp_path / str(at)
        files, kept = Interrupted(), []
        store = Store.open(path, config=StoreConfig(segment_max_bytes=1500, sync=2), files=files)
        files.calls, files.at = 0, at
        for number in range(6):
            try:
                kept.append(store.append("e", "s", KIND, number))
                kept += store.append_batch([BatchItem("f", "s", KIND, number), BatchItem("e", "s", KIND, -number)])
            except (KeyboardInterrupt, StoreClosedError):
                continue
        try:
            store.close()
        except KeyboardInterrupt:
            store.close()
        with Store.open(path) as again:
            again.append("e", "s", KIND, "after")
        places = {row["event_id"]: row["global_sequence"] for row in rows(path)}
        assert all(places[one.event_id] == one.global_sequence for one in kept), f"interrupted call {at}"
        assert not [one for one in bp.open_reader(path).check() if one.severity != "info"]


unicode_text = st.text(st.characters(exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats(allow_nan=False) | unicode_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(unicode_text, inner, max_size=4),
)


@given(json_values)
@settings(max_examples=200, deadline=None)
def test_payload_round_trips_with_sorted_keys(value: Any) -> None:
    packed = encode_payload(value)
    assert msgpack.unpackb(packed, strict_map_key=False) == value
    assert msgpack.packb(msgpack.unpackb(packed)) == packed

    def check(one: Any) -> None:
        if isinstance(one, dict):
            assert [key.encode() for key in one] == sorted(key.encode() for key in one)
        for inner in one.values() if isinstance(one, dict) else one if isinstance(one, list) else ():
            check(inner)

    check(msgpack.unpackb(packed))


def test_dataclass_keeps_field_order() -> None:
    @dataclass
    class Paid:
        total: int
        currency: str
        lines: dict[str, int]

    packed = encode_payload(Paid(3, "EUR", {"b": 1, "a": 2}))
    assert packed == msgpack.packb({"total": 3, "currency": "EUR", "lines": {"a": 2, "b": 1}})


def test_deep_payload_is_refused() -> None:
    value: Any = 0
    for _ in range(256):
        value = [value]
    assert encode_payload(value)
    with pytest.raises(AppendRefusedError, match="deep"):
        encode_payload([value])


@pytest.mark.parametrize(
    "segment", sorted(FIXTURES.glob("*/*.fbat")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_fixture_frames_encode_to_themselves(segment: Path) -> None:
    view = build_view(segment.parent, "report", DescriptorCache(), {})
    data = segment.read_bytes()
    seen = 0
    for one in view.segments:
        if one.name == segment.name:
            for row in one.rows:
                start, length = int(row["offset"]), int(row["length"])
                assert encode_frame(encode_event(decode_event(read_frame(data, start)))) == data[start : start + length]
                seen += 1
    assert seen or segment.stat().st_size < 400


def test_clock_never_goes_back_and_ids_are_uuid7() -> None:
    readings = iter([5_000, 3_000, 7_000])
    clock = MonotoneClock(lambda: next(readings))
    assert [clock(), clock(), clock()] == [5_000, 5_000, 7_000]
    new_id = IdSource()
    made = new_id(1_700_000_000_123_456)
    assert int.from_bytes(made[:6], "big") == 1_700_000_000_123
    assert made[6] >> 4 == 7 and made[8] >> 6 == 2
    assert len({new_id(0) for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    "options", [{"sync": 0}, {"sync": "never"}, {"segment_max_bytes": 0}, {"batch_max_items": 4097}]
)
def test_config_out_of_range_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        StoreConfig(**options)


def test_open_report_counts_what_was_there_before(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        assert (store.open_report.segments, store.open_report.events, store.open_report.lanes) == (0, 0, 0)
        store.append("e", "s", KIND, 1)
        store.append("e", "s", KIND, 2, lane=3)
    with Store.open(tmp_path) as store:
        report = store.open_report
        assert (report.segments, report.events, report.lanes, report.first_sequence) == (1, 4, 3, 4)


def test_receipts_and_tables_are_short_to_look_at(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        told = repr(store.append("e", "s", KIND, 1, idempotency_key="ab" * 16))
        assert told == "Receipt(1, …abababab, clock=0, lane=0, durable=False)"
        assert "replayed" in repr(store.append("e", "s", KIND, 1, idempotency_key="ab" * 16))
