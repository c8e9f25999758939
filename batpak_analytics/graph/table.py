"""`CausalTable`: what the lazy tables of the causal graph have in common."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from importlib import import_module
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from batpak_analytics.arrow.card import card
from batpak_analytics.arrow.criteria import parse_criteria
from batpak_analytics.arrow.filters import parse_filters
from batpak_analytics.arrow.memory import available_bytes, estimate_bytes, refuse_if_too_large
from batpak_analytics.arrow.options import check_batch_size, check_frame_options, check_limit
from batpak_analytics.arrow.scan import PREVIEW_ROWS, Scan
from batpak_analytics.arrow.schema import Tier
from batpak_analytics.arrow.selection import select
from batpak_analytics.arrow.stream import BATCH_SIZE, ArrowStream
from batpak_analytics.errors import UnknownColumnError
from batpak_analytics.graph.explain import GraphPlan
from batpak_analytics.graph.links import Links, Places, links_of


class CausalTable(ArrowStream):
    """A lazy table over the causal graph of a view: nothing is computed before it is asked for.

    The filters are those of `Reader.events`, with `system=True` as the default, and choose rows: causes, effects and
    measures are looked up among all visible events, so that a filter makes no cause dangling and no tree smaller. Only
    `as_of` moves the whole store back: what came later is neither a row nor a cause nor counted.

    It is an Arrow stream (`__arrow_c_stream__`), which Polars, DuckDB and pandas take as it is.
    """

    SCHEMA: ClassVar[Any]
    TIMED: ClassVar[frozenset[str]] = frozenset()
    """Columns that need the timestamps in the frames; without them only the index is read."""

    def __init__(
        self,
        view: Any,
        *,
        columns: Iterable[str] | None = None,
        filters: Any = None,
        entity: Any = None,
        scope: Any = None,
        kind: Any = None,
        lane: Any = None,
        since: Any = None,
        until: Any = None,
        as_of: Any = None,
        system: bool = True,
        ids: str = "hex",
        kind_names: Mapping[int, str] | None = None,
        dtype_backend: str | None = None,
        limit: int | None = None,
    ) -> None:
        """Check the options, and that the columns exist; what is wrong raises here."""
        self.view = view
        self.ids, self.kind_names, self.dtype_backend = ids, kind_names, dtype_backend
        check_frame_options(ids, kind_names, dtype_backend)
        self._limit = check_limit(limit)
        self._as_of = as_of
        self._named = dict(entity=entity, scope=scope, kind=kind, lane=lane, since=since, until=until)
        self._named |= {"as_of": as_of, "system": system}
        self._criteria = parse_criteria(view, self._named)
        self._given, self._filters = filters, parse_filters(filters)
        self._names = self._checked(columns)
        self._known: Places | None = None

    def _checked(self, columns: Iterable[str] | None) -> tuple[str, ...]:
        if columns is None or isinstance(columns, str):
            if columns not in (None, "all"):
                raise ValueError(f'columns={columns!r}: give a list of names, "all", or None for all of them.')
            return tuple(self.SCHEMA.names)
        names = tuple(columns)
        for name in names:
            if name not in self.SCHEMA.names:
                raise UnknownColumnError.for_name(str(name), self.SCHEMA.names)
            if names.count(name) > 1:
                raise ValueError(f"columns= names {name!r} twice. Name each column once.")
        return names

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return list(self._names)

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema."""
        return pa.schema([self.SCHEMA.field(name) for name in self._names])

    @property
    def links(self) -> Links:
        """The graph: of the whole view, or as of what `as_of` says."""
        return links_of(self.view, self._as_of)

    def _places(self) -> Places:
        """The places of the events that the filters choose."""
        links = self.links
        if self._filters is None or self._filters.tier == Tier.INDEX:
            return links.places_of(select(self.view, self._criteria, self._filters).masks)
        # Frames decide: a scan says which, by where they are.
        where = ["segment_id", "offset"]
        found = Scan(self.view, columns=where, payload=None, filters=self._given, **self._named).to_arrow()
        segments, offsets = (found[name].to_numpy() for name in where)
        return links.places_of([_at(stretch, segments, offsets) for stretch in self.view.stretches])

    def _all_rows(self) -> Places:
        """What the rows are numbered by, before the limit."""
        raise NotImplementedError

    def _arrays(self, names: tuple[str, ...], rows: Places) -> Mapping[str, Any]:
        """At least the named columns of these rows, as Arrow arrays."""
        raise NotImplementedError

    @property
    def rows(self) -> Places:
        """What the rows are about: places of events, or numbers of correlations."""
        if self._known is None:
            self._known = self._all_rows()[: self._limit]
        return self._known

    def count(self) -> int:
        """How many rows there are. Reads the index; frames only where `filters=` asks for them."""
        return len(self.rows)

    def to_arrow(self) -> pa.Table:
        """All rows as one `pyarrow.Table`. `ResultTooLargeError` is raised before what clearly would not fit."""
        return self._table(self.rows, pandas=False)

    def _table(self, rows: Places, *, pandas: bool) -> pa.Table:
        needed = estimate_bytes(self.schema, len(rows), 0, pandas=pandas)
        refuse_if_too_large(needed, available_bytes(), f"a causal table of {len(rows):,} rows of {self.path}")
        arrays = self._arrays(self._names, rows)
        return pa.Table.from_arrays([arrays[name] for name in self._names], schema=self.schema)

    def to_pandas(self, dtype_backend: str | None = None) -> Any:
        """All rows as a `pandas.DataFrame` with the dtypes of `read_batpak`; `df.attrs["batpak"]` as there."""
        # The one door upwards: DataFrames belong to the layer above, which builds on this one.
        frames = import_module("batpak_analytics.frames.pandas")
        backend = self.dtype_backend if dtype_backend is None else dtype_backend
        check_frame_options(self.ids, self.kind_names, backend)
        return frames.scan_to_frame(self, self._table(self.rows, pandas=True), backend)

    def to_batches(self, batch_size: int = BATCH_SIZE) -> Generator[pa.RecordBatch, None, None]:
        """The rows as record batches of at most `batch_size` rows, cut from `to_arrow()`: a graph is known whole."""
        check_batch_size(batch_size)
        return self._stream(batch_size)

    def _stream(self, batch_size: int) -> Generator[pa.RecordBatch, None, None]:
        yield from self.to_arrow().to_batches(max_chunksize=batch_size)

    def explain(self) -> GraphPlan:
        """What the graph is like and what this table reads. Print it. Computes the graph, reads no frame."""
        timed = sorted(self.TIMED.intersection(self._names))
        return GraphPlan.of(self.links, type(self).__name__, tuple(self._names), self.count(), tuple(timed))

    def __repr__(self) -> str:
        rows = "" if self._known is None else f"{len(self._known):,} rows, "
        return f"{type(self).__name__}({self.path!r}, {rows}columns: {', '.join(self._names)})"

    def _repr_html_(self) -> str:
        """A card with the first rows."""
        preview = self._table(self.rows[:PREVIEW_ROWS], pandas=False)
        return card(type(self).__name__, self.path, f"{self.count():,} rows", next(iter(preview.to_batches()), None))


def _at(stretch: Any, segments: Any, offsets: Any) -> Any:
    """Which rows of a stretch stand at one of these places: ids of segments, and offsets in their files."""
    every, (low, high) = slice(None), stretch.id_range
    inside = (segments >= low) & (segments <= high)
    # Of several segments the files are small: their numbers and offsets fit into one word.
    wanted = ((segments[inside] - low) << 32) + offsets[inside]
    return np.isin(((stretch.segment_ids(every) - low) << 32) + stretch.offsets(every), wanted)
