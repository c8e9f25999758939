"""From a chunk of rows to a record batch: read what the columns and the filter need, filter, order,
assemble.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from batpak_analytics.arrow.chunks import Chunk
from batpak_analytics.arrow.columns import LabelSpace, index_arrays
from batpak_analytics.arrow.decode import HEADER_COLUMNS, Decoded, Decoder, Needs
from batpak_analytics.arrow.filters import RowFilter
from batpak_analytics.arrow.frame_columns import binary_payload, frame_array, frame_payload
from batpak_analytics.arrow.payload import Fields, PayloadInference, PayloadPlan
from batpak_analytics.arrow.schema import PAYLOAD, Projection, Tier, is_field, tier_of
from batpak_analytics.model import Finding

Rows = npt.NDArray[np.int64]


def needs_of(projection: Projection, rest: RowFilter | None) -> Needs | None:
    """What must be taken from frames for these columns and this condition; None where the index is enough."""
    names = {*projection.names, *(() if rest is None else rest.names)}
    filtered = any(tier_of(name) == Tier.PAYLOAD for name in (() if rest is None else rest.names))
    raw = projection.wants_payload and projection.mode == "frame"
    stored = filtered or bool(projection.fields) or (projection.wants_payload and not raw)
    disposition = "disposition" in names
    header = frozenset(names & HEADER_COLUMNS.keys())
    needs = Needs(header, "extensions" in names, stored or disposition, disposition, raw)
    return None if needs == Needs() else needs


@dataclass(frozen=True, slots=True, eq=False)
class Built:
    """One record batch, its number of rows, and what was found wrong."""

    batch: Any
    count: int
    findings: list[Finding]


@dataclass(frozen=True, slots=True, eq=False)
class Guessed:
    """The columns of one chunk, by name, with payload columns typed by what this chunk alone holds."""

    columns: dict[str, Any]
    count: int
    inference: PayloadInference
    plan: PayloadPlan
    findings: list[Finding]


class BatchBuilder:
    """Builds the record batches of one scan. Safe to share between threads."""

    def __init__(
        self,
        view: Any,
        projection: Projection,
        schema: Any,
        labels: LabelSpace,
        plan: PayloadPlan,
        rest: RowFilter | None,
    ) -> None:
        self.view, self.projection, self.schema = view, projection, schema
        self.labels, self.plan, self.rest = labels, plan, rest
        self.needs = needs_of(projection, rest)
        self.index_names = tuple(name for name in projection.names if tier_of(name) == Tier.INDEX)
        self.decoder = None if self.needs is None else Decoder(view, self.needs)

    def anew(self) -> BatchBuilder:
        """The same for another pass, whose misfits are counted by themselves."""
        made = copy.copy(self)
        made.plan = self.plan.anew()
        return made

    def build(self, chunk: Chunk, limit: int | None = None) -> Built:
        """The batch of the rows of `chunk` that pass, in commit order and at most `limit`."""
        columns = _Columns(self, chunk, self.plan, self.schema.names)
        rows = columns.passing()
        if limit is not None and limit < (chunk.count if rows is None else len(rows)):
            rows = (np.arange(chunk.count) if rows is None else rows)[:limit]
        count = chunk.count if rows is None else len(rows)
        if rows is not None and count < chunk.count:
            columns.keep(rows)
        arrays = [columns.output(field.name, rows) for field in self.schema]
        return Built(batch_of(arrays, self.schema, count), count, columns.findings)

    def guess(self, chunk: Chunk) -> Guessed:
        """The columns of all rows of `chunk`, in commit order, before the types of the other chunks are known."""
        columns = _Columns(self, chunk)
        inference = columns.infer()
        plan = inference.finish()
        seen = [field.name for field in plan.schema_fields("columns")]
        wanted = seen if self.projection.wants_payload else [name for name in seen if name in self.projection.fields]
        columns.use(plan, wanted)
        base = [name for name in self.projection.names if name != PAYLOAD and not is_field(name)]
        made = {name: columns.output(name, chunk.order) for name in [*base, *wanted]}
        return Guessed(made, chunk.count, inference, plan, columns.findings)


def batch_of(arrays: Sequence[pa.Array], schema: pa.Schema, rows: int) -> pa.RecordBatch:
    """A record batch, which has its rows also where it has no column."""
    if arrays:
        return pa.RecordBatch.from_arrays(arrays, schema=schema)
    return pa.RecordBatch.from_arrays([pa.nulls(rows)], ["rows"]).select([])


class _Columns:
    """The columns of one chunk, each built when first asked for, in the order of the chunk's groups."""

    def __init__(
        self, builder: BatchBuilder, chunk: Chunk, plan: PayloadPlan | None = None, names: Sequence[str] = ()
    ) -> None:
        self.builder, self.chunk = builder, chunk
        self.plan, self.names = plan or PayloadPlan(), names
        self.decoded: Decoded | None = None if builder.decoder is None else builder.decoder.decode(chunk)
        self._made: dict[tuple[str, str], Any] = {}
        self._fields: Fields | None = None
        self._decodable: npt.NDArray[np.bool_] | None = None
        self._present: npt.NDArray[np.uint8] | None = None
        if self.decoded is not None:
            self._present = (self.decoded.ok & ~self.decoded.encrypted).astype(np.uint8)

    @property
    def findings(self) -> list[Finding]:
        """What was wrong with single frames."""
        return [] if self.decoded is None else self.decoded.findings

    def infer(self) -> PayloadInference:
        """What the payloads of the chunk hold. The plan to `use` next has to be what this gives."""
        assert self.decoded is not None
        inference = PayloadInference()
        self._fields = inference.update(self.decoded.data, self.decoded.offsets, self._present)
        return inference

    def use(self, plan: PayloadPlan, names: Sequence[str]) -> None:
        """Build payload columns by `plan` from here on, `names` together."""
        self.plan, self.names = plan, names

    def passing(self) -> Rows | None:
        """Positions of the rows to give, in commit order; None where all are given in the order they have."""
        rest, order = self.builder.rest, self.chunk.order
        if rest is None:
            return order
        names = [name for name in rest.names if tier_of(name) == Tier.PAYLOAD]
        self._build_payload("columns", names)
        columns = {n: self._payload("columns", n) if n in names else self._base(n) for n in rest.names}
        passed = rest.positions(columns, self.chunk.count)
        if order is None:
            return passed
        kept = np.zeros(self.chunk.count, bool)
        kept[passed] = True
        return order[kept[order]]

    def keep(self, rows: Rows) -> None:
        """From here on only `rows` matter: no payload of another row is decoded."""
        if self._present is not None:
            kept = np.zeros(self.chunk.count, np.uint8)
            kept[rows] = 1
            self._present &= kept

    def output(self, name: str, rows: Rows | None) -> Any:
        """Column `name` of the schema, for `rows` in their order."""
        mode = self.builder.projection.mode
        if name == PAYLOAD and mode == "frame":
            assert self.decoded is not None
            return frame_payload(self.decoded, rows)
        array = self._output(name, mode)
        return array if rows is None else array.take(pa.array(rows))

    def _output(self, name: str, mode: str | None) -> Any:
        if name == PAYLOAD and mode == "binary":
            assert self.decoded is not None
            return binary_payload(self.decoded)
        if name == PAYLOAD and mode != "columns":
            assert mode is not None
            return self._payload(mode, name)
        if name == PAYLOAD or is_field(name):
            wanted = [f for f in self.names if is_field(f) or (f == PAYLOAD and mode == "columns")]
            self._build_payload("columns", wanted)
            return self._payload("columns", name)
        return self._base(name)

    def _base(self, name: str) -> Any:
        """An index or frame column."""
        found = self._made.get(("base", name))
        if found is None:
            found = self._made["base", name] = self._make_base(name)
        return found

    def _make_base(self, name: str) -> Any:
        decoded, builder = self.decoded, self.builder
        if tier_of(name) == Tier.INDEX:
            corrections = {} if decoded is None else decoded.corrections
            together = {name, *builder.index_names}
            made = index_arrays(builder.view, self.chunk.groups, tuple(together), builder.labels, corrections)
            self._made |= {("base", one): array for one, array in made.items()}
            return made[name]
        assert decoded is not None
        if name == "disposition" and self._decodable is None:
            self._build_payload("columns", [], even_if_none=True)
        return frame_array(name, decoded, self._decodable)

    def _payload(self, mode: str, name: str) -> Any:
        if (mode, name) not in self._made:
            self._build_payload(mode, [name])
        return self._made[mode, name]

    def _build_payload(self, mode: str, names: list[str], *, even_if_none: bool = False) -> None:
        """Decode payload columns together; what the plan does not know is null (no row was looked at)."""
        types = {field.name: field.type for field in self.plan.schema_fields(mode)}
        missing = [name for name in names if (mode, name) not in self._made]
        for name in missing:
            if name not in types:
                self._made[mode, name] = pa.nulls(self.chunk.count)
        wanted = [name for name in missing if name in types]
        if not wanted and not even_if_none:
            return
        assert self.decoded is not None
        data, offsets = self.decoded.data, self.decoded.offsets
        arrays, decodable = self.plan.arrays(data, offsets, self._present, mode, wanted, self._fields)
        self._made |= {(mode, name): array for name, array in arrays.items()}
        if self._decodable is None:
            self._decodable = decodable
