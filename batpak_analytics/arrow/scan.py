"""`Scan`: a chosen set of events and columns of one view, read when asked for, as Arrow batches or a
DataFrame.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from functools import cached_property
from importlib import import_module
from typing import Any

import pyarrow as pa

from batpak_analytics.arrow.card import card
from batpak_analytics.arrow.chunks import Chunk, chunks
from batpak_analytics.arrow.columns import LabelSpace
from batpak_analytics.arrow.criteria import parse_criteria
from batpak_analytics.arrow.decode import FrameFindings
from batpak_analytics.arrow.eager import EagerRead
from batpak_analytics.arrow.explain import Explanation, SegmentPlan
from batpak_analytics.arrow.filters import RowFilter, parse_filters
from batpak_analytics.arrow.memory import available_bytes, estimate_bytes, refuse_if_too_large
from batpak_analytics.arrow.options import (
    Progress,
    check_batch_size,
    check_frame_options,
    check_limit,
    check_progress,
    steps,
)
from batpak_analytics.arrow.payload import PayloadPlan
from batpak_analytics.arrow.planning import known_plan, payload_plan, remember_plan
from batpak_analytics.arrow.reading import BatchBuilder, Built, needs_of
from batpak_analytics.arrow.schema import (
    FIELD_PREFIX,
    Projection,
    Tier,
    base_names,
    resolve_columns,
    tier_of,
    unknown_column,
)
from batpak_analytics.arrow.selection import Selection, select
from batpak_analytics.arrow.stream import BATCH_SIZE, ArrowStream
from batpak_analytics.arrow.windows import release_pages
from batpak_analytics.engine.parallel import in_order
from batpak_analytics.errors import UnknownColumnError
from batpak_analytics.format.layout import FOOTER_ENTRY_SIZE

PREVIEW_ROWS = 10
HINT_ROWS = 1_000


class Scan(ArrowStream):
    """Selected events of a store, in commit order, as Arrow record batches or a DataFrame.

    Made by `scan_batpak(...)` and `reader.events(...)`, which describe the options. Nothing is read before
    it is asked for, every method may be called any number of times, and all give the same rows: the view is
    fixed. It implements the Arrow PyCapsule interface, so Polars, DuckDB and pandas take it as it is.

    >>> import batpak_analytics as bp
    >>> scan = bp.scan_batpak(bp.demo_store(), columns=["entity", "payload"], limit=2)
    >>> scan.to_arrow().num_rows
    2
    """

    def __init__(
        self,
        view: Any,
        *,
        columns: str | Iterable[str] | None = None,
        filters: Any = None,
        entity: Any = None,
        scope: Any = None,
        kind: Any = None,
        lane: Any = None,
        since: Any = None,
        until: Any = None,
        as_of: Any = None,
        payload: str | None = "columns",
        payload_schema: Any = None,
        system: bool = False,
        ids: str = "hex",
        kind_names: Mapping[int, str] | None = None,
        dtype_backend: str | None = None,
        limit: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Check the options; `UnknownColumnError`, `ValueError` and `TypeError` come from here, before any
        read.
        """
        self.view = view
        self.ids, self.kind_names, self.dtype_backend = ids, kind_names, dtype_backend
        check_frame_options(ids, kind_names, dtype_backend)
        self._limit = check_limit(limit)
        self._progress = check_progress(progress)
        self._lock = threading.RLock()
        self._given = PayloadPlan() if payload_schema is None else PayloadPlan.from_schema(payload_schema)
        self._has_schema = payload_schema is not None
        self._misfits: dict[str, int] = {}  # of the last pass, by column
        self._filters = parse_filters(filters)
        self._criteria = parse_criteria(
            view,
            {"entity": entity, "scope": scope, "kind": kind, "lane": lane, "since": since, "until": until}
            | {"as_of": as_of, "system": system},
        )
        self._projection = self._resolve(columns, payload)

    def _resolve(self, columns: Any, mode: str | None) -> Projection:
        listed = columns if columns is None or isinstance(columns, str) else list(columns)
        try:
            return resolve_columns(listed, mode)
        except UnknownColumnError as error:
            if error.suggestions:
                raise
            unknown = str(error.actual)
            # A bare field name is the likeliest mistake: look at some payloads for it.
            plan = payload_plan(self.view, self._selection, HINT_ROWS, self._key(HINT_ROWS))
            fields = [field.name for field in plan.schema_fields("columns")]
            raise unknown_column(unknown, [*base_names(), *fields]) from None

    @cached_property
    def _selection(self) -> Selection:
        return select(self.view, self._criteria, self._filters)

    def _key(self, limit: int | None) -> tuple[Any, ...]:
        """What names the selected rows, for the view's cache."""
        filters = self._filters
        decided_by_index = filters is not None and filters.index_part() is not None
        return (self._criteria, filters.key if filters is not None and decided_by_index else None, limit)

    @property
    def _decided(self) -> bool:
        """Whether the index alone decides which rows come out."""
        return self._filters is None or self._filters.tier == Tier.INDEX

    @property
    def _early_limit(self) -> int | None:
        """The limit where it can cut rows before they are decoded."""
        return self._limit if self._decided else None

    @cached_property
    def _plan(self) -> PayloadPlan:
        """The payload columns: given, or found by a pass over the selected rows, or none where none is
        needed.
        """
        filtered = self._filters is not None and self._filters.tier == Tier.PAYLOAD
        if self._has_schema or not (self._projection.needs_plan or filtered):
            return self._given
        if self._projection.mode == "json" and not self._projection.fields and not filtered:
            return self._given
        look, close = getattr(self._progress, "look", None), getattr(self._progress, "close", None)
        with self._lock, steps(look, self._most_rows, close) as step:
            key = self._plan_key
            return payload_plan(self.view, self._selection, key[-1], key, step)

    @cached_property
    def _rest(self) -> RowFilter | None:
        """What of `filters=` is left to check on decoded rows."""
        if self._filters is None or self._decided or not self._selection.count:
            return None
        return self._filters.rest({field.name: field.type for field in self._plan.schema_fields("columns")})

    @cached_property
    def schema(self) -> pa.Schema:
        """The Arrow schema of every batch. Payload columns cost one pass over the selected payloads, once
        per view.
        """
        return self._schema(self._plan)

    def _schema(self, plan: PayloadPlan) -> pa.Schema:
        projection = self._projection
        typed = {field.name: field for field in plan.schema_fields("columns")}
        for name in projection.fields:
            if name not in typed and (self._has_schema or self._selection.count):
                raise unknown_column(name, [*base_names(), *typed])
            typed.setdefault(name, pa.field(name, pa.null()))
        return projection.schema(self._payload_fields(plan), typed)

    def _payload_fields(self, plan: PayloadPlan) -> list[pa.Field]:
        mode = self._projection.mode
        if mode is None:
            return []
        if mode == "frame":
            return [pa.field("payload", pa.binary_view())]
        return list(plan.schema_fields(mode))

    @cached_property
    def _labels(self) -> LabelSpace:
        return LabelSpace(self.view, self._selection.masks, self._selection.counts)

    @cached_property
    def _builder(self) -> BatchBuilder:
        return BatchBuilder(self.view, self._projection, self.schema, self._labels, self._plan, self._rest)

    @property
    def _most_rows(self) -> int:
        """How many rows can come out at most."""
        count = self._selection.count
        return count if self._limit is None else min(count, self._limit)

    def to_batches(self, batch_size: int = BATCH_SIZE) -> Generator[pa.RecordBatch, None, None]:
        """The rows as record batches of at most `batch_size` rows, in commit order.

        Memory stays bounded: batches of large events have fewer rows. Everything that can expire is opened
        before the first batch: `ViewExpiredError` comes then or not at all. With `progress=`, rows are
        reported as they are read.
        """
        return self._stream(check_batch_size(batch_size))

    def _stream(self, batch_size: int) -> Generator[pa.RecordBatch, None, None]:
        # A raw frame is a view of its page: that has to stay.
        release = self._builder.needs is not None and self._projection.mode != "frame"
        with closing(self._batches(self._builder, batch_size, release=release)) as batches:
            for built in batches:
                yield built.batch

    def _batches(self, builder: BatchBuilder, batch_size: int, *, release: bool) -> Generator[Built, None, None]:
        """Batches with rows, built by threads, in commit order; `release` gives pages that were read back at once."""
        left, findings = self._limit, FrameFindings(self.view)
        total = self._most_rows if self._decided else self._selection.count
        close = getattr(self._progress, "close", None)
        # Where a late filter decides how far the limit reaches, nothing is read ahead of it.
        threads = 1 if self._limit is not None and not self._decided else None

        counting = builder.anew()
        if builder is self.__dict__.get("_builder"):
            self._misfits = counting.plan.misfits

        def build(chunk: Chunk) -> tuple[Chunk, Built]:
            return chunk, counting.build(chunk, left)

        with self.view.pinned(), steps(self._progress, total, close) as step:
            for chunk, built in in_order(build, self._chunks(builder, batch_size), threads):
                findings.take(built.findings)
                left = None if left is None else left - built.count
                step(chunk.count)
                if release:
                    release_pages(self.view, chunk)
                if built.count:
                    yield built
                if left == 0:
                    return

    def _chunks(self, builder: BatchBuilder, batch_size: int) -> Iterator[Chunk]:
        frames = builder.needs is not None
        return chunks(self.view, self._selection, batch_size, frames=frames, limit=self._early_limit)

    def to_arrow(self) -> pa.Table:
        """All rows as one `pyarrow.Table`.

        Raises `ResultTooLargeError`, from an estimate, before it reads what clearly would not fit in memory.
        """
        return self._materialise(pandas=False)

    def to_pandas(self, dtype_backend: str | None = None) -> Any:
        """All rows as a `pandas.DataFrame`, in commit order, with a RangeIndex.

        dtypes, by default: ids and hashes str (`ids="bytes"`: bytes, `"uuid"`: `uuid.UUID`), entity, scope
        and the other dictionaries category, times `datetime64[ms or us, UTC]`, integers the unsigned dtype
        of their width and, where values are missing, `Int64`, `UInt64` and the like (never float), maps
        dict. `dtype_backend="numpy_nullable"` or `"pyarrow"` chooses as in pandas. `df.attrs["batpak"]`
        holds the path, the row count and counts of findings.

        Raises `ResultTooLargeError` before it reads what clearly would not fit in memory.
        """
        # The one door upwards: DataFrames belong to the layer above, which builds on this one.
        frames = import_module("batpak_analytics.frames.pandas")
        backend = self.dtype_backend if dtype_backend is None else dtype_backend
        check_frame_options(self.ids, self.kind_names, backend)
        return frames.scan_to_frame(self, self._materialise(pandas=True), backend)

    def _materialise(self, *, pandas: bool) -> pa.Table:
        available = available_bytes()
        what = f"reading {self._most_rows:,} events of {self.path}"
        if self._decided:
            share = self._most_rows / max(self._selection.count, 1)
            frame_bytes = int(self._selection.frame_bytes(self.view) * share)
            # Payload columns that are not known yet count as the bytes they are decoded from.
            schema = self._projection.guessed_schema() if self._can_guess else self.schema
            refuse_if_too_large(estimate_bytes(schema, self._most_rows, frame_bytes, pandas=pandas), available, what)
        if self._can_guess:
            batches = self._read_guessing(lambda size: refuse_if_too_large(size, available, what))
        else:
            batches, size = [], 0
            for built in self._batches(self._builder, BATCH_SIZE, release=False):
                batches.append(built.batch)
                size += 0 if self._projection.mode == "frame" else built.batch.nbytes
                refuse_if_too_large(size, available, what)
        table = pa.Table.from_batches(batches, self.schema)
        return table.unify_dictionaries()

    @property
    def _plan_key(self) -> tuple[Any, ...]:
        """What names the rows that the payload types follow from."""
        limit = self._early_limit
        return self._key(limit if limit is not None and limit < self._selection.count else None)

    @property
    def _can_guess(self) -> bool:
        """Whether to read before the payload types are known: they are wanted, unknown, and no filter needs them."""
        projection = self._projection
        typed = projection.mode == "columns" if projection.wants_payload else bool(projection.fields)
        if not typed or self._has_schema or not self._decided or "_plan" in self.__dict__:
            return False
        return known_plan(self.view, self._plan_key) is None

    def _read_guessing(self, grown: Callable[[int], None]) -> list[pa.RecordBatch]:
        """All batches in one pass, and the plan as a by-product."""
        reading = EagerRead(BatchBuilder(self.view, self._projection, None, self._labels, self._given, None))
        close = getattr(self._progress, "close", None)
        with self.view.pinned(), steps(self._progress, self._most_rows, close) as step:
            chunked = chunks(self.view, self._selection, BATCH_SIZE, frames=True, limit=self._early_limit)
            plan = reading.read(chunked, step, grown)
            remember_plan(self.view, self._plan_key, plan)
            return reading.batches(self._builder)

    def count(self) -> int:
        """How many rows come out.

        Costs no frame read unless `filters=` asks for frame or payload columns.
        """
        if self._decided:
            return self._most_rows
        nothing = Projection((), None)
        builder = BatchBuilder(self.view, nothing, pa.schema([]), self._labels, self._plan, self._rest)
        return sum(built.count for built in self._batches(builder, BATCH_SIZE, release=False))

    def explain(self) -> Explanation:
        """What this scan reads and what it leaves out, segment by segment, and every choice of a payload
        type.

        Print it. Costs what `schema` costs.
        """
        schema, view = self.schema, self.view.by_segment
        selection = self._selection if view is self.view else select(view, self._criteria, self._filters)
        later = () if self._rest is None else self._rest.names
        tiers = self._projection.tiers | {tier_of(name) for name in later} | {Tier.INDEX}
        frames = needs_of(self._projection, self._rest) is not None
        segments = tuple(
            SegmentPlan(segment.segment_id, segment.name, len(segment.rows), count, reason)
            for segment, count, reason in zip(view.stretches, selection.counts, selection.reasons, strict=True)
        )
        events = sum(segment.events for segment in segments if segment.reason is None)
        share = self._most_rows / max(selection.count, 1) if self._decided else 1
        return Explanation(
            path=self.path,
            columns=tuple(schema.names),
            tiers=tuple(sorted(tiers)),
            segments=segments,
            rows=selection.count,
            limit=self._limit,
            filters=None if self._filters is None else str(self._filters),
            filtered_later=tuple(later),
            index_bytes=events * FOOTER_ENTRY_SIZE,
            frame_bytes=int(selection.frame_bytes(view) * share) if frames else 0,
            payload_notes=self._payload_notes(),
            findings=findings_by_severity(self.view),
        )

    def _payload_notes(self) -> tuple[str, ...]:
        misfits = (f"{name}: {count} values did not fit the type and are null" for name, count in self._misfits.items())
        return tuple(note for note in (*self._plan.notes, *misfits) if self._is_read(note))

    def _is_read(self, note: str) -> bool:
        """Whether the note is of a column that is shown or filtered by, and not of a payload field beside those."""
        if self._projection.wants_payload or not note.startswith(FIELD_PREFIX):
            return True
        later = () if self._rest is None else self._rest.names
        names = (name for name in (*self._projection.fields, *later) if note.startswith(name))
        return any(note[len(name)] in ":.[" for name in names)

    def __repr__(self) -> str:
        names = ", ".join(self._projection.names)
        return f"Scan({self.path!r}, {self._selection.count:,} events selected, columns: {names})"

    def _repr_html_(self) -> str:
        """A card with the first rows; reads only those."""
        told = f"{self._selection.count:,} events selected"
        return card("Scan", self.path, told, next(self._preview().to_batches(), None))

    def _preview(self) -> Scan:
        """The same scan of at most `PREVIEW_ROWS` rows."""
        scan = Scan.__new__(Scan)
        kept = {k: v for k, v in self.__dict__.items() if k not in ("_plan", "_rest", "schema", "_builder")}
        scan.__dict__.update(kept)
        limit = PREVIEW_ROWS if self._limit is None else min(self._limit, PREVIEW_ROWS)
        scan._limit, scan._progress = limit, None
        return scan


def findings_by_severity(view: Any) -> dict[str, int]:
    """How many findings of each severity the view has so far."""
    counted = Counter(finding.severity for finding in view.findings)
    return {severity: counted[severity] for severity in ("error", "warning", "info")}
