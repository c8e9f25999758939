"""What a causal table promises besides its values: columns, dtypes, laziness, damage, and cases by hand."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import batpak_analytics as bp
from batpak_analytics.graph import links as links_module
from batpak_analytics.model import Event
from tests.arrow.scan_stores import event, spy, store_of
from tests.engine.building import EPOCH_US
from tests.graph.stores import UNKNOWN, id_of

READS: dict[str, Callable[..., Any]] = {
    "causes": bp.read_causes,
    "causal_nodes": bp.read_causal_nodes,
    "correlations": bp.read_correlations,
}
NAMES = list(READS)


def caused(number: int, cause: int | bytes | None, **changes: Any) -> Event:
    """Event `number`, caused by another one's number, an id, or nothing; it happens `number` ms after the epoch."""
    name = id_of(cause) if isinstance(cause, int) else cause
    return event(number, causation_id=name, **{"correlation_id": id_of(0), **changes})


@pytest.fixture
def order(tmp_path: Path) -> Path:
    """0 caused 1 and 2, 2 caused 3; 4 names nobody, and 5 a cause that is not there."""
    made = [caused(0, None), caused(1, 0), caused(2, 0, entity="user:1"), caused(3, 2, scope="office")]
    return store_of(tmp_path / "store", [*made, caused(4, None, correlation_id=id_of(4)), caused(5, UNKNOWN)])


# Columns


DTYPE = r"str|uint\d+|UInt\d+|boolean|bool|category|float64|datetime64\[us, UTC\]"


def told_columns(docstring: str) -> list[tuple[str, str]]:
    """Columns and dtypes of a docstring: each dtype is that of the names before it, as in "`a` str, `b`, `c` bool"."""
    told = []
    for bullet in docstring.split("Returns\n")[1].split("\n    - ")[1:]:
        head = re.split(r": |\n\n", bullet)[0]
        for names, dtype in re.findall(rf"((?:`\w+`(?:, )?)+) ({DTYPE})", head):
            told += [(name, dtype) for name in re.findall(r"`(\w+)`", names)]
    return told


@pytest.mark.parametrize("name", NAMES)
def test_the_docstring_lists_the_columns_and_their_dtypes(name: str, order: Path) -> None:
    text = str(pd.Series(["a"]).dtype)
    frame = READS[name](order)
    found = [(column, "str" if str(dtype) == text else str(dtype)) for column, dtype in frame.dtypes.items()]
    assert told_columns(READS[name].__doc__ or "") == found
    assert list(frame.columns) == getattr(bp.open_reader(order), name)().schema.names


