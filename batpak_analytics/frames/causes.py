"""`read_causes`, `read_causal_nodes`, `read_correlations` and the walks: the causal graph as DataFrames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from batpak_analytics.arrow.options import check_frame_options
from batpak_analytics.engine.point_read import EventId
from batpak_analytics.frames.pandas import table_to_frame
from batpak_analytics.frames.read import Kinds, Names, Source, opened, warn_of_damage
from batpak_analytics.graph import walks
from batpak_analytics.graph.causes import Causes
from batpak_analytics.graph.correlations import Correlations
from batpak_analytics.graph.nodes import CausalNodes
from batpak_analytics.graph.table import CausalTable

if TYPE_CHECKING:
    import pandas as pd


def read_causes(
    path: Source,
    *,
    columns: Iterable[str] | None = None,
    filters: Any = None,
    entity: Names | None = None,
    scope: Names | None = None,
    kind: Kinds | None = None,
    lane: int | Iterable[int] | None = None,
    since: datetime | str | None = None,
    until: datetime | str | None = None,
    as_of: int | str | bytes | UUID | datetime | None = None,
    system: bool = True,
    ids: str = "hex",
    kind_names: Mapping[int, str] | None = None,
    dtype_backend: str | None = None,
    on_damage: str = "report",
    limit: int | None = None,
) -> pd.DataFrame:
    """Which event caused which: one row for each event that names a cause, in commit order of the effects.

    A cause is what the writer gave as `causation_id`. batpak checks nothing about it and no hash or signature covers
    it: it may name an event that is not there, a later one, or the event itself. Where two events share an id, the
    later one is meant, as in `Reader.get`.

    Parameters
    ----------
    path
        The store's data directory, or an open `Reader`.
    columns
        Some of the columns below, in the order given; None for all. Without `latency_ms` no frame is read.
    filters, entity, scope, kind, lane, since, until, system
        As in `read_batpak`, but for `system`, which is True here. They choose effects; their causes are looked up among
        all visible events, so that a filter makes no cause dangling.
    as_of
        The store as it was: events after it are neither effects nor causes.
    ids, kind_names, dtype_backend, on_damage, limit
        As in `read_batpak`; `kind_names` is for both kinds.

    Returns
    -------
    A `pandas.DataFrame` with these columns:

    - `effect_id` str, `effect_sequence` uint64, `effect_kind` uint16, `effect_entity` category: the event
    - `cause_id` str: what it names as its cause
    - `cause_sequence` UInt64, `cause_kind` UInt16, `cause_entity` category: the event of that id, missing where it is
      not there
    - `resolved` bool: whether it is there, visible
    - `latency_ms` float64: milliseconds from its timestamp to that of the effect, to the microsecond; negative where
      the clocks say so, missing where a timestamp cannot be read
    - `crosses_entity`, `crosses_scope`, `same_correlation` boolean: whether both events differ in entity or scope, and
      whether they share their correlation id; missing where the cause is not there

    Nullable dtypes are used only where values are missing. In Arrow (`Reader.causes`) ids are `fixed_size_binary(16)`
    and entities `dictionary<int32, string>`.

    Raises what `read_batpak` raises. Cost: the index, plus the frames of effects and causes for `latency_ms`.

    Examples
    --------
    >>> import batpak_analytics as bp
    >>> bp.read_causes(bp.demo_store())["latency_ms"].tolist()
    [0.099, 0.07]
    """
    return _read(Causes, dict(locals()))


def read_causal_nodes(
    path: Source,
    *,
    columns: Iterable[str] | None = None,
    filters: Any = None,
    entity: Names | None = None,
    scope: Names | None = None,
    kind: Kinds | None = None,
    lane: int | Iterable[int] | None = None,
    since: datetime | str | None = None,
    until: datetime | str | None = None,
    as_of: int | str | bytes | UUID | datetime | None = None,
    system: bool = True,
    ids: str = "hex",
    dtype_backend: str | None = None,
    on_damage: str = "report",
    limit: int | None = None,
) -> pd.DataFrame:
    """Where each event stands in the causal graph: one row for each event, in commit order.

    Options are those of `read_causes`: a filter chooses rows, and every row is measured among all visible events.

    Returns
    -------
    A `pandas.DataFrame` with these columns:

    - `event_id` str, `global_sequence` uint64: the event
    - `root_id` str: where its causes end
    - `depth` uint32: how many generations it is away from there
    - `height` uint32: how many generations follow it
    - `effects` uint32: how many events name it as their cause
    - `descendants` uint32: how many other events it led to, directly or not
    - `is_root`, `is_leaf` bool: it has no cause that is there; it has no effects
    - `dangling` bool: it names a cause that is not there, and so is a root as well
    - `in_cycle` bool: it is among its own causes, which only a writer that gives wrong ids can bring about

    At depth 0 an event is a root or in a cycle, never both. A cycle counts as one event: all of its members have depth
    0, the member committed first as their root, the height of what hangs on the cycle, and each other as descendants.

    Raises what `read_batpak` raises. Cost: the index; no frame is read. All measures take time in proportion to the
    number of events, whatever the shape of the graph.

    Examples
    --------
    >>> import batpak_analytics as bp
    >>> bp.read_causal_nodes(bp.demo_store())["depth"].tolist()
    [0, 0, 1, 2, 0, 0]
    """
    return _read(CausalNodes, dict(locals()))


def read_correlations(
    path: Source,
    *,
    columns: Iterable[str] | None = None,
    filters: Any = None,
    entity: Names | None = None,
    scope: Names | None = None,
    kind: Kinds | None = None,
    lane: int | Iterable[int] | None = None,
    since: datetime | str | None = None,
    until: datetime | str | None = None,
    as_of: int | str | bytes | UUID | datetime | None = None,
    system: bool = True,
    ids: str = "hex",
    dtype_backend: str | None = None,
    on_damage: str = "report",
    limit: int | None = None,
) -> pd.DataFrame:
    """What belongs together: one row for each correlation id, in the order in which they first appear.

    An event whose writer gave no correlation id is a correlation of its own. Options are those of `read_causes`; a
    filter chooses the correlations in which some event passes, and all of their events are counted and timed.

    Returns
    -------
    A `pandas.DataFrame` with these columns:

    - `correlation_id` str
    - `events`, `entities`, `kinds` uint32: how many events, and how many different entities and kinds they have
    - `roots` uint32: events whose cause is not in the correlation (none named, not there, or of another correlation);
      0 only where a cycle is all there is
    - `depth`, `width` uint32: generations below the roots, and events in the largest generation
    - `first_time`, `last_time` datetime64[us, UTC]: the earliest and latest timestamp
    - `duration_ms` float64: from one to the other
    - `critical_path_ms` float64: the longest time from a root to an event that it led to inside the correlation;
      `Reader.critical_path` gives that path
    - `dangling` uint32: events whose cause is not there

    Times are missing where no timestamp can be read. Raises what `read_batpak` raises. Cost: the index, plus all frames
    of the correlations chosen, unless `columns=` leaves out the four columns of times.

    Examples
    --------
    >>> import batpak_analytics as bp
    >>> bp.read_correlations(bp.demo_store(), system=False)["events"].tolist()
    [3, 1]
    """
    return _read(Correlations, dict(locals()))


def _read(table: type[CausalTable], given: dict[str, Any]) -> pd.DataFrame:
    options = {name: value for name, value in given.items() if name not in ("path", "on_damage")}
    with opened(given["path"], given["on_damage"]) as reader:
        frame: pd.DataFrame = table(reader.view, **options).to_pandas()
        warn_of_damage(reader.view)
    return frame


def ancestors(view: Any, event_id: EventId, max_depth: int | None = None, **form: Any) -> pd.DataFrame:
    """See `Reader.ancestors`."""
    table, ends = walks.ancestors(view, event_id, max_depth)
    frame = _frame(table, form)
    frame.attrs["batpak"] = {"path": view.path, "ends": ends}
    return frame


def descendants(view: Any, event_id: EventId, max_depth: int | None = None, **form: Any) -> pd.DataFrame:
    """See `Reader.descendants`."""
    return _frame(walks.descendants(view, event_id, max_depth), form)


def critical_path(view: Any, correlation_id: EventId, **form: Any) -> pd.DataFrame:
    """See `Reader.critical_path`."""
    return _frame(walks.critical_path(view, correlation_id), form)


def common_causes(view: Any, first: EventId, second: EventId, **form: Any) -> pd.DataFrame:
    """See `Reader.common_causes`."""
    return _frame(walks.common_causes(view, first, second), form)


def _frame(table: Any, form: Mapping[str, Any]) -> pd.DataFrame:
    """A table of events with the options `ids`, `kind_names` and `dtype_backend`."""
    options: dict[str, Any] = {"ids": "hex", "kind_names": None, "dtype_backend": None, **form}
    if len(options) > 3:
        unknown = sorted(set(form) - {"ids", "kind_names", "dtype_backend"})
        raise TypeError(f"{unknown} are no options of a walk. Give ids=, kind_names= or dtype_backend=.")
    check_frame_options(**options)
    return table_to_frame(table, **options)
