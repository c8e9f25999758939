"""`read_typed`: the events of one payload type as a DataFrame, all in the type's current version."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from batpak_analytics.arrow.payload import PayloadInference
from batpak_analytics.arrow.schema import PAYLOAD, is_field, resolve_columns
from batpak_analytics.frames.pandas import scan_to_frame
from batpak_analytics.frames.read import Names, Source, scan_batpak, warn_of_damage
from batpak_analytics.payloads.decoding import instance
from batpak_analytics.payloads.default import default_registry
from batpak_analytics.payloads.registry import PayloadRegistry
from batpak_analytics.payloads.shapes import Choice, Maybe, Scalar, Shape
from batpak_analytics.payloads.types import PayloadType

if TYPE_CHECKING:
    import pandas as pd

_NEEDED = ("event_id", "payload_version", "disposition", PAYLOAD)
_WITHOUT_KEY = ("encrypted", "shredded")
_ARROW = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}


def read_typed(
    path: Source,
    payload_type: type,
    *,
    registry: PayloadRegistry | None = None,
    columns: Names | None = None,
    dtype_backend: str | None = None,
    on_damage: str = "report",
    **selection: Any,
) -> pd.DataFrame:
    """The events of one registered payload type, one row an event, older versions lifted to the current one.

    Parameters
    ----------
    path
        As in `read_batpak`.
    payload_type
        A class registered with `event_payload`.
    registry
        Where it is registered, if not in the registry of the process.
    columns
        Columns beside those of the payload: as in `read_batpak`, without fields of the payload.
    dtype_backend, on_damage
        As in `read_batpak`.
    **selection
        Which events: `entity`, `scope`, `lane`, `since`, `until`, `as_of`, `limit`, and `ids`, as in `read_batpak`.

    Returns
    -------
    A DataFrame as `read_batpak` gives it, with exactly the fields of the type as `payload.FIELD`, in their order. A
    field that an event of the current version lacks is missing; the default of the class is not filled in. The payload
    of an encrypted event is missing too.

    Raises
    ------
    TypedDecodeError
        An event does not become an instance of the type, as `Event.decode` has it: nothing is returned then.
        `read_batpak` shows such events as they are.
    PayloadDeclarationError
        The class is not registered.

    Cost: every event is decoded once in Python, which checks it: about three times `read_batpak` for a small dataclass.
    An event of an older version costs its steps and an encode as well, about ten times. Payloads are held in memory.

    Examples
    --------
    >>> import tempfile
    >>> from dataclasses import dataclass
    >>> import batpak_analytics as bp
    >>> @bp.event_payload(category=0x7, type_id=0x003, version=2)
    ... @dataclass
    ... class Length:
    ...     metres: float
    >>> @bp.upcast(Length, from_version=1)
    ... def _(value):
    ...     return {"metres": value["feet"] * 0.3048}
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     with bp.Store.open(directory) as store:
    ...         _ = store.append("pipe:1", "site", 0x7003, {"feet": 10}, payload_version=1)
    ...         _ = store.append_typed("pipe:2", "site", Length(2.5))
    ...     bp.read_typed(directory, Length, columns=["entity"])
       entity  payload.metres
    0  pipe:1           3.048
    1  pipe:2           2.500
    """
    kept = registry or default_registry
    known = kept.type_of(payload_type)
    shown = [name for name in resolve_columns(columns, None).names if name != PAYLOAD]
    for name in shown:
        if is_field(name):
            raise ValueError(f"columns= names {name!r}. Leave it out: all fields of {payload_type.__name__} are given.")
    wanted = [*shown, *(name for name in _NEEDED if name not in shown)]
    scan = scan_batpak(
        path, columns=wanted, kind=known.kind, payload="binary", on_damage=on_damage, **_checked(selection)
    )
    table = scan.to_arrow()
    fields = _fields([_checked_rows(batch, known, kept) for batch in table.to_batches()], known)
    columns_shown = {name: table.column(name) for name in shown}
    frame: pd.DataFrame = scan_to_frame(scan, pa.table(columns_shown | fields), dtype_backend)
    warn_of_damage(scan.view)
    return frame


def _checked(selection: dict[str, Any]) -> dict[str, Any]:
    for name in selection:
        if name not in ("entity", "scope", "lane", "since", "until", "as_of", "limit", "ids", "system"):
            raise TypeError(f"read_typed() takes no {name}=. Filter what it returns, or use read_batpak().")
    return selection


class _Rows(NamedTuple):
    """Payloads of the current version, end to end, and which rows have one."""

    data: bytes
    offsets: Any
    present: Any


def _checked_rows(batch: pa.RecordBatch, known: PayloadType, registry: PayloadRegistry) -> _Rows:
    packed, present = [], []
    for payload in _payloads(batch, known, registry):
        packed.append(payload or b"")
        present.append(payload is not None)
    offsets = np.fromiter(accumulate(map(len, packed), initial=0), np.int64, len(packed) + 1)
    return _Rows(b"".join(packed), offsets, np.array(present, np.uint8))


def _payloads(batch: pa.RecordBatch, known: PayloadType, registry: PayloadRegistry) -> Iterator[bytes | None]:
    there = pc.invert(pc.is_in(batch.column("disposition").cast(pa.string()), pa.array(_WITHOUT_KEY)))
    ids = batch.column("event_id").cast(pa.binary())  # several times faster to take apart than fixed sizes
    columns = (there, ids, batch.column("payload_version"), batch.column(PAYLOAD))
    current = (0, known.version)
    for readable, event_id, version, payload in zip(*(column.to_pylist() for column in columns), strict=True):
        if not readable or version is None or payload is None:
            yield None
            continue
        value = instance(payload, version, event_id, known, registry)
        yield payload if version in current else known.encode(value)


def _fields(batches: list[_Rows], known: PayloadType) -> dict[str, pa.ChunkedArray]:
    """A column for each field of the type, typed by what the events hold, and by the type where they hold nothing."""
    inference = PayloadInference()
    for rows in batches:
        inference.update(rows.data, rows.offsets, rows.present)
    plan = inference.finish()
    types = {field.name: field.type for field in plan.schema_fields("columns")}
    made = {}
    for stored, shape in known.shape.fields.values():
        name = f"{PAYLOAD}.{stored}"
        if name in types and not pa.types.is_null(types[name]):
            parts = [plan.arrays(*rows, "columns", [name])[0][name] for rows in batches]
            made[name] = pa.chunked_array(parts, types[name])
        else:
            made[name] = pa.chunked_array([pa.nulls(sum(len(rows.present) for rows in batches), _empty_type(shape))])
    return made


def _empty_type(shape: Shape) -> pa.DataType:
    match shape:
        case Maybe(inner=inner):
            return _empty_type(inner)
        case Scalar(type=kind):
            return _ARROW[kind]
        case Choice(values=values):
            return _ARROW[type(next(iter(values)))]
    return pa.null()
