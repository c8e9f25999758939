"""For the same events, ids and clock, whole files equal those of the reference, byte for byte."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

import batpak_analytics as bp
from batpak_analytics.engine.filesystem import DescriptorCache
from batpak_analytics.engine.view import build_view
from batpak_analytics.format.event import decode_event
from batpak_analytics.format.frame import read_frame
from batpak_analytics.format.layout import KIND_CLOSE_COMPLETED, KIND_OPEN_COMPLETED
from batpak_analytics.format.sidecars import idempotency
from batpak_analytics.model import Event
from batpak_analytics.store import lifecycle
from batpak_analytics.store.items import Draft
from tests.interop.oracle import Oracle, copy_store

Script = dict[str, Any]
CLOCK_US = 1_750_000_000_123_456
PAYLOADS = [
    None, True, False, 0, -1, 127, 128, -33, 2**32, 2**64 - 1, -(2**63), 1.5, -0.0, 1e300, "", "é\u2028",
    "x" * 40, "y" * 300, [], [1, [2, []]], {}, {"b": 1, "a": {"z": None, "c": [1.25]}}, {"n": "x" * 70_000},
    list(range(20)),
]  # fmt: skip


def make_item(chance: random.Random, number: int, *, flags: int) -> Script:
    """One event; its key is its id."""
    extensions = {"app.audit": [0, 127, 128, 255], "zz.trace": []}
    return {
        "entity": chance.choice(["order:1", "order:2", "é" * 20]), "scope": chance.choice(["shop", "app"]),
        "kind": chance.choice([0x1001, 0x2FFF, 0xF000]), "payload": chance.choice(PAYLOADS),
        "key": f"{(number + 1) << 64 | chance.getrandbits(60):032x}", "lane": chance.choice([0, 0, 1, 2**32 - 1]),
        "depth": chance.choice([0, 0, 3, 2**32 - 1]), "branch_root": chance.random() < 0.2, "flags": flags,
        "correlation": chance.choice([None, None, "00000000000000000000000000000abc"]),
        "cause": chance.choice([None, None, "f" * 32]), "prior": None,
        "extensions": chance.choice([{}, {}, extensions]),
    }  # fmt: skip


def make_script(seed: int, clock_us: int) -> Script:
    """Appends, batches and syncs. Items of batches have no flags: the reference loses them (trap T32)."""
    chance = random.Random(seed)
    steps: list[Any] = []
    for number in range(40):
        if chance.random() < 0.3:
            items = [make_item(chance, 1000 * seed + 10 * number + n, flags=0) for n in range(chance.randrange(1, 6))]
            for index, item in enumerate(items):
                item["prior"] = chance.choice([None, chance.randrange(index)]) if index else None
            steps.append({"batch": items})
        elif chance.random() < 0.1:
            steps.append("sync")
        else:
            steps.append({"append": make_item(chance, 1000 * seed + 10 * number, flags=chance.choice([0, 1, 255]))})
    return {
        "segment_bytes": chance.choice([1, 3_000, 100_000]), "clock_us": clock_us, "steps": steps,
        "close": chance.random() < 0.7,
    }  # fmt: skip


def as_item(given: Script) -> bp.BatchItem:
    cause = bp.PriorItem(given["prior"]) if given["prior"] is not None else given["cause"]
    return bp.BatchItem(
        given["entity"], given["scope"], given["kind"], given["payload"], idempotency_key=given["key"],
        lane=given["lane"], depth=given["depth"], branch_root=given["branch_root"], flags=given["flags"],
        correlation_id=given["correlation"], causation_id=cause,
        extensions={name: bytes(value) for name, value in given["extensions"].items()},
    )  # fmt: skip


def replay(path: Path, script: Script) -> None:
    """The session, by this engine."""
    config = bp.StoreConfig(segment_max_bytes=script["segment_bytes"], clock=lambda: script["clock_us"])
    store = bp.Store.open(path, config=config)
    for step in script["steps"]:
        if step == "sync":
            store.sync()
        elif "batch" in step:
            store.append_batch([as_item(item) for item in step["batch"]])
        else:
            item = as_item(step["append"])
            options = {name: getattr(item, name) for name in item.__slots__ if name not in ("entity", "scope", "kind")}
            store.append(item.entity, item.scope, item.kind, **options)
    store.close() if script["close"] else store.drop()


def lifecycle_events(path: Path) -> list[Event]:
    """The events that the engine appended by itself, in order: their ids are drawn, their payload holds durations."""
    found = []
    for segment in build_view(path, "raise", DescriptorCache(), {}).segments:
        data = Path(segment.path).read_bytes()
        for row in segment.rows:
            if row["kind"] in (KIND_OPEN_COMPLETED, KIND_CLOSE_COMPLETED):
                found.append(decode_event(read_frame(data, int(row["offset"]))))
    return found


@pytest.mark.parametrize("seed", range(6))
def test_two_sessions_write_the_same_files(
    oracle: Oracle, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Segment headers, frames, batch markers and footers, with rotations; and the same keys."""
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    scripts = [make_script(2 * seed, CLOCK_US), make_script(2 * seed + 1, CLOCK_US + 5_000_000)]
    for script in scripts:
        file = tmp_path / "script.json"
        file.write_text(json.dumps(script))
        oracle.run("replay", theirs, "--script", file)
    own = iter(lifecycle_events(theirs))

    def as_theirs(kind: int, payload: bytes) -> Draft:
        event = next(own)
        assert event.kind == kind
        return make_event(kind, event.payload)._replace(key=event.event_id, size_bytes=len(payload))

    make_event = lifecycle._event
    monkeypatch.setattr(lifecycle, "_event", as_theirs)
    for script in scripts:
        replay(ours, script)
    names = sorted(file.name for file in theirs.glob("*.fbat"))
    assert sorted(file.name for file in ours.glob("*.fbat")) == names
    for name in names:
        assert (ours / name).read_bytes() == (theirs / name).read_bytes(), name
    if all(script["close"] for script in scripts):  # after a drop only this engine has written the keys (trap T11)
        assert sorted_entries(ours) == sorted_entries(theirs)


def sorted_entries(path: Path) -> bytes:
    """`index.idemp` with its entries in the order of their keys: the reference writes them in that of a hash map."""
    data = (path / "index.idemp").read_bytes()
    entries = sorted(idempotency.decode(data), key=lambda entry: entry.key)
    encoded = idempotency.encode(entries)
    assert len(encoded) == len(data)
    return encoded


def test_hidden_ranges_are_the_same_bytes(oracle: Oracle, tmp_path: Path) -> None:
    """The ids of fenced events cannot be given to the reference, but which sequences it hides can be repeated."""
    theirs = copy_store(Path(__file__).resolve().parents[1] / "fixtures" / "hidden", tmp_path / "theirs")
    view = build_view(theirs, "raise", DescriptorCache(), {})
    rows: dict[int, tuple[int, bool]] = {}
    for segment in view.segments:
        for sequence, row, excluded in zip(segment.sequence, segment.rows, segment.excluded, strict=True):
            rows[int(sequence)] = int(row["lane"]), bool(excluded)
    ours = tmp_path / "ours"
    store = bp.Store.open(ours)
    fence = None
    for sequence in range(1, max(rows) + 1):
        lane, hidden = rows[sequence]
        if hidden and fence is None:
            fence = store.begin_fence()
        elif not hidden and fence is not None:
            fence.cancel()
            fence = None
        store.append("e", "s", 0x1001, None, lane=lane, fence=fence)
    store.drop()
    assert (ours / "visibility_ranges.fbv").read_bytes() == (theirs / "visibility_ranges.fbv").read_bytes()
