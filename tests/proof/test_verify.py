"""`verify`: an honest store holds, each rule can fail, and no verdict says more than was proved."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import batpak_analytics as bp
from batpak_analytics.errors import AnchorError, EventNotFoundError
from batpak_analytics.format.layout import IDEMPOTENCY_NAME, MMAP_INDEX_NAME
from batpak_analytics.model import HashChain
from batpak_analytics.proof import faults, gaps
from batpak_analytics.proof import verify as verify_module
from batpak_analytics.proof.leaves import LeafFile
from batpak_analytics.proof.merkle import leaf_hash, root_of
from batpak_analytics.proof.rules import LEVELS, RULE_NAMES, RULES
from tests.conftest import FIXTURES
from tests.engine.building import EPOCH_US, Segment, begin, commit, make_event, write_store
from tests.proof.attacks import Victim, found_by, hashed

STORES = sorted(path for path in FIXTURES.iterdir() if path.is_dir())
HONEST = {"hidden-after-compaction"}  # a warning of the open, which knows no better


def copied(name: str, target: Path) -> Path:
    return Path(shutil.copytree(FIXTURES / name, target / name))


@pytest.mark.parametrize("store", STORES, ids=lambda path: path.name)
def test_an_honest_store_contradicts_itself_nowhere(store: Path) -> None:
    for level in LEVELS:
        report = bp.open_reader(store).verify(level)  # type: ignore[arg-type]
        assert report.verdict == "unanchored"
        assert set(found_by(report)) <= HONEST
        states = {one.rule.name: one.state for one in report.outcomes}
        for rule in RULES:
            reached = LEVELS.index(rule.level) <= LEVELS.index(level) and rule.name != "anchor"
            assert states[rule.name] == ("holds" if reached else "not checked")


def test_without_an_anchor_nothing_is_called_verified() -> None:
    report = bp.open_reader(FIXTURES / "segments").verify()
    assert (report.verdict, report.covered) == ("unanchored", 0)
    assert "nothing outside the store" in report.statement


def test_a_checkpoint_covers_what_it_counts_and_says_what_it_does_not(tmp_path: Path) -> None:
    store = copied("segments", tmp_path)
    checkpoint = bp.open_reader(store).verify().checkpoint()
    size = checkpoint.size
    report = bp.open_reader(store).verify(against=checkpoint)
    assert (report.verdict, report.covered) == ("verified", size)
    assert "unsigned" in report.statement and "not covered" not in report.statement
    with bp.Store.open(store) as writer:
        writer.append("order:1", "shop", 0x1001, {"total": 1})
    report = bp.open_reader(store).verify(against=checkpoint)
    assert (report.verdict, report.covered) == ("verified", size) and report.events > size
    assert f"The {report.events - size} events behind them are not covered" in report.statement


def test_the_root_is_that_of_the_frames_one_by_one() -> None:
    for store in STORES:
        reader = bp.open_reader(store)
        hashes = [
            leaf_hash(bytes(segment.window(int(row["offset"]) + 8, int(row["offset"]) + int(row["length"]))))
            for segment in reader.view.segments
            for row in segment.rows
        ]
        expected = root_of(np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, 32))
        assert reader.verify("index").checkpoint().root == expected


def test_hidden_events_are_leaves() -> None:
    report = bp.open_reader(FIXTURES / "hidden").verify("index")
    assert report.checkpoint().size == report.events > bp.open_reader(FIXTURES / "hidden").view.event_count


def test_a_signature_is_checked_and_named(tmp_path: Path) -> None:
    key, other = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
    reader = bp.open_reader(FIXTURES / "segments")
    path = reader.verify().checkpoint(key=key, origin="example.com/segments").save(tmp_path / "note")
    report = reader.verify(against=path, public_key=key.public_key())
    assert report.verdict == "verified" and "signed by example.com/segments" in report.statement
    assert "was not checked" in reader.verify(against=path).statement
    with pytest.raises(AnchorError, match="not signed by this key"):
        reader.verify(against=path, public_key=other.public_key())
    path.write_text(path.read_text().replace("\n124\n", "\n123\n"))
    with pytest.raises(AnchorError, match="was changed"):
        reader.verify(against=path, public_key=key.public_key())


def test_without_leaves_the_answer_is_within_the_first_n(tmp_path: Path) -> None:
    store = copied("segments", tmp_path)
    checkpoint = bp.open_reader(store).verify().checkpoint()
    (sorted(store.glob("*.fbat"))[-1]).unlink()
    (store / MMAP_INDEX_NAME).unlink()
    report = bp.open_reader(store).verify("index", checkpoint)
    told = report.findings().query("rule == 'anchor-differs'")["meaning"].tolist()
    assert len(told) == 1 and f"within the first {checkpoint.size} events" in told[0] and "holds" in told[0]
    assert (report.verdict, report.covered) == ("broken", 0)


def test_leaves_of_another_checkpoint_are_refused(tmp_path: Path) -> None:
    first, second = (bp.open_reader(FIXTURES / name).verify("index") for name in ("segments", "lanes"))
    first.checkpoint(leaves=tmp_path / "leaves")
    with pytest.raises(AnchorError, match="not those of this checkpoint"):
        bp.open_reader(FIXTURES / "lanes").verify("index", second.checkpoint(), leaves=tmp_path / "leaves")


def test_a_damaged_leaf_file_is_refused_at_every_byte(tmp_path: Path) -> None:
    bp.open_reader(FIXTURES / "quickstart").verify("index").checkpoint(leaves=tmp_path / "leaves")
    sound = (tmp_path / "leaves").read_bytes()
    assert LeafFile.load(tmp_path / "leaves").hashes.shape == (6, 32)
    for at in range(len(sound)):
        (tmp_path / "leaves").write_bytes(sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :])
        with pytest.raises(AnchorError):
            LeafFile.load(tmp_path / "leaves")
        (tmp_path / "leaves").write_bytes(sound[:at])
        with pytest.raises(AnchorError):
            LeafFile.load(tmp_path / "leaves")


def test_no_checkpoint_vouches_for_a_broken_store(tmp_path: Path) -> None:
    store = tmp_path / "store"
    victim = Victim(FIXTURES / "segments", store)
    place = victim.middle()
    victim.put(place, replace(victim.event(place), payload=b"\x01"))
    victim.save()
    report = bp.open_reader(store).verify()
    with pytest.raises(AnchorError, match="vouch"):
        report.checkpoint()
    assert report.checkpoint(despite_errors=True).size == report.events


def test_nothing_is_left_in_the_store(tmp_path: Path) -> None:
    store = copied("segments", tmp_path)
    before = {path: path.stat().st_mtime_ns for path in [store, *store.rglob("*")]}
    report = bp.open_reader(store).verify()
    report.checkpoint(leaves=tmp_path / "leaves").save(tmp_path / "note")
    report.known().save(tmp_path / "known")
    assert {path: path.stat().st_mtime_ns for path in [store, *store.rglob("*")]} == before
    with pytest.raises(AnchorError, match="lies in the store"):
        report.checkpoint(leaves=store / "leaves")


# -- one event, offline -----------------------------------------------------------------------------------
def test_a_proof_of_every_event_holds_without_the_store(tmp_path: Path) -> None:
    reader = bp.open_reader(FIXTURES / "lanes")
    report = reader.verify("index")
    checkpoint = report.checkpoint()
    for event_id in reader.events(columns=["event_id"], system=True).to_pandas()["event_id"]:
        path = report.prove(event_id, checkpoint).save(tmp_path / "proof")
        found = bp.verify_inclusion(path)
        assert found.event.event_id.hex() == event_id and found.checkpoint == checkpoint
        assert found.event.payload == reader.get_raw(event_id)


def test_a_proof_of_something_else_is_refused(tmp_path: Path) -> None:
    report = bp.open_reader(FIXTURES / "lanes").verify("index")
    event_id = report.rows.event(20)
    proof = report.prove(event_id)
    text = str(proof)
    assert bp.InclusionProof.parse(text) == proof
    for wrong in (
        replace(proof, index=21),
        replace(proof, body=proof.body[:-1] + b"\x00"),
        replace(proof, path=proof.path[:-1]),
        replace(proof, checkpoint=replace(proof.checkpoint, root=bytes(32))),
    ):
        with pytest.raises(AnchorError):
            bp.verify_inclusion(wrong)
    for cut in range(0, len(text), 7):
        with pytest.raises(AnchorError):
            bp.verify_inclusion(bp.InclusionProof.parse(text[:cut]))
    with pytest.raises(EventNotFoundError):
        report.prove("00" * 16)
    with pytest.raises(AnchorError, match="counts"):
        report.prove(event_id, replace(proof.checkpoint, size=3))


# -- bridges ----------------------------------------------------------------------------------------------
def test_a_bridge_counts_only_with_its_signature(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    old = bp.open_reader(FIXTURES / "segments").verify("index").checkpoint(key=key)
    compacted = bp.open_reader(FIXTURES / "retention")  # stands for what is left of it
    new = compacted.verify("index").checkpoint()
    bridge = bp.Bridge.between(old, bytes(range(32)), new)
    assert bp.Bridge.parse(str(bridge)) == bridge and bp.Bridge.parse(str(bridge.signed(key))) == bridge.signed(key)
    with pytest.raises(AnchorError, match="proves nothing unless"):
        compacted.verify(against=old, bridge=bridge)
    with pytest.raises(AnchorError, match="not signed"):
        compacted.verify(against=old, bridge=bridge, public_key=key.public_key())
    report = compacted.verify(against=old, bridge=bridge.signed(key), public_key=key.public_key())
    assert (report.verdict, report.covered) == ("verified", new.size)
    assert f"compacted by plan {bytes(range(32)).hex()}" in report.statement
    other = replace(bridge, old=(old.size, bytes(32))).signed(key)
    assert compacted.verify(against=old, bridge=other, public_key=key.public_key()).verdict == "broken"
    path = bridge.signed(key).save(tmp_path / "bridge")
    assert bp.Bridge.load(path) == bridge.signed(key)
    for text in ("", str(new), str(bridge).replace("plan ", "plan x"), str(bridge).replace("new", "old")):
        with pytest.raises(AnchorError):
            bp.Bridge.parse(text)


# -- each rule can fail -----------------------------------------------------------------------------------
def rules_of(store: Path, level: Any = "full") -> set[str]:
    return {fault.rule for fault in bp.open_reader(store).verify(level).faults.listed}


def test_a_flipped_byte_is_found_by_its_crc(tmp_path: Path) -> None:
    store = copied("segments", tmp_path)
    path = sorted(store.glob("*.fbat"))[2]
    data = bytearray(path.read_bytes())
    data[400] ^= 1
    path.write_bytes(data)
    assert "frame-crc" in rules_of(store, "frames") and "frame-crc" not in rules_of(store, "index")


def test_a_header_that_contradicts_its_frame_is_found(tmp_path: Path) -> None:
    victim = Victim(FIXTURES / "segments", tmp_path / "store")
    places = [victim.middle(n) for n in range(2)]
    victim.put(places[0], replace(victim.event(places[0]), content_hash=bytes(range(32))))
    victim.put(places[1], replace(victim.event(places[1]), payload_size=7))
    victim.save()
    assert {"header-hash", "header-size"} <= rules_of(victim.path, "frames")
    assert not {"header-hash", "header-size"} & rules_of(victim.path, "index")


def test_a_wall_clock_that_runs_backwards_is_found(tmp_path: Path) -> None:
    victim = Victim(FIXTURES / "segments", tmp_path / "store")
    place = victim.middle()
    event = victim.event(place)
    victim.put(place, replace(event, position=replace(event.position, wall_ms=5), timestamp_us=5000))
    victim.save()
    assert "clock-backwards" in rules_of(victim.path, "index")


def test_a_fork_is_found(tmp_path: Path) -> None:
    first = make_event(0)
    assert first.hash_chain is not None
    children = [
        hashed(
            replace(make_event(n), position=replace(make_event(n).position, clock=1)), bytes([n]), first.content_hash
        )
        for n in (1, 2)
    ]
    store = write_store(tmp_path / "store", [Segment(1, [first, *children])])
    assert "link-forked" in rules_of(store, "index")


def test_numbers_that_repeat_or_descend_are_found(tmp_path: Path) -> None:
    segments = [Segment(1, [make_event(0), make_event(1)]), Segment(2, [make_event(2)], first_sequence=1)]
    assert "sequence-repeated" in rules_of(write_store(tmp_path / "one", segments), "index")
    segments = [Segment(1, [make_event(0)], first_sequence=5), Segment(2, [make_event(1)], first_sequence=1)]
    assert "sequence-order" in rules_of(write_store(tmp_path / "two", segments), "index")
    assert "sequence-missing" in rules_of(tmp_path / "two", "index")


def batch(first: int, count: int, said: int, *, ends: int | None = None) -> list[bp.Event]:
    at = EPOCH_US + 1000 * first
    made = [make_event(n, at_us=at) for n in range(first, first + count)]
    linked = []
    for n, event in enumerate(made, first):
        assert event.hash_chain is not None
        prev = bytes(32) if n == 0 else make_event(n - 1).content_hash
        linked.append(replace(event, hash_chain=HashChain(prev, event.content_hash)))
    return [begin(first, said, at_us=at + 5), *linked, commit(first if ends is None else ends, at_us=at + 6)]


def test_batches_are_held_against_their_markers(tmp_path: Path) -> None:
    sound = [*batch(0, 3, 3), *batch(3, 2, 2)]
    assert not {rule for rule in rules_of(write_store(tmp_path / "a", [Segment(1, sound)])) if rule.startswith("batch")}
    stray = [*batch(0, 3, 3), commit(9, at_us=EPOCH_US + 9)]
    assert "batch-commit" in rules_of(write_store(tmp_path / "b", [Segment(1, stray)]))
    short = [begin(0, 2, at_us=EPOCH_US + 5), *batch(0, 3, 3)[1:4], commit(0, at_us=EPOCH_US + 6)]
    assert {"batch-count"} <= rules_of(write_store(tmp_path / "c", [Segment(1, short)]))
    late = batch(0, 3, 3)
    late[2] = replace(late[2], timestamp_us=late[2].timestamp_us + 9)
    assert "batch-time" in rules_of(write_store(tmp_path / "d", [Segment(1, late)]))
    other = batch(0, 3, 3)
    other[0], other[-1] = begin(7, 3, at_us=other[0].timestamp_us), commit(7, at_us=other[-1].timestamp_us)
    assert "batch-id" in rules_of(write_store(tmp_path / "e", [Segment(1, other)]))


def test_many_gaps_are_walked_as_few_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The one walk over all frames finds what a look at each gap finds, in every segment of every fixture."""
    sound = [event for n in range(0, 300, 3) for event in batch(n, 3, 3)]
    write_store(tmp_path / "sound", [Segment(1, sound), Segment(2, sound[:-1], footer=False)])
    for store in [*STORES, tmp_path / "sound"]:
        for segment in bp.open_reader(store).view.segments:
            found = []
            for few in (-1, 10**9):
                monkeypatch.setattr(gaps, "FEW_GAPS", few)
                one = gaps.read_gaps(segment)
                found.append((one.offsets.tolist(), one.before.tolist(), one.frames.tobytes(), one.lost_bytes))
            assert found[0] == found[1]


