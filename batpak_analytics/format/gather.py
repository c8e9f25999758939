"""Fields of footer rows, each into an array of its own: the readable twin and the oracle of ``kernels/gather.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from batpak_analytics.format.layout import FOOTER_DTYPE, I64_MAX, ID_SIZE

Array = npt.NDArray[Any]
MOST_JOBS: Final = 32


class Form(IntEnum):
    """What becomes of a field on the way."""

    COPY = 0  # the same bytes
    REVERSED = 1  # an id, most significant byte first
    CODE = 2  # an index into the string table, looked up in the part's table; 0 where that ends before
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

    def check(self, count: int) -> None:
        """Raise `ValueError` where ``out`` cannot take ``count`` results or the form does not suit the field."""
        width = FOOTER_DTYPE[self.field].itemsize
        suits = {Form.REVERSED: ID_SIZE, Form.PRESENT: ID_SIZE, Form.CODE: 4, Form.TIME: 8}.get(self.form, width)
        if width != suits:
            raise ValueError(f"{self.form!r} does not suit {self.field}. Choose the form by the field's width.")
        if self.out.nbytes != count * WIDTHS.get(self.form, width):
            raise ValueError(f"out for {self.field} has another size than its rows. Pass one place for each row.")


class Part(NamedTuple):
    """Some rows of one footer, ``slice(first, last)`` or row numbers, and tables by field for the form CODE."""

    entries: Any
    rows: slice | Array
    tables: Mapping[str, npt.NDArray[np.int32]] = {}


def row_count(rows: slice | Array) -> int:
    """How many rows are meant: ``slice(first, last)`` or row numbers."""
    return max(rows.stop - rows.start, 0) if isinstance(rows, slice) else len(rows)


def check_jobs(parts: Sequence[Part], jobs: Sequence[Job]) -> int:
    """How many rows there are. `ValueError` where a job cannot be done for them, or there are more than `MOST_JOBS`."""
    count = sum(row_count(part.rows) for part in parts)
    if len(jobs) > MOST_JOBS:
        raise ValueError(f"{len(jobs)} jobs are more than {MOST_JOBS}. Gather some fields in a second call.")
    for job in jobs:
        job.check(count)
        if job.form == Form.CODE and any(job.field not in part.tables for part in parts):
            raise ValueError(f"There is no table for {job.field}. Pass one with each part.")
    return count


def gather_rows(parts: Sequence[Part], jobs: Sequence[Job]) -> None:
    """Do every job for the rows of all parts, one after the other. A row that is not there counts as one of zeros."""
    check_jobs(parts, jobs)
    at = 0
    for part in parts:
        count = row_count(part.rows)
        rows = part.rows
        numbers = np.arange(rows.start, rows.start + count) if isinstance(rows, slice) else np.asarray(rows, np.int64)
        inside = (numbers >= 0) & (numbers < len(part.entries))
        picked = np.zeros(count, FOOTER_DTYPE)
        picked[inside] = part.entries[numbers[inside]]
        for job in jobs:
            made = _made(job.form, picked[job.field], part.tables.get(job.field)).tobytes()
            width = WIDTHS.get(job.form, FOOTER_DTYPE[job.field].itemsize)
            np.frombuffer(job.out, np.uint8)[at * width : (at + count) * width] = np.frombuffer(made, np.uint8)
        at += count


def _made(form: Form, values: Array, table: npt.NDArray[np.int32] | None) -> Array:
    if form == Form.REVERSED:
        return _bytes(values)[:, ::-1]
    if form == Form.PRESENT:
        return np.asarray(_bytes(values).any(axis=1))
    if form == Form.TIME:
        return np.minimum(values, np.uint64(I64_MAX))
    if form == Form.CODE and table is not None:
        padded: Array = np.append(table, np.int32(0))[np.minimum(values, np.uint32(len(table)))]
        return padded
    return values


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
