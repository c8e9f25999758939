"""Plans held against the reference: what it compacts itself, and what it reads of the output that a plan describes."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import batpak_analytics as bp
from batpak_analytics.compaction.output import OutputLayout, layout_of
from batpak_analytics.compaction.plan import CompactionPlan, Strategy
from batpak_analytics.format.event import decode_event
from batpak_analytics.format.layout import FRAME_HEADER_SIZE
from batpak_analytics.format.rows import walk_frames
from batpak_analytics.format.segment import canonical_name, encode_segment_header, read_segment_header
from tests.engine.building import EPOCH_US, Segment, begin, commit, make_event, write_store
from tests.interop.oracle import Oracle
from tests.interop.rows import Row

keep = bp.keep
RULES: list[tuple[Strategy, Any]] = [
    ("merge", None),
    ("retention", keep.not_(keep.entities("order:2"))),
    ("retention", keep.last_n_per_entity(4)),
    ("retention", keep.kinds(0x1001, 0x1003)),
    ("tombstone", keep.last_n_per_entity(4)),
]
PLACES = ("segment_id", "offset", "length")
PROFILES = ("segments", "lanes", "hidden", "crash")


@pytest.fixture(scope="module", params=PROFILES)
def store(request: pytest.FixtureRequest, oracle: Oracle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two sessions."""
    directory: Path = tmp_path_factory.mktemp(request.param) / "store"
    oracle.write(request.param, directory, seed=11)
    oracle.append(directory, seed=3, events=20)
    return directory


