"""Tables as DataFrames: no value changes on the way."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batpak_analytics.arrow.schema import FRAME_SCHEMA, HASH_COLUMNS, ID_COLUMNS, INDEX_SCHEMA
from batpak_analytics.frames.hexadecimal import hex_text
from batpak_analytics.frames.pandas import table_to_frame
from batpak_analytics.frames.read import read_batpak, scan_batpak
from tests.arrow.scan_stores import FIXTURES, event, store_of
from tests.arrow.test_scan_damage import damaged

SEGMENTS = FIXTURES / "segments"
TABLE = scan_batpak(SEGMENTS, columns="all", payload=None).to_arrow()
BACKENDS: list[Any] = [None, "numpy_nullable", "pyarrow"]


def test_dtypes_are_those_of_the_documentation() -> None:
    frame = read_batpak(SEGMENTS, columns="all", payload=None)
    text = str(pd.Series(["a"]).dtype) if pd.__version__ >= "3" else "object"
    expected = dict.fromkeys((*ID_COLUMNS, *HASH_COLUMNS), text)
    expected |= dict.fromkeys(("entity", "scope", "sequence_source", "disposition"), "category")
    expected |= {"wall_time": "datetime64[ms, UTC]", "timestamp": "datetime64[us, UTC]", "extensions": "object"}
    expected |= {"global_sequence": "uint64", "kind": "uint16", "flags": "uint8", "payload_version": "uint16"}
    expected |= dict.fromkeys(("lane", "depth", "clock", "length", "payload_size"), "uint32")
    expected |= dict.fromkeys(("segment_id", "offset"), "uint64")
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == expected
    assert list(frame.columns) == [*INDEX_SCHEMA.names, *FRAME_SCHEMA.names]


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_holds_the_same_values(backend: Any) -> None:
    frame = read_batpak(SEGMENTS, columns="all", payload=None, dtype_backend=backend)
    for name in TABLE.column_names:
        wanted = TABLE.column(name).to_pylist()
        found = [None if item is None or item is pd.NA or item is pd.NaT else item for item in frame[name].tolist()]
        if name in ID_COLUMNS or name in HASH_COLUMNS:
            wanted = [None if value is None else value.hex() for value in wanted]
            found = [item if isinstance(item, str) else None for item in found]
        elif name == "extensions":
            wanted, found = [dict(value) for value in wanted], [dict(value or {}) for value in found]
        assert found == wanted, name


@pytest.mark.parametrize("backend", BACKENDS)
def test_ids_as_bytes_and_as_uuid(backend: Any) -> None:
    raw = TABLE.column("event_id").to_pylist()
    frame = read_batpak(
        SEGMENTS, columns=["event_id", "causation_id", "event_hash"], ids="bytes", dtype_backend=backend
    )
    assert frame["event_id"].tolist() == raw
    assert all(isinstance(value, bytes) and len(value) == 32 for value in frame["event_hash"])
    frame = read_batpak(SEGMENTS, columns=["event_id", "causation_id", "event_hash"], ids="uuid", dtype_backend=backend)
    assert frame["event_id"].tolist() == [uuid.UUID(bytes=value) for value in raw]
    assert frame["causation_id"].isna().sum() == TABLE.column("causation_id").null_count > 0
    assert frame["event_hash"].str.len().eq(64).all()


@pytest.mark.parametrize("option", [{"ids": "HEX"}, {"dtype_backend": "arrow"}, {"kind_names": ["a"]}])
def test_options_that_make_no_sense_are_refused(option: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError), match=next(iter(option))):
        read_batpak(SEGMENTS, **option)


@pytest.mark.parametrize("names", [{"DATA": 1}, {70_000: "x"}, {1: 2}])
def test_kind_names_map_numbers_to_names(names: Any) -> None:
    with pytest.raises(ValueError, match="kind_names"):
        scan_batpak(SEGMENTS, kind_names=names)


def test_kind_names_make_a_category_in_which_unknown_kinds_are_hex() -> None:
    numbers = read_batpak(SEGMENTS, columns=["kind"])["kind"]
    named = read_batpak(SEGMENTS, columns=["kind"], kind_names={0x1001: "Placed", 0x1003: "Paid", 0xF003: "Paid"})[
        "kind"
    ]
    names = {0x1001: "Placed", 0x1003: "Paid", 0xF003: "Paid"}
    assert named.tolist() == [names.get(kind, f"0x{kind:04X}") for kind in numbers]
    assert named.dtype == "category"
    assert set(named.cat.categories) == set(named)
    empty = read_batpak(SEGMENTS, columns=["kind"], kind_names=names, entity="nobody")["kind"]
    assert empty.dtype == "category"


def test_categories_hold_only_what_is_there() -> None:
    frame = read_batpak(SEGMENTS, columns=["entity"], filters=[("payload.total", ">", 0)])
    assert set(frame["entity"].cat.categories) == set(frame["entity"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_integers_at_their_limits_with_missing_values_stay_integers(tmp_path: Path, backend: Any) -> None:
    values = [{"u": 2**64 - 1, "i": -(2**63), "n": [2**64 - 1, None], "s": {"x": 2**53 + 1}}, {"other": True}, {"u": 0}]
    store = store_of(tmp_path / "s", [event(n, value) for n, value in enumerate(values)])
    frame = read_batpak(store, dtype_backend=backend)
    assert frame["payload.u"].iloc[0] == 2**64 - 1
    assert frame["payload.i"].iloc[0] == -(2**63)
    assert pd.isna(frame["payload.u"].iloc[1])
    assert not pd.api.types.is_float_dtype(frame["payload.u"])
    if backend != "pyarrow":
        assert str(frame["payload.u"].dtype) == "UInt64"
        assert str(frame["payload.i"].dtype) == "Int64"
        assert str(frame["payload.other"].dtype) == "boolean"
        assert frame["payload.n"].iloc[0] == [2**64 - 1, None]
        assert frame["payload.s"].iloc[0] == {"x": 2**53 + 1}
        assert frame["payload.s"].iloc[1] is None


def test_frame_columns_of_a_damaged_event_are_missing_not_float(tmp_path: Path) -> None:
    frame = scan_batpak(damaged(tmp_path / "s").path, columns="all", payload="binary").to_pandas()
    assert {name: str(frame[name].dtype) for name in ("flags", "payload_version", "payload_size")} == {
        "flags": "UInt8",
        "payload_version": "UInt16",
        "payload_size": "UInt32",
    }
    assert frame["flags"].isna().tolist() == [False] * 4 + [True, False]
    assert frame["timestamp"].isna().sum() == 1
    assert frame["extensions"].iloc[4] is None
    assert frame["payload"].iloc[4] is None
    assert isinstance(frame["payload"].iloc[0], bytes)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", ["columns", "struct", "json", "binary", "frame", None])
def test_every_payload_mode_sorts_filters_and_prints(mode: str | None, backend: Any) -> None:
    frame = read_batpak(SEGMENTS, payload=mode, dtype_backend=backend)
    assert len(frame[frame["kind"] > 0x1001].sort_values("wall_time").iloc[::-1]) > 0
    assert str(frame.head())
    assert len(frame.groupby("entity", observed=True).size()) > 1


def test_frames_copied_to_pandas_are_bytes() -> None:
    frame = read_batpak(SEGMENTS, columns=["payload", "length"], payload="frame")
    assert frame["payload"].map(len).tolist() == frame["length"].tolist()


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_cell_can_be_written(backend: Any) -> None:
    frame: Any = read_batpak(SEGMENTS, columns="all", payload=None, dtype_backend=backend)
    for name in frame.columns:
        if name != "extensions":
            frame.loc[0, name] = frame.loc[1, name]
            assert pd.isna(frame.loc[0, name]) or frame.loc[0, name] == frame.loc[1, name]


def test_attrs_survive_what_pandas_does_with_them() -> None:
    frame = read_batpak(SEGMENTS)
    assert pd.concat([frame, frame.copy()]).attrs == frame.head().attrs == frame.attrs


@given(
    st.lists(st.none() | st.binary(min_size=16, max_size=16), max_size=40),
    st.integers(0, 10),
    st.integers(0, 40),
)
def test_hex_is_what_python_calls_hex(values: list[bytes | None], start: int, count: int) -> None:
    array = pa.array(values, pa.binary(16)).slice(start, count)
    text = hex_text(pa.chunked_array([array, array.slice(1)]))
    text.validate(full=True)
    whole = array.to_pylist() + array.to_pylist()[1:]
    assert text.to_pylist() == [None if value is None else value.hex() for value in whole]


def test_a_table_of_many_chunks_is_one_frame() -> None:
    batches = list(scan_batpak(SEGMENTS, columns="all").to_batches(7))
    whole = scan_batpak(SEGMENTS, columns="all").to_pandas()
    pieces = table_to_frame(pa.Table.from_batches(batches))
    pd.testing.assert_frame_equal(pieces, whole, check_categorical=False)
    assert np.array_equal(pieces["global_sequence"], whole["global_sequence"])
