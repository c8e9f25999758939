"""Frames that cannot be read, frames that contradict their index, keys that are gone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batpak_analytics.arrow import decode
from batpak_analytics.arrow.scan import Scan
from batpak_analytics.arrow.schema import FRAME_SCHEMA, INDEX_SCHEMA
from batpak_analytics.engine.view import View
from batpak_analytics.errors import CrcMismatchError
from batpak_analytics.format.sidecars.keyset import Keyset
from batpak_analytics.model import PayloadEncryption
from batpak_analytics.reader import open_reader
from tests.arrow.scan_stores import event, fixture_view, rows, store_of, view_of
from tests.engine.building import rules

EVERY = [*INDEX_SCHEMA.names, *FRAME_SCHEMA.names]


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x40
    path.write_bytes(data)


def damaged(directory: Path, on_damage: Any = "report") -> View:
    """Six events in two segments; one byte inside the payload of event 4 is wrong."""
    store = store_of(directory, [event(n, {"a": n}) for n in range(3)], [event(n, {"a": n}) for n in range(3, 6)])
    sound = open_reader(store).view
    row = sound.segments[1].rows[1]
    flip(store / "000002.fbat", int(row["offset"]) + int(row["length"]) - 40)
    return open_reader(store, on_damage=on_damage).view


def with_rows(view: View, change: Callable[[Any], None]) -> View:
    """The view with other index rows in its first segment, past every check of the layers below."""
    table = view.segments[0].rows.copy()
    change(table)
    return replace(view, stretches=(replace(view.segments[0], rows=table), *view.segments[1:]), cache={})


# -- bad frames -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", ["columns", "struct", "json", "binary", "frame", None])
def test_a_frame_with_a_bad_crc_costs_only_its_own_row(tmp_path: Path, payload: str | None) -> None:
    view = damaged(tmp_path / "s")
    table = Scan(view, columns="all", payload=payload).to_arrow()
    assert table.column("global_sequence").to_pylist() == list(range(6))
    assert table.column("event_id").null_count == 0
    assert table.column("disposition").to_pylist() == ["present"] * 4 + ["undecodable", "present"]
    for name in table.column_names:
        if name not in INDEX_SCHEMA.names and name != "disposition":
            nulls = [value is None for value in table.column(name).to_pylist()]
            assert nulls == [False] * 4 + [True, False], name
    (found,) = view.findings
    assert (found.severity, found.rule, found.segment, found.file) == ("error", "frame-crc", 2, "000002.fbat")
    assert found.offset == view.segments[1].rows["offset"][1]


def test_the_index_tier_does_not_notice_a_bad_frame(tmp_path: Path) -> None:
    view = damaged(tmp_path / "s")
    assert Scan(view, columns=INDEX_SCHEMA.names).to_arrow().num_rows == 6
    assert not view.findings


def test_a_bad_frame_raises_where_the_reader_was_told_to(tmp_path: Path) -> None:
    view = damaged(tmp_path / "s", "raise")
    with pytest.raises(CrcMismatchError):
        Scan(view, columns=["flags"]).to_arrow()


def test_reading_twice_lists_a_bad_frame_once(tmp_path: Path) -> None:
    view = damaged(tmp_path / "s")
    for _ in range(3):
        Scan(view, columns="all").to_arrow()
    assert len(view.findings) == 1


def test_a_filter_on_a_bad_frame_sees_null(tmp_path: Path) -> None:
    view = damaged(tmp_path / "s")

    def found(*filters: Any) -> list[int]:
        return [row["global_sequence"] for row in rows(view, columns=["global_sequence"], filters=list(filters))]

    assert found(("flags", "=", None)) == [4]
    assert found(("payload.a", ">=", 0)) == [0, 1, 2, 3, 5]
    assert found(("disposition", "=", "undecodable")) == [4]


def test_thousands_of_bad_frames_do_not_make_thousands_of_findings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "MAX_FRAME_FINDINGS", 5)
    store = store_of(tmp_path / "s", [event(n) for n in range(20)])
    for row in open_reader(store).view.segments[0].rows.copy():
        flip(store / "000001.fbat", int(row["offset"]) + 20)
    view = open_reader(store).view
    assert Scan(view, columns=["flags"]).to_arrow().column("flags").null_count == 20
    assert len(view.findings) == 6
    assert rules(view) == {"frame-crc", "frame-findings-cut"}


@pytest.mark.parametrize(
    ("offset", "length"),
    [(2**64 - 1, 100), (2**63, 2**32 - 1), (0, 0), (0, 2**32 - 1), (10**9, 8), (60, 3), (1, 57), (2**64 - 8, 8)],
)
def test_an_index_row_that_points_anywhere_is_an_unreadable_frame(tmp_path: Path, offset: int, length: int) -> None:
    def lie(table: Any) -> None:
        table["offset"][1], table["length"][1] = offset, length

    view = with_rows(view_of(tmp_path / "s", [event(n, {"a": n}) for n in range(3)]), lie)
    for payload in ("columns", "frame"):
        table = Scan(view, columns="all", payload=payload).to_arrow()
        assert table.column("flags").to_pylist() == [0, None, 0]
        assert table.column("disposition").to_pylist() == ["present", "undecodable", "present"]
    assert rules(view, "error") <= {"frame-unreadable", "frame-crc"}
    assert rules(view, "error")


def test_offsets_in_any_order_are_read_each_at_its_place(tmp_path: Path) -> None:
    def shuffle(table: Any) -> None:
        table[:] = table[[3, 0, 5, 1, 4, 2]]

    view = with_rows(view_of(tmp_path / "s", [event(n, {"a": n}) for n in range(6)]), shuffle)
    assert [row["payload.a"] for row in rows(view)] == [3, 0, 5, 1, 4, 2]
    assert not view.findings


# -- frames against the index -----------------------------------------------------------------------------

LIES = {
    "kind": ("kind", 0x7777, 0x1001),
    "wall_time": ("wall_ms", 5, None),
    "lane": ("lane", 9, 0),
    "depth": ("depth", 9, 0),
    "clock": ("clock", 9, 1),
    "event_id": ("event_id", np.void(bytes(range(16))), None),
    "correlation_id": ("correlation_id", np.void(bytes(range(16))), None),
    "causation_id": ("causation_id", np.void(bytes(range(16))), None),
    "prev_hash": ("prev_hash", np.void(bytes(range(32))), None),
    "event_hash": ("event_hash", np.void(bytes(range(32))), None),
    "entity": ("entity_idx", 1, "order:1"),
    "scope": ("scope_idx", 0, "test"),
}


@pytest.mark.parametrize("column", LIES)
def test_an_intact_frame_wins_over_its_index_row(tmp_path: Path, column: str) -> None:
    field, lie, truth = LIES[column]

    def tell(_: int, table: Any, __: list[str]) -> None:
        table[field][1] = lie

    events = [event(n, {"a": n}) for n in range(3)]
    sound = rows(view_of(tmp_path / "sound", events), columns=EVERY)
    view = view_of(tmp_path / "s", events, broken=tell)
    index_only = rows(view, columns=[column])
    assert index_only[1][column] != sound[1][column]
    assert not view.findings
    both = rows(view, columns=EVERY)
    assert [row[column] for row in both] == [row[column] for row in sound]
    if truth is not None:
        assert both[1][column] == truth
    (found,) = view.findings
    assert (found.severity, found.rule, found.segment) == ("warning", "frame-contradicts-index", 1)
    assert column in found.meaning


def test_a_string_only_the_frame_knows_joins_the_dictionary(tmp_path: Path) -> None:
    def rename(_: int, __: Any, strings: list[str]) -> None:
        strings[strings.index("secret")] = "public"

    view = view_of(tmp_path / "s", [event(0), event(1, entity="secret"), event(2)], broken=rename)
    scan = Scan(view, columns=["entity", "flags"])
    for size in (1, 2, 100):
        batches = list(scan.to_batches(size))
        assert [e for batch in batches for e in batch["entity"].to_pylist()] == ["order:1", "secret", "order:1"]
    assert scan.to_pandas()["entity"].tolist() == ["order:1", "secret", "order:1"]
    assert scan.to_arrow().column("entity").num_chunks == 1


# -- dispositions -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["encrypted", "encrypted-event"])
def test_destroyed_keys_are_told_from_keys_that_are_only_not_here(name: str) -> None:
    view = fixture_view(name)
    found = {row["disposition"] for row in rows(view, columns=["disposition"])}
    assert {"encrypted", "shredded"} <= found
    without = replace(view, keyset=None, cache={})
    told = {row["disposition"] for row in rows(without, columns=["disposition"])}
    assert "shredded" not in told
    assert "encrypted" in told


@pytest.mark.parametrize("mode", ["columns", "struct", "json"])
def test_ciphertext_is_never_decoded(mode: str) -> None:
    view = fixture_view("encrypted")
    for row in rows(view, columns=["disposition", "payload"], payload=mode):
        if row["disposition"] in ("encrypted", "shredded"):
            assert all(value is None for name, value in row.items() if name != "disposition")


def test_binary_gives_the_ciphertext() -> None:
    for row in rows(fixture_view("encrypted"), columns=["disposition", "payload", "payload_size"], payload="binary"):
        assert len(row["payload"]) == row["payload_size"]


KEYS = st.sampled_from([b"\x01order:1", b"\x02\xf0", b"\x04" + bytes(range(0, 256, 16)), b"\x04" + b"\xff" * 16])


@settings(max_examples=30, deadline=None)
@given(st.lists(KEYS | st.binary(max_size=300), min_size=1, max_size=5), st.integers(0, 31))
def test_a_keyscope_of_any_bytes_and_length_is_found(
    tmp_path_factory: pytest.TempPathFactory, keys: list[bytes], known: int
) -> None:
    held = frozenset(key for number, key in enumerate(keys) if known >> number & 1)
    events = [
        event(number, b"\x00" * 20, payload_encryption=PayloadEncryption(key, bytes(24)))
        for number, key in enumerate(keys)
    ]
    view = view_of(tmp_path_factory.mktemp("k") / "s", events)
    view = replace(view, keyset=Keyset(granularity=1, scopes=held))
    found = [row["disposition"] for row in rows(view, columns=["disposition"])]
    assert found == ["encrypted" if key in held else "shredded" for key in keys]


def test_undecodable_is_what_the_reference_cannot_turn_into_json(tmp_path: Path) -> None:
    payloads = [b"\xc0", b"\xc4\x01x", b"\xc1", b"", b"\x81\x01\x02", b"\xa1\xff", b"\x93\x01", b"\x01rest"]
    view = view_of(tmp_path / "s", [event(number, payload) for number, payload in enumerate(payloads)])
    wanted = ["present", *["undecodable"] * 6, "present"]
    modes: list[dict[str, Any]] = [
        {"payload": None, "columns": ["disposition"]},
        {"payload": "columns", "columns": "all"},
        {"payload": "json", "columns": "all"},
        {"payload": "binary", "columns": ["payload", "disposition"]},
        {"payload": "frame", "columns": ["payload", "disposition"]},
    ]
    for options in modes:
        assert [row["disposition"] for row in rows(view, **options)] == wanted
    assert not view.findings


# -- extensions -------------------------------------------------------------------------------------------


def test_extensions_come_as_a_map_and_keep_their_bytes(tmp_path: Path) -> None:
    given_ = [{}, {"a.b": b""}, {"a.b": bytes(range(256)), "c.d": b"\x00"}, {}]
    view = view_of(tmp_path / "s", [event(n, extensions=one) for n, one in enumerate(given_)])
    assert [dict(row["extensions"]) for row in rows(view, columns=["extensions"])] == given_
