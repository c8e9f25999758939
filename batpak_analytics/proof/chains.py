"""`chains()` and `chain_summary()`: every event with its link, and every chain as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from batpak_analytics.arrow.columns import fixed_binary, numbers
from batpak_analytics.arrow.scan import Scan
from batpak_analytics.arrow.schema import HASH, ID, LABEL, WALL_TIME
from batpak_analytics.format.layout import I64_MAX
from batpak_analytics.proof.frames import payloads_ok
from batpak_analytics.proof.links import LINK_NAMES, NO_ROW, Link, Links, find_links
from batpak_analytics.proof.rows import AllRows
from batpak_analytics.proof.table import LazyTable

FROM_SCAN = ("entity", "lane", "clock", "global_sequence", "event_id", "event_hash", "prev_hash")
PLACE = ("segment_id", "offset", "event_id")
CHAINS_SCHEMA = pa.schema(
    [
        ("entity", LABEL),
        ("lane", pa.uint32()),
        ("clock", pa.uint32()),
        ("global_sequence", pa.uint64()),
        ("event_id", ID),
        ("event_hash", HASH),
        ("prev_hash", HASH),
        ("link", LABEL),
        ("parent_id", ID),
        ("payload_ok", pa.bool_()),
    ]
)
SUMMARY_SCHEMA = pa.schema(
    [
        ("entity", LABEL),
        ("lane", pa.uint32()),
        ("length", pa.uint64()),
        ("first_clock", pa.uint32()),
        ("last_clock", pa.uint32()),
        ("first_sequence", pa.uint64()),
        ("last_sequence", pa.uint64()),
        ("first_time", WALL_TIME),
        ("last_time", WALL_TIME),
        ("gaps", pa.uint64()),
        ("missing", pa.uint64()),
        *((name, pa.uint64()) for name in LINK_NAMES),
        ("verdict", LABEL),
    ]
)
VERDICTS = ("whole", "gaps", "broken")
NOT_FOR_CHAINS = ("columns", "payload", "payload_schema", "kind_names")


@dataclass(frozen=True, eq=False)
class ChainIndex:
    """The links of a view with what names their parents; about 40 bytes an event, kept as long as the view."""

    starts: Any
    links: Links
    event_id: Any
    positions: dict[int, list[int]]
    shown: Any

    @classmethod
    def of(cls, view: Any) -> ChainIndex:
        """The index of a view, made once."""
        with view.lock:
            found = view.cache.get("chain-index")
            if found is None:
                rows = AllRows.of(view)
                positions: dict[int, list[int]] = {}
                for at, segment in enumerate(view.segments):
                    positions.setdefault(segment.segment_id, []).append(at)
                links = find_links(rows)
                found = cls(rows.starts, links, rows.columns["event_id"], positions, ~rows.excluded)
                view.cache["chain-index"] = found
        index: ChainIndex = found
        return index

    def rows(self, view: Any, batch: pa.RecordBatch) -> Iterator[tuple[int, Any, Any]]:
        """(position of the segment, places in the batch, row numbers there) for each run of one segment."""
        ids = batch.column("segment_id").to_numpy()
        offsets = batch.column("offset").to_numpy()
        edges = [0, *(np.flatnonzero(ids[1:] != ids[:-1]) + 1).tolist(), len(ids)]
        for low, high in pairwise(edges):
            candidates = self.positions[int(ids[low])] if low < high else []
            if len(candidates) == 1:
                (at,) = candidates
                yield at, slice(low, high), np.searchsorted(view.segments[at].rows["offset"], offsets[low:high])
            elif candidates:
                event_ids = fixed_bytes_of(batch.column("event_id").slice(low, high - low))
                yield from self._of_several(view, candidates, low, offsets[low:high], event_ids)

    def _of_several(
        self, view: Any, candidates: list[int], low: int, offsets: Any, event_ids: Any
    ) -> Iterator[tuple[int, Any, Any]]:
        """The same where files share a number, as while a compaction is cut short: ids tell them apart."""
        left = np.ones(len(offsets), bool)
        for at in candidates:
            segment, start = view.segments[at], int(self.starts[at])
            if not len(segment.rows):
                continue
            rows = np.minimum(np.searchsorted(segment.rows["offset"], offsets), len(segment.rows) - 1)
            same = (self.event_id[start + rows] == event_ids).all(axis=1) & (segment.rows["offset"][rows] == offsets)
            mine = np.flatnonzero(left & same & self.shown[start + rows])
            left[mine] = False
            if len(mine):
                yield at, low + mine, rows[mine]


def fixed_bytes_of(column: Any) -> Any:
    """A `fixed_size_binary(16)` column without nulls as an `(n, 16)` array."""
    _, data = column.buffers()
    width = column.type.byte_width
    whole = np.frombuffer(data, np.uint8)
    return whole[column.offset * width : (column.offset + len(column)) * width].reshape(-1, width)


class Chains(LazyTable):
    """The events of a store with their links, in commit order; made by `Reader.chains` and `read_chains`.

    ==================  ========================  ========================================================
    column              Arrow type                meaning
    ==================  ========================  ========================================================
    entity              dictionary<int32,string>  with `lane`, the chain
    lane                uint32
    clock               uint32                    the place in the chain: 0, 1, 2 ...
    global_sequence     uint64                    the place in the store
    event_id            fixed_size_binary[16]
    event_hash          fixed_size_binary[32]     BLAKE3 of the stored payload bytes, and of nothing else
    prev_hash           fixed_size_binary[32]     the parent's `event_hash`; zeros at a root
    link                dictionary<int32,string>  see below
    parent_id           fixed_size_binary[16]     the confirmed parent; null where there is none or it is hidden
    payload_ok          bool                      the payload gives `event_hash`; null where not checked
    ==================  ========================  ========================================================

    `link` is found by the neighbour in (entity, lane, clock) and confirmed by its hash (engine-read.md 19.1):
    `root`: the first of its chain. `linked`: the neighbour has the hash. `parent_hidden`: it has, and a cancelled
    fence hides it. `parent_missing`: the clock before is not there (a compaction may have dropped it). `mismatch`: the
    neighbour has another hash. `forked`: another event has the same clock and the same parent. `ambiguous`: the clock
    before is not there, and another event of the entity has the hash; a search by hash would take that one.

    A link says that the payload before is the one that was there. It covers no kind, time, cause or entity of either
    event: `Reader.verify` with a checkpoint does.

    In pandas: ids and hashes str, `entity` and `link` category, `payload_ok` bool or boolean. Cost: one pass over the
    index rows and a sort, about half a microsecond an event, and 40 bytes an event kept with the view;
    `check_payloads` reads every frame. Raises what `Reader.events` raises; `TypeError` for `columns=` and `payload=`.

    Examples
    --------
    >>> import batpak_analytics as bp
    >>> bp.open_reader(bp.demo_store()).chains(check_payloads=True).to_arrow()["payload_ok"].to_pylist()
    [True, True, True, True, True, True]
    """

    schema = CHAINS_SCHEMA
    title = "Chains"

    def __init__(self, view: Any, *, check_payloads: bool = False, **filters: Any) -> None:
        super().__init__(view, ids=filters.get("ids", "hex"), dtype_backend=filters.get("dtype_backend"))
        self._check = bool(check_payloads)
        self._scan = scan_of(view, "chains", list(dict.fromkeys([*FROM_SCAN, *PLACE])), filters)

    def count(self) -> int:
        """How many rows there are; costs no link."""
        return self._scan.count()

    def _batches(self, batch_size: int) -> Iterator[pa.RecordBatch]:
        index = ChainIndex.of(self.view)
        names = pa.array(LINK_NAMES)
        for batch in self._scan.to_batches(batch_size):
            row = np.empty(batch.num_rows, np.int64)
            ok = np.zeros(batch.num_rows, bool)
            for at, place, rows in index.rows(self.view, batch):
                row[place] = rows + index.starts[at]
                if self._check:
                    ok[place] = _checked(self.view.segments[at], rows)
            link = pa.DictionaryArray.from_arrays(pa.array(index.links.state[row], pa.int32()), names)
            parent = index.links.parent[row]
            known = (parent != NO_ROW) & index.shown[parent]
            made = [
                *(batch.column(name) for name in FROM_SCAN),
                link,
                fixed_binary(index.event_id[parent], known),
                pa.array(ok) if self._check else pa.nulls(batch.num_rows, pa.bool_()),
            ]
            yield pa.RecordBatch.from_arrays(made, schema=self.schema)


def _checked(segment: Any, rows: Any) -> Any:
    """`payloads_ok` for row numbers in any order."""
    order = np.argsort(rows, kind="stable")
    found = np.empty(len(rows), bool)
    found[order] = payloads_ok(segment, rows[order])
    return found


class ChainSummary(LazyTable):
    """One row for each (entity, lane), by first appearance of the entity; made by `Reader.chain_summary`.

    ==================  ========================  ========================================================
    column              Arrow type                meaning
    ==================  ========================  ========================================================
    entity              dictionary<int32,string>
    lane                uint32
    length              uint64                    events that are shown and pass the filters
    first_clock         uint32                    the lowest clock among them
    last_clock          uint32                    and the highest
    first_sequence      uint64
    last_sequence       uint64
    first_time          timestamp[ms, tz=UTC]     `wall_time`
    last_time           timestamp[ms, tz=UTC]
    gaps                uint64                    places where clocks are missing
    missing             uint64                    clocks that are missing; hidden events are not
    root                uint64                    events with this link, and so on
    linked              uint64
    parent_hidden       uint64
    parent_missing      uint64
    mismatch            uint64
    forked              uint64
    ambiguous           uint64
    verdict             dictionary<int32,string>  `whole`, `gaps` or `broken`
    ==================  ========================  ========================================================

    `verdict` speaks of links alone: `broken` where one does not match or forks, `gaps` where a parent is not there.
    `whole` does not mean true: events cut off the end of a chain leave no trace in it, and nothing but payloads is
    covered. Costs what `chains()` costs.

    Examples
    --------
    >>> import batpak_analytics as bp
    >>> summary = bp.open_reader(bp.demo_store()).chain_summary().to_pandas()
    >>> summary[["entity", "length", "verdict"]].values.tolist()[0]
    ['batpak:store', 2, 'whole']
    """

    schema = SUMMARY_SCHEMA
    title = "ChainSummary"

    def __init__(self, view: Any, **filters: Any) -> None:
        super().__init__(view, ids=filters.get("ids", "hex"), dtype_backend=filters.get("dtype_backend"))
        self._scan = scan_of(view, "chain_summary", list(PLACE), filters)

    def _batches(self, batch_size: int) -> Iterator[pa.RecordBatch]:
        rows, index = AllRows.of(self.view), ChainIndex.of(self.view)
        parts = [np.empty(0, np.int64)]
        for batch in self._scan.to_batches():
            parts += [found + rows.starts[at] for at, _, found in index.rows(self.view, batch)]
        table = _summary(rows, index.links, np.sort(np.concatenate(parts)))
        yield from table.to_batches(batch_size)


def _summary(rows: AllRows, links: Links, chosen: Any) -> pa.Table:
    """The chains of the chosen rows, which are in ascending order, by entity and lane."""
    group, entity_of, lane_of = rows.groups
    size = len(entity_of)
    mine = group[chosen]
    length = np.bincount(mine, minlength=size)
    used = np.flatnonzero(length)
    state = links.state[chosen]
    counts = {
        name: np.bincount(mine[state == link], minlength=size)[used]
        for link, name in zip(Link, LINK_NAMES, strict=True)
    }
    missing = links.missing[chosen]
    extremes = {
        "clock": rows.columns["clock"][chosen].astype(np.uint64),
        "sequence": rows.sequence[chosen],
        "time": np.minimum(rows.columns["wall_ms"][chosen], np.uint64(I64_MAX)),
    }
    found: dict[str, Any] = {"lane": lane_of[used], "length": length[used]}
    order = np.argsort(mine, kind="stable")
    edges = np.concatenate([[0], np.cumsum(length[used])])[:-1].astype(np.int64)
    for name, values in extremes.items():
        grouped = values[order]
        found[f"first_{name}"] = np.minimum.reduceat(grouped, edges) if len(used) else grouped
        found[f"last_{name}"] = np.maximum.reduceat(grouped, edges) if len(used) else grouped
    found["gaps"] = np.bincount(mine[missing > 0], minlength=size)[used]
    found["missing"] = np.bincount(mine, missing, minlength=size)[used] if len(mine) else np.zeros(0)
    verdict = np.where(counts["parent_missing"] + counts["ambiguous"] > 0, 1, 0)
    verdict[counts["mismatch"] + counts["forked"] > 0] = 2
    texts = pa.array(rows.entities, pa.string())
    found["entity"] = pa.DictionaryArray.from_arrays(pa.array(entity_of[used], pa.int32()), texts)
    found["verdict"] = pa.DictionaryArray.from_arrays(pa.array(verdict, pa.int32()), pa.array(VERDICTS))
    return pa.table([_arrow((found | counts)[field.name], field.type) for field in SUMMARY_SCHEMA], SUMMARY_SCHEMA)


def _arrow(values: Any, kind: Any) -> Any:
    if isinstance(values, pa.Array):
        return values
    if pa.types.is_timestamp(kind):
        return numbers(values.astype(np.int64), kind)
    return pa.array(values.astype(kind.to_pandas_dtype()), kind)


def scan_of(view: Any, call: str, columns: list[str], filters: dict[str, Any]) -> Scan:
    """The events that the filters of `Reader.events` choose, with `system=True` where they do not say."""
    unknown = [name for name in NOT_FOR_CHAINS if name in filters]
    if unknown:
        raise TypeError(f"{call}() has its own columns: leave {', '.join(unknown)} out.")
    return Scan(view, **{"system": True, **filters, "columns": columns})
