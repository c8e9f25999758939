"""Fields of footer rows: the compiled gathering against the readable one, for rows that are there or not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batpak_analytics import kernels
from batpak_analytics.format import gather
from batpak_analytics.format.gather import WIDTHS, Form, Job, Part
from batpak_analytics.format.layout import FOOTER_DTYPE, I64_MAX

SIZE = FOOTER_DTYPE.itemsize
FORMS = [(name, Form.COPY) for name in FOOTER_DTYPE.names or ()]
FORMS += [(name, form) for name in ("event_id", "causation_id") for form in (Form.REVERSED, Form.PRESENT)]
FORMS += [("entity_idx", Form.CODE), ("scope_idx", Form.CODE), ("wall_ms", Form.TIME)]


@st.composite
def footers(draw: st.DrawFn) -> Any:
    """Rows of any bytes; string indexes are small more often than not, and ids sometimes zero."""
    count = draw(st.integers(0, 150))
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    rows = np.frombuffer(random.bytes(count * SIZE), FOOTER_DTYPE).copy()
    if draw(st.booleans()):
        rows["entity_idx"] %= 5
        rows["scope_idx"] %= 7
    rows["causation_id"][random.random(count) < 0.5] = np.void(bytes(16))
    rows["wall_ms"][random.random(count) < 0.5] %= 2**63
    return rows


near = st.integers(-3, 160)
places = st.builds(slice, near, near) | st.lists(near | st.integers(-(2**63), 2**63 - 1), max_size=140).map(
    lambda numbers: np.array(numbers, np.int64)
)


def gathered(run: Any, parts: list[Part]) -> list[bytes]:
    count = sum(gather.row_count(part.rows) for part in parts)
    jobs = []
    for field, form in FORMS:
        width = WIDTHS.get(form, FOOTER_DTYPE[field].itemsize)
        jobs.append(Job(field, form, np.full(count * width, 0xEE, np.uint8)))
    run(parts, jobs)
    return [job.out.tobytes() for job in jobs]


tables = st.lists(st.integers(-(2**31), 2**31 - 1), max_size=6).map(
    lambda codes: {name: np.array(codes, np.int32) for name in ("entity_idx", "scope_idx")}
)


@given(st.lists(st.builds(Part, footers(), places, tables), max_size=3))
def test_every_form_of_every_field_is_the_readable_one(parts: list[Part]) -> None:
    assert gathered(kernels.gather_rows, parts) == gathered(gather.gather_rows, parts)


@given(footers(), st.integers(0, 9), st.booleans(), st.randoms(use_true_random=False))
def test_used_strings_are_those_of_the_chosen_rows(rows: Any, count: int, masked: bool, random: Any) -> None:
    mask = np.array([random.random() < 0.3 for _ in range(len(rows))], bool) if masked else None
    for got, wanted in zip(
        kernels.used_strings(rows, mask, count), gather.used_strings(rows, mask, count), strict=True
    ):
        np.testing.assert_array_equal(got, wanted)


def test_values_are_those_of_the_row() -> None:
    rows = np.zeros(3, FOOTER_DTYPE)
    rows["event_id"][1] = np.void(bytes(range(16)))
    rows["entity_idx"] = [2, 1, 9]
    rows["wall_ms"] = [5, I64_MAX, I64_MAX + 1]
    ids, codes, times, present = (np.empty((3, 16), np.uint8), *(np.empty(3, kind) for kind in ("<i4", "<i8", "u1")))
    kernels.gather_rows(
        [Part(rows, np.array([1, 0, 2]), {"entity_idx": np.array([7, 8, 9], np.int32)})],
        [
            Job("event_id", Form.REVERSED, ids),
            Job("entity_idx", Form.CODE, codes),
            Job("wall_ms", Form.TIME, times),
            Job("event_id", Form.PRESENT, present),
        ],
    )
    assert ids.tolist() == [list(range(15, -1, -1)), [0] * 16, [0] * 16]
    assert codes.tolist() == [8, 9, 0]
    assert times.tolist() == [I64_MAX, 5, I64_MAX]
    assert present.tolist() == [1, 0, 0]


@pytest.mark.parametrize("run", [kernels.gather_rows, gather.gather_rows])
@pytest.mark.parametrize(
    "job",
    [
        Job("kind", Form.COPY, np.empty(5, np.uint8)),
        Job("kind", Form.REVERSED, np.empty(32, np.uint8)),
        Job("entity_idx", Form.CODE, np.empty(2, np.int32)),
        Job("event_hash", Form.PRESENT, np.empty(2, np.uint8)),
    ],
)
def test_a_job_that_cannot_be_done_is_refused(run: Any, job: Job) -> None:
    with pytest.raises(ValueError, match=job.field):
        run([Part(np.zeros(2, FOOTER_DTYPE), slice(0, 2))], [job])
