"""A whole result in one pass: read each chunk by the types it shows itself, then make the chunks agree.

Payload types follow from all selected rows, so a stream has to look at every payload before its first batch. What is
to be held as a whole need not: nearly always each chunk alone shows the types of all of them. A chunk that does
not is converted where that is exact, and read again where it is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa

from batpak_analytics.arrow.chunks import Chunk
from batpak_analytics.arrow.decode import FrameFindings
from batpak_analytics.arrow.payload import PayloadInference, PayloadPlan
from batpak_analytics.arrow.payload_arrays import Node
from batpak_analytics.arrow.planning import look_at
from batpak_analytics.arrow.reading import BatchBuilder, Guessed, batch_of
from batpak_analytics.engine.parallel import in_order

_EXACT = {("int", "float"), ("uint", "float"), ("int", "uint")}
"""Conversions that keep every value, because inference chooses the second kind only where they do."""


class EagerRead:
    """Reads chunks with `guess`, learns the plan of all rows, and gives batches of one schema."""

    def __init__(self, builder: BatchBuilder) -> None:
        self._builder = builder
        self._inference = PayloadInference()
        self._chunks: list[tuple[Chunk, Guessed]] = []

    def read(self, chunks: Iterable[Chunk], step: Callable[[int], None], grown: Callable[[int], None]) -> PayloadPlan:
        """Read everything; `step` hears of rows done, `grown` of bytes held. Gives the plan of all rows."""
        findings = FrameFindings(self._builder.view)
        size = 0
        for chunk, guessed in in_order(lambda chunk: (chunk, self._builder.guess(chunk)), chunks):
            findings.take(guessed.findings)
            if not self._inference.merge(guessed.inference):
                assert self._builder.decoder is not None
                look_at(self._builder.decoder, chunk, self._inference)
            self._chunks.append((chunk, guessed))
            size += sum(array.nbytes for array in guessed.columns.values())
            grown(size)
            step(chunk.count)
        return self._inference.finish()

    def batches(self, builder: BatchBuilder) -> list[pa.RecordBatch]:
        """All chunks by the schema and plan of `builder`; the chunks are let go one by one."""
        self._chunks.reverse()
        made = []
        while self._chunks:
            chunk, guessed = self._chunks.pop()
            batch = _fitted(guessed, builder.schema, builder.plan)
            made.append(builder.build(chunk).batch if batch is None else batch)
        return made


def _fitted(guessed: Guessed, schema: pa.Schema, plan: PayloadPlan) -> pa.RecordBatch | None:
    """The chunk as a batch of `schema`, or None where it has to be read again."""
    if plan.rest or plan.renamed or guessed.plan.renamed:
        return None  # columns of one name might not be of one field
    own, nodes = guessed.plan.nodes, plan.nodes
    arrays = []
    for field in schema:
        array = guessed.columns.get(field.name)
        if field.name in nodes:
            array = _fit(array, own.get(field.name), nodes[field.name], guessed.count)
        elif array is None and pa.types.is_null(field.type):
            array = pa.nulls(guessed.count)  # a field that no row has
        if array is None:
            return None
        arrays.append(array)
    return batch_of(arrays, schema, guessed.count)


def _fit(array: Any, own: Node | None, wanted: Node, count: int) -> Any:
    """A payload column as the plan of all rows wants it; None where it has to be read again."""
    if array is None or own is None or own.kind == "null":
        return pa.nulls(count, wanted.type)
    if own == wanted:
        return array
    return array.cast(wanted.type, safe=False) if (own.kind, wanted.kind) in _EXACT else None
