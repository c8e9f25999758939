"""What the values of a payload column have in common, and the Arrow type that follows from it.

A `Shape` gathers counts and ranges, batch by batch, in memory bounded by the number of different fields;
`decide` turns it into the `Node` to build and the notes to tell. The lattice, for a column, a struct field or
the elements of a list alike:

- integers: int64; uint64 when all are >= 0 and one is above the int64 range;
- integers and floats: float64 when every integer is exact as one;
- one other type: bool, string, binary, list (arrays) or struct (maps), their parts by the same rules;
- only nil: null;
- anything else: JSON text.

Values Arrow cannot hold (ext types, strings that are not UTF-8, maps with a key that is no string) are null
and do not take part in the choice. Types of MessagePack: segment specification, section 2.4.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from batpak_analytics import kernels
from batpak_analytics.arrow.nested import (
    IS_ARRAY,
    IS_MAP,
    Bytes,
    Positions,
    display_names,
    element_positions,
    locate_values,
    where_tag,
    whole_values,
)
from batpak_analytics.arrow.payload_arrays import Node, is_map

MAX_DEPTH = 32
"""Most lists and structs inside one another in a column's type."""

I64_MAX = 2**63 - 1
JSON_TEXT = Node("json", pa.string())
_WORDS = ("bool", "int", "float", "str", "bin", "array", "map")


class Column:
    """The budget of one column: how many nested fields its type may name, and why it was given up."""

    __slots__ = ("gave_up", "max_nodes", "nodes")

    def __init__(self, max_nodes: int) -> None:
        self.max_nodes = max_nodes
        self.nodes = 0
        self.gave_up: str | None = None


class Shape:
    """What was seen of one column, struct field or list element."""

    __slots__ = (
        "bad_utf8",
        "counts",
        "element",
        "fields",
        "int_max",
        "int_min",
        "ints_exact",
        "nil",
        "table",
        "unholdable",
    )

    def __init__(self) -> None:
        self.counts = [0] * len(_WORDS)
        self.nil = 0
        self.bad_utf8 = 0
        self.unholdable = 0
        self.int_min: int | None = None
        self.int_max: int | None = None
        self.ints_exact = True
        self.element: Shape | None = None
        self.table: kernels.FieldTable | None = None
        self.fields: list[Shape] = []

    @property
    def kinds(self) -> list[str]:
        """The types seen, in the words of the notes."""
        return [word for word, count in zip(_WORDS, self.counts, strict=True) if count]

    def observe(self, data: Bytes, pos: Positions, column: Column, depth: int = 0, clean: bool = False) -> None:
        """Take the values at ``pos`` (-1: none) into account; ``depth`` containers are around them.

        ``clean``: all their strings are known to be UTF-8.
        """
        stats = kernels.column_stats(data, pos, clean)
        self._merge(stats)
        if not (stats.array or stats.map) or column.gave_up:
            return
        if depth >= MAX_DEPTH:
            column.gave_up = f"its values nest deeper than {MAX_DEPTH}"
            return
        if stats.array:
            _, inside = element_positions(data, pos[where_tag(data, pos, IS_ARRAY)])
            self.element = self.element or Shape()
            self.element.observe(data, inside, column, depth + 1, clean)
        if stats.map:
            self._observe_maps(data, pos[where_tag(data, pos, IS_MAP)], column, depth, clean)

    def _merge(self, stats: kernels.ColumnStats) -> None:
        seen = (stats.bool, stats.int, stats.float, stats.str, stats.bin, stats.array, stats.map)
        self.counts = [old + new for old, new in zip(self.counts, seen, strict=True)]
        self.nil += stats.nil
        self.bad_utf8 += stats.bad_utf8
        self.unholdable += stats.ext
        self.ints_exact = self.ints_exact and (stats.ints_exact or not stats.int)
        if stats.int and stats.int_min is not None and stats.int_max is not None:
            self.int_min = stats.int_min if self.int_min is None else min(self.int_min, stats.int_min)
            self.int_max = stats.int_max if self.int_max is None else max(self.int_max, stats.int_max)

    def _observe_maps(self, data: Bytes, pos: Positions, column: Column, depth: int, clean: bool) -> None:
        self.table = self.table or kernels.FieldTable(max_fields=column.max_nodes)
        starts, ends = whole_values(data, pos)
        for _, _, root, found in locate_values(data, starts, ends, self.table, column.max_nodes):
            odd = int(np.count_nonzero(~is_map(root)))
            self.counts[_WORDS.index("map")] -= odd
            self.unholdable += odd
            new = len(self.table.names) - len(self.fields)
            column.nodes += new
            if self.table.overflow or column.nodes > column.max_nodes:
                column.gave_up = f"its maps hold more than {column.max_nodes} different fields"
            if column.gave_up:
                return
            self.fields.extend(Shape() for _ in range(new))
            for shape, row in zip(self.fields, found, strict=True):
                shape.observe(data, row, column, depth + 1, clean)

    def merge(self, later: Shape, column: Column) -> None:
        """Take what another shape saw in later rows into account; the result is as if one had seen them all."""
        self.counts = [old + new for old, new in zip(self.counts, later.counts, strict=True)]
        self.nil += later.nil
        self.bad_utf8 += later.bad_utf8
        self.unholdable += later.unholdable
        self.ints_exact = self.ints_exact and later.ints_exact
        self.int_min = min((one for one in (self.int_min, later.int_min) if one is not None), default=None)
        self.int_max = max((one for one in (self.int_max, later.int_max) if one is not None), default=None)
        if column.gave_up:
            return
        if later.element is not None:
            self.element = self.element or Shape()
            self.element.merge(later.element, column)
        if later.table is not None:
            self._merge_maps(later.table, later.fields, column)

    def _merge_maps(self, table: kernels.FieldTable, fields: list[Shape], column: Column) -> None:
        self.table = self.table or kernels.FieldTable(max_fields=column.max_nodes)
        for name, shape in zip(table.names, fields, strict=True):
            slot = self.table.slot(name)
            if slot == len(self.fields):
                self.fields.append(Shape())
                column.nodes += 1
            if slot == kernels.MISSING or column.nodes > column.max_nodes:
                column.gave_up = f"its maps hold more than {column.max_nodes} different fields"
                return
            self.fields[slot].merge(shape, column)

    def forget_parts(self) -> None:
        """Free what was seen inside lists and maps, once it cannot change the type any more."""
        self.element, self.table, self.fields = None, None, []


