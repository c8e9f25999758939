"""The events of a replay: read once from the store in bulk, and kept as columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from batpak_analytics import kernels
from batpak_analytics.arrow.criteria import resolve_as_of
from batpak_analytics.arrow.scan import Scan
from batpak_analytics.arrow.schema import ID_COLUMNS
from batpak_analytics.engine import ids
from batpak_analytics.engine.point_read import read_event
from batpak_analytics.errors import (
    CorruptFrameError,
    FormatError,
    PayloadEncryptedError,
    PayloadUndecodableError,
)
from batpak_analytics.format.json_text import payload_to_json_value
from batpak_analytics.payloads.decoding import instance
from batpak_analytics.projection.batches import settled_at
from batpak_analytics.projection.protocol import Fold

PLAIN, ENCRYPTED, DAMAGED = range(3)
"""Why a payload has no value, as `EventColumns.trouble` has it; what cannot be decoded is found when it is asked."""
INDEX = ("global_sequence", "event_id", "correlation_id", "causation_id", "entity", "scope", "kind", "wall_time")
COLUMNS = (*INDEX, "lane", "depth", "clock", "timestamp", "payload_version", "disposition", "payload")


@dataclass(frozen=True, slots=True, eq=False)
class Selected:
    """Which events of a view are folded: by a scan, and among its rows by `keep`.

    `entity` is matched exactly. Events whose payload was shredded are left out. `last` is the sequence number at which
    the past ends, None for the view's own end.
    """

    view: Any
    options: dict[str, Any]
    entity: str | None
    last: int | None

    @classmethod
    def of(cls, view: Any, projection: Any, entity: Any, filters: Any, as_of: Any, system: bool) -> Selected:
        """From a `Fold` or `Vectorised` and the arguments of `replay`; raises where they make no sense."""
        if entity is not None and not isinstance(entity, str):
            raise TypeError(f"entity={entity!r}: give one entity as a str, or None for all.")
        if None not in (entity, projection.entity) and entity != projection.entity:
            raise ValueError(f"entity={entity!r}, and the projection is about {projection.entity!r}. Give one of them.")
        name = projection.entity if entity is None else entity
        last = resolve_as_of(view, as_of)
        if last is not None and last >= 0:
            last = settled_at(view, last)
        kinds = None if projection.kinds is None else sorted(projection.kinds)
        # What names its entity or its kinds means the store's own events too, as in 0.9.0.
        named = name is not None or kinds is not None
        options = {"entity": name, "kind": kinds, "filters": filters, "system": system or named}
        options |= {"limit": 0} if last == -1 else {"as_of": last}
        return cls(view, options, name, last)

    def scan(self, **form: Any) -> Scan:
        """The events, and among them some to leave out, in other columns."""
        return Scan(self.view, **self.options, **form)

    def keep(self, table: Any) -> Any:
        """Which rows of a table or batch with `entity` and `disposition` are folded; None for all."""
        kept = _is(table["disposition"], "shredded", wanted=False)
        if self.entity is not None:
            kept = pc.and_(kept, _is(table["entity"], self.entity, wanted=True))
        return None if pc.all(kept).as_py() is not False else kept


def _is(column: Any, text: str, *, wanted: bool) -> Any:
    compare = pc.equal if wanted else pc.not_equal
    return compare(column.cast(pa.string()), text)


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """The events of a replay, in commit order, and how many were left out because their payload was shredded."""

    columns: Any
    shredded: int

    def __len__(self) -> int:
        return len(self.columns)


def read_events(selected: Selected, fold: Fold[Any]) -> Events:
    """Read all of them at once; a scan's cost, and about 110 bytes an event beside its payload."""
    table = selected.scan(columns=list(COLUMNS), payload="binary").to_arrow()
    kept = selected.keep(table)
    shredded = 0
    if kept is not None:
        shredded = pc.sum(_is(table["disposition"], "shredded", wanted=True)).as_py() or 0
        table = table.filter(kept)
    columns: Any = kernels.EventColumns(
        **_numbers(table),
        **_names(table),
        **_payloads(table),
        typed=_typed(fold),
        fields=fold.reads,
        refuse=lambda row, error: _refusal(selected.view, columns, row, error),
        whole=lambda row: _whole(selected.view, columns.row(row).event_id),
    )
    return Events(columns, shredded)


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """What tells of each event when its states are columns; arrays as in `EventColumns`."""

    sequence: Any
    event_id: Any
    entity: Any
    entities: list[str]
    kind: Any
    wall_ms: Any


def read_columns(selected: Selected, names: Sequence[str]) -> tuple[Any, Moments, int]:
    """Some columns of all events, what tells of each, and how many were left out."""
    own = ("global_sequence", "event_id", "entity", "kind", "wall_time", "disposition")
    table = selected.scan(columns=[*own, *(name for name in names if name not in own)]).to_arrow()
    kept = selected.keep(table)
    shredded = 0
    if kept is not None:
        shredded = pc.sum(_is(table["disposition"], "shredded", wanted=True)).as_py() or 0
        table = table.filter(kept)
    found = _names(table, (("entity", "entities"),))
    moments = Moments(
        _array(table, "global_sequence", np.uint64), _fixed(table["event_id"]), found["entity"], found["entities"],
        _array(table, "kind", np.uint16), _array(table, "wall_time", np.int64),
    )  # fmt: skip
    return table.select(list(names)), moments, shredded


