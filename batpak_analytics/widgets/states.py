"""States, what changed in them, and events, as HTML. Pure functions of what they show, each of bounded length."""

from __future__ import annotations

from typing import Any

from batpak_analytics.errors import BatpakError, ProjectionError
from batpak_analytics.markup import Html, clip, element, facts, joined, plural, short_id, table, time_text
from batpak_analytics.projection.diff import Diff, short, signed
from batpak_analytics.projection.parts import Keys
from batpak_analytics.projection.parts import path_text as path_text
from batpak_analytics.projection.steps import count_parts, parts_of
from batpak_analytics.widgets.names import Names, kind_label, name_text

MOST_PARTS = 20
LONGEST_PATH, LONGEST_VALUE, LONGEST_PAYLOAD = 50, 60, 1_500


def event_label(event: Any, names: Names) -> str:
    """An event in a few words."""
    return f"{kind_label(event.kind, names)} {name_text(event.entity)} {short_id(event.event_id)}"


def value_text(value: Any) -> str:
    """A value in few letters."""
    return clip(short(value), LONGEST_VALUE)


def changes(diff: Diff) -> Html:
    """What an event changed: that it changed nothing is worth saying too."""
    if not len(diff):
        return element("div", "No change: this event leaves the state as it was.")
    shown = diff.changes[:MOST_PARTS]
    columns = {
        "part": [clip(one.path or "state", LONGEST_PATH) for one in shown],
        "before": ["" if one.change == "added" else value_text(one.old) for one in shown],
        "after": ["removed" if one.change == "removed" else value_text(one.new) for one in shown],
        "difference": [one.change if one.delta is None else clip(signed(one.delta), LONGEST_VALUE) for one in shown],
    }
    more = len(diff) - len(shown)
    told = f"{plural(len(diff), 'part')} changed"
    return joined([table(columns, told), element("div", f"and {more:,} more") if more else ""])


def shown_parts(value: Any) -> list[tuple[str, Keys, Any]]:
    """The parts of a state that are shown: path, keys and value of each."""
    return parts_of(value, MOST_PARTS)


def state(value: Any, caption: str) -> Html:
    """A state part by part."""
    shown = shown_parts(value)
    columns = {
        "part": [clip(path or "state", LONGEST_PATH) for path, _, _ in shown],
        "value": [value_text(part) for _, _, part in shown],
    }
    more = count_parts(value) - len(shown)
    return joined([table(columns, caption), element("div", f"and {plural(more, 'part')} more") if more else ""])


def event(one: Any, names: Names) -> Html:
    """An event with its payload."""
    cause = one.causation_id
    return facts(
        element("b", kind_label(one.kind, names)),
        {
            "entity, scope": f"{name_text(one.entity)} @ {name_text(one.scope)}",
            "event, sequence": f"{short_id(one.event_id)}, {one.global_sequence:,}",
            "time": time_text(one.timestamp_us),
            "cause": "names none" if cause is None else short_id(cause),
            "correlation": short_id(one.correlation_id),
            "payload": payload_text(one),
        },
    )


def payload_text(one: Any) -> str:
    """The payload of an event, or why there is none to show."""
    try:
        return clip(repr(one.payload), LONGEST_PAYLOAD)
    except BatpakError as error:
        return f"not shown: {clip(error, LONGEST_PAYLOAD)}"


def failure(error: ProjectionError) -> Html:
    """Where a projection failed: the last line of its own code, and the last good state."""
    trace = error.__cause__.__traceback__ if error.__cause__ is not None else None
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else f"{trace.tb_frame.f_code.co_qualname}, line {trace.tb_lineno}: "
    told = f"{where}{type(error.__cause__).__name__}: {error.__cause__}"
    return joined(
        [
            element("div", "The projection fails at this event; nothing after it can be shown."),
            element("pre", clip(told, LONGEST_PAYLOAD)),
        ]
    )
