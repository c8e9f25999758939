"""`to_ocel`: events as an object-centric event log, in the frames that pm4py's `OCEL` takes.

The columns are those of OCEL 2.0 under the names that pm4py gives them (`ocel:eid` and so on).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from batpak_analytics.frames.pandas import table_to_frame
from batpak_analytics.graph.clocks import timestamps
from batpak_analytics.graph.nodes import CausalNodes
from batpak_analytics.graph.walks import event_table

if TYPE_CHECKING:
    from batpak_analytics.graph.links import Links, Places

CAUSED = "caused"
SUBJECT = "subject"


class Ocel(NamedTuple):
    """An object-centric event log: `pm4py.objects.ocel.obj.OCEL(**log._asdict())` takes it as it is.

    Objects are entities, and the type of an object is what its name has before the first colon. Activities are kinds.
    Frames and columns, all str unless said otherwise:

    - `events`: `ocel:eid`, `ocel:activity`, `ocel:timestamp` (datetime64[us, UTC]), and the attributes `scope` and
      `correlation_id`
    - `objects`: `ocel:oid`, `ocel:type`
    - `relations`: `ocel:eid`, `ocel:activity`, `ocel:timestamp`, `ocel:oid`, `ocel:type`, `ocel:qualifier` (`subject`)
    - `e2e`: `ocel:eid` (the cause), `ocel:eid_2` (the effect), `ocel:qualifier` (`caused`): edges between these events
    """

    events: pd.DataFrame
    objects: pd.DataFrame
    relations: pd.DataFrame
    e2e: pd.DataFrame


def to_ocel(view: Any, *, kind_names: Mapping[int, str] | None = None, **filters: Any) -> Ocel:
    """See `Reader.to_ocel`. Events of unreadable frames, which have no time, get the one that the index has."""
    chosen = CausalNodes(view, **filters)
    links, places = chosen.links, chosen.rows
    table = event_table(links, places)
    names = table_to_frame(table.select(["kind"]), kind_names=kind_names or {})["kind"].astype(str)
    rows = table_to_frame(table.drop_columns(["kind", "causation_id"]))
    events = pd.DataFrame(
        {
            "ocel:eid": rows["event_id"],
            "ocel:activity": names,
            "ocel:timestamp": _times(links, places, rows["wall_time"]),
            "scope": rows["scope"].astype(str),
            "correlation_id": rows["correlation_id"],
        }
    )
    entities = rows["entity"].astype(str)
    types = entities.str.split(":", n=1).str[0].astype(str)
    relations = events[["ocel:eid", "ocel:activity", "ocel:timestamp"]].copy()
    relations["ocel:oid"], relations["ocel:type"], relations["ocel:qualifier"] = entities, types, SUBJECT
    objects = relations[["ocel:oid", "ocel:type"]].drop_duplicates(ignore_index=True)
    return Ocel(events, objects, relations, _edges(links, places, rows["event_id"]))


def _times(links: Links, places: Places, wall_time: Any) -> Any:
    times = timestamps(links, places)
    exact = pd.Series(times.values[places].view("datetime64[us]")).dt.tz_localize("UTC")
    return exact.where(pd.Series(times.known[places]), wall_time.astype(exact.dtype))


def _edges(links: Links, places: Places, ids: Any) -> pd.DataFrame:
    """Edges with both ends among these events."""
    at = np.full(links.count, -1)
    at[places] = np.arange(len(places))
    parents = links.parents[places]
    effects = np.flatnonzero(parents >= 0)
    causes = at[parents[effects]]
    effects, causes = effects[causes >= 0], causes[causes >= 0]
    found = {"ocel:eid": ids.iloc[causes], "ocel:eid_2": ids.iloc[effects]}
    frame = pd.DataFrame({name: values.reset_index(drop=True) for name, values in found.items()})
    return frame.assign(**{"ocel:qualifier": CAUSED})