def test_a_damaged_sidecar_is_found(tmp_path: Path) -> None:
    store = copied("segments", tmp_path)
    for name in (IDEMPOTENCY_NAME, MMAP_INDEX_NAME):
        data = bytearray((store / name).read_bytes())
        data[-1] ^= 1
        (store / name).write_bytes(data)
    (store / "cursors").mkdir(exist_ok=True)
    (store / "cursors" / "mine.ckpt").write_bytes(b"\xc1")
    report = bp.open_reader(store).verify("index")
    told = [fault.meaning for fault in report.faults.listed if fault.rule == "sidecar-damaged"]
    assert len(told) == 3


def test_an_image_that_names_an_event_which_is_gone_tells_of_it(tmp_path: Path) -> None:
    store = copied("segments", tmp_path)
    sorted(store.glob("*.fbat"))[-1].unlink()
    assert "sidecar-names-missing" in rules_of(store, "index")


def test_a_missing_segment_is_found_and_a_compaction_is_not_one(tmp_path: Path) -> None:
    store = copied("segments", tmp_path)
    sorted(store.glob("*.fbat"))[0].unlink()
    assert "segment-missing" in rules_of(store, "index")
    assert "segment-missing" not in rules_of(FIXTURES / "merge", "index")
    store = copied("lanes", tmp_path)
    with bp.Store.open(store) as opened:
        assert opened.compact(opened.plan_compaction()).outcome == "performed"
        opened.append("order:1", "shop", 0x1001, 1)
    assert "segment-missing" not in rules_of(store, "index")