@pytest.mark.parametrize("name", NAMES)
def test_the_schema_is_known_before_anything_is_read(name: str, order: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = spy(monkeypatch, links_module, "Links", lambda *_: True)
    table = getattr(bp.open_reader(order), name)()
    assert repr(table).startswith(type(table).__name__) and table.schema.names == table.columns
    assert made == []
    assert table.to_arrow().schema == table.schema
    assert made == [True]


@pytest.mark.parametrize("name", NAMES)
def test_columns_are_chosen_by_name_and_wrong_names_are_refused(name: str, order: Path) -> None:
    table = getattr(bp.open_reader(order), name)
    some = table().columns[::-2]
    assert table(columns=some).to_arrow().equals(table().to_arrow().select(some))
    with pytest.raises(bp.UnknownColumnError, match=some[0]):
        table(columns=[some[0] + "x"])
    with pytest.raises(ValueError, match="twice"):
        table(columns=[some[0], some[0]])
    with pytest.raises(TypeError):
        table(payload=None)


@pytest.mark.parametrize("name", NAMES)
def test_every_way_out_gives_the_same_rows(name: str, order: Path) -> None:
    table = getattr(bp.open_reader(order), name)()
    whole = table.to_arrow()
    assert pa.table(table).equals(whole)
    assert pa.Table.from_batches(table.to_batches(batch_size=2), table.schema).equals(whole)
    assert table.count() == whole.num_rows == len(table.to_pandas())
    assert getattr(bp.open_reader(order), name)(limit=2).to_arrow().equals(whole[:2])
    assert f"{table.count():,} rows" in table._repr_html_()
    assert str(table.count()) in str(table.explain())
    assert table.to_pandas().attrs["batpak"]["rows"] == whole.num_rows


def test_an_empty_selection_gives_empty_tables_of_the_same_types(order: Path) -> None:
    for name, read in READS.items():
        frame = read(order, entity="nobody")
        assert len(frame) == 0
        assert getattr(bp.open_reader(order), name)(entity="nobody").to_arrow().schema.names == list(frame.columns)


def test_ids_and_kinds_take_the_forms_of_read_batpak(order: Path) -> None:
    frame = bp.read_causes(order, ids="bytes", kind_names={0x1001: "Placed"})
    assert frame["effect_id"].tolist() == [id_of(number) for number in (1, 2, 3, 5)]
    assert frame["cause_kind"].tolist()[:3] == ["Placed"] * 3 and pd.isna(frame["cause_kind"].iloc[3])
    assert frame["effect_kind"].dtype == "category"
    assert bp.read_causal_nodes(order, ids="uuid")["root_id"].iloc[0].bytes == id_of(0)
    assert str(bp.read_causes(order, dtype_backend="pyarrow")["cause_sequence"].dtype) == "uint64[pyarrow]"


# Meaning, by hand


def test_latency_keeps_the_microseconds_and_may_be_negative(tmp_path: Path) -> None:
    first, later = caused(0, None, timestamp_us=EPOCH_US + 7), caused(1, 0, timestamp_us=EPOCH_US + 1508)
    back = caused(2, 1, timestamp_us=EPOCH_US + 1507)
    frame = bp.read_causes(store_of(tmp_path / "store", [first, later, back]))
    assert frame["latency_ms"].tolist() == [1.501, -0.001]


def test_a_cause_outside_the_filter_is_not_dangling(order: Path) -> None:
    frame = bp.read_causes(order, entity="user:1")
    assert frame["cause_entity"].tolist() == ["order:1"] and frame["resolved"].all() and frame["crosses_entity"].all()
    assert bp.read_causal_nodes(order, scope="office")["depth"].tolist() == [2]
    assert bp.read_correlations(order, scope="office")["events"].tolist() == [5]


def test_a_correlation_knows_its_shape_and_its_slowest_way(order: Path) -> None:
    row = bp.read_correlations(order).iloc[0]
    assert (row.events, row.roots, row.depth, row.width, row.dangling) == (5, 2, 2, 2, 1)
    assert (row.duration_ms, row.critical_path_ms) == (5.0, 3.0)
    path = bp.open_reader(order).critical_path(id_of(0))
    assert path["event_id"].tolist() == [id_of(number).hex() for number in (0, 2, 3)]
    assert path["elapsed_ms"].tolist() == [0, 2, 3] and path["latency_ms"].tolist()[1:] == [2, 1]


@pytest.mark.parametrize(("number", "ends"), [(3, "root"), (5, "dangling"), (6, "cycle"), (8, "cycle"), (9, "cycle")])
def test_ancestors_say_why_they_end(number: int, ends: str, tmp_path: Path) -> None:
    made = [caused(0, None), caused(1, 0), caused(2, 0), caused(3, 2), caused(4, None), caused(5, UNKNOWN)]
    made += [caused(6, 7), caused(7, 6), caused(8, 7), caused(9, 9)]  # two that caused each other, and one itself
    reader = bp.open_reader(store_of(tmp_path / "store", made))
    assert reader.ancestors(id_of(number)).attrs["batpak"]["ends"] == ends
    assert reader.ancestors(id_of(3), max_depth=1).attrs["batpak"]["ends"] == "max_depth"
    nodes = reader.causal_nodes().to_pandas().set_index("global_sequence")
    assert nodes.index[nodes["in_cycle"]].tolist() == [6, 7, 9]
    assert nodes.loc[8, ["depth", "in_cycle", "is_root"]].tolist() == [1, False, False]
    assert nodes.loc[6, ["depth", "descendants", "effects"]].tolist() == [0, 2, 1]
    assert nodes.loc[9, ["effects", "descendants", "is_leaf", "is_root"]].tolist() == [1, 0, False, False]
    assert reader.descendants(id_of(6))["event_id"].tolist() == [id_of(7).hex(), id_of(8).hex()]
    assert reader.causal_nodes().explain().in_cycle == 3


def test_of_two_events_with_one_id_the_later_is_the_cause(tmp_path: Path) -> None:
    first, again = caused(0, None), replace(caused(1, None), event_id=id_of(0), entity="user:2")
    reader = bp.open_reader(store_of(tmp_path / "store", [first, again, caused(2, 0)]))
    assert reader.causes().to_pandas()["cause_sequence"].tolist() == [1]
    assert reader.get(id_of(0)).global_sequence == 1
    assert reader.causal_nodes().to_pandas()["effects"].tolist() == [0, 1, 0]


def test_unknown_ids_are_told_apart_from_bad_ones(order: Path) -> None:
    reader = bp.open_reader(order)
    for ask in (reader.ancestors, reader.descendants, reader.critical_path, reader.to_mermaid, reader.to_dot):
        with pytest.raises(bp.EventNotFoundError, match=UNKNOWN.hex()):
            ask(UNKNOWN)
        with pytest.raises(ValueError, match="32 hex"):
            ask("nonsense")
    for wrong in (-1, True, "2"):
        with pytest.raises((ValueError, TypeError), match="max_depth"):
            reader.ancestors(id_of(3), max_depth=wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="idz"):
        reader.descendants(id_of(0), idz="hex")


# Damage


def test_a_damaged_frame_costs_its_times_and_is_told(tmp_path: Path) -> None:
    path = store_of(tmp_path / "store", [caused(0, None), caused(1, 0), caused(2, 1), caused(3, 0)])
    place = bp.read_batpak(path, columns=["offset"])["offset"].iloc[1]
    segment = path / "000001.fbat"
    data = bytearray(segment.read_bytes())
    data[place + 100] ^= 0xFF
    segment.write_bytes(data)
    with pytest.warns(bp.BatpakDamageWarning):
        frame = bp.read_causes(path)
    assert frame["latency_ms"].isna().tolist() == [True, True, False]
    assert frame["resolved"].all()
    reader = bp.open_reader(path)
    row = reader.correlations().to_pandas().iloc[0]
    assert (row.events, row.duration_ms, row.critical_path_ms) == (4, 3.0, 3.0)
    assert reader.findings()["rule"].tolist() == ["frame-crc"]
    assert reader.critical_path(id_of(0))["event_id"].iloc[-1] == id_of(3).hex()
    assert not bp.read_causes(path, columns=["resolved"]).empty  # reads no frame, so nothing is found
    only = store_of(tmp_path / "only", [caused(0, None)])
    data = bytearray((only / "000001.fbat").read_bytes())
    data[bp.read_batpak(only, columns=["offset"])["offset"].iloc[0] + 100] ^= 0xFF
    (only / "000001.fbat").write_bytes(data)
    lost = bp.open_reader(only).correlations().to_pandas().iloc[0]
    assert lost[["first_time", "last_time", "duration_ms", "critical_path_ms"]].isna().all()


def test_absurd_clocks_overflow_nothing(tmp_path: Path) -> None:
    ends = [caused(0, None, timestamp_us=-(2**63)), caused(1, 0, timestamp_us=2**63 - 1)]
    path = store_of(tmp_path / "store", ends)
    assert bp.read_causes(path)["latency_ms"].tolist() == [2.0**64 / 1000]
    assert bp.read_correlations(path)["duration_ms"].tolist() == [2.0**64 / 1000]


def test_times_far_from_today_are_told_apart_to_the_microsecond(tmp_path: Path) -> None:
    """As floats, they would be a thousand microseconds wide there; the longest of two paths would be either."""
    year_292_277 = 2**63 - 10_000
    events = [caused(0, None), caused(1, 0), caused(2, 0)]
    late = (year_292_277, year_292_277 + 7, year_292_277 + 8)
    path = store_of(tmp_path / "store", [replace(one, timestamp_us=at) for one, at in zip(events, late, strict=True)])
    assert bp.read_causes(path)["latency_ms"].tolist() == [0.007, 0.008]
    found = bp.read_correlations(path)
    assert found["critical_path_ms"].max() == 0.008


def test_threads_may_share_a_table(order: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    reader = bp.open_reader(order)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda name: getattr(reader, name)().to_arrow(), NAMES * 8))
    for number, name in enumerate(NAMES * 8):
        assert found[number].equals(getattr(bp.open_reader(order), name)().to_arrow())
