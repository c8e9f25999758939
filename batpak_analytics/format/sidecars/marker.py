"""``compaction.pending.json``: a compaction that has not finished (spec sidecars 7.1)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from batpak_analytics.errors import FormatError, LimitError
from batpak_analytics.format import layout
from batpak_analytics.format.codec import as_bytes

# A marker lists every sealed segment in decimal; 64 MiB is more than three million of the longest ids.
MAX_MARKER_SIZE = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class CompactionMarker:
    """The id of the file being written and the ids merged into it, ``merged_id`` among them."""

    merged_id: int
    source_ids: tuple[int, ...]

    @property
    def is_swap(self) -> bool:
        """Whether the merged file takes its name whole, in one rename: that of 0.9.0 is written under a source's."""
        return self.merged_id not in self.source_ids and bool(self.source_ids)

    @property
    def lasting_id(self) -> int:
        """The id that the merged file has in the end: the lowest of its sources, as in 0.9.0."""
        return min(self.source_ids, default=self.merged_id)


def decode(buf: Any) -> CompactionMarker:
    """The marker in a whole file: strict JSON, both keys once, unknown keys ignored."""
    raw = as_bytes(buf)
    if len(raw) > MAX_MARKER_SIZE:
        raise LimitError("the marker is too long", offset=0, expected=MAX_MARKER_SIZE, actual=len(raw))
    try:
        value = json.loads(raw.decode(), object_pairs_hook=_fields, parse_constant=_refuse)
    except FormatError:
        raise
    except (ValueError, RecursionError) as error:
        raise FormatError(f"the marker is not JSON: {error}") from None
    if isinstance(value, list) and len(value) == 2:
        # serde takes a struct as a positional array too.
        value = {"merged_id": value[0], "source_segment_ids": value[1]}
    if not isinstance(value, dict):
        raise FormatError("the marker is not a JSON object")
    sources = value.get("source_segment_ids")
    if not isinstance(sources, list):
        raise FormatError("the marker lacks the list source_segment_ids")
    return CompactionMarker(_segment_id(value.get("merged_id")), tuple(map(_segment_id, sources)))


def _fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    for name in ("merged_id", "source_segment_ids"):
        if names.count(name) > 1:
            raise FormatError(f"the marker repeats {name}")
    return dict(pairs)


def _refuse(name: str) -> Any:
    raise FormatError(f"the marker holds {name}, which is not JSON")


def _segment_id(value: Any) -> int:
    # bool is an int in Python; JSON's true is not a number.
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= layout.U64_MAX:
        raise FormatError("the marker holds something that is not a segment id", expected="u64", actual=value)
    return value


def encode(value: CompactionMarker) -> bytes:
    """Compact JSON without a newline, as batpak writes it."""
    fields = {"merged_id": value.merged_id, "source_segment_ids": list(value.source_ids)}
    return json.dumps(fields, separators=(",", ":")).encode()
