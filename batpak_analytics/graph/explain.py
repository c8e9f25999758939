"""What a causal table looks at, said before it does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from batpak_analytics.format.layout import FOOTER_ENTRY_SIZE
from batpak_analytics.graph.links import DANGLING, NONE, Links
from batpak_analytics.markup import one_line, preformatted


@dataclass(frozen=True, slots=True)
class GraphPlan:
    """The graph behind a table, and the table's cost. `print()` it; the attributes hold the same facts.

    `events` are all visible ones, `edges` those of them that name a cause, `dangling` those whose cause is not there,
    `in_cycle` those on a cycle. `index_bytes` is what is read of footers; `timed` are the columns for which the frames
    of the rows, and of their causes, are read as well.
    """

    path: str
    table: str
    columns: tuple[str, ...]
    rows: int
    events: int
    edges: int
    dangling: int
    in_cycle: int
    index_bytes: int
    timed: tuple[str, ...]

    @classmethod
    def of(cls, links: Links, table: str, columns: tuple[str, ...], rows: int, timed: tuple[str, ...]) -> GraphPlan:
        """The plan of one table over `links`."""
        parents = links.parents
        return cls(
            links.view.path,
            table,
            columns,
            rows,
            links.count,
            int(np.count_nonzero(parents != NONE)),
            int(np.count_nonzero(parents == DANGLING)),
            int(np.count_nonzero(links.forest.in_cycle)),
            links.count * FOOTER_ENTRY_SIZE,
            timed,
        )

    def __str__(self) -> str:
        frames = f", and frames for {', '.join(self.timed)}" if self.timed else ", no frame"
        return "\n".join(
            [
                f"{self.table} of {one_line(self.path)}",
                f"  rows     {self.rows:,}",
                f"  columns  {', '.join(self.columns)}",
                f"  graph    {self.events:,} events, {self.edges:,} name a cause, {self.dangling:,} of them in vain",
                f"  cycles   {self.in_cycle:,} events are on one",
                f"  reads    {self.index_bytes:,} bytes of index{frames}",
            ]
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return preformatted(str(self))