def _array(table: Any, name: str, dtype: Any) -> Any:
    column = table[name]
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    return np.ascontiguousarray(column.fill_null(0).to_numpy(), dtype)


def _numbers(table: Any) -> dict[str, Any]:
    """The columns of fixed width."""
    found = {name: _fixed(table[name]) for name in ID_COLUMNS}
    caused = np.ascontiguousarray(pc.is_valid(table["causation_id"]).to_numpy(), np.uint8)
    return {
        **found,
        "caused": caused,
        "sequence": _array(table, "global_sequence", np.uint64),
        "kind": _array(table, "kind", np.uint16),
        "wall_ms": _array(table, "wall_time", np.int64),
        "timestamp_us": _array(table, "timestamp", np.int64),
        "payload_version": _array(table, "payload_version", np.uint16),
        **{name: _array(table, name, np.uint32) for name in ("lane", "depth", "clock")},
    }


def _fixed(column: Any) -> Any:
    """Ids as bytes of shape (n, 16); where there is none, any bytes."""
    width = column.type.byte_width
    parts = [np.zeros((0, width), np.uint8)]
    for chunk in column.chunks:
        data = np.frombuffer(chunk.buffers()[1], np.uint8) if len(chunk) else parts[0].reshape(-1)
        parts.append(data[chunk.offset * width : (chunk.offset + len(chunk)) * width].reshape(-1, width))
    return np.concatenate(parts)


def _names(table: Any, wanted: Iterable[tuple[str, str]] = (("entity", "entities"), ("scope", "scopes"))) -> Any:
    """Entities and scopes, as places in lists of names."""
    made: dict[str, Any] = {}
    for name, names in wanted:
        column = table[name].unify_dictionaries()
        codes = [np.asarray(chunk.indices, np.int32) for chunk in column.chunks]
        made[name] = np.concatenate([np.zeros(0, np.int32), *codes])
        made[names] = column.chunk(0).dictionary.to_pylist() if column.num_chunks else []
    return made


def _payloads(table: Any) -> dict[str, Any]:
    """The stored payloads one behind the other, and which of them are no plain bytes to decode."""
    data, sizes = [np.zeros(0, np.uint8)], [np.zeros(1, np.int64)]
    for chunk in table["payload"].chunks:
        offsets = np.frombuffer(chunk.buffers()[1], np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
        if len(chunk) == 0:
            continue
        sizes.append(np.diff(offsets).astype(np.int64))
        if chunk.buffers()[2] is not None:
            data.append(np.frombuffer(chunk.buffers()[2], np.uint8)[offsets[0] : offsets[-1]])
    trouble = np.where(_mask(_is(table["disposition"], "encrypted", wanted=True)), ENCRYPTED, PLAIN)
    trouble[_mask(pc.is_null(table["payload"]))] = DAMAGED
    return {
        "data": np.concatenate(data),
        "bounds": np.cumsum(np.concatenate(sizes)),
        "trouble": np.ascontiguousarray(trouble, np.uint8),
    }


def _mask(column: Any) -> Any:
    return column.to_numpy().astype(bool)


def _typed(fold: Fold[Any]) -> dict[int, Callable[[bytes, int, bytes], Any]]:
    """What makes an instance of the payload of each kind that the projection gave as a class."""

    def made(cls: type) -> Callable[[bytes, int, bytes], Any]:
        known = fold.registry.type_of(cls)
        return lambda packed, stored, event_id: instance(packed, stored, event_id, known, fold.registry)

    return {kind: made(cls) for kind, cls in fold.types.items()}


def _refusal(view: Any, columns: Any, row: int, error: FormatError | None) -> Exception:
    """Why a payload has no value."""
    name = columns.row(row).event_id.hex()
    if error is not None:
        return PayloadUndecodableError(
            f"The payload of event {name} has no JSON value ({error.reason}). Its stored bytes are event.raw.",
            path=view.path,
            offset=error.offset,
        )
    if columns.trouble[row] == ENCRYPTED:
        return PayloadEncryptedError(
            f"The payload of event {name} is encrypted, and no key is held here. Choose kinds or filters without it, "
            f"or do not look at its payload.",
            path=view.path,
        )
    return CorruptFrameError(
        f"The frame of event {name} is damaged, so its payload is not known. findings() names the place; choose "
        f"filters without the event to fold the rest.",
        path=view.path,
    )


def _whole(view: Any, event_id: bytes) -> Any:
    """The event as its frame has it, with the value of its payload where it has one."""
    place = ids.find(view, event_id)
    if place is None:
        raise AssertionError("an event that is folded is in its view")
    try:
        return read_event(place, payload_to_json_value)
    except FormatError:
        return read_event(place)
