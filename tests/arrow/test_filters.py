"""`filters=`: tuples and expressions over every tier, exact for every type."""

from __future__ import annotations

import math
import operator
import sys
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batpak_analytics.arrow.comparisons import comparison
from batpak_analytics.arrow.payload import PayloadPlan
from batpak_analytics.arrow.scan import Scan
from batpak_analytics.engine.view import SegmentRows
from batpak_analytics.errors import UnknownColumnError
from tests.arrow.scan_stores import event, fixture_view, rows, sequences, spy, view_of

SEGMENTS = fixture_view("segments")
EVERYTHING = rows(SEGMENTS, columns="all", payload="columns")
FIELD = pc.field


def expected(test: Any) -> list[int]:
    return [row["global_sequence"] for row in EVERYTHING if test(row)]


# -- tuples -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filters", "test"),
    [
        ([("kind", "=", 0x1001)], lambda r: r["kind"] == 0x1001),
        ([("kind", "==", 0x1001)], lambda r: r["kind"] == 0x1001),
        ([("kind", "!=", 0x1001)], lambda r: r["kind"] != 0x1001),
        (
            [("kind", "<", 0x2000), ("entity", ">=", "order:3")],
            lambda r: r["kind"] < 0x2000 and r["entity"] >= "order:3",
        ),
        ([("entity", "in", ["order:1", "nobody"])], lambda r: r["entity"] == "order:1"),
        ([("entity", "not in", {"order:1"})], lambda r: r["entity"] != "order:1"),
        ([("causation_id", "=", None)], lambda r: r["causation_id"] is None),
        ([("causation_id", "!=", None)], lambda r: r["causation_id"] is not None),
        ([("sequence_source", "=", "image")], lambda r: r["sequence_source"] == "image"),
        ([("disposition", "=", "present")], lambda r: r["disposition"] == "present"),
        ([("flags", ">", 0)], lambda r: r["flags"] > 0),
        ([("payload.status", "=", "paid")], lambda r: r["payload.status"] == "paid"),
        ([("payload.ok", "=", True)], lambda r: r["payload.ok"] is True),
        ([("payload.ok", "!=", True)], lambda r: r["payload.ok"] is False),
        ([("payload.total", ">", 10)], lambda r: (r["payload.total"] or 0) > 10),
        (
            [("kind", ">", 0x1001), ("payload.total", ">", 10)],
            lambda r: r["kind"] > 0x1001 and (r["payload.total"] or 0) > 10,
        ),
        (
            [[("kind", "=", 0x1001)], [("payload.ok", "=", True)]],
            lambda r: r["kind"] == 0x1001 or r["payload.ok"] is True,
        ),
        ([[("kind", "=", 0x1001)], [("kind", "=", 0x1003), ("lane", "=", 0)]], lambda r: r["kind"] in (0x1001, 0x1003)),
        ([], lambda r: True),
        ([[]], lambda r: True),
    ],
)
def test_tuples_mean_what_they_say(filters: Any, test: Any) -> None:
    wanted = expected(test)
    assert len(wanted) > 0
    for payload in ("columns", "json", "binary", "frame", None):
        scan = Scan(SEGMENTS, filters=filters, columns=["global_sequence"], payload=payload)
        assert scan.to_arrow().column(0).to_pylist() == wanted
        assert scan.count() == len(wanted)


def test_index_conditions_run_before_any_frame_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = spy(monkeypatch, SegmentRows, "window", lambda segment, *_: segment.name)
    chosen = EVERYTHING[30]
    found = rows(
        fixture_view("segments"),
        columns=["global_sequence", "flags"],
        filters=[("event_id", "=", chosen["event_id"]), ("flags", ">=", 0)],
    )
    assert [row["global_sequence"] for row in found] == [chosen["global_sequence"]]
    assert len(asked) == 1


def test_ids_and_hashes_compare_with_every_form_of_them() -> None:
    chosen = EVERYTHING[7]
    key = chosen["event_id"]
    for form in (key, key.hex(), str(uuid.UUID(bytes=key)), uuid.UUID(bytes=key)):
        assert sequences(SEGMENTS, filters=[("event_id", "=", form)]) == [chosen["global_sequence"]]
        assert sequences(SEGMENTS, filters=[("event_id", "in", [form])]) == [chosen["global_sequence"]]
    assert chosen["global_sequence"] in sequences(SEGMENTS, filters=[("content_hash", "=", chosen["event_hash"].hex())])
    with pytest.raises(ValueError, match="32 hex digits"):
        Scan(SEGMENTS, filters=[("event_id", "=", "abcd")])
    with pytest.raises(ValueError, match="not hexadecimal"):
        Scan(SEGMENTS, filters=[("event_id", "=", "x" * 32)])


