"""`CausalNodes`: one row for each event, with its place in the graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa

from batpak_analytics.arrow.columns import fixed_binary
from batpak_analytics.arrow.schema import ID
from batpak_analytics.graph.links import DANGLING, Places
from batpak_analytics.graph.table import CausalTable

SCHEMA: Final = pa.schema(
    [
        ("event_id", ID),
        ("global_sequence", pa.uint64()),
        ("root_id", ID),
        ("depth", pa.uint32()),
        ("height", pa.uint32()),
        ("effects", pa.uint32()),
        ("descendants", pa.uint32()),
        ("is_root", pa.bool_()),
        ("is_leaf", pa.bool_()),
        ("dangling", pa.bool_()),
        ("in_cycle", pa.bool_()),
    ]
)


class CausalNodes(CausalTable):
    """A lazy table of events and their place in the causal graph; `read_causal_nodes` lists the columns."""

    SCHEMA = SCHEMA

    def _all_rows(self) -> Places:
        return self._places()

    def _arrays(self, names: tuple[str, ...], rows: Places) -> Mapping[str, Any]:
        links, forest, parents = self.links, self.links.forest, self.links.parents
        values = links.gather(("event_id", "global_sequence"))
        measures = {
            "global_sequence": values["global_sequence"],
            "depth": forest.depth,
            "height": forest.height,
            "effects": forest.effects,
            "descendants": forest.descendants,
            "is_root": (parents < 0),
            "is_leaf": forest.effects == 0,
            "dangling": parents == DANGLING,
            "in_cycle": forest.in_cycle,
        }
        whole = len(rows) == links.count  # every event, in commit order
        made = {
            name: pa.array(found if whole else found.take(rows), SCHEMA.field(name).type)
            for name, found in measures.items()
            if name in names
        }
        for name, places in (("event_id", rows), ("root_id", forest.root[rows])):
            if name in names:
                made[name] = fixed_binary(values["event_id"].take(places, axis=0).view(np.uint8).reshape(-1, 16))
        return made