def observe_column(shape: Shape, data: Bytes, pos: Positions, column: Column, clean: bool) -> None:
    """`Shape.observe` for a whole column, which stops looking inside once that decides nothing."""
    shape.observe(data, pos, column, clean=clean)
    _stop_looking(shape, column)


def merge_column(shape: Shape, column: Column, later: Shape, later_column: Column) -> None:
    """`Shape.merge` for a whole column."""
    column.gave_up = column.gave_up or later_column.gave_up
    shape.merge(later, column)
    _stop_looking(shape, column)


def _stop_looking(shape: Shape, column: Column) -> None:
    """Stop looking inside lists and maps where that decides nothing any more."""
    if column.gave_up is None and len(shape.kinds) > 1 and shape.kinds != ["int", "float"]:
        column.gave_up = "mixed"
    if column.gave_up is not None:
        shape.forget_parts()


def decide(shape: Shape, path: str, notes: list[str], column: Column | None = None) -> Node:
    """The node for ``shape``, its choices appended to ``notes`` under the name ``path``."""
    at = len(notes)
    reason = _conflict(shape)
    if reason is None and column is not None:
        reason = column.gave_up
    node = JSON_TEXT if reason is not None else _decide_type(shape, path, notes)
    if reason is not None:
        notes.insert(at, f"{path}: JSON text, because {reason}")
    elif column is not None:
        notes.insert(at, f"{path}: {_type_text(node.type)}")
    if shape.bad_utf8:
        notes.append(f"{path}: {shape.bad_utf8} strings are not UTF-8; they read as null")
    if shape.unholdable:
        notes.append(
            f"{path}: {shape.unholdable} values of ext types or maps with a key that is not a string; they read as null"
        )
    return node


def _type_text(wanted: pa.DataType) -> str:
    text = str(wanted)
    return text if len(text) <= 300 else f"{text[:297]}..."


def _conflict(shape: Shape) -> str | None:
    """Why no single type holds all the values; None where one does."""
    kinds = shape.kinds
    if kinds == ["map"] and shape.table is not None and not shape.table.names:
        return "its maps hold no fields"
    if kinds == ["int"] and _range_conflict(shape):
        return f"rows hold both negative integers and integers above {I64_MAX}"
    if kinds == ["int", "float"]:
        return None if shape.ints_exact else "rows hold floats and integers that no float64 equals"
    if len(kinds) > 1:
        return f"rows hold {_listed(kinds)}"
    return None


def _range_conflict(shape: Shape) -> bool:
    return (shape.int_min or 0) < 0 < I64_MAX < (shape.int_max or 0)


def _listed(words: list[str]) -> str:
    if len(words) == 2:
        return f"both {words[0]} and {words[1]}"
    return f"{', '.join(words[:-1])} and {words[-1]}"


def _decide_type(shape: Shape, path: str, notes: list[str]) -> Node:
    kinds = shape.kinds
    if not kinds:
        return Node("null", pa.null())
    if kinds == ["array"]:
        return _list_node(shape, path, notes)
    if kinds == ["map"]:
        return _struct_node(shape, path, notes)
    if kinds == ["int"] and shape.int_max is not None and shape.int_max > I64_MAX:
        return Node("uint", pa.uint64())
    return {
        "bool": Node("bool", pa.bool_()),
        "int": Node("int", pa.int64()),
        "float": Node("float", pa.float64()),
        "str": Node("string", pa.string()),
        "bin": Node("binary", pa.binary()),
    }[kinds[-1]]


def _list_node(shape: Shape, path: str, notes: list[str]) -> Node:
    child = decide(shape.element or Shape(), f"{path}[]", notes)
    return Node("list", pa.list_(child.type), (child,))


def _struct_node(shape: Shape, path: str, notes: list[str]) -> Node:
    raw = tuple(shape.table.names) if shape.table is not None else ()
    names = display_names(raw)
    pairs = zip(names, shape.fields, strict=True)
    children = tuple(decide(field, f"{path}.{name}", notes) for name, field in pairs)
    fields = [pa.field(name, child.type) for name, child in zip(names, children, strict=True)]
    return Node("struct", pa.struct(fields), children, raw)