def test_times_compare_exactly_and_naive_ones_raise() -> None:
    moment = EVERYTHING[40]["wall_time"]
    for op, test in ((">=", operator.ge), ("<", operator.lt), ("=", operator.eq), ("!=", operator.ne)):
        wanted = expected(lambda r, test=test: test(r["wall_time"], moment))
        assert sequences(SEGMENTS, filters=[("wall_time", op, moment)]) == wanted
    later = pd.Timestamp(moment) + pd.Timedelta(1, "ns")
    assert sequences(SEGMENTS, filters=[("wall_time", ">=", later)]) == expected(lambda r: r["wall_time"] > moment)
    assert sequences(SEGMENTS, filters=[("wall_time", "in", [later])]) == []
    stamp = EVERYTHING[40]["timestamp"]
    assert sequences(SEGMENTS, filters=[("timestamp", "in", [stamp])]) == expected(lambda r: r["timestamp"] == stamp)
    with pytest.raises(ValueError, match="time zone"):
        Scan(SEGMENTS, filters=[("wall_time", ">", datetime(2026, 1, 1))])


@pytest.mark.parametrize(
    ("filters", "error"),
    [
        ([("kind", "~", 1)], ValueError),
        ([("kind", "=")], ValueError),
        ([("kind", "=", 1, 2)], ValueError),
        (["kind"], ValueError),
        ([(1, "=", 1)], TypeError),
        ("kind = 1", TypeError),
        ({"kind": 1}, TypeError),
        ([("kind", "in", 1)], TypeError),
        ([("entity", "in", "order:1")], TypeError),
        ([("entity", "=", 5)], TypeError),
        ([("kind", "=", "1")], TypeError),
        ([("kind", "=", True)], TypeError),
        ([("kind", "<", None)], TypeError),
        ([("event_id", "=", 5)], TypeError),
        ([("extensions", "=", {})], TypeError),
        ([("knid", "=", 1)], UnknownColumnError),
        (FIELD("knid") == 1, UnknownColumnError),
        (FIELD("entity") == 5, ValueError),
        (FIELD("kind"), ValueError),
        (FIELD("wall_time") > datetime(2026, 1, 1), ValueError),
    ],
)
def test_filters_that_make_no_sense_are_refused_when_the_scan_is_made(filters: Any, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        Scan(SEGMENTS, filters=filters)
    assert len(str(caught.value)) > 20


@pytest.mark.parametrize("filters", [[("payload.totl", "=", 1)], FIELD("payload.totl") == 1])
def test_an_unknown_payload_field_suggests_the_nearest(filters: Any) -> None:
    scan = Scan(SEGMENTS, filters=filters)
    with pytest.raises(UnknownColumnError, match=r"payload\.total"):
        scan.count()


def test_a_column_that_is_none_of_this_scan_is_not_suggested_for_itself(tmp_path: Path) -> None:
    view = view_of(tmp_path / "s", [event(0, {"pay": 1})])
    for filters in ([("payload", "=", None)], pc.field("payload").is_valid()):
        with pytest.raises(UnknownColumnError) as told:
            Scan(view, filters=filters).count()
        assert "payload" not in told.value.suggestions and told.value.suggestions


def test_a_value_of_the_wrong_type_for_a_payload_field_names_the_type() -> None:
    with pytest.raises(TypeError, match=r"payload\.status.*text"):
        Scan(SEGMENTS, filters=[("payload.status", "=", 5)]).count()


def test_no_selected_row_means_no_field_is_unknown() -> None:
    for filters in ([("payload.anything", "=", 1)], FIELD("payload.anything") == 1):
        assert Scan(SEGMENTS, entity="nobody", filters=filters).to_arrow().num_rows == 0


def test_payload_schema_gives_the_types_of_filters(tmp_path: Path) -> None:
    view = view_of(tmp_path / "s", [event(n, {"a": n}) for n in range(4)])
    options: dict[str, Any] = {"payload_schema": {"a": pa.string()}, "columns": ["global_sequence"]}
    assert rows(view, filters=[("payload.a", "=", "1")], **options) == []
    with pytest.raises(UnknownColumnError):
        Scan(view, filters=[("payload.b", "=", 1)], **options).count()


# -- expressions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "test"),
    [
        (FIELD("kind") == 0x1001, lambda r: r["kind"] == 0x1001),
        (FIELD("entity") == "order:1", lambda r: r["entity"] == "order:1"),
        (FIELD("entity").isin(["order:1", "order:2"]), lambda r: r["entity"] in ("order:1", "order:2")),
        (pc.starts_with(FIELD("scope"), "shop"), lambda r: r["scope"].startswith("shop")),
        (FIELD("causation_id").is_null(), lambda r: r["causation_id"] is None),
        (FIELD("flags") > 0, lambda r: r["flags"] > 0),
        (FIELD("disposition") == "present", lambda r: r["disposition"] == "present"),
        (FIELD("payload.total") > 10, lambda r: (r["payload.total"] or 0) > 10),
        ((FIELD("payload.ok")) & (FIELD("kind") > 0), lambda r: r["payload.ok"] is True),
        (FIELD("event_id") == EVERYTHING[3]["event_id"], lambda r: r is EVERYTHING[3]),
        (FIELD("wall_time") >= EVERYTHING[9]["wall_time"], lambda r: r["wall_time"] >= EVERYTHING[9]["wall_time"]),
        (pc.list_value_length(FIELD("payload.tags")) > 1, lambda r: len(r["payload.tags"] or ()) > 1),
    ],
)
def test_expressions_mean_what_they_say(expression: Any, test: Any) -> None:
    wanted = expected(test)
    assert len(wanted) > 0
    for payload in ("columns", "binary", None):
        scan = Scan(SEGMENTS, filters=expression, columns=["global_sequence"], payload=payload)
        assert scan.to_arrow().column(0).to_pylist() == wanted


