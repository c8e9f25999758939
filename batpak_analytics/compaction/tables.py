"""The tables of a plan, as DataFrames with the dtypes that `read_batpak` gives."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from batpak_analytics.arrow.columns import fixed_binary, numbers
from batpak_analytics.arrow.schema import ID, LABEL, WALL_TIME
from batpak_analytics.compaction.effects import Effects
from batpak_analytics.compaction.markers import frames_between
from batpak_analytics.compaction.plan import CompactionPlan
from batpak_analytics.compaction.rows import NOBODY, EventRows
from batpak_analytics.errors import CompactionPlanError
from batpak_analytics.format.layout import I64_MAX, MARKER_KINDS
from batpak_analytics.frames.pandas import table_to_frame

FATES = ("kept", "dropped", "tombstoned")


def labels(codes: Any, names: Sequence[str], valid: Any = None) -> Any:
    """A dictionary array."""
    mask = None if valid is None else ~valid
    return pa.DictionaryArray.from_arrays(
        pa.array(np.asarray(codes, np.int32), mask=mask), pa.array(names, pa.string())
    )


def ids(rows: EventRows, at: Any, name: str = "event_id", valid: Any = None) -> Any:
    """The ids of rows; null where not `valid`."""
    words = rows.column(name)[at] if rows.count else np.empty((len(at), 2), np.uint64)
    return fixed_binary(words.view(np.uint8).reshape(-1, 16), valid)


def events_frame(plan: CompactionPlan, effects: Effects) -> pd.DataFrame:
    """What `CompactionPlan.events` gives."""
    rows, at = effects.rows, effects.event_numbers
    times = np.minimum(rows.column("wall_ms")[at], np.uint64(I64_MAX)).astype(np.int64)
    place = np.searchsorted(rows.starts, at, side="right") - 1
    segment_ids = np.array([one.segment_id for one in rows.segments], np.uint64)
    fate = FATES.index("tombstoned" if plan.strategy == "tombstone" else "dropped")
    table = pa.table(
        {
            "global_sequence": rows.sequence[at],
            "event_id": ids(rows, at),
            "entity": labels(rows.column("entity")[at], rows.names),
            "scope": labels(rows.column("scope")[at], rows.names),
            "kind": rows.column("kind")[at],
            "wall_time": numbers(times, WALL_TIME),
            "lane": rows.column("lane")[at],
            "clock": rows.column("clock")[at],
            "fate": labels(np.full(len(at), fate), FATES),
            "hidden": pa.array(~rows.visible[at]),
            "segment_id": segment_ids[place] if len(at) else pa.array([], pa.uint64()),
            "offset": rows.column("offset")[at],
            "length": rows.column("length")[at],
        }
    )
    return _framed(plan, table)


def entities_frame(plan: CompactionPlan, effects: Effects) -> pd.DataFrame:
    """What `CompactionPlan.entities` gives."""
    rows = effects.rows
    before, after = effects.entity_counts
    entity, size = rows.column("entity"), len(rows.names)

    def counted(at: Any) -> Any:
        return np.bincount(entity[at], minlength=size)

    marked = effects.struck & rows.visible if plan.strategy == "tombstone" else np.zeros(rows.count, bool)
    changed = np.zeros(size, np.int64)
    codes = {name: code for code, name in enumerate(rows.names)}
    for one in effects.states or ():
        changed[codes[one.entity]] += 1
    columns = {
        "events_before": before,
        "events_after": after,
        "tombstoned": counted(marked),
        "heads_dropped": counted(effects.heads),
        "links_broken": counted(effects.broken),
        "links_ambiguous": counted(effects.ambiguous),
        "dangling_causes": counted(effects.dangling),
        "states_changed": changed,
    }
    at = np.flatnonzero(before)
    at = at[np.lexsort((at, -(before - after + columns["tombstoned"])[at]))]
    known: dict[str, Any] = {"entity": labels(at, rows.names)}
    known |= {name: values[at].astype(np.uint64) for name, values in columns.items()}
    if effects.states is None:
        known["states_changed"] = pa.nulls(len(at), pa.uint64())
    known["emptied"] = pa.array(after[at] == 0)
    return _framed(plan, pa.table(known))


def segments_frame(plan: CompactionPlan, effects: Effects) -> pd.DataFrame:
    """What `CompactionPlan.segments` gives."""
    rows = effects.rows
    sources = {one.segment_id for one in plan.sources}
    struck = [int(mask.sum()) for mask in rows.masks(effects.struck)]
    found: list[dict[str, Any]] = []
    for segment, gone in zip(rows.segments, struck, strict=True):
        source = segment.segment_id in sources
        kinds = frames_between(segment).kinds if source else np.empty(0, np.uint16)
        markers = np.isin(kinds, sorted(MARKER_KINDS))
        found.append(
            {
                "segment_id": segment.segment_id,
                "file": segment.name,
                "role": "source" if source else "untouched",
                "size_bytes": segment.size_bytes,
                "events": segment.count,
                "kept": segment.count - gone,
                "dropped": gone if plan.strategy == "retention" else 0,
                "tombstoned": gone if plan.strategy == "tombstone" else 0,
                "markers": int(markers.sum()),
                "uncommitted": int((~markers).sum()),
                "footer": segment.footer_state == "trusted",
            }
        )
    schema = pa.schema(
        [
            ("segment_id", pa.uint64()), ("file", pa.string()), ("role", LABEL),
            *((name, pa.uint64()) for name in ("size_bytes", "events", "kept", "dropped", "tombstoned", "markers")),
            ("uncommitted", pa.uint64()), ("footer", pa.bool_()),
        ]
    )  # fmt: skip
    return _framed(plan, pa.Table.from_pylist(found, schema))


def states_frame(plan: CompactionPlan, effects: Effects) -> pd.DataFrame:
    """What `CompactionPlan.states` gives."""
    if effects.states is None:
        raise CompactionPlanError("This plan was made without projections. Plan again with projections=[...].")
    changed = effects.states
    deltas = [_delta(one.before, one.after) for one in changed]
    order = sorted(range(len(changed)), key=lambda at: -abs(deltas[at] or 0))
    columns = {
        name: pd.Series([getattr(changed[at], name) for at in order], dtype="object")
        for name in ("projection", "entity", "before", "after")
    }
    frame = pd.DataFrame(columns)
    frame["delta"] = pd.array([deltas[at] for at in order], dtype="Float64")
    for name in ("projection", "entity"):
        frame[name] = frame[name].astype("category")
    return frame


def _delta(before: Any, after: Any) -> float | None:
    """How far a number moved; None for what is no number."""
    numbers = all(isinstance(one, int | float | Decimal) and not isinstance(one, bool) for one in (before, after))
    return float(after - before) if numbers and type(before) is type(after) else None


FINDINGS: dict[str, tuple[str, str]] = {
    "encrypted-unreadable": ("error", "As a tombstone it can never be decrypted again: its kind is sealed with it."),
    "link-broken": ("warning", "The event before it in its chain goes, and nothing that stays has the hash it names."),
    "link-ambiguous": (
        "warning", "The event before it in its chain goes; one with an equal payload hides that from a check by hash.",
    ),
    "cause-dangling": ("warning", "The event that caused it goes."),
    "head-dropped": ("warning", "It is the last of its chain and goes: the next append uses its clock again."),
    "entity-emptied": ("warning", "Nothing of the entity is left."),
    "state-changed": ("warning", "A projection's state of the entity is another without what goes."),
    "kept-unjudged": ("info", "Its payload is sealed or has no reading, so the rule cannot judge it, and it is kept."),
}  # fmt: skip
"""Severity and meaning of each rule."""
_SEVERITIES = ("info", "warning", "error")


def findings_frame(plan: CompactionPlan, effects: Effects) -> pd.DataFrame:
    """What `CompactionPlan.findings` gives."""
    rows = effects.rows
    parts = [_of_events(effects, rule, at, related) for rule, at, related in _found(plan, effects)]
    parts += [_of_entities(rows, "entity-emptied", effects.emptied)]
    codes = {name: code for code, name in enumerate(rows.names)}
    parts += [
        _of_entities(rows, "state-changed", np.array([codes[one.entity] for one in effects.states or ()], np.int64))
    ]
    table = pa.concat_tables(parts, promote_options="none").unify_dictionaries()
    frame = _framed(plan, table)
    frame = frame.astype({"lane": "UInt32", "clock": "UInt32", "global_sequence": "UInt64", "in_sources": "boolean"})
    order = list(_SEVERITIES)
    frame["severity"] = pd.Categorical(frame["severity"].astype(object), categories=order, ordered=True)
    by_severity = np.argsort(-frame["severity"].cat.codes.to_numpy(), kind="stable")
    return frame.iloc[by_severity].reset_index(drop=True)


def _found(plan: CompactionPlan, effects: Effects) -> list[tuple[str, Any, Any]]:
    """(rule, rows, related rows) of each sort of finding that is about events."""
    rows = effects.rows
    parent = effects.parents
    unknown = [np.flatnonzero(mask & effects.sealed & ~effects.struck) for mask in effects.unknown.values()]
    kept = np.unique(np.concatenate([np.empty(0, np.int64), *unknown]))
    nobody = np.full(len(kept), NOBODY)
    sealed = effects.encrypted_struck() if plan.strategy == "tombstone" else np.empty(0, np.int64)
    return [
        ("encrypted-unreadable", sealed, np.full(len(sealed), NOBODY)),
        ("link-broken", effects.broken, parent[effects.broken]),
        ("link-ambiguous", effects.ambiguous, parent[effects.ambiguous]),
        ("cause-dangling", effects.dangling, rows.cause[effects.dangling] if len(effects.dangling) else nobody[:0]),
        ("head-dropped", effects.heads, np.full(len(effects.heads), NOBODY)),
        ("kept-unjudged", kept, nobody),
    ]


def _of_events(effects: Effects, rule: str, at: Any, related: Any) -> pa.Table:
    rows, severity = effects.rows, FINDINGS[rule]
    return _table(
        rule, severity, labels(rows.column("entity")[at], rows.names), rows.column("lane")[at],
        rows.column("clock")[at], rows.sequence[at], ids(rows, at),
        ids(rows, np.maximum(related, 0), valid=related != NOBODY), pa.array(effects.sealed[at]),
    )  # fmt: skip


def _of_entities(rows: EventRows, rule: str, codes: Any) -> pa.Table:
    size, severity = len(codes), FINDINGS[rule]
    return _table(
        rule, severity, labels(codes, rows.names), pa.nulls(size, pa.uint32()), pa.nulls(size, pa.uint32()),
        pa.nulls(size, pa.uint64()), pa.nulls(size, ID), pa.nulls(size, ID), pa.nulls(size, pa.bool_()),
    )  # fmt: skip


def _table(rule: str, told: tuple[str, str], entity: Any, *columns: Any) -> pa.Table:
    size = len(entity)
    names = ("lane", "clock", "global_sequence", "event_id", "related_id", "in_sources")
    first = {
        "severity": labels(np.zeros(size, int), [told[0]]),
        "rule": labels(np.zeros(size, int), [rule]),
        "entity": entity,
    }
    last = {"meaning": labels(np.zeros(size, int), [told[1]])}
    return pa.table(first | dict(zip(names, columns, strict=True)) | last)


def _framed(plan: CompactionPlan, table: pa.Table) -> pd.DataFrame:
    frame = table_to_frame(table)
    frame.attrs["batpak"] = {"path": plan.view.path, "plan": plan.digest.hex(), "estimate": plan.sampled is not None}
    return frame
