"""Views to scan: the committed stores, and stores made of parts so that one part can be wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import blake3
import msgpack
import numpy as np
import pytest

from batpak_analytics.arrow.scan import Scan
from batpak_analytics.engine.numbering import Run
from batpak_analytics.engine.view import View
from batpak_analytics.format.event import encode_event
from batpak_analytics.format.footer import encode_footer
from batpak_analytics.format.frame import encode_frame
from batpak_analytics.format.layout import FOOTER_DTYPE
from batpak_analytics.format.segment import canonical_name, encode_segment_header
from batpak_analytics.model import Event, EventKind, HashChain
from batpak_analytics.reader import open_reader
from tests.engine.building import make_event

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"


def fixture_view(name: str) -> View:
    return open_reader(FIXTURES / name).view


def with_payload(event: Event, payload: bytes) -> Event:
    digest = blake3.blake3(payload).digest()
    return replace(
        event,
        payload=payload,
        payload_size=len(payload),
        content_hash=digest,
        hash_chain=HashChain(bytes(32), digest),
    )


def event(number: int, value: Any = None, **changes: Any) -> Event:
    """`make_event` with another payload value, entity, scope, kind or lane."""
    made = make_event(number, entity=changes.pop("entity", "order:1"))
    if value is not None:
        made = with_payload(made, value if isinstance(value, bytes) else msgpack.packb(value))
    if "lane" in changes:
        made = replace(made, position=replace(made.position, lane=changes.pop("lane")))
    if "kind" in changes:
        made = replace(made, kind=EventKind(changes.pop("kind")))
    return replace(made, **changes)


def store_of(directory: Path, *groups: Sequence[Event], broken: Breakage | None = None) -> Path:
    """One sealed segment for each group of events, numbered as a clean writer numbers them.

    `broken` may change the footer rows of a segment (by position) before the footer, with a good CRC, is written.
    """
    directory.mkdir()
    first = 0
    for position, events in enumerate(groups):
        data = encode_segment_header(position + 1, 0)
        frames = [encode_frame(encode_event(one)) for one in events]
        places = len(data) + np.cumsum([0, *map(len, frames)])
        data += b"".join(frames)
        table, strings = _footer_rows(events, places.tolist(), first)
        if broken is not None:
            broken(position, table, strings)
        (directory / canonical_name(position + 1)).write_bytes(data + encode_footer(table, strings, len(data)))
        first += len(events)
    return directory


Breakage = Callable[[int, Any, list[str]], None]


def _footer_rows(events: Sequence[Event], places: list[int], first: int) -> tuple[Any, list[str]]:
    strings = list(dict.fromkeys(text for one in events for text in (one.entity, one.scope)))
    table = np.zeros(len(events), FOOTER_DTYPE)
    for index, (row, one) in enumerate(zip(table, events, strict=True)):
        chain = one.hash_chain or HashChain(bytes(32), bytes(32))
        for name, value in (
            ("event_id", one.event_id[::-1]),
            ("correlation_id", one.correlation_id[::-1]),
            ("causation_id", (one.causation_id or bytes(16))[::-1]),
            ("prev_hash", chain.prev_hash),
            ("event_hash", chain.event_hash),
        ):
            row[name] = np.void(value)
        row["entity_idx"], row["scope_idx"] = strings.index(one.entity), strings.index(one.scope)
        for name in ("wall_ms", "clock", "lane", "depth"):
            row[name] = getattr(one.position, name)
        row["kind"], row["global_sequence"] = one.kind, first + index
        row["offset"], row["length"] = places[index], places[index + 1] - places[index]
    return table, strings


def view_of(directory: Path, *groups: Sequence[Event], broken: Breakage | None = None) -> View:
    return open_reader(store_of(directory, *groups, broken=broken)).view


def in_runs(view: View, runs: Sequence[Run]) -> View:
    """The view with another commit order."""
    numbering = copy.copy(view.numbering)
    numbering._found = {**view.numbering._found, "runs": tuple(runs)}
    return replace(view, numbering=numbering, cache={})


def rows(view: View, **options: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = Scan(view, **options).to_arrow().to_pylist()
    return found


def sequences(view: View, **options: Any) -> list[int]:
    """The sequence numbers of the rows selected, from the index alone."""
    return [row["global_sequence"] for row in rows(view, columns=["global_sequence"], **options)]


def spy(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, note: Callable[..., Any]) -> list[Any]:
    """What `note(*arguments)` gives for each call of `owner.name` from now on; the calls go through."""
    heard: list[Any] = []
    original = getattr(owner, name)

    def listening(*arguments: Any, **options: Any) -> Any:
        heard.append(note(*arguments, **options))
        return original(*arguments, **options)

    monkeypatch.setattr(owner, name, listening)
    return heard
