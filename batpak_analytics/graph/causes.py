"""`Causes`: one row for each event that names a cause."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa

from batpak_analytics.arrow.columns import fixed_binary, numbers, validity
from batpak_analytics.arrow.schema import ID, LABEL
from batpak_analytics.graph.clocks import latencies
from batpak_analytics.graph.links import NONE, Places
from batpak_analytics.graph.table import CausalTable

SCHEMA: Final = pa.schema(
    [
        ("effect_id", ID),
        ("effect_sequence", pa.uint64()),
        ("effect_kind", pa.uint16()),
        ("effect_entity", LABEL),
        ("cause_id", ID),
        ("cause_sequence", pa.uint64()),
        ("cause_kind", pa.uint16()),
        ("cause_entity", LABEL),
        ("resolved", pa.bool_()),
        ("latency_ms", pa.float64()),
        ("crosses_entity", pa.bool_()),
        ("crosses_scope", pa.bool_()),
        ("same_correlation", pa.bool_()),
    ]
)
_NEEDS: Final = {
    "effect_id": "event_id",
    "effect_sequence": "global_sequence",
    "effect_kind": "kind",
    "effect_entity": "entity",
    "cause_id": "causation_id",
    "cause_sequence": "global_sequence",
    "cause_kind": "kind",
    "cause_entity": "entity",
    "crosses_entity": "entity",
    "crosses_scope": "scope",
    "same_correlation": "correlation_id",
}
"""The column of events that each column is made of."""


class Causes(CausalTable):
    """A lazy table of causation edges; `read_causes` lists the columns. A filter chooses effects."""

    SCHEMA = SCHEMA
    TIMED = frozenset({"latency_ms"})

    def _all_rows(self) -> Places:
        places = self._places()
        named: Places = places[self.links.parents[places] != NONE]
        return named

    def _arrays(self, names: tuple[str, ...], rows: Places) -> Mapping[str, Any]:
        """Columns of causes are those of events, taken at the cause. Where that is not there, they are null.

        `take` and not an index: NumPy is four times as quick at it for rows of two words.
        """
        links = self.links
        values = links.gather(list(dict.fromkeys(_NEEDS[name] for name in names if name in _NEEDS)))
        parents = links.parents[rows]
        resolved = parents >= 0
        causes = np.where(resolved, parents, rows)  # some place, where there is none
        made: dict[str, Any] = {"resolved": pa.array(resolved)}
        for name in names:
            if name in _NEEDS:
                column = values[_NEEDS[name]]
                made[name] = self._array(name, column, rows, causes, resolved)
        if "latency_ms" in names:
            found, both = latencies(links, causes[resolved], rows[resolved])
            latency, known = np.zeros(len(rows)), np.zeros(len(rows), bool)
            latency[resolved], known[resolved] = found, both
            made["latency_ms"] = numbers(latency, pa.float64(), known)
        return made

    def _array(self, name: str, column: Any, rows: Places, causes: Places, resolved: Any) -> Any:
        if name in ("effect_id", "cause_id"):  # what the effect names, whether or not it is there
            return fixed_binary(column.take(rows, axis=0).view(np.uint8).reshape(-1, 16))
        if name.startswith("effect_"):
            return self._value(name, column.take(rows), None)
        if name.startswith("cause_"):
            return self._value(name, column.take(causes), resolved)
        same = column.take(rows, axis=0) == column.take(causes, axis=0)
        if name == "same_correlation":
            return _flags(same[:, 0] & same[:, 1], resolved)
        return _flags(~same, resolved)

    def _value(self, name: str, values: Any, valid: Any) -> Any:
        if name.endswith("_entity"):
            return self.links.labels.entity.array(values, valid)
        return numbers(values, SCHEMA.field(name).type, valid)


def _flags(values: Any, valid: Any) -> Any:
    bits = pa.py_buffer(np.packbits(values, bitorder="little"))
    return pa.Array.from_buffers(pa.bool_(), len(values), [validity(valid), bits])
