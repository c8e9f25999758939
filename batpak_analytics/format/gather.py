"""Fields of footer rows, each into an array of its own: the readable twin and the oracle of ``kernels/gather.py``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from batpak_analytics.format.layout import FOOTER_DTYPE, I64_MAX, ID_SIZE

Array = npt.NDArray[Any]
MOST_JOBS: Final = 32


class Form(IntEnum):
    """What becomes of a field on the way."""

    COPY = 0  # the same bytes
    REVERSED = 1  # an id, most significant byte first
    CODE = 2  # an index into the string table, looked up in ``table``; 0 where that ends before
    TIME = 3  # milliseconds, at most what a signed integer holds
    PRESENT = 4  # 1 where an id is not zero, else 0


WIDTHS: Final = {Form.REVERSED: ID_SIZE, Form.CODE: 4, Form.TIME: 8, Form.PRESENT: 1}
"""Bytes of a result; those of the field where not listed."""


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """Fill ``out``, contiguous bytes of exactly the right size, with ``field`` in ``form``."""

    field: str
    form: Form
    out: Array
    table: npt.NDArray[np.int32] | None = None

    def check(self, count: int) -> None:
        """Raise `ValueError` where ``out`` cannot take ``count`` results or the form does not suit the field."""
        width = FOOTER_DTYPE[self.field].itemsize
        suits = {Form.REVERSED: ID_SIZE, Form.PRESENT: ID_SIZE, Form.CODE: 4, Form.TIME: 8}.get(self.form, width)
        if width != suits or (self.form == Form.CODE) != (self.table is not None):
            raise ValueError(f"{self.form!r} does not suit {self.field}. Choose the form by the field's width.")
        if self.out.nbytes != count * WIDTHS.get(self.form, width):
            raise ValueError(f"out for {self.field} has another size than its rows. Pass one place for each row.")


def row_count(rows: slice | Array) -> int:
    """How many rows are meant: ``slice(first, last)`` or row numbers."""
    return max(rows.stop - rows.start, 0) if isinstance(rows, slice) else len(rows)


def check_jobs(jobs: Sequence[Job], count: int) -> None:
    """Raise `ValueError` where a job cannot be done for ``count`` rows, or there are more than `MOST_JOBS`."""
    if len(jobs) > MOST_JOBS:
        raise ValueError(f"{len(jobs)} jobs are more than {MOST_JOBS}. Gather some fields in a second call.")
    for job in jobs:
        job.check(count)


def gather_rows(entries: Any, rows: slice | Array, jobs: Sequence[Job]) -> None:
    """Do every job for the same rows of ``entries``. A row that is not there counts as one of zeros."""
    count = row_count(rows)
    check_jobs(jobs, count)
    numbers = np.arange(rows.start, rows.start + count) if isinstance(rows, slice) else np.asarray(rows, np.int64)
    inside = (numbers >= 0) & (numbers < len(entries))
    picked = np.zeros(count, FOOTER_DTYPE)
    picked[inside] = entries[numbers[inside]]
    for job in jobs:
        _fill(job, picked[job.field])


def _fill(job: Job, values: Array) -> None:
    made: Array
    if job.form == Form.REVERSED:
        made = _bytes(values)[:, ::-1]
    elif job.form == Form.PRESENT:
        made = np.asarray(_bytes(values).any(axis=1))
    elif job.form == Form.TIME:
        made = np.minimum(values, np.uint64(I64_MAX))
    elif job.table is not None:
        table = np.append(job.table, np.int32(0))
        made = table[np.minimum(values, np.uint32(len(job.table)))]
    else:
        made = values
    np.frombuffer(job.out, np.uint8)[:] = np.frombuffer(made.tobytes(), np.uint8)


def _bytes(values: Array) -> Array:
    return np.frombuffer(values.tobytes(), np.uint8).reshape(len(values), values.dtype.itemsize)


def used_strings(entries: Any, mask: Any, count: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Which of ``count`` strings the rows use as entity and which as scope; ``mask`` chooses rows, None all."""
    chosen = entries if mask is None else entries[mask]
    found = []
    for field in ("entity_idx", "scope_idx"):
        used = np.zeros(count, np.uint8)
        used[chosen[field][chosen[field] < count]] = 1
        found.append(used)
    return found[0], found[1]
