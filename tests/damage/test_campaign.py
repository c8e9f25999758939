"""A short campaign of every kind of damage; `python -m tests.damage` runs the long one."""

from __future__ import annotations

import faulthandler
from collections.abc import Iterator

import pytest

from batpak_analytics.errors import BatpakError
from tests.damage.campaign import Campaign, campaign
from tests.damage.damages import KINDS, truncated, truncations
from tests.damage.oracle import Remains, Truth
from tests.damage.stores import store_named

SEED = 20
CASES = 60
SECONDS_PER_TEST = 120


@pytest.fixture(scope="module")
def running() -> Iterator[Campaign]:
    with campaign(SEED) as made:
        yield made


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """A hang ends the run with every thread's traceback."""
    faulthandler.dump_traceback_later(SECONDS_PER_TEST, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_store_shows_all_that_is_proven_and_nothing_else(running: Campaign, kind: str) -> None:
    for number in range(CASES):
        assert running.run(kind, number).wrong == (), f"python -m tests.damage --seed {SEED} --only {kind}:{number}"


def test_store_cut_anywhere_shows_what_is_left(running: Campaign) -> None:
    for store, size in truncations()[::37]:
        assert running.judge(truncated(store, size)).wrong == (), (store.name, size)


def test_every_byte_around_a_cut_between_two_frames(running: Campaign) -> None:
    store = store_named("batches")
    frames = [frame for frame in running.truth(store).frames if frame.file == store.segments[-1]]
    for frame in frames:
        for size in range(frame.offset - 1, frame.offset + 10):
            assert running.judge(truncated(store, size)).wrong == (), size


def test_the_judge_notices_what_it_is_there_for(running: Campaign) -> None:
    """A judge that is always content would pass every campaign."""
    from dataclasses import replace

    from tests.damage.judge import judge, judge_raising
    from tests.damage.reading import Reading, read

    store = store_named("batches")
    truth = running.truth(store)
    files = dict(store.files)
    data = bytearray(files["000003.fbat"])
    data[100] ^= 1
    files["000003.fbat"] = bytes(data)
    running.write(files)
    remains, reading = Remains(truth, files), read(running.directory)
    assert judge(truth, remains, reading) == []
    rows = reading.rows
    wrong = {
        "is whole and is not shown": replace(reading, rows=rows[1:]),
        "is shown twice": replace(reading, rows=[*rows, rows[-1]]),
        "was invented": replace(reading, rows=[{**rows[0], "event_id": bytes(16)}, *rows[1:]]),
        "clock is": replace(reading, rows=[{**rows[0], "clock": 77}, *rows[1:]]),
        "payload is": replace(reading, rows=[{**rows[0], "payload": b""}, *rows[1:]]),
        "do not ascend": replace(reading, rows=[rows[1], rows[0], *rows[2:]]),
        "no finding names": replace(reading, findings=()),
        "never committed": replace(reading, rows=[{**rows[0], **_uncommitted(truth)}, *rows[1:]]),
        "refused": Reading([], error=_error()),
    }
    for text, false in wrong.items():
        assert any(text in one for one in judge(truth, remains, false)), text
    assert judge_raising(reading, replace(reading, rows=rows[1:]))


def _uncommitted(truth: Truth) -> dict[str, object]:
    """Where an item of a batch without COMMIT stands."""
    item = next(one for one in truth.frames if one.in_batch and not one.committed and not one.is_marker)
    return {"event_id": item.event_id, "segment_id": int(item.file[:6]), "offset": item.offset}


def _error() -> BatpakError:
    from batpak_analytics.errors import CorruptSegmentError

    return CorruptSegmentError("made up")
