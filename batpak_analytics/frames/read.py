"""`read_batpak` and `scan_batpak`: from a path, or an open reader, to a DataFrame or a lazy scan."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from importlib import import_module
from os import PathLike
from typing import TYPE_CHECKING, Any
from uuid import UUID

from batpak_analytics.arrow.filters import Category
from batpak_analytics.arrow.scan import Scan, findings_by_severity
from batpak_analytics.errors import BatpakDamageWarning
from batpak_analytics.frames.progress import Bar

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Source = str | PathLike[str] | Any
Names = str | Iterable[str]
Kinds = int | Category | Iterable[int | Category]


def read_batpak(
    path: Source,
    *,
    columns: Names | None = None,
    filters: Any = None,
    entity: Names | None = None,
    scope: Names | None = None,
    kind: Kinds | None = None,
    lane: int | Iterable[int] | None = None,
    since: datetime | str | None = None,
    until: datetime | str | None = None,
    as_of: int | str | bytes | UUID | datetime | None = None,
    payload: str | None = "columns",
    payload_schema: pa.Schema | Mapping[str, pa.DataType] | None = None,
    system: bool = False,
    ids: str = "hex",
    kind_names: Mapping[int, str] | None = None,
    dtype_backend: str | None = None,
    on_damage: str = "report",
    limit: int | None = None,
    progress: bool | Callable[[int, int], Any] | None = None,
) -> pd.DataFrame:
    """The events of a batpak store as a DataFrame, one row an event, in commit order.

    Takes no lock and writes nothing into the store: it may be read while its application runs.

    Parameters
    ----------
    path
        The store's data directory, or an open `Reader` (whose view and `on_damage` then count).
    columns
        None: `global_sequence`, the ids, `entity`, `scope`, `kind`, `wall_time` and the payload. `"all"`:
        every column. A list: exactly that list, where `payload` stands for whatever `payload=` yields and
        `payload.x` for one field. Without a payload column no payload is read; index columns cost no frame
        read at all. `disposition` looks at every payload, to tell which have a JSON reading.
    filters
        Conditions over any column: `[(column, op, value), ...]` (AND), a list of such lists (OR), or a
        `pyarrow.compute.Expression`; `op` is one of `= == != < <= > >= in not in`. Payload fields are
        `payload.x` in every payload mode. Ids and hashes compare with hex, bytes or `uuid.UUID`, times with
        aware datetimes.
    entity, scope
        One or several. `entity="order"` matches `order` and everything below it, `order:1`; scope matches
        exactly.
    kind
        An int, a list, or `category(n)`.
    lane
        One or several lanes; events hidden on that lane are left out too.
    since, until
        Bounds on `wall_time`, inclusive and exclusive: aware datetimes or Timestamps, or ISO 8601 text with
        its zone (`"2026-03-01T00:00:00Z"`). One without a zone raises.
    as_of
        The store as it was: a sequence number (inclusive), an event id (inclusive), or a datetime, which is
        the last sequence whose running maximum of `wall_time` is not later.
    payload
        `"columns"`: one typed column for each top-level field, `payload.FIELD`, unified over the rows
        selected. `"struct"`: one column of dicts. `"json"`: JSON text. `"binary"`: the stored bytes.
        `"frame"`: the whole frame. None: none.
    payload_schema
        Types by field name, instead of looking at the payloads; what does not fit becomes missing and is
        counted.
    system
        True shows the store's own open and close events.
    ids
        `"hex"` (str), `"bytes"`, or `"uuid"` (for ids; hashes stay hex).
    kind_names
        `{0xF001: "PlayerMoved"}` makes `kind` a category of names; kinds without one read `"0x1002"`.
    dtype_backend
        None, `"numpy_nullable"` or `"pyarrow"`, as in pandas.
    on_damage
        `"report"`: read everything provable and warn once; `"raise"`: raise where the Rust engine would fail.
    limit
        At most this many rows; reading stops there.
    progress
        True for a bar, or a function of (rows done, rows in all).

    Returns
    -------
    A `pandas.DataFrame` with a RangeIndex. `global_sequence` uint64; ids and hashes str; `entity`, `scope`,
    `disposition`, `sequence_source` category; `kind` uint16; `wall_time` datetime64[ms, UTC]; `timestamp`
    datetime64[us, UTC]; `lane`, `depth`, `clock`, `length`, `payload_size` uint32; integers with missing
    values `Int64`, `UInt64` and the like, never float. `df.attrs["batpak"]` has the path, the row count and
    counts of findings.

    Raises
    ------
    StoreNotFoundError, NotAStoreError, StorePermissionError
        There is nothing to read at `path`.
    UnknownColumnError, ValueError, TypeError
        An option does not make sense; the nearest column name is suggested.
    ResultTooLargeError
        The result would clearly not fit in memory; nothing has been read.

    Warns
    -----
    BatpakDamageWarning
        Once, with counts, when part of the store could not be read; `open_reader(path).findings()` lists the
        parts.

    Examples
    --------
    >>> import batpak_analytics as bp
    >>> frame = bp.read_batpak(bp.demo_store(), columns=["entity", "kind", "payload.hp"], limit=2)
    >>> frame.shape
    (2, 3)
    """
    options = _scan_options(dict(locals()))
    with opened(path, on_damage) as reader:
        frame: pd.DataFrame = Scan(reader.view, **options).to_pandas()
        warn_of_damage(reader.view)
    return frame


def scan_batpak(
    path: Source,
    *,
    columns: Names | None = None,
    filters: Any = None,
    entity: Names | None = None,
    scope: Names | None = None,
    kind: Kinds | None = None,
    lane: int | Iterable[int] | None = None,
    since: datetime | str | None = None,
    until: datetime | str | None = None,
    as_of: int | str | bytes | UUID | datetime | None = None,
    payload: str | None = "columns",
    payload_schema: pa.Schema | Mapping[str, pa.DataType] | None = None,
    system: bool = False,
    ids: str = "hex",
    kind_names: Mapping[int, str] | None = None,
    dtype_backend: str | None = None,
    on_damage: str = "report",
    limit: int | None = None,
    progress: bool | Callable[[int, int], Any] | None = None,
) -> Scan:
    """The same selection as `read_batpak`, read only when asked for and batch by batch.

    Every option means what it means there. The `Scan` gives `schema`, `to_batches()`, `to_arrow()`,
    `to_pandas()`, `count()` and `explain()`, and any library that takes Arrow streams (Polars, DuckDB,
    pandas) takes it as it is. In Arrow, ids are `fixed_size_binary(16)`, hashes `fixed_size_binary(32)`,
    entity and scope `dictionary<int32, string>` and `payload="frame"` is a `binary_view` over the mapped
    file. Costs: opening the store, which reads footers; batches after that take bounded memory. Raises what
    `read_batpak` raises.

    >>> import batpak_analytics as bp
    >>> bp.scan_batpak(bp.demo_store(), kind=bp.category(0xF)).count()
    4
    """
    options = _scan_options(dict(locals()))
    reader: Any = path if _is_reader(path) else _open_reader(path, on_damage)
    return Scan(reader.view, **options)


def warn_of_damage(view: Any) -> None:
    """One `BatpakDamageWarning` with counts and the next call, where the view has warnings or errors; info
    is silent.
    """
    counts = findings_by_severity(view)
    told = [
        f"{counts[severity]} {severity}{'s' if counts[severity] > 1 else ''}"
        for severity in ("error", "warning")
        if counts[severity]
    ]
    if told:
        warnings.warn(
            f"{view.path} has findings: {' and '.join(told)}. Everything provable was read. See what is missing with "
            f"batpak_analytics.open_reader({view.path!r}).findings().",
            BatpakDamageWarning,
            stacklevel=3,
        )


def _scan_options(given: dict[str, Any]) -> dict[str, Any]:
    """The options of `Scan`, which knows no bars, from the arguments of the functions above."""
    progress = Bar() if given["progress"] is True else given["progress"]
    kept = {name: value for name, value in given.items() if name not in ("path", "on_damage")}
    return kept | {"progress": progress}


def _is_reader(source: Any) -> bool:
    return hasattr(source, "view")


def _open_reader(path: Any, on_damage: str) -> Any:
    # The one door upwards: the reader is built on this layer, and these two functions are its shorthand.
    return import_module("batpak_analytics.reader").open_reader(path, on_damage=on_damage)


@contextmanager
def opened(source: Any, on_damage: str) -> Iterator[Any]:
    """The reader given, left open, or one opened for the call."""
    if _is_reader(source):
        yield source
        return
    with _open_reader(source, on_damage) as reader:
        yield reader
