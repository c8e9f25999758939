"""One store's life under both engines: sessions of everything at once, each configured otherwise, sidecars lost or old.

A `Hunt` is seeded, but for the ids and times that the engines give. After every round `check` compares what the two
read, and has everything examined that this package makes of it.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import batpak_analytics as bp
from batpak_analytics.errors import CopyRefusedError, StoreNeedsRepairError
from batpak_analytics.format.layout import KIND_TOMBSTONE
from batpak_analytics.format.sidecars import checkpoint, mmap_index
from batpak_analytics.store.config import StoreConfig
from batpak_analytics.store.items import BatchItem, PriorItem
from batpak_analytics.store.store import Store
from tests.interop.compare import assert_store_equals, read_store
from tests.interop.divergence import explain_differences
from tests.interop.examined import Peer, examine
from tests.interop.oracle import Oracle, OracleRefused
from tests.interop.rows import Row
from tests.store.compactions import Shown, shown

KIND = 0x1003
ENTITIES = ("order:0", "order:1", "order:2", "cart:1", "order", "日本:ü", "n" * 1024, "e\u0301", "a,b")
PAYLOADS: list[Any] = [
    None, True, -1, 2**63, 2**64 - 1, -(2**63), 1.5, float("nan"), float("inf"), "é", "", [], {}, [1, [2]],
    {"b": 1, "a": {"z": None}}, {"total": 3}, {"total": "three"}, {"total": 2**64 - 1}, {"n": "x" * 300},
    {"v": [1, "x", None]}, {"payload": 1, "entity": 2, "": 3, "a.b": 4},
    {"long": "é" * 40_000}, {"m": {str(n): n for n in range(20)}},
]  # fmt: skip
RAW = [b"", b"\xc1", b"\x82\xa1a\x01\xa1a\x02", b"\xc4\x02\x00\xff", b"\x01\x02", b"\x81\xa1n\xcf" + bytes(7) + b"\x09"]
DISPOSABLE = ("index.fbati", "index.ckpt", "index.idemp")


class Hunt:
    """One store and the directory beside it in which its copies lie."""

    def __init__(self, oracle: Oracle, directory: Path, seed: int, others: list[Peer]) -> None:
        self.oracle, self.seed, self.others = oracle, seed, others
        self.path, self.side = directory / "store", directory / "side"
        self.side.mkdir(parents=True)
        self.chance = random.Random(seed)
        self.granularity = self.chance.choice([0, 0, 0, 0, 1, 2, 3, 4])
        self.undecodable = self.chance.random() < 0.5
        self.compactions = self.chance.choice([0, 10, 40])
        self.told: Counter[str] = Counter()
        self.before: set[str] = set()
        self.old: dict[str, bytes] = {}
        """Index images of an earlier moment, which no compaction has outdated."""
        self.dropping = False
        """Whether this round may drop events, or move the numbers that hide them."""

    def play(self, rounds: int) -> Counter[str]:
        """So many rounds; counts of what was done and compared."""
        for number in range(rounds):
            turns = [self.theirs, self.theirs, self.ours, self.ours, self.theirs_compacting, self.lose_sidecars]
            turn = self.theirs if not number else self.chance.choice(turns)
            self.dropping, done = False, turn.__name__
            self.told[done] += 1
            try:
                done = turn()
                self.check(self.path)
                for copy in sorted(self.side.iterdir()):
                    self.check_copy(copy)
                    shutil.rmtree(copy)
            except Exception as error:
                error.add_note(f"hunt {self.seed}, round {number}: {done}; kept in {self.path.parent}")
                raise
        return self.told

    def theirs(self) -> str:
        """A session of the reference."""
        seed = self.chance.getrandbits(40)
        given = {"undecodable": int(self.undecodable), "compactions": self.compactions}
        if self.granularity:
            given["granularity"] = self.granularity
        flags = [part for name, value in given.items() for part in (f"--{name}", value)]
        try:
            told = self.oracle.run("hunt", self.path, "--seed", seed, "--side", self.side, *flags)
        except OracleRefused as refusal:
            return self.born_hidden(refusal)
        for name in ("retention", "failed_batch", "merge", "tombstone"):
            self.dropping |= name in told
        if any(name in told for name in ("retention", "merge", "tombstone")):
            self.old = {}
        return f"theirs {seed} {told.strip()}"

    def theirs_compacting(self) -> str:
        """A compaction of the reference that strikes events of our choice."""
        strategy = self.chance.choice(["merge", "retention", "tombstone"])
        struck = self.path.with_name("struck")
        ids = [event.hex() for event, _, _ in shown(self.path)]
        struck.write_text("".join(f"{one}\n" for one in self.chance.sample(ids, len(ids) // 4)))
        self.dropping, self.old = True, {}
        try:
            return f"{strategy} {self.oracle.compact(self.path, strategy, strike_ids=str(struck))['outcome']}"
        except OracleRefused as refusal:
            return self.born_hidden(refusal)

    def born_hidden(self, refusal: OracleRefused) -> str:
        """Its own opening event got a number that is hidden, and it refuses the store (trap T9): opening helps."""
        assert "OpenReceiptNotIndexed" in str(refusal)
        self.told["born hidden"] += 1
        return "opened what the reference refuses" if self.settled(self.path) else "refused by both"

    def settled(self, path: Path) -> bool:
        """Open and close the store here. What may be hidden, and cannot be known, is refused."""
        try:
            Store.open(path, config=StoreConfig(allow_plaintext=True)).close()
        except StoreNeedsRepairError as refusal:
            assert "hidden-ambiguous" in str(refusal)
            self.told["refused"] += 1
            return False
        return True

    def lose_sidecars(self) -> str:
        """Sidecars that may be gone are gone, or those of an earlier session are back."""
        here = [name for name in DISPOSABLE if (self.path / name).exists()]
        lost = [name for name in here if self.chance.random() < 0.5]
        for name in lost:
            (self.path / name).unlink()
        back = [name for name in self.old if self.chance.random() < 0.5]
        for name in back:
            (self.path / name).write_bytes(self.old[name])
        self.dropping = True  # what is hidden goes by numbers that only an image may have
        return f"lost {lost}, back {back}"

    def ours(self) -> str:
        """A session of this engine."""
        chance = self.chance
        config = StoreConfig(
            segment_max_bytes=chance.choice([1, 700, 3_000, 20_000, 1 << 24]),
            sync=chance.choice([1, 1000, "always", "batch"]),
            batch_max_items=4096, allow_plaintext=bool(self.granularity),
        )  # fmt: skip
        did = []
        try:
            store = Store.open(self.path, config=config)
        except StoreNeedsRepairError as refusal:
            assert "hidden-ambiguous" in str(refusal)
            self.told["refused"] += 1
            return "refused"
        for _ in range(chance.randrange(12)):
            step = chance.choices(
                [self._append, self._batch, self._fence, self._compact, self._copy, self._import], [8, 5, 2, 2, 1, 1]
            )[0]
            did.append(f"{step.__name__} {step(store) or ''}")
        end = chance.choice(["close", "close", "drop", "crash", "fence-crash"])
        if end == "fence-crash":
            store.begin_fence().submit("order:1", "shop", KIND, "behind an open fence")
        if end.endswith("crash"):
            left = shutil.copytree(self.path, self.path.with_name("left"))
            store.drop()
            shutil.rmtree(self.path)
            left.rename(self.path)
        else:
            getattr(store, end)()
        return f"ours {config.segment_max_bytes} {did} {end}"

    def _item(self, number: int = 0) -> BatchItem:
        chance = self.chance
        causes = [None, bytes(15) + b"\x07", *self.some_ids]
        given: dict[str, Any] = {"payload": chance.choice(PAYLOADS)}
        if self.undecodable and chance.random() < 0.15:
            given = {"raw": chance.choice(RAW)}
        return BatchItem(
            chance.choice(ENTITIES), chance.choice(["shop", "日本", "s" * 1024]),
            chance.choice([KIND, 0x1001, 0x2001, 0xF001]),
            lane=chance.choice([0, 0, 0, 1, 5, 2**32 - 1]), depth=chance.choice([0, 1, 2**32 - 1]),
            branch_root=chance.random() < 0.1, flags=chance.choice([0, 1, 255]),
            payload_version=chance.choice([0, 1, 65535]),
            extensions=chance.choice([{}, {}, {"audit.user": b"\x00\xff", "zz.empty": b""}]),
            correlation_id=chance.choice(causes),
            causation_id=PriorItem(chance.randrange(number)) if number % 3 else chance.choice(causes),
            **given,
        )  # fmt: skip

    def _append(self, store: Store) -> None:
        item = self._item()
        if self.chance.random() < 0.2:
            item.idempotency_key = self.chance.randrange(1, 30)
        if item.raw is not None:
            store.append_batch([item])
            return
        names = ("payload", "lane", "depth", "branch_root", "flags", "payload_version", "extensions", "correlation_id",
                 "causation_id", "idempotency_key")  # fmt: skip
        store.append(item.entity, item.scope, item.kind, **{name: getattr(item, name) for name in names})

    def _batch(self, store: Store) -> None:
        store.append_batch([self._item(number) for number in range(self.chance.randrange(1, 7))])

    def _fence(self, store: Store) -> str:
        fence = store.begin_fence()
        fence.submit("order:1", "shop", KIND, {"fenced": True})
        fence.submit_batch([self._item(number) for number in range(self.chance.randrange(1, 4))])
        end = self.chance.choice(["commit", "cancel"])
        getattr(fence, end)()
        return end

    def _copy(self, store: Store) -> str | None:
        name = self.side / f"ours-{len(list(self.side.iterdir()))}"
        try:
            getattr(store, self.chance.choice(["snapshot", "fork"]))(
                name, keys="exclude" if self.granularity else "refuse"
            )
        except CopyRefusedError as error:
            assert "hidden-ambiguous" in str(error) or "numbers of cancelled events" in str(error)
            return "refused"
        return None

    def _import(self, store: Store) -> str:
        lanes = self.chance.random() < 0.5
        report = store.import_events(store.reader(), namespace="self", lanes=lanes, encrypted="skip",
                                     chunk_size=self.chance.choice([1, 3, 256]))  # fmt: skip
        return str(report.imported)

    def _compact(self, store: Store) -> str:
        """A compaction does what its plan says, and nothing else."""
        chance = self.chance
        strategy: Any = chance.choice(["merge", "retention", "tombstone"])
        salt = chance.randrange(256)
        rules = [
            bp.keep.kinds(0x1001, 0x2001), bp.keep.last_n_per_entity(2), bp.keep.not_(bp.keep.entities("order")),
            bp.keep.with_causes(bp.keep.kinds(KIND)), bp.keep.chain_heads(), [("lane", "=", 0)],
            lambda event: (event.event_id[-1] ^ salt) % 3 > 0,
        ]  # fmt: skip
        rule = None if strategy == "merge" else chance.choice(rules)
        system = strategy != "merge" and chance.random() < 0.2
        before, sizes = shown(self.path), {one.name: one.stat().st_size for one in self.path.glob("*.fbat")}
        plan = store.plan_compaction(strategy, rule, system=system, tombstone_encrypted=True)
        if plan.outcome == "refused":
            return f"refused {plan.refusals}"
        summary = plan.summary()
        report = store.compact(plan)
        self.old = {}
        if plan.outcome == "skipped":
            assert shown(self.path) == before
            return "skipped"
        assert report.output is not None and not report.unfinished
        for name in ("events_kept", "events_dropped", "events_tombstoned", "bytes_net", "bytes_gross"):
            assert getattr(report, name) == getattr(summary, name), name
        assert summary.bytes_gross == sum(sizes[one.name] for one in plan.sources)
        assert summary.bytes_net == report.output.stat().st_size - summary.bytes_gross
        assert report.bytes_after == sum(one.stat().st_size for one in self.path.glob("*.fbat"))
        assert shown(self.path) == compacted(before, plan)
        self.dropping = True
        return f"{strategy} {rule} {system}"

    def check(self, path: Path) -> None:
        """Both engines read the same there; the state of this store's life goes on from it."""
        rows = self.compared(path)
        now = {row["event_id"] for row in read_store(path)}
        with bp.open_reader(path) as reader:
            unsure = "hidden-ambiguous" in {one.rule for one in reader.view.findings}
        # Where the engines count otherwise, the hidden ranges name other events for each.
        if rows is not None and not self.dropping and not unsure:
            assert self.before <= now, f"{len(self.before - now)} events are gone"
        self.before = now
        self.some_ids = [bytes.fromhex(one) for one in self.chance.sample(sorted(now), min(5, len(now)))]
        if rows is not None:
            self.told += examine(self.oracle, path, rows, self.chance, self.others)
        for name in DISPOSABLE:
            if (path / name).exists() and self.chance.random() < 0.5:
                self.old[name] = (path / name).read_bytes()

    def check_copy(self, path: Path) -> None:
        """A copy is a store, in which both read the same."""
        self.compared(path)
        self.told["copies"] += 1

    def compared(self, path: Path) -> list[Row] | None:
        """What the reference reads, if that is what is read here; None where the known differences explain it."""
        if believes_false_image(path):
            # It loses events to it, and gives their numbers again: to open the store here helps.
            self.told["false image"] += 1
            if not self.settled(path):
                return None
            assert not believes_false_image(path)
        rows = self.oracle.dump(path)
        try:
            assert_store_equals(path, rows)
        except AssertionError as error:
            try:
                self.told.update(f"differs: {cause}" for cause in explain_differences(path, rows))
            except AssertionError as unexplained:
                raise unexplained from error
            return None
        return rows


