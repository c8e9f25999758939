"""The events that estimates look at: decoded once for a view and kept as columns, so that the next filter is quick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from batpak_analytics.arrow.filters import Filters, parse_filters
from batpak_analytics.arrow.scan import Scan
from batpak_analytics.arrow.schema import DISPOSITIONS, Tier, base_names, tier_of
from batpak_analytics.compaction.payloads import FAILED, PASSED, by_reason, judged_by_filter, rows_of, shown_view
from batpak_analytics.compaction.rows import EventRows
from batpak_analytics.errors import UnknownColumnError

MOST_BYTES = 64 << 20
"""Of frames that are decoded and kept; of a larger sample each filter reads anew."""
KEY = "sample"


def judged_by_sample(rows: EventRows, asked: Any, filters: Any) -> tuple[Any, dict[str, Any]]:
    """What `judged_by_filter` gives. Payloads are read the first time that these rows of a view are asked for."""
    parsed = parse_filters(filters)
    if parsed is not None and parsed.tier != Tier.INDEX:
        sample = Sample.of(rows, asked)
        try:
            if sample is not None:
                return sample.judged(parsed)
        except UnknownColumnError:  # of these events; others may have the field
            pass
    return judged_by_filter(rows, asked, filters)


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Some events of a view: all their columns, and the row of each."""

    rows: EventRows
    asked: Any
    table: Any
    numbers: Any

    @classmethod
    def of(cls, rows: EventRows, asked: Any) -> Sample | None:
        """That of these rows, None of too many. The view keeps the last one."""
        view = rows.view
        with view.lock:
            found: Sample | None = view.cache.get(KEY)
        if found is not None and np.array_equal(found.asked, asked):
            return found
        if int(rows.column("length")[asked].sum(dtype=np.uint64)) > MOST_BYTES:
            return None
        table = Scan(shown_view(rows, asked), columns=base_names(), system=True).to_arrow()
        found = cls(rows, asked.copy(), table, rows_of(rows, table))
        with view.lock:
            view.cache[KEY] = found
        return found

    def judged(self, filters: Filters) -> tuple[Any, dict[str, Any]]:
        """Which rows pass, and of which that is unknown; `UnknownColumnError` for a field that none of them has."""
        codes = np.where(self._passed(filters), np.int8(PASSED), np.int8(FAILED))
        if filters.tier == Tier.PAYLOAD:
            dispositions = self._dispositions
            unread = (dispositions != PASSED) & self._mask(filters.index_part())
            codes = np.where(unread, dispositions, codes)
        found = np.full(self.rows.count, FAILED, np.int8)
        found[self.numbers] = codes
        return found == PASSED, by_reason(found)

    @property
    def _dispositions(self) -> Any:
        """What became of each payload, as a place in `DISPOSITIONS`."""
        texts = self.table.column("disposition").combine_chunks()
        names = np.array([DISPOSITIONS.index(text) for text in texts.dictionary.to_pylist()], np.int8)
        return names[texts.indices.to_numpy()]

    def _passed(self, filters: Filters) -> Any:
        typed = {field.name: field.type for field in self.table.schema if tier_of(field.name) == Tier.PAYLOAD}
        return self._mask(filters.index_part()) & self._mask(filters.rest(typed))

    def _mask(self, part: Any) -> Any:
        count = self.table.num_rows
        if part is None:
            return np.ones(count, bool)
        mask = np.zeros(count, bool)
        mask[part.positions({name: self.table.column(name) for name in part.names}, count)] = True
        return mask
