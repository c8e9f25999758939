"""Footer rows as a whole: compiled against readable, and both against what the rows were made to be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batpak_analytics import kernels
from batpak_analytics.format import survey
from batpak_analytics.format.layout import FOOTER_DTYPE, KIND_BATCH_BEGIN, KIND_BATCH_COMMIT

SIZE = FOOTER_DTYPE.itemsize
TIME = 1 << 80  # what one more millisecond adds to an id


def made_rows(count: int) -> Any:
    """Rows as a writer leaves them: back to back, ids and sequences ascending."""
    rows = np.zeros(count, FOOTER_DTYPE)
    rows["offset"] = 57 + 300 * np.arange(count)
    rows["length"] = 300
    rows["global_sequence"] = np.arange(count)
    set_ids(rows, [n * TIME + n for n in range(count)])
    return rows


def set_ids(rows: Any, ids: list[int]) -> None:
    rows["event_id"] = np.frombuffer(b"".join(one.to_bytes(16, "little") for one in ids), "V16")


def surveyed(rows: Any) -> survey.Survey:
    found, wanted = kernels.survey_rows(rows), survey.survey_rows(rows)
    assert found.gaps.tolist() == wanted.gaps.tolist()
    assert found[0] == wanted[0] and found[2:] == wanted[2:]
    return found


@given(st.lists(st.binary(min_size=SIZE, max_size=SIZE), max_size=8))
def test_any_rows_give_the_readable_answer(rows: list[bytes]) -> None:
    surveyed(np.frombuffer(b"".join(rows), FOOTER_DTYPE))


@given(st.integers(0, 20), st.data())
def test_small_changes_give_the_readable_answer(count: int, data: st.DataObject) -> None:
    rows = made_rows(count)
    raw = rows.view(np.uint8)
    for _ in range(data.draw(st.integers(0, 3)) if count else 0):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    surveyed(rows)


def test_rows_of_a_writer_are_sound() -> None:
    found = surveyed(made_rows(100))
    assert (found.in_order, found.gaps.tolist(), found.markers, found.top_string) == (True, [], False, 0)
    assert found.ids_differ and found.sequence_ascends


@pytest.mark.parametrize("gaps", [[1], [3, 7], list(range(1, 90))])
def test_every_gap_is_named(gaps: list[int]) -> None:
    rows = made_rows(100)
    for at in gaps:
        rows["offset"][at:] += 100
    found = surveyed(rows)
    assert (found.in_order, found.gaps.tolist()) == (True, gaps)


def test_overlaps_short_frames_and_far_offsets_are_not_in_order() -> None:
    for name, value in (("offset", 56 + 300 * 5), ("length", 7), ("length", 301), ("offset", 2**64 - 1)):
        rows = made_rows(10)
        rows[name][5] = value
        assert not surveyed(rows).in_order


@pytest.mark.parametrize("kind", [KIND_BATCH_BEGIN, KIND_BATCH_COMMIT])
def test_a_marker_is_seen_wherever_it_stands(kind: int) -> None:
    for at in (0, 9):
        rows = made_rows(10)
        rows["kind"][at] = kind
        assert surveyed(rows).markers


def test_ids_of_one_moment_may_stand_in_any_order_and_none_may_repeat() -> None:
    rows = made_rows(6)
    set_ids(rows, [TIME + 5, TIME + 3, TIME + 4, 2 * TIME + 9, 2 * TIME + 3, 3 * TIME])
    assert surveyed(rows).ids_differ
    set_ids(rows, [TIME + 5, TIME + 3, TIME + 5, 2 * TIME + 9, 2 * TIME + 3, 3 * TIME])
    assert not surveyed(rows).ids_differ
    set_ids(rows, [TIME + 5, TIME + 3, TIME + 4, 2 * TIME + 9, 4 * TIME + 3, 3 * TIME])
    assert not surveyed(rows).ids_differ


@pytest.mark.parametrize(("count", "proven"), [(survey.MAX_ALIKE, True), (survey.MAX_ALIKE + 1, False)])
def test_too_many_ids_of_one_moment_are_left_to_others(count: int, proven: bool) -> None:
    rows = made_rows(count)
    set_ids(rows, [TIME + 7 * (count - n) for n in range(count)])
    assert surveyed(rows).ids_differ is proven


@given(st.integers(0, 12), st.integers(0, 12), st.data())
def test_rows_match_an_image_up_to_the_first_difference(count: int, known: int, data: st.DataObject) -> None:
    rows, image = made_rows(count), made_rows(known)
    for table in (rows, image):
        table["event_hash"] = np.arange(len(table), dtype="<u8").repeat(4).view("V32")
    image["global_sequence"] += data.draw(st.sampled_from([0, 0, 5]))
    expected = min(count, known)
    if known and data.draw(st.booleans()):
        at = data.draw(st.integers(0, known - 1))
        raw = image.view(np.uint8).reshape(known, SIZE)
        places: Any = FOOTER_DTYPE.fields
        place = places[data.draw(st.sampled_from(["event_id", "event_hash"]))]
        raw[at, place[1] + data.draw(st.integers(0, place[0].itemsize - 1))] ^= 1
        expected = min(expected, at)
    given_all = (rows, image["event_id"], image["event_hash"], image["global_sequence"])
    found, wanted = kernels.match_rows(*given_all), survey.match_rows(*given_all)
    assert (found.rows, found.same, found.numbers.tolist()) == (wanted.rows, wanted.same, wanted.numbers.tolist())
    assert found.rows == expected
    assert found.numbers.tolist() == image["global_sequence"][:expected].tolist()