def believes_false_image(path: Path) -> bool:
    """Whether the reference takes an index image from before a compaction for one of these files: a name and a size
    are all that it looks at (sidecars spec 6.2).
    """
    for name, decode in (("index.fbati", mmap_index.decode), ("index.ckpt", checkpoint.decode)):
        file = path / name
        image = decode(file.read_bytes()) if file.exists() else None
        last = path / f"{image.watermark_segment:06}.fbat" if image else path
        if image is None or not last.exists() or last.stat().st_size < image.watermark_offset:
            continue
        listed = {(one.segment_id, one.offset, one.event_id) for one in image.entries}
        with bp.open_reader(path) as reader:
            there = {
                (segment.segment_id, int(row["offset"]), row["event_id"].tobytes()[::-1])
                for segment in reader.view.segments
                for row in segment.rows
                if (segment.segment_id, row["offset"]) < (image.watermark_segment, image.watermark_offset)
            }
        return listed != there
    return False


def compacted(before: Shown, plan: Any) -> Shown:
    """The events that a plan leaves, by what it says of each."""
    struck = {bytes.fromhex(one) for one in plan.events()["event_id"]}
    if plan.strategy == "retention":
        return [one for one in before if one[0] not in struck]
    return [(event, number, KIND_TOMBSTONE if event in struck else kind) for event, number, kind in before]
