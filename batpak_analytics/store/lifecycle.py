"""The two events that the engine itself appends: one on opening a store, one on closing it."""

from __future__ import annotations

from typing import Any

import msgpack

from batpak_analytics.format import layout
from batpak_analytics.model import EventKind
from batpak_analytics.store.items import Draft
from batpak_analytics.store.recovered import Recovered

_PHASES = ("phase_plan_build_us", "phase_interner_us", "phase_restore_index_us", "phase_hidden_ranges_us")
_FALLBACKS = ("unknown_reserved_system_kind", "unknown_reserved_effect_kind")


def opened(state: Recovered, elapsed_us: int) -> Draft:
    """The first event of a session."""
    return _event(layout.KIND_OPEN_COMPLETED, opened_payload(state, elapsed_us))


def closed(wall_ms: int, global_sequence: int) -> Draft:
    """The last event of a session that was closed, with the last visible point of the store."""
    return _event(layout.KIND_CLOSE_COMPLETED, closed_payload(wall_ms, global_sequence))


def opened_payload(state: Recovered, elapsed_us: int) -> bytes:
    """The open report, under the reference's names. Index images are not needed here, so none is ever tried."""
    report: dict[str, Any] = {
        "path": "Rebuild",
        "restored_entries": state.events,
        "tail_entries": 0,
        "elapsed_us": elapsed_us,
        **dict.fromkeys(_PHASES, 0),
        "mmap_load_status": "NotTried" if state.has_mmap_index else "Missing",
        "checkpoint_load_status": "NotTried" if state.has_checkpoint else "Missing",
    }
    for prefix in ("", "cumulative_"):
        for name in _FALLBACKS:
            report[f"{prefix}{name}_fallbacks"] = 0
            report[f"{prefix}{name}_histogram"] = {}
    packed: bytes = msgpack.packb(report)
    return packed


def closed_payload(wall_ms: int, global_sequence: int) -> bytes:
    """The last visible point of the store."""
    packed: bytes = msgpack.packb({"wall_ms": wall_ms, "global_sequence": global_sequence})
    return packed


def _event(kind: int, payload: bytes) -> Draft:
    return Draft(
        layout.LIFECYCLE_ENTITY, layout.LIFECYCLE_SCOPE, EventKind(kind), payload,
        None, None, 0, 0, 0, 0, {}, len(payload),
    )  # fmt: skip
