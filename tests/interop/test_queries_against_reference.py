"""Queries give what the reference's give, and what the rules say where a list of all events is searched by hand."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import batpak_analytics as bp
from tests.interop.compare import assert_store_equals
from tests.interop.oracle import Oracle
from tests.interop.questions import Question, by_list, is_parent, ours, questions_about
from tests.interop.rows import Row, read_rows
from tests.interop.test_random_stores import Written, batches

FIXTURES = sorted(path.with_suffix("") for path in (Path(__file__).resolve().parents[1] / "fixtures").glob("*.jsonl"))
ENDS = {
    "ReachedGenesis": "genesis",
    "LimitReached": "limit",
    "MissingParent": "missing-parent",
    "NoAnchor": "no-anchor",
}
PER_STORE = 40


@pytest.fixture(scope="module", params=batches()[:2], ids=lambda seeds: f"{seeds.start}-{seeds.stop - 1}")
def written(
    request: pytest.FixtureRequest, oracle: Oracle, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Written]:
    directory = tmp_path_factory.mktemp("queries")
    yield Written(directory, oracle.write_many(request.param, directory))
    shutil.rmtree(directory)


def agrees(path: Path, rows: list[Row]) -> bool:
    """Whether both engines see the same events there at all, under the same numbers."""
    try:
        assert_store_equals(path, rows)
    except AssertionError:
        return False
    return True


def compare(oracle: Oracle, path: Path, rows: list[Row] | None, seed: Any) -> Counter[str]:
    """Ask everyone the same; how often each question was compared with the reference."""
    compared: Counter[str] = Counter()
    with bp.open_reader(path) as reader:
        entries = list(reader.query())
        questions = questions_about(entries, random.Random(seed), PER_STORE)
        answers = [ours(reader, question) for question in questions]
        for question, answer in zip(questions, answers, strict=True):
            assert answer == by_list(entries, question), (path.name, question)
    if rows is None or not agrees(path, rows):
        return compared
    for question, answer, theirs in zip(questions, answers, oracle.ask(path, questions), strict=True):
        if may_differ(entries, question, theirs):
            continue
        assert answer == translated(theirs), (path.name, question)
        compared[question["ask"]] += 1
    return compared


def translated(theirs: Any) -> Any:
    if not isinstance(theirs, dict):
        return theirs
    return {"events": theirs["events"], "end": ENDS.get(theirs["end"].partition("{")[0].strip(" ("), theirs["end"])}


def may_differ(entries: Sequence[bp.IndexEntry], question: Question, theirs: Any) -> bool:
    """Traps: a hidden head (T-30), and an event that is no parent but has its hash (T-3)."""
    if question["ask"] == "latest":
        return theirs is None
    if question["ask"] != "walk":
        return False
    known = {one.event_id.hex(): one for one in entries}
    steps = pairwise(known[event_id] for event_id in theirs["events"])
    strayed = "Cycle" in theirs["end"] or not all(is_parent(parent, child) for child, parent in steps)
    return strayed or "ReadFailure" in theirs["end"]


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.name)
def test_fixtures_answer_as_the_reference_does(oracle: Oracle, path: Path) -> None:
    assert compare(oracle, path, read_rows(path.with_suffix(".jsonl")), path.name).total() > 0


def test_random_stores_answer_as_the_reference_does(oracle: Oracle, written: Written) -> None:
    """Hidden events, lanes, causes that are nowhere, compacted, crashed and encrypted stores among them."""
    compared: Counter[str] = Counter()
    for store in written.stores:
        rows = None if store.refusal else store.rows()
        compared += compare(oracle, store.path, rows, store.seed)
    assert min(compared[ask] for ask in ("query", "query_after", "stream", "latest", "walk", "get")) > 20, compared


def test_events_behind_a_fence_are_seen_when_the_reference_shows_them(oracle: Oracle, tmp_path: Path) -> None:
    """And the watermarks are the reference's at every step; of a hidden head, the last visible event (T-30)."""
    ours = course(bp.Store.open(tmp_path / "ours"))
    theirs = oracle.marks(tmp_path / "theirs")
    assert [(step["visible"], step["marks"]) for step in ours] == [(step["visible"], step["marks"]) for step in theirs]
    assert [step["latest"] for step in ours] == [None, 1, 1, 1, 1, 3, 3, 3, 3, 6]
    assert [step["latest"] for step in theirs] == [None, 1, 1, 1, None, 3, 3, None, None, 6]


def course(store: bp.Store) -> list[dict[str, Any]]:
    """The steps of `marks.rs`."""

    def seen() -> dict[str, Any]:
        latest, marks = store.latest("order:1"), store.watermarks()
        return {
            "visible": [entry.global_sequence for entry in store.query()],
            "latest": latest and latest.global_sequence,
            "marks": [marks.accepted, marks.written, marks.durable, marks.visible],
        }

    with store:
        steps = [seen()]
        store.append("order:1", "shop", 0x1001, 1)
        steps.append(seen())
        store.sync()
        steps.append(seen())
        for keep in (True, False):
            fence = store.begin_fence()
            steps.append(seen())
            for number in range(2):
                fence.submit("order:1", "shop", 0x1001, number)
            store.sync()
            steps.append(seen())
            fence.commit() if keep else fence.cancel()
            steps.append(seen())
        store.append("order:1", "shop", 0x1001, 2)
        steps.append(seen())
    return steps
