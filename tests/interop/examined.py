"""Everything that can be read from one store, held against the rows that the reference reads from it.

`examine` is for stores where both engines show the same events under the same numbers (`assert_store_equals`); it then
asks for these events in every other way there is: with other threads and without kernels, as frames, in streams,
filtered, one by one, by queries, as graphs, chains and segments, and verified.
"""

from __future__ import annotations

import hashlib
import json
import math
import operator
import os
import random
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

import batpak_analytics as bp
from tests.graph.test_views import assert_views
from tests.interop.compare import as_integers, same_value
from tests.interop.oracle import Oracle
from tests.interop.rows import Row
from tests.interop.test_queries_against_reference import compare as compare_queries
from tests.proof.test_chains import as_text
from tests.proof.test_chains import compare as compare_chains

LAST_DATE_MS = 1 << 42
REST = "payload.*"
"""Where the fields are that got no column."""
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {">": operator.gt, "<=": operator.le, "=": operator.eq}
FORMS: list[dict[str, Any]] = [
    {"columns": "all", "payload": "json", "system": True},
    {"columns": "all", "payload": "columns"},
    {"payload": "struct", "kind": 0x1001},
    {"columns": "all", "payload": "binary", "entity": "order"},
    {"payload": None, "lane": 0},
    {"columns": ["event_id", "disposition"], "system": True, "filters": [("depth", ">", 0)]},
]


def digest(path: Path) -> str:
    """A digest of many scans: types, values and counts. Small batches, so that there is work for several threads."""
    seen = hashlib.sha256()
    with bp.open_reader(path) as reader:
        for form in FORMS:
            scan = reader.events(**form)
            table = pa.Table.from_batches(list(scan.to_batches(5)), scan.schema)
            seen.update(f"{table.schema}{scan.count()}{table.num_rows}".encode())
            seen.update(repr(as_integers(table).to_pylist()).encode("utf-8", "surrogatepass"))
    return seen.hexdigest()


PEER = """
import sys
from pathlib import Path
from tests.interop.examined import digest
for line in sys.stdin:
    try:
        print(digest(Path(line[:-1])), flush=True)
    except Exception as error:
        print(type(error).__name__, error, flush=True)
"""


