"""Payload bytes of many events as Arrow columns: what the types are, and the arrays themselves.

`PayloadInference` sees every selected row once and gives a `PayloadPlan`; the plan then turns batch after
batch into arrays. A payload is any MessagePack value (segment specification, sections 2.4 and 3) or any bytes
at all, and none aborts a scan:

- a missing field or nil is null; NaN and infinities stay in float columns and are ``null`` inside JSON text;
- ``bin`` is binary (in a JSON text cell: the cell is null); ext types are null;
- of a key given twice the last one counts;
- a string that is not UTF-8 is null, a key that is not UTF-8 is left out;
- a map with a key that is not a string counts as a payload that is no map, and its value is null;
- a payload that is truncated or no MessagePack gives null everywhere.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from batpak_analytics import kernels
from batpak_analytics.arrow.inference import (
    JSON_TEXT,
    Column,
    Shape,
    decide,
    merge_column,
    observe_column,
)
from batpak_analytics.arrow.nested import (
    Bytes,
    Mask,
    Positions,
    as_bytes,
    display_names,
    locate_values,
    prefilled_table,
    root_bits,
)
from batpak_analytics.arrow.payload_arrays import (
    ArrowBuilder,
    Node,
    from_buffers,
    is_map,
    joined,
    json_rest,
    json_texts,
    narrow_offsets,
    string_array,
)
from batpak_analytics.arrow.payload_schema import node_for_field
from batpak_analytics.format.payload import MALFORMED, NOT_JSON, ROOT_VALUE

PAYLOAD = "payload"
REST = "*"
Fields = tuple[int, int, Bytes, Positions]
"""The first row and the end of some rows, their root bits, and where each field of each row is."""

MODES = ("columns", "struct", "json", "binary")


@dataclass(frozen=True, slots=True)
class FieldColumn:
    """One top-level field: its name as shown, its name as stored, and what it is built as."""

    name: str
    raw: bytes
    node: Node


class PayloadInference:
    """Learns the types of payload columns from any number of batches, in bounded memory.

    At most ``max_fields`` top-level fields get a column of their own, and a column whose maps hold more
    different fields than that becomes JSON text.
    """

    def __init__(self, max_fields: int = 1000) -> None:
        self.max_fields = max_fields
        self._table = kernels.FieldTable(max_fields=max_fields)
        self._shapes: list[tuple[Shape, Column]] = []
        self._root = (Shape(), Column(max_fields))
        self._rows = self._maps = self._values = self._malformed = 0

    def update(self, data: Any, offsets: Any, present: Any = None) -> Fields | None:
        """Take the rows ``data[offsets[i]:offsets[i + 1]]`` into account, but for those not ``present``.

        Where their fields are, for `PayloadPlan.arrays` over the same rows; None where that would be too much to hold.
        """
        payloads, bounds = as_bytes(data), np.asarray(offsets, np.int64)
        starts, ends = bounds[:-1], bounds[1:]
        found: Fields | None = None
        for low, high, root, pos in locate_values(payloads, starts, ends, self._table, self.max_fields, present):
            found = (low, high, root, pos)
            self._count(root)
            while len(self._shapes) < len(self._table.names):
                self._shapes.append((Shape(), Column(self.max_fields)))
            clean = _all_clean(root)
            for (shape, column), row in zip(self._shapes, pos, strict=True):
                observe_column(shape, payloads, row, column, clean)
            others = starts[low:high][_is_value(root)]
            if len(others):
                observe_column(self._root[0], payloads, others, self._root[1], clean)
        return found if found is not None and found[0] == 0 and not self._table.overflow else None

    def merge(self, later: PayloadInference) -> bool:
        """Take the rows that another inference saw into account; they come after all of this one's.

        False, and nothing is taken, where the other had to leave fields out: they may be known here. Such rows must be
        shown to `update`.
        """
        if later._table.overflow:
            return False
        self._rows += later._rows
        self._maps += later._maps
        self._values += later._values
        self._malformed += later._malformed
        for name, (shape, column) in zip(later._table.names, later._shapes, strict=True):
            slot = self._table.slot(name)
            if slot == len(self._shapes):
                self._shapes.append((Shape(), Column(self.max_fields)))
            if slot != kernels.MISSING:
                merge_column(*self._shapes[slot], shape, column)
        merge_column(*self._root, *later._root)
        return True

    def _count(self, root: Bytes) -> None:
        self._rows += len(root)
        self._maps += int(np.count_nonzero(is_map(root)))
        self._values += int(np.count_nonzero(_is_value(root)))
        self._malformed += int(np.count_nonzero(root & MALFORMED))

    def finish(self) -> PayloadPlan:
        """The plan for the rows seen so far. It stays as it is if more rows follow."""
        notes: list[str] = []
        names = self._table.names
        shown = display_names(names)
        rest = self._table.overflow
        columns = []
        for name, raw, (shape, column) in zip(shown, names, self._shapes, strict=True):
            if rest and name == REST:
                continue  # that name belongs to the column of all further fields, which takes this one in
            columns.append(FieldColumn(name, raw, decide(shape, f"{PAYLOAD}.{name}", notes, column)))
        root = None
        if self._values:
            root = decide(self._root[0], PAYLOAD, notes, self._root[1])
            notes.append(f"{PAYLOAD}: {self._values} payloads are no maps with string keys")
        if rest:
            notes.append(f"{PAYLOAD}.{REST}: JSON text of the fields beyond the first {self.max_fields} different ones")
        if self._malformed:
            notes.append(f"{PAYLOAD}: {self._malformed} payloads are not MessagePack; they read as null")
        return PayloadPlan(tuple(columns), root, rest=rest, maps=self._maps > 0, notes=notes)


class PayloadPlan:
    """The payload columns of a scan and how to build them. Safe to share between threads.

    ``notes`` tells each choice in words. ``misfits`` counts, by column, values that became null because their
    column's type cannot hold them. A plan without columns is enough for the modes "json" and "binary".
    """

    def __init__(
        self,
        columns: Sequence[FieldColumn] = (),
        root: Node | None = None,
        *,
        rest: bool = False,
        maps: bool = False,
        notes: Sequence[str] = (),
    ) -> None:
        self.columns = tuple(columns)
        self.root = root
        self.rest = rest
        self.maps = maps
        self.notes = list(notes)
        self.misfits: dict[str, int] = {}
        self._lock = threading.Lock()
        if maps and root is not None:
            self.notes.append(
                f'{PAYLOAD}: in one struct column, payloads that are no maps are null: see payload="json"'
            )

    def anew(self) -> PayloadPlan:
        """The same plan, by which nothing was built yet."""
        made = copy.copy(self)
        made.misfits, made._lock = {}, threading.Lock()
        return made

    @classmethod
    def from_schema(cls, schema: pa.Schema | Mapping[str, pa.DataType]) -> PayloadPlan:
        """A plan for given types, by field name (without ``payload.``).

        A value that does not fit its type is null and counted in ``misfits``. `TypeError` for what is no schema,
        `ValueError` for a field given twice, and for a type of which no array can be built from stored values.
        """
        if isinstance(schema, pa.Schema):
            pairs = [(field.name, field.type) for field in schema]
        else:
            pairs = list(schema.items()) if isinstance(schema, Mapping) else [(schema, None)]
        if not all(isinstance(name, str) and isinstance(wanted, pa.DataType) for name, wanted in pairs):
            raise TypeError(
                f'payload_schema={schema!r}: give Arrow types by field name, as in {{"x": pa.int64()}}, or a pa.schema.'
            )
        if len({name for name, _ in pairs}) != len(pairs):
            raise ValueError("payload_schema names a field twice. Give each field one type.")
        columns = [FieldColumn(name, name.encode(), node_for_field(name, wanted)) for name, wanted in pairs]
        notes = [f"{PAYLOAD}.{name}: {wanted}, as payload_schema says" for name, wanted in pairs]
        return cls(columns, maps=True, notes=notes)

    def schema_fields(self, mode: str) -> list[pa.Field]:
        """The Arrow fields that `arrays` gives in ``mode``, in order."""
        return [pa.field(name, wanted) for name, wanted in self._types(mode).items()]

    @property
    def nodes(self) -> dict[str, Node]:
        """What each column of the mode "columns" is built as, but for the column of all further fields."""
        nodes = {f"{PAYLOAD}.{column.name}": column.node for column in self.columns}
        if self.root is not None:
            nodes[PAYLOAD] = self.root
        return nodes

    @property
    def renamed(self) -> bool:
        """Whether a field could not be shown under its own name."""
        return any(column.name.encode() != column.raw for column in self.columns)

    def _types(self, mode: str) -> dict[str, pa.DataType]:
        if mode == "json":
            return {PAYLOAD: pa.string()}
        if mode == "binary":
            return {PAYLOAD: pa.binary()}
        if mode == "struct":
            return {PAYLOAD: self._struct_type()}
        if mode != "columns":
            raise ValueError(f"payload={mode!r} is no payload mode here. Use one of {', '.join(MODES)}.")
        types = {f"{PAYLOAD}.{column.name}": column.node.type for column in self.columns}
        if self.root is not None:
            types[PAYLOAD] = self.root.type
        if self.rest:
            types[f"{PAYLOAD}.{REST}"] = pa.string()
        return types

    def _struct_type(self) -> pa.DataType:
        if self.columns or self.rest:
            fields = [pa.field(column.name, column.node.type) for column in self.columns]
            return pa.struct(fields + ([pa.field(REST, pa.string())] if self.rest else []))
        if self.maps:
            return JSON_TEXT.type  # no payload has a field, and few readers of Arrow bear an empty struct
        return self.root.type if self.root is not None else pa.null()

    def arrays(
        self,
        data: Any,
        offsets: Any,
        present: Any = None,
        mode: str = "columns",
        names: Sequence[str] | None = None,
        fields: Fields | None = None,
    ) -> tuple[dict[str, pa.Array], Mask]:
        """Arrays by column name, for the ``names`` wanted, and which rows the reference can decode to JSON.

        ``fields``: what `PayloadInference.update` said of these very rows, when this plan is what it gave then.
        Rows whose ``present`` is 0 are null (but their bytes are given in mode "binary") and count as
        decodable: nothing was tried on them.
        """
        types = self._types(mode)
        wanted = list(types) if names is None else list(names)
        unknown = [name for name in wanted if name not in types]
        if unknown:
            raise KeyError(f"{unknown[0]} is not among the payload columns of this plan.")
        rows = _Rows(as_bytes(data), np.asarray(offsets, np.int64), present)
        if mode == "binary":
            made = {name: _stored(rows) for name in wanted}
            return made, _decodable(root_bits(rows.data, rows.starts, rows.ends, present))
        if mode == "json" or (mode == "struct" and not (self.columns or self.rest) and self.maps):
            return self._json(rows, wanted)
        return self._typed(rows, types, wanted, mode, fields)

    def _json(self, rows: _Rows, wanted: list[str]) -> tuple[dict[str, pa.Array], Mask]:
        roots = root_bits(rows.data, rows.starts, rows.ends, rows.present)
        if not wanted:
            return {}, _decodable(roots)
        texts = json_texts(rows.data, rows.starts, rows.ends, roots)
        return {name: string_array(texts) for name in wanted}, _decodable(roots)

    def _typed(
        self, rows: _Rows, types: dict[str, pa.DataType], wanted: list[str], mode: str, fields: Fields | None
    ) -> tuple[dict[str, pa.Array], Mask]:
        whole = mode == "struct" and bool(self.columns or self.rest)
        chosen = [one for one in self.columns if whole or f"{PAYLOAD}.{one.name}" in wanted]
        if not wanted:
            chosen = []
        parts: dict[str, list[pa.Array]] = {name: [] for name in wanted}
        decodable = np.ones(len(rows.starts), bool)
        for low, high, root, pos in self._located(rows, chosen, fields):
            decodable[low:high] = _decodable(root)
            clean = _all_clean(root)
            made = {
                f"{PAYLOAD}.{one.name}": self._build(rows, one, row, clean)
                for one, row in zip(chosen, pos, strict=True)
            }
            if whole and wanted:
                made = {PAYLOAD: self._struct(rows, low, root, list(made.values()))}
            elif PAYLOAD in parts and self.root is not None:
                made[PAYLOAD] = self._roots(rows, low, root)
            if f"{PAYLOAD}.{REST}" in parts and self.rest:
                made[f"{PAYLOAD}.{REST}"] = self._rest(rows, low, root)
            for name, pieces in parts.items():
                pieces.append(made[name] if name in made else pa.nulls(high - low, types[name]))
        return {name: joined(parts[name], types[name], 0) for name in wanted}, decodable

    def _located(self, rows: _Rows, chosen: list[FieldColumn], fields: Fields | None) -> Iterator[Fields]:
        """Root bits and the positions of the ``chosen`` fields, some rows at a time."""
        if fields is None:
            yield from rows.locate([one.raw for one in chosen])
            return
        low, high, root, pos = fields
        at = {column.raw: number for number, column in enumerate(self.columns)}
        yield low, high, root, pos if len(chosen) == len(pos) else pos[[at[one.raw] for one in chosen]]

    def _build(self, rows: _Rows, column: FieldColumn, pos: Positions, clean: bool) -> pa.Array:
        builder = ArrowBuilder(rows.data, clean)
        made = builder.build(column.node, pos)
        self._add_misfits(f"{PAYLOAD}.{column.name}", builder.misfits)
        return made

    def _roots(self, rows: _Rows, low: int, root: Bytes) -> pa.Array:
        """The column ``payload``: values of the rows that are no maps."""
        assert self.root is not None
        builder = ArrowBuilder(rows.data)
        starts = rows.starts[low : low + len(root)]
        made = builder.build(self.root, np.where(_is_value(root), starts, -1))
        self._add_misfits(PAYLOAD, builder.misfits)
        return made

    def _struct(self, rows: _Rows, low: int, root: Bytes, children: list[pa.Array]) -> pa.Array:
        if self.rest:
            children = [*children, self._rest(rows, low, root)]
        return from_buffers(self._struct_type(), len(root), is_map(root), children=children)

    def _rest(self, rows: _Rows, low: int, root: Bytes) -> pa.Array:
        """The column ``payload.*``: a JSON object of the fields without a column, null if there are none."""
        known = {column.raw.decode() for column in self.columns}
        at = np.flatnonzero(is_map(root))
        cells: list[str | None] = [None] * len(root)
        spans = (rows.starts[at + low].tolist(), rows.ends[at + low].tolist(), _decodable(root)[at].tolist())
        for row, start, end, clean in zip(at.tolist(), *spans, strict=True):
            cells[row] = json_rest(rows.data, start, end, known, clean)
        self._add_misfits(f"{PAYLOAD}.{REST}", sum(cells[row] is None for row in at.tolist()))
        return string_array([cell or None for cell in cells])

    def _add_misfits(self, name: str, count: int) -> None:
        if count:
            with self._lock:
                self.misfits[name] = self.misfits.get(name, 0) + count


class _Rows:
    """The rows of one batch: where each payload starts and ends, and which are there at all."""

    __slots__ = ("data", "ends", "offsets", "present", "starts")

    def __init__(self, data: Bytes, offsets: Positions, present: Bytes | None) -> None:
        self.data, self.offsets, self.present = data, offsets, present
        self.starts, self.ends = offsets[:-1], offsets[1:]

    def locate(self, names: list[bytes]) -> Iterator[Fields]:
        table = prefilled_table(names)
        return locate_values(self.data, self.starts, self.ends, table, len(names), self.present)


def _stored(rows: _Rows) -> pa.Array:
    """The stored bytes of every row, over the caller's buffer and without a copy of it."""
    count = len(rows.starts)
    first = int(rows.offsets[0]) if count else 0
    offsets = narrow_offsets(rows.offsets - first)
    stored = rows.data[first : int(rows.offsets[-1])] if count else rows.data[:0]
    return from_buffers(pa.binary(), count, np.ones(count, np.uint8), offsets, stored)


def _all_clean(root: Bytes) -> bool:
    """Whether every string of the rows is known to be UTF-8."""
    return not bool((root & NOT_JSON).any())


def _is_value(root: Bytes) -> Mask:
    found: npt.NDArray[np.bool_] = (root & (ROOT_VALUE | MALFORMED)) == ROOT_VALUE
    return found


def _decodable(root: Bytes) -> Mask:
    found: npt.NDArray[np.bool_] = (root & (NOT_JSON | MALFORMED)) == 0
    return found
