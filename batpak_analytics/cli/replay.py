"""``replay``: fold a ready-made projection over a store, and show its state, then or now, or every step."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

import batpak_analytics as bp
from batpak_analytics.cli import tables
from batpak_analytics.cli.selection import say_what_was_skipped


def replay(arguments: argparse.Namespace) -> int:
    """Print the state of a projection."""
    with bp.open_reader(arguments.path) as reader:
        played = reader.replay(_projection(arguments), entity=arguments.entity)
        position = len(played) if arguments.at is None else played.position_at_sequence(arguments.at)
        if arguments.trace:
            _trace(played, position, as_json=arguments.json)
        else:
            _state(played, position, as_json=arguments.json)
        say_what_was_skipped(reader, arguments.path)
    return 0


def _projection(arguments: argparse.Namespace) -> Any:
    options = {"by": arguments.by, "kinds": arguments.kind}
    if arguments.sum is not None:
        return bp.Sum(arguments.sum, **options)
    if arguments.last is not None:
        return bp.Last(arguments.last, **options)
    return bp.Count(**options)


def _state(played: bp.Replay, position: int, *, as_json: bool) -> None:
    state = played.state_at(position)
    if as_json:
        told = {"position": position, "events": len(played), "sequence": _sequence(played, position)}
        print(json.dumps(told | {"state": _plain(state)}, ensure_ascii=False))
        return
    screen = tables.console()
    at = f", at sequence {_sequence(played, position)}" if position else ", before any"
    screen.print(tables.heading(f"{position:,} of {tables.plural(len(played), 'event')}{at}"))
    if not isinstance(state, Mapping):
        screen.print(tables.printable(str(state)))
        return
    texts = [_text(value) for value in state.values()]
    tables.print_rows(screen, {"": [_name(name) for name in state], "state": texts}, wrap="state")


def _trace(played: bp.Replay, position: int, *, as_json: bool) -> None:
    """A line for each event up to the position: what it was, and the state after it."""
    frame = played.trace(lambda state: json.dumps(_plain(state), ensure_ascii=False), stop=position)[1:]
    columns = {
        "position": frame.index.tolist(),
        "sequence": frame["global_sequence"].tolist(),
        "kind": [tables.kind_text(kind) for kind in frame["kind"].tolist()],
        "entity": frame["entity"].tolist(),
        "state": frame["value"].tolist(),
    }
    if not as_json:
        tables.print_rows(tables.console(), columns, numeric=("position", "sequence"))
        return
    for row in zip(*columns.values(), strict=True):
        print(json.dumps(dict(zip(columns, row, strict=True)) | {"state": json.loads(row[-1])}, ensure_ascii=False))


def _sequence(played: bp.Replay, position: int) -> int | None:
    return played.event(position).global_sequence if position else None


def _text(value: Any) -> str:
    nested = isinstance(value, (Mapping, list))
    return json.dumps(_plain(value), ensure_ascii=False) if nested else _name(value)


def _name(value: Any) -> str:
    return tables.kind_text(value) if isinstance(value, bp.EventKind) else str(value)


def _plain(value: Any) -> Any:
    """The state as JSON has it: kinds in hex, keys as text."""
    if isinstance(value, Mapping):
        return {_name(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return _name(value) if isinstance(value, (bp.EventKind, bytes)) else value
