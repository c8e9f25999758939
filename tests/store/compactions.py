"""Stores and plans for tests that carry a compaction out, and what must hold of a directory that one left behind."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import batpak_analytics as bp
from batpak_analytics.compaction.plan import CompactionPlan
from batpak_analytics.format.layout import COMPACTED_PREFIX, KIND_TOMBSTONE, MARKER_NAME, SWAP_NAME
from batpak_analytics.store.config import StoreConfig
from batpak_analytics.store.files import Files
from batpak_analytics.store.store import Store

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
KIND = 0x1001
STRUCK = "order:2"
STRATEGIES = ("merge", "retention", "tombstone")
Shown = list[tuple[bytes, int, int]]


def shown(path: Path) -> Shown:
    """(id, sequence, kind) of every event, in order."""
    table = bp.scan_batpak(path, columns=["event_id", "global_sequence", "kind"], system=True).to_arrow()
    return [(row["event_id"], row["global_sequence"], row["kind"]) for row in table.to_pylist()]


def copy_of(name: str, path: Path) -> Path:
    """A store that the reference wrote."""
    shutil.copytree(FIXTURES / name, path, copy_function=shutil.copyfile)
    path.chmod(0o755)
    return path


def written(path: Path, *, segment_bytes: int = 1_200) -> Path:
    """A store of many small segments, with batches, a hidden range, keys, and a kind of everything at its end."""
    config = StoreConfig(segment_max_bytes=segment_bytes)
    for session in range(2):
        with Store.open(path, config=config) as store:
            for number in range(6):
                store.append(f"order:{number % 3}", "shop", KIND, {"n": number})
            fence = store.begin_fence()
            fence.submit("order:1", "shop", KIND, {"n": -1})
            fence.cancel()
            store.append_batch([bp.BatchItem(f"order:{number}", "shop", KIND, {"n": number}) for number in range(3)])
            key = bp.IdempotencyKey.for_operation("test", [str(session)])
            store.append(STRUCK, "shop", KIND, "keyed", idempotency_key=key)
    return path


def keeps() -> Any:
    """The rule of the tests: one entity goes."""
    return bp.keep.not_(bp.keep.entities(STRUCK))


def plan_of(path: Path, strategy: Any, **options: Any) -> CompactionPlan:
    """A plan for the store as it is now."""
    with bp.open_reader(path) as reader:
        return reader.plan_compaction(strategy, None if strategy == "merge" else keeps(), **options)


def after(before: Shown, plan: CompactionPlan, path: Path) -> Shown:
    """What the plan makes of those events: worked out from its rule, not from its bytes."""
    columns = ["event_id", "entity", "segment_id", "kind"]
    table = bp.scan_batpak(path, columns=columns, system=True).to_arrow().to_pylist()
    sources = {source.segment_id for source in plan.sources}
    struck = [row for row in table if row["entity"] == STRUCK and row["segment_id"] in sources]
    # Reserved kinds, which a tombstone's is, stay unless they are asked for.
    goes = {row["event_id"] for row in struck if row["kind"] != KIND_TOMBSTONE}
    if plan.strategy == "merge":
        return before
    if plan.strategy == "tombstone":
        return [(event, number, KIND_TOMBSTONE if event in goes else kind) for event, number, kind in before]
    return [one for one in before if one[0] not in goes]


def assert_no_trace(path: Path) -> None:
    """Nothing that a compaction uses on its way is left."""
    names = {file.name for file in path.iterdir()}
    assert not names & {MARKER_NAME, SWAP_NAME, "000000.fbat"}
    assert not [name for name in names if name.startswith(COMPACTED_PREFIX)]


def assert_settles(path: Path, *allowed: Shown) -> None:
    """It shows one of the allowed states, opening keeps that one, leaves no trace, and so does opening again."""
    first = shown(path)
    assert first in allowed
    for _ in range(2):
        with Store.open(path) as store:
            added = store.append("order:9", "shop", KIND, 1)
            assert store.get(added.event_id).entity == "order:9"
        now = shown(path)
        assert now[: len(first)] == first
        assert added.event_id in [event for event, _, _ in now]
        assert len({number for _, number, _ in now}) == len(now)
        assert_no_trace(path)
        assert not [str(one) for one in bp.open_reader(path).check()]


class Refusing(Files):
    """A disk that refuses its call number `at`, or all from there on."""

    def __init__(self, at: int, *, once: bool, code: int = errno.EIO) -> None:
        self.left, self.once, self.code = at, once, code
        self.refused: list[str] = []

    def _meet(self, call: str) -> None:
        self.left -= 1
        if self.left == 0 or (self.left < 0 and not self.once):
            self.refused.append(call)
            raise OSError(self.code, "refused")


def _refusing(name: str) -> Callable[..., Any]:
    def call(self: Refusing, *arguments: Any) -> Any:
        self._meet(name)
        return getattr(Files, name)(self, *arguments)

    return call


for _name in ("create", "write", "truncate", "sync", "sync_directory", "rename", "link", "remove"):
    setattr(Refusing, _name, _refusing(_name))
