"""Rows of columns are packed as each row's value would be, compiled or not."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batpak_analytics import kernels
from batpak_analytics.format import tabular as readable
from batpak_analytics.format.tabular import Column, Form

scalars: dict[Form, st.SearchStrategy[Any]] = {
    Form.BOOL: st.booleans(),
    Form.INT: st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-40, 300),
    Form.UINT: st.integers(0, (1 << 64) - 1) | st.integers(0, 300),
    Form.SINGLE: st.floats(width=32),
    Form.DOUBLE: st.floats(),
}
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@st.composite
def columns(draw: Any, count: int, depth: int = 2) -> tuple[Column, list[Any]]:
    """A column, and its values as Python has them."""
    form = draw(st.sampled_from([*Form] if depth else [form for form in Form if form < Form.LIST]))
    valid = draw(st.none() | st.lists(st.booleans(), min_size=count, max_size=count).map(lambda v: np.array(v, bool)))
    column, values = draw(filled(form, count, depth))
    made = Column(form, count, column.values, valid, column.offsets, column.children, column.keys)
    return made, [value if valid is None or valid[row] else None for row, value in enumerate(values)]


@st.composite
def filled(draw: Any, form: Form, count: int, depth: int) -> tuple[Column, list[Any]]:
    if form in scalars:
        values = draw(st.lists(scalars[form], min_size=count, max_size=count))
        return Column(form, count, np.array(values, readable.DTYPES[form])), values
    if form == Form.TEXT:
        values = draw(st.lists(texts, min_size=count, max_size=count))
        data = "".join(values).encode()
        offsets = np.cumsum([0, *(len(text.encode()) for text in values)], dtype=np.int64)
        return Column(form, count, np.frombuffer(data, np.uint8), None, offsets), values
    if form == Form.LIST:
        sizes = draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
        child, items = draw(columns(sum(sizes), depth - 1))
        offsets = np.cumsum([0, *sizes], dtype=np.int64)
        lists = [items[low:high] for low, high in pairwise(offsets)]
        return Column(form, count, None, None, offsets, (child,)), lists
    if form == Form.MAP:
        keys = draw(st.lists(texts, max_size=3, unique=True))
        made = [draw(columns(count, depth - 1)) for _ in keys]
        rows = [dict(zip(keys, (values[row] for _, values in made), strict=True)) for row in range(count)]
        return Column(form, count, children=tuple(child for child, _ in made), keys=tuple(keys)), rows
    return Column(form, count), [None] * count


@given(st.integers(0, 5).flatmap(columns))
def test_rows_are_packed_as_their_values(made: tuple[Column, list[Any]]) -> None:
    column, values = made
    data, offsets = kernels.pack_rows(column)
    expected, expected_offsets = readable.pack_rows(column)
    assert offsets.tolist() == expected_offsets.tolist()
    rows = [data[low:high].tobytes() for low, high in pairwise(offsets)]
    assert repr([msgpack.unpackb(row, strict_map_key=False) for row in rows]) == repr(values)  # NaN is no NaN's equal
    if not any(isinstance(part, float) and math.isnan(part) for part in _leaves(values)):
        assert data.tobytes() == expected.tobytes()


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for part in value.values() for leaf in _leaves(part)]
    return [leaf for part in value for leaf in _leaves(part)] if isinstance(value, list) else [value]


def test_a_single_keeps_its_width() -> None:
    data, _ = kernels.pack_rows(Column(Form.SINGLE, 1, np.array([0.1], np.float32)))
    assert data.tobytes() == b"\xca\x3d\xcc\xcc\xcd"


@pytest.mark.parametrize("count", [15, 16, 65_535, 65_536])
def test_heads_of_every_width(count: int) -> None:
    offsets = np.array([0, count], np.int64)
    nils = Column(Form.LIST, 1, None, None, offsets, (Column(Form.NIL, count),))
    text = Column(Form.TEXT, 1, np.full(count, 65, np.uint8), None, offsets)
    wide = Column(
        Form.MAP, 1, children=(Column(Form.NIL, 1),) * count, keys=tuple(f"{number:05}" for number in range(count))
    )
    for column in (nils, text, wide):
        assert kernels.pack_rows(column)[0].tobytes() == readable.pack_rows(column)[0].tobytes()


BROKEN = [
    Column(Form.INT, 2, np.zeros(1, np.int64)),
    Column(Form.INT, 1, np.zeros(1, np.int32)),
    Column(Form.INT, 1),
    Column(Form.DOUBLE, 2, np.zeros(4)[::2]),
    Column(Form.BOOL, 1, np.zeros(1, bool), np.zeros(2, bool)),
    Column(Form.TEXT, 1, np.zeros(3, np.uint8)),
    Column(Form.TEXT, 1, np.zeros(3, np.uint8), None, np.array([0, 4], np.int64)),
    Column(Form.TEXT, 2, np.zeros(3, np.uint8), None, np.array([0, 2, 1], np.int64)),
    Column(Form.TEXT, 1, np.zeros(3, np.uint8), None, np.array([-1, 1], np.int64)),
    Column(Form.LIST, 1, None, None, np.array([0, 1], np.int64)),
    Column(Form.LIST, 1, None, None, np.array([0, 2], np.int64), (Column(Form.NIL, 1),)),
    Column(Form.MAP, 2, children=(Column(Form.NIL, 1),), keys=("a",)),
    Column(Form.MAP, 1, children=(Column(Form.NIL, 1),)),
    Column(Form.MAP, 1, children=(Column(Form.INT, 1),), keys=("a",)),
]


@pytest.mark.parametrize("pack_rows", [kernels.pack_rows, readable.pack_rows])
@pytest.mark.parametrize("column", BROKEN)
def test_parts_that_do_not_fit_together_are_refused(pack_rows: Any, column: Column) -> None:
    with pytest.raises(ValueError, match="do not fit together"):
        pack_rows(column)
