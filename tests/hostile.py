"""A store whose every name and payload tries to be script in a notebook; no writer takes such names."""

from __future__ import annotations

from pathlib import Path

from batpak_analytics.model import Event
from tests.arrow.scan_stores import event, store_of

HOSTILE = '\n\x1b[7m\u202e"\'><img src=x onerror="window.__pwned=1"><script>window.__pwned=1</script>&\'"</td></pre>'


def write_hostile(path: Path) -> Path:
    """Three segments of one event each, of a hostile entity, each the cause of the next, with hostile fields."""
    events: list[Event] = []
    for number in range(3):
        one = event(number, {HOSTILE: HOSTILE, "total": number}, entity=HOSTILE, scope=HOSTILE, kind=0x1001 + number)
        cause = events[-1].event_id if events else None
        events.append(event(number, one.payload, entity=HOSTILE, scope=HOSTILE, kind=one.kind, causation_id=cause))
    return store_of(path, *([one] for one in events))