def test_an_expression_on_the_index_reads_no_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SegmentRows, "window", lambda *_: pytest.fail("a frame was read"))
    assert Scan(SEGMENTS, columns=["kind"], filters=FIELD("kind") == 0x1001).to_arrow().num_rows > 0


def test_an_expression_on_headers_decodes_no_payload(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PayloadPlan, "arrays", lambda *_: pytest.fail("a payload was decoded"))
    assert Scan(SEGMENTS, columns=["kind"], filters=FIELD("flags") >= 0).to_arrow().num_rows > 0


def test_filters_are_told_by_explain() -> None:
    assert "kind = 4097 and payload.total > 1" in str(
        Scan(SEGMENTS, columns=["kind"], filters=[("kind", "=", 4097), ("payload.total", ">", 1)], as_of=0).explain()
    )
    assert "(kind = 1) or (kind = 2)" in str(
        Scan(SEGMENTS, columns=["kind"], filters=[[("kind", "=", 1)], [("kind", "=", 2)]]).explain()
    )


def test_long_lists_that_print_alike_are_not_taken_for_each_other(tmp_path: Path) -> None:
    """A plan of payload types is remembered by its filters, and pyarrow prints long lists with a gap."""
    view = view_of(tmp_path / "s", [event(n, {"a": n if n < 50 else str(n)}) for n in range(100)])
    first, last = [0, 1, 2, *range(3, 30), 97, 98, 99], [0, 1, 2, *range(30, 57), 97, 98, 99]
    for wanted in (first, last):
        for filters in (FIELD("clock").isin(wanted), [("clock", "in", wanted)]):
            found = rows(view, filters=filters, columns=["payload.a"])
            assert [row["payload.a"] for row in found] == [str(n) if n < 50 else f'"{n}"' for n in wanted]


# -- pruning ----------------------------------------------------------------------------------------------


def test_tuples_prune_segments_by_minima_and_strings(tmp_path: Path) -> None:
    view = view_of(tmp_path / "s", [event(0), event(1)], [event(2, entity="b"), event(3, kind=0x7007)], [event(4)])

    def selected(*filters: Any) -> list[int]:
        plan = Scan(view, columns=["kind"], filters=list(filters)).explain()
        pruned = [bool(segment.reason) for segment in plan.segments]
        assert all(not segment.selected for segment in plan.segments if segment.reason)
        return [position for position, gone in enumerate(pruned) if not gone]

    assert selected(("global_sequence", ">=", 2)) == [1, 2]
    assert selected(("global_sequence", "<", 2)) == [0]
    assert selected(("global_sequence", "=", 2.5)) == [1]
    assert selected(("kind", "in", [0x7007, 8])) == [1]
    assert selected(("entity", "=", "b")) == [1]
    assert selected(("entity", "in", ["b", "order:1"])) == [0, 1, 2]
    assert selected(("segment_id", "<=", 2)) == [0, 1]
    assert selected(("wall_time", ">", datetime.fromtimestamp(1_700_000_000.003, UTC))) == [2]
    assert selected([("global_sequence", "=", 0)], [("clock", "=", 4)]) == [0, 2]
    assert selected(("kind", "!=", 0x7007)) == [0, 1, 2]
    assert selected(("kind", "<", float("nan"))) == []
    assert selected(("causation_id", "=", None), ("depth", ">", 0)) == []


# -- numbers ----------------------------------------------------------------------------------------------

TYPES = [pa.uint64(), pa.int64(), pa.uint8(), pa.int32()]
OPERATORS = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
LIMITS = [0, 1, 127, 128, 255, 256, 2**31 - 1, 2**31, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1]
NUMBERS = st.sampled_from(LIMITS + [-n for n in LIMITS])
VALUES = (
    NUMBERS
    | st.sampled_from([2**64, -(2**64), 0.5, -0.5, 127.5, 1e300, float("inf"), float("-inf"), float("nan")])
    | st.sampled_from([Decimal("0.5"), np.int8(1), np.float32(0.5), np.uint64(2**64 - 1)])
)