class Peer:
    """Another process of this package, in which something is set otherwise."""

    def __init__(self, **environment: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", PEER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            encoding="utf-8", env={**os.environ, **environment}, cwd=Path(__file__).resolve().parents[2],
        )  # fmt: skip

    def digest(self, path: Path) -> str:
        """What `digest` gives there, or the error that it raised."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


@contextmanager
def peers() -> Iterator[list[Peer]]:
    """One thread, four threads, and no kernels."""
    made = [Peer(BATPAK_THREADS="1"), Peer(BATPAK_THREADS="4"), Peer(BATPAK_KERNELS="off")]
    try:
        yield made
    finally:
        for one in made:
            one.close()


def examine(oracle: Oracle, path: Path, rows: list[Row], chance: random.Random, others: list[Peer]) -> Counter[str]:
    """All comparisons; counts of what was compared."""
    told: Counter[str] = Counter(rows=len(rows))
    assert digest(path) == chance.choice(others).digest(path), "threads or kernels change what is read"
    with bp.open_reader(path) as reader:
        examine_counts(reader, path, rows)
        told["fields"] += examine_columns(reader, rows)
        examine_filters(reader, rows, chance)
        examine_events(reader, rows, chance)
        assert_views(reader, rows)
        examine_segments(reader, rows)
        told += examine_verdict(oracle, reader, path, rows)
    if len({row["event_id"] for row in rows}) == len(rows):
        told += compare_chains(path)
    if rows:
        told += compare_queries(oracle, path, rows, chance.getrandbits(32))
    with bp.open_reader(path) as reader:
        names = ("entity", "lane", "clock", "event_id", "event_hash", "prev_hash", "global_sequence")
        found = as_text(reader.chains().to_arrow())
        assert [{n: row[n] for n in names} for row in found] == [{n: row[n] for n in names} for row in rows]
    return told


def examine_counts(reader: bp.Reader, path: Path, rows: list[Row]) -> None:
    """`count`, `read_batpak` and limits."""
    users = [row for row in rows if row["entity"] != "batpak:store"]  # which has tombstones of the engine's own, too
    assert reader.events(system=True).count() == len(rows)
    assert reader.events().count() == len(users)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bp.BatpakDamageWarning)
        frame = bp.read_batpak(path)
    assert frame["event_id"].tolist() == [row["event_id"] for row in users]
    assert frame["global_sequence"].tolist() == [row["global_sequence"] for row in users]
    assert frame["entity"].tolist() == [row["entity"] for row in users]
    for limit in (0, 1, 7, len(rows) + 1):
        assert reader.events(system=True, limit=limit).to_arrow().num_rows == min(limit, len(rows))


def examine_columns(reader: bp.Reader, rows: list[Row]) -> int:
    """Each field of each payload has its value in a column, and no other row has one."""
    table = reader.events(columns=["event_id", "disposition", "payload"], system=True).to_arrow()
    names = [name for name in table.schema.names if name.startswith("payload.")]
    compared = 0
    for row, found in zip(rows, table.to_pylist(), strict=True):
        if found["disposition"] != "present":
            continue
        fields = row["payload"] if isinstance(row["payload"], dict) else {}
        if (row["payload_raw"] and 0xA0 > int(row["payload_raw"][:2], 16) >= 0x80) or fields:
            rest = json.loads(found.get(REST) or "{}")
            assert {f"payload.{name}" for name in fields.keys() - rest.keys()} <= set(names), row["event_id"]
            assert same_value(rest, {name: fields[name] for name in rest}), row["event_id"]
        for name in names:
            if (name == "payload.value" and not isinstance(row["payload"], dict)) or name == REST:
                continue
            wanted = fields.get(name.removeprefix("payload."))
            assert alike(wanted, found[name]), (row["event_id"], name, wanted, found[name])
            compared += 1
    return compared


def alike(wanted: Any, got: Any) -> bool:
    """The same value, or the JSON text of it, where the column's rows do not agree on a type; at any depth.

    What a column of one type cannot tell is left aside: missing fields from nil, and JSON has no NaN.
    """
    if isinstance(got, float) and not math.isfinite(got):
        got = None
    if isinstance(wanted, dict) and isinstance(got, dict):
        return all(alike(wanted.get(key), got.get(key)) for key in wanted.keys() | got.keys())
    if isinstance(wanted, list) and isinstance(got, list) and len(wanted) == len(got):
        return all(map(alike, wanted, got))
    if wanted == got:
        return True
    if not isinstance(got, str):
        return got is None and wanted == {}  # a struct without fields that are not null
    try:
        return same_value(json.loads(got), wanted)
    except json.JSONDecodeError:
        return False


def examine_filters(reader: bp.Reader, rows: list[Row], chance: random.Random) -> None:
    """Filters of every kind against the rows."""
    for _ in range(3 if rows else 0):
        one = chance.choice(rows)
        low, high = sorted(chance.choice(rows)["global_sequence"] for _ in range(2))
        early, late = sorted(chance.choice(rows)["wall_ms"] for _ in range(2))
        name = chance.choice([one["entity"], one["entity"].partition(":")[0]]) or one["entity"]
        for given, passes in conditions(one, name, (low, high), (early, late)):
            if one["encrypted"] is None and "flags" in str(given):
                continue
            scan = reader.events(columns=["event_id"], system=True, **given)
            found = [event.hex() for event in scan.to_arrow()[0].to_pylist()]
            assert found == [row["event_id"] for row in rows if passes(row)], given
            assert scan.count() == len(found), given
    examine_payload_filters(reader, chance)


Condition = tuple[dict[str, Any], Callable[[Row], bool]]


def conditions(one: Row, name: str, numbers: tuple[int, int], times: tuple[int, int]) -> list[Condition]:
    """Options of `events`, each with what it must choose."""
    same = [
        ({"scope": one["scope"]}, "scope"), ({"kind": one["kind"]}, "kind"), ({"lane": one["lane"]}, "lane"),
        *(({"filters": [(key, "=", one[key])]}, key) for key in ("flags", "correlation_id", "causation_id")),
        ({"filters": [("prev_hash", "=", one["prev_hash"])]}, "prev_hash"),
    ]  # fmt: skip
    found: list[Condition] = [(given, partial(_has, key, one[key])) for given, key in same]
    (low, high), (early, late) = numbers, times
    found += [
        ({"entity": name}, lambda row: row["entity"] == name or row["entity"].startswith(name + ":")),
        ({"kind": bp.category(one["kind"] >> 12)}, lambda row: row["kind"] >> 12 == one["kind"] >> 12),
        ({"filters": [("global_sequence", ">=", low), ("global_sequence", "<", high)]},
         lambda row: low <= row["global_sequence"] < high),
        ({"filters": [[("entity", "!=", name)], [("clock", "=", one["clock"])]]},
         lambda row: row["entity"] != name or row["clock"] == one["clock"]),
        ({"as_of": low}, lambda row: row["global_sequence"] <= low),
        ({"as_of": one["event_id"]}, lambda row: row["global_sequence"] <= one["global_sequence"]),
    ]  # fmt: skip
    if late < LAST_DATE_MS:
        since, until = (pa.scalar(at, pa.timestamp("ms", "UTC")).as_py() for at in times)
        found.append(({"since": since, "until": until}, lambda row: early <= row["wall_ms"] < late))
    return found


def _has(key: str, value: Any, row: Row) -> bool:
    return bool(row[key] == value)


def examine_payload_filters(reader: bp.Reader, chance: random.Random) -> None:
    """Conditions on payload fields against the columns that a scan without them gives."""
    table = reader.events(columns=["event_id", "payload"], system=True).to_arrow()
    numbers = [name for name in table.schema.names if pa.types.is_integer(table.schema.field(name).type)
               or pa.types.is_floating(table.schema.field(name).type)]  # fmt: skip
    for name in chance.sample(numbers, min(3, len(numbers))):
        values = table.select(["event_id", name]).to_pylist()
        known = [row[name] for row in values if row[name] is not None and not math.isnan(row[name])]
        for sign, passes in COMPARISONS.items() if known else ():
            bound = chance.choice(known)
            scan = reader.events(columns=["event_id"], system=True, filters=[(name, sign, bound)])
            wanted = [row["event_id"] for row in values if row[name] is not None and passes(row[name], bound)]
            assert scan.to_arrow()["event_id"].to_pylist() == wanted, (name, sign, bound)
            assert scan.count() == len(wanted)


def examine_events(reader: bp.Reader, rows: list[Row], chance: random.Random) -> None:
    """`get` and `get_raw` of some events. Of two with one id, the later one is meant."""
    last = {row["event_id"]: row for row in rows}
    for event_id in chance.sample(sorted(last), min(12, len(last))):
        row = last[event_id]
        if row["encrypted"] is None:
            continue
        assert reader.get_raw(event_id).hex() == row["payload_raw"]
        if row["encrypted"] or (isinstance(row["payload"], dict) and "$error" in row["payload"]):
            continue
        event = reader.get(event_id)
        assert (event.entity, event.scope, int(event.kind)) == (row["entity"], row["scope"], row["kind"])
        assert event.timestamp_us == row["timestamp_us"]


def examine_segments(reader: bp.Reader, rows: list[Row]) -> None:
    """The events of each segment, and its first and last number."""
    found = {row["segment_id"]: row for row in as_integers(reader.segments().to_arrow()).to_pylist()}
    counts = Counter(row["segment_id"] for row in rows)
    assert {number: row["events"] for number, row in found.items() if row["events"]} == dict(counts)
    for number in counts:
        mine = [row["global_sequence"] for row in rows if row["segment_id"] == number]
        assert (found[number]["first_sequence"], found[number]["last_sequence"]) == (min(mine), max(mine))


def examine_verdict(oracle: Oracle, reader: bp.Reader, path: Path, rows: list[Row]) -> Counter[str]:
    """Nothing that the reference finds intact is broken, and the links that it misses are named."""
    report = reader.verify("full")
    assert report.verdict == "unanchored", report.findings().to_string()
    if any(row["encrypted"] is None or row["encrypted"] for row in rows):
        return Counter()
    theirs = oracle.verify(path)
    assert theirs["content_hash_mismatches"] == []
    assert theirs["events_checked"] == len(rows)
    shown = {row["event_hash"] for row in rows}
    loose = {row["event_id"] for row in rows if row["prev_hash"] != "00" * 32 and row["prev_hash"] not in shown}
    links = {row["event_id"]: row["link"] for row in as_text(reader.chains().to_arrow())}
    assert set(theirs["dangling_links"]) == loose
    assert {links[event] for event in loose} <= {"parent_hidden", "parent_missing"}
    linked = {event for event, link in links.items() if link == "linked"}
    assert not linked & loose
    return Counter(verified=1)