# -- checked before ---------------------------------------------------------------------------------------
def test_segments_checked_before_are_skipped_until_they_change(tmp_path: Path) -> None:
    store = copied("segments", tmp_path)
    path = bp.open_reader(store).verify("frames").known().save(tmp_path / "known")
    count = len(list(store.glob("*.fbat")))
    again = bp.open_reader(store).verify("frames", known=path)
    assert len(again.skipped_segments) == count
    assert {one.rule.name: one.skipped for one in again.outcomes}["frame"] == again.events
    assert bp.open_reader(store).verify("full", known=path).skipped_segments == (), "a lower level is not enough"
    assert bp.open_reader(store).verify("index", known=path).skipped_segments == ()
    touched = sorted(store.glob("*.fbat"))[1]
    os.utime(touched, ns=(1, 1))
    assert touched.name not in bp.open_reader(store).verify("frames", known=path).skipped_segments
    assert len(again.known().segments) == count, "what was skipped stays known"


def test_a_segment_with_faults_is_never_known(tmp_path: Path) -> None:
    store = copied("segments", tmp_path)
    path = sorted(store.glob("*.fbat"))[2]
    data = bytearray(path.read_bytes())
    data[400] ^= 1
    path.write_bytes(data)
    assert path.name not in bp.open_reader(store).verify("frames").known().segments