def fitting(numbers: list[int], kind: Any) -> list[int]:
    """Those that a column of type `kind` can hold."""
    top = 2**kind.bit_width if str(kind).startswith("u") else 2 ** (kind.bit_width - 1)
    low = 0 if str(kind).startswith("u") else -top
    return [n for n in numbers if low <= n < top]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(TYPES), st.lists(NUMBERS, max_size=6), VALUES, st.sampled_from(sorted(OPERATORS)))
def test_integers_compare_exactly_with_any_number(kind: Any, numbers: list[int], value: Any, op: str) -> None:
    held = fitting(numbers, kind)
    table = pa.table({"n": pa.array([*held, None], kind)})
    plain = value.item() if isinstance(value, np.generic) else value
    found = table.filter(comparison("n", op, value, kind)).column("n").to_pylist()
    assert found == [n for n in held if OPERATORS[op](n, plain)]


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(TYPES), st.lists(NUMBERS, max_size=6), st.lists(VALUES | st.none(), max_size=4))
def test_membership_is_exact_and_may_name_null(kind: Any, numbers: list[int], values: list[Any]) -> None:
    held = fitting(numbers, kind)
    table = pa.table({"n": pa.array([*held, None], kind)})
    plain = [value.item() if isinstance(value, np.generic) else value for value in values]
    wanted = [n for n in held if n in plain] + ([None] if None in plain else [])
    assert table.filter(comparison("n", "in", values, kind)).column("n").to_pylist() == wanted
    others = [n for n in [*held, None] if n not in wanted]
    assert table.filter(comparison("n", "not in", values, kind)).column("n").to_pylist() == others


FLOATS = [
    0.0,
    -0.5,
    2.0**53,
    2.0**53 + 2,
    -(2.0**63),
    2.0**64,
    1e300,
    sys.float_info.max,
    math.inf,
    -math.inf,
    math.nan,
]
EXACT = (
    NUMBERS
    | st.integers(-(2**70), 2**70)
    | st.sampled_from([10**400, -(10**400), int(sys.float_info.max), int(sys.float_info.max) + 1, np.uint64(2**64 - 1)])
    | st.sampled_from([Decimal("0.1"), Decimal("-0.5"), Decimal("1e400"), Fraction(1, 3), Fraction(1, 2)])
)


@settings(max_examples=300, deadline=None)
@example([-0.0, 0.0, 0.5], 0, "=")
@given(st.lists(st.sampled_from(FLOATS) | st.floats(), max_size=8), EXACT, st.sampled_from(sorted(OPERATORS)))
def test_floats_compare_exactly_with_any_number(held: list[float], value: Any, op: str) -> None:
    """Python compares an int or a Fraction with a float as the numbers that they are; a Decimal not with NaN."""
    plain = Fraction(value.item() if isinstance(value, np.generic) else value)
    table = pa.table({"n": pa.array([*held, None], pa.float64())})
    found = table.filter(comparison("n", op, value, pa.float64())).column("n").to_pylist()
    assert list(map(repr, found)) == [repr(n) for n in held if OPERATORS[op](n, plain)]
    members = table.filter(comparison("n", "in", [value, 0.5], pa.float64())).column("n").to_pylist()
    assert members == [n for n in held if n in (plain, 0.5)]


def test_no_number_is_too_large_to_compare_integers_with() -> None:
    table = pa.table({"n": pa.array([1, 2], pa.int64())})
    assert table.filter(comparison("n", "<", 10**400, pa.int64())).num_rows == 2
    assert table.filter(comparison("n", "in", [10**400, 2], pa.int64())).num_rows == 1


def test_extreme_payload_integers_filter_exactly(tmp_path: Path) -> None:
    top = 2**64 - 1
    view = view_of(tmp_path / "s", [event(0, {"n": top}), event(1, {"n": top - 1}), event(2, {"n": 0})])
    assert sequences(view, filters=[("payload.n", ">", top - 1)]) == [0]
    assert sequences(view, filters=[("payload.n", "=", top - 1)]) == [1]
    assert sequences(view, filters=[("payload.n", ">=", -5)]) == [0, 1, 2]


def test_times_beyond_the_years_of_python_do_not_stop_a_filter(tmp_path: Path) -> None:
    far = replace(event(1), position=replace(event(1).position, wall_ms=2**64 - 1))
    view = view_of(tmp_path / "s", [event(0), far])
    limit = datetime(9999, 1, 1, tzinfo=UTC)
    assert sequences(view, filters=[("wall_time", "<", limit)]) == [0]
    assert sequences(view, filters=[("wall_time", ">", limit)]) == [1]