@pytest.fixture(scope="module", params=range(8))
def random_store(request: pytest.FixtureRequest, oracle: Oracle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sessions with lanes, batches, fences and keys that are used again, each ended in another way."""
    directory: Path = tmp_path_factory.mktemp("random") / "store"
    for session, end in enumerate(("close", "drop", "crash")):
        seed = 10 * request.param + session
        oracle.append(directory, seed=seed, events=40, segment_bytes=9_000, fences=15, shared_keys=5, end=end)
    return directory


def performed(plan: CompactionPlan, view: Any, store: Path, to: Path) -> tuple[Path, OutputLayout]:
    """The store as the plan leaves it, put together by hand."""
    shutil.copytree(store, to)
    layout = layout_of(plan, view)
    for name in [*(one.name for one in plan.sources), "index.fbati", "index.ckpt"]:
        (to / name).unlink(missing_ok=True)
    with open(to / layout.name, "wb") as out:
        out.writelines(layout.pieces(time.time_ns()))
    return to, layout


def expected_rows(rows: list[Row], plan: CompactionPlan, layout: OutputLayout) -> list[Row]:
    """What the reference read before, with what the plan changes: events that go, kinds, and places of frames."""
    struck = set(plan.events()["event_id"])
    places = {
        row["event_id"].tobytes()[::-1].hex(): (layout.segment_id, int(row["offset"]), int(row["length"]))
        for row in layout.rows
    }
    found = []
    for row in rows:
        if row["event_id"] in struck and plan.strategy == "retention":
            continue
        new = dict(row)
        if row["event_id"] in places:
            new |= dict(zip(PLACES, places[row["event_id"]], strict=True))
        if row["event_id"] in struck:
            new["kind"] = 0x0FFE
        found.append(new)
    return found


def without(rows: list[Row], *names: str) -> list[Row]:
    return [{name: value for name, value in row.items() if name not in names} for row in rows]


@pytest.mark.parametrize(("strategy", "rule"), RULES)
def test_the_reference_reads_the_output_with_its_footer_as_it_read_the_store(
    oracle: Oracle, store: Path, strategy: Strategy, rule: Any, tmp_path: Path
) -> None:
    """The same events with the same global sequences, but for what the plan says of them."""
    reader = bp.open_reader(store)
    plan = reader.plan_compaction(strategy, rule)
    new, layout = performed(plan, reader.view, store, tmp_path / "new")
    # Of a segment that it takes from a footer, the reference's index has no receipt extensions (segments spec 6.3).
    rows, after = (without(oracle.dump(one), "extensions") for one in (store, new))
    assert after == expected_rows(rows, plan, layout)


@pytest.mark.parametrize("profile", ["encrypted", "encrypted-event"])
@pytest.mark.parametrize(("strategy", "rule"), RULES[:3])
def test_the_reference_decrypts_all_that_stays(
    oracle: Oracle, profile: str, strategy: Strategy, rule: Any, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    oracle.write(profile, store, seed=5)
    reader = bp.open_reader(store)
    plan = reader.plan_compaction(strategy, rule)
    new, layout = performed(plan, reader.view, store, tmp_path / "new")
    rows, after = (without(oracle.dump(one), "extensions") for one in (store, new))
    assert any(row["encrypted"] and row["payload"] is not None for row in after)
    assert after == expected_rows(rows, plan, layout)


@pytest.mark.parametrize(("strategy", "rule"), RULES)
def test_the_reference_verifies_the_output_and_misses_the_links_that_were_named(
    oracle: Oracle, store: Path, strategy: Strategy, rule: Any, tmp_path: Path
) -> None:
    reader = bp.open_reader(store)
    plan = reader.plan_compaction(strategy, rule)
    new, _ = performed(plan, reader.view, store, tmp_path / "new")
    before, after = oracle.verify(store), oracle.verify(new)
    assert after["content_hash_mismatches"] == []
    found = plan.findings()
    named = set(found[found["rule"] == "link-broken"]["event_id"])
    struck = set(plan.events()["event_id"]) if strategy == "retention" else set()
    assert set(after["dangling_links"]) == (set(before["dangling_links"]) - struck) | named
    assert after["events_checked"] == before["events_checked"] - (
        0 if strategy != "retention" else int((~plan.events()["hidden"]).sum())
    )


def plan_of_all(store: Path, tmp_path: Path, strategy: Strategy, rule: Any) -> tuple[CompactionPlan, Any]:
    """A plan over every segment of a store, by a copy with one segment more, which is what opening it makes."""
    copy = shutil.copytree(store, tmp_path / "copy")
    more = 1 + max(one.segment_id for one in bp.open_reader(copy).view.segments)
    (copy / canonical_name(more)).write_bytes(encode_segment_header(more, time.time_ns()))
    reader = bp.open_reader(copy)
    return reader.plan_compaction(strategy, rule), reader.view


@pytest.mark.parametrize(("strategy", "rule"), RULES)
def test_the_reference_writes_the_same_frames_and_counts_the_same_bytes(
    oracle: Oracle, random_store: Path, strategy: Strategy, rule: Any, tmp_path: Path
) -> None:
    plan, view = plan_of_all(random_store, tmp_path, strategy, rule)
    layout = layout_of(plan, view)
    struck = tmp_path / "struck"
    struck.write_text("".join(f"{one}\n" for one in plan.events()["event_id"]))
    theirs = shutil.copytree(random_store, tmp_path / "theirs")
    report = oracle.compact(theirs, strategy, strike_ids=str(struck))
    assert report["outcome"] == "Performed"
    output = (theirs / layout.name).read_bytes()
    start = read_segment_header(output).frames_start
    ours = b"".join(layout.pieces(time.time_ns()))
    assert plan.summary().uncommitted_left_out == 0
    mine, its = ours[layout.frames_start : layout.frames_end], output[start:]
    markers = [at for at, frame in enumerate(frames_of(its)) if is_marker(frame)]
    if markers and markers[-1] == len(frames_of(its)) - 1:  # a batch at the very end goes without its markers
        its = b"".join(frame for at, frame in enumerate(frames_of(its)) if at not in markers[-2:])
    assert mine == its
    assert report["bytes_reclaimed"] == plan.summary().bytes_gross
    assert report["segments_removed"] == len(plan.sources)


def frames_of(data: bytes) -> list[bytes]:
    offsets, lengths, _, _ = walk_frames(data, 0, len(data))
    return [data[at : at + size] for at, size in zip(offsets.tolist(), lengths.tolist(), strict=True)]


def is_marker(frame: bytes) -> bool:
    return decode_event(frame, FRAME_HEADER_SIZE).is_marker


def test_the_reference_believes_the_footer_beside_a_segment_that_has_none(oracle: Oracle, tmp_path: Path) -> None:
    """As after a kill: then it asks more of a footer, and would count from 0 behind a COMMIT at the end."""
    batch = [begin(10, 2, at_us=EPOCH_US + 99), *(make_event(n, at_us=EPOCH_US + 98) for n in (10, 11))]
    store = write_store(
        tmp_path / "store",
        [
            Segment(1, [make_event(0), make_event(1)], first_sequence=5),
            Segment(2, [make_event(2), *batch, commit(10, at_us=EPOCH_US + 100)], first_sequence=20),
            Segment(3, [make_event(3)], footer=False),
        ],
    )
    reader = bp.open_reader(store)
    new, _ = performed(reader.plan_compaction(), reader.view, store, tmp_path / "new")
    assert [row["global_sequence"] for row in oracle.dump(new)] == [5, 6, 20, 21, 22, 23]


def test_the_reference_opens_a_store_of_which_nothing_sealed_is_left(
    oracle: Oracle, store: Path, tmp_path: Path
) -> None:
    reader = bp.open_reader(store)
    plan = reader.plan_compaction("retention", keep.kinds(), system=True)
    assert plan.summary().events_kept == 0
    new, layout = performed(plan, reader.view, store, tmp_path / "new")
    assert len(layout.rows) == 0
    left = {source.segment_id for source in plan.sources}
    rows = [row for row in oracle.dump(store) if row["segment_id"] not in left]
    assert without(oracle.dump(new), "extensions") == without(rows, "extensions")


def test_the_reference_raises_items_of_a_batch_that_never_was_and_a_plan_does_not(
    oracle: Oracle, tmp_path: Path
) -> None:
    """Trap T-9, the one difference in events."""
    begun = [begin(10, 3, at_us=EPOCH_US + 10), *(make_event(n, at_us=EPOCH_US + 9) for n in (10, 11))]
    store = write_store(
        tmp_path / "store",
        [
            Segment(1, [make_event(0), make_event(1), *begun], footer=False),
            Segment(2, [make_event(2), make_event(3)], first_sequence=2),
            Segment(3, [make_event(4)], first_sequence=4),
        ],
    )
    plan, view = plan_of_all(store, tmp_path, "retention", keep.newer_than(0))
    assert (plan.summary().events_dropped, plan.summary().uncommitted_left_out) == (1, 2)
    assert [int(row["clock"]) for row in layout_of(plan, view).rows] == [1, 2, 3, 4]
    struck = tmp_path / "struck"
    struck.write_text(f"{make_event(0).event_id.hex()}\n")
    theirs = shutil.copytree(store, tmp_path / "theirs")
    assert oracle.compact(theirs, "retention", strike_ids=str(struck))["outcome"] == "Performed"
    (output,) = (one for one in bp.open_reader(theirs).view.segments if one.segment_id == 1)
    assert output.rows["clock"].tolist() == [1, 10, 11, 2, 3, 4]


def test_where_the_reference_gives_up_at_a_payload_a_plan_keeps_the_event(oracle: Oracle, tmp_path: Path) -> None:
    odd = replace(make_event(1), payload=b"\xc1", payload_size=1)
    store = write_store(
        tmp_path / "store",
        [Segment(1, [make_event(0), odd]), Segment(2, [make_event(2)], first_sequence=2), Segment(3, [make_event(3)])],
    )
    plan, view = plan_of_all(store, tmp_path, "retention", lambda event: event.payload["n"] != 0)
    assert [int(row["clock"]) for row in layout_of(plan, view).rows] == [1, 2, 3]
    assert plan.findings()["rule"].tolist().count("kept-unjudged") == 1
    theirs = shutil.copytree(store, tmp_path / "theirs")
    assert "unreadable payload" in oracle.compact(theirs, "retention")["outcome"]