def test_a_segment_whose_faults_are_too_many_to_list_is_not_known_either(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(faults, "MOST_OF_A_RULE", 1)
    victim = Victim(FIXTURES / "segments", tmp_path / "store")
    places = [victim.middle(n) for n in range(12)]
    for place in places:
        victim.put(place, replace(victim.event(place), payload=b"\x01"))
    victim.save()
    report = bp.open_reader(victim.path).verify()
    assert len([one for one in report.faults.listed if one.rule == "payload-hash"]) == 1
    assert {one.rule.name: one.failed for one in report.outcomes}["payload"] == len(places)
    names = {victim.segments[place[0]].path.name for place in places}
    assert len(names) > 1 and not names & set(report.known().segments)


def test_what_is_no_record_is_refused(tmp_path: Path) -> None:
    for text in ("", "{}", "[]", '{"format": "other", "segments": {}}', '{"format": "batpak-analytics/known@v1"}'):
        (tmp_path / "known").write_text(text)
        with pytest.raises(AnchorError, match="no record"):
            bp.open_reader(FIXTURES / "segments").verify(known=tmp_path / "known")


# -- the report -------------------------------------------------------------------------------------------
def test_findings_have_the_columns_and_dtypes_that_are_documented() -> None:
    frame = bp.open_reader(FIXTURES / "segments").verify().findings()
    assert list(frame.columns) == [
        "severity", "rule", "segment", "offset", "event", "expected", "actual", "meaning", "action",
    ]  # fmt: skip
    assert str(frame["severity"].dtype) == "category" and list(frame["severity"].cat.categories) == [
        "info", "warning", "error",
    ]  # fmt: skip
    assert str(frame["segment"].dtype) == str(frame["offset"].dtype) == "UInt64"


def test_every_rule_says_what_it_proves_and_what_it_leaves_open() -> None:
    report = bp.open_reader(FIXTURES / "segments").verify()
    frame = report.rules()
    assert frame["rule"].tolist() == list(RULE_NAMES)
    assert frame["proves"].str.len().min() > 10 and frame["leaves_open"].str.len().min() > 10
    assert all(name in str(report) for name in RULE_NAMES)
    assert json.loads(json.dumps(report.to_dict()))["verdict"] == "unanchored"


def test_progress_goes_from_nothing_to_all() -> None:
    seen: list[tuple[int, int]] = []
    report = bp.open_reader(FIXTURES / "segments").verify(progress=lambda done, of: seen.append((done, of)))
    assert seen == sorted(seen) and seen[-1] == (report.events, report.events)


def test_options_without_a_checkpoint_are_refused() -> None:
    reader = bp.open_reader(FIXTURES / "segments")
    with pytest.raises(ValueError, match="against"):
        reader.verify(public_key=bytes(32))
    with pytest.raises(ValueError, match="not a level"):
        reader.verify("everything")  # type: ignore[arg-type]


def test_an_empty_checkpoint_covers_nothing(tmp_path: Path) -> None:
    report = bp.open_reader(FIXTURES / "segments").verify("index", bp.Checkpoint("o", 0, root_of(())))
    assert (report.verdict, report.covered) == ("unanchored", 0)


def test_one_thread_finds_what_many_find(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    victim = Victim(FIXTURES / "segments", tmp_path / "store")
    victim.put(victim.middle(), replace(victim.event(victim.middle()), payload=b"\x01"))
    victim.save()
    many = bp.open_reader(victim.path).verify()
    monkeypatch.setenv("BATPAK_THREADS", "1")
    one = bp.open_reader(victim.path).verify()
    assert one.faults.listed == many.faults.listed and one.checkpoint(despite_errors=True) == many.checkpoint(
        despite_errors=True
    )
    assert verify_module.home_of("payload-hash") == "payload"


def test_the_page_explains_every_rule_and_no_other() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "integrity.md").read_text(encoding="utf-8")
    table = page.split("| rule | level |")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    expected = [(f"`{rule.name}`", "" if rule.name == "anchor" else rule.level) for rule in RULES]
    assert [(row[0], row[1]) for row in rows] == expected


def test_what_our_own_engine_writes_contradicts_itself_nowhere(tmp_path: Path) -> None:
    """Single appends, batches, tables, fences of both ends, lanes and rotations."""
    config = bp.StoreConfig(segment_max_bytes=4_000)
    for number in range(3):
        with bp.Store.open(tmp_path / "store", config=config) as store:
            for n in range(20):
                store.append(f"order:{n % 3}", "shop", 0x1001, {"n": n}, lane=n % 2)
            store.append_batch([bp.BatchItem("order:1", "shop", 0x1002, {"n": n}) for n in range(5)])
            columns = {"entity": ["order:1", "order:2"] * 4, "n": list(range(8))}
            store.append_frame(pd.DataFrame(columns), entity=bp.column("entity"), scope="shop", kind=0x1003)
            with store.begin_fence() as fence:
                fence.submit("order:2", "shop", 0x1001, {"kept": number})
            cancelled = store.begin_fence()
            cancelled.submit("order:2", "shop", 0x1001, {"kept": False})
            cancelled.cancel()
            store.append("order:2", "shop", 0x1001, {"n": -1})
        report = bp.open_reader(tmp_path / "store").verify()
        assert not found_by(report), report.faults.listed
        links = bp.read_chains(tmp_path / "store", check_payloads=True)
        assert set(links["link"]) == {"root", "linked", "parent_hidden"} and links["payload_ok"].all()
