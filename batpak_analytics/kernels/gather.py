"""Fields of footer rows -> arrays: twin of ``gather_rows`` and ``used_strings`` in ``format/gather.py``.

Rows are taken a few at a time, and every field of those before the next: a row is fetched from memory once.
"""

from __future__ import annotations

from typing import Any

import cython
import numpy as np
from cython.cimports.batpak_analytics.kernels.words import big_u64_at, u32_at, u64_at
from cython.cimports.libc.string import memcpy

from batpak_analytics.format.gather import MOST_JOBS, WIDTHS, Form, check_jobs, row_count
from batpak_analytics.format.layout import FOOTER_DTYPE

p_bytes = cython.typedef(cython.pointer[cython.const[cython.uchar]])
p_out = cython.typedef(cython.pointer[cython.uchar])
index = cython.typedef(cython.Py_ssize_t)
u64 = cython.typedef(cython.ulonglong)
u32 = cython.typedef(cython.uint)

_PLACES = {name: int(place[1]) for name, place in (FOOTER_DTYPE.fields or {}).items()}
SIZE = cython.declare(index, FOOTER_DTYPE.itemsize)
ENTITY = cython.declare(index, _PLACES["entity_idx"])
SCOPE = cython.declare(index, _PLACES["scope_idx"])
REVERSED = cython.declare(cython.int, int(Form.REVERSED))
CODE = cython.declare(cython.int, int(Form.CODE))
TIME = cython.declare(cython.int, int(Form.TIME))
PRESENT = cython.declare(cython.int, int(Form.PRESENT))
AT_ONCE = cython.declare(index, 64)

if MOST_JOBS != 32 or FOOTER_DTYPE.itemsize != 162:
    raise ImportError("MOST_JOBS or FOOTER_DTYPE has changed. Change the kernel too.")

Task = cython.struct(
    form=cython.int,
    place=cython.Py_ssize_t,
    width=cython.Py_ssize_t,
    out=cython.pointer[cython.uchar],
    table=cython.pointer[cython.const[cython.int]],
    table_size=cython.Py_ssize_t,
)
p_task = cython.typedef(cython.pointer[Task])
p_rows = cython.typedef(cython.pointer[p_bytes])


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _copy(rows: p_rows, count: index, task: p_task, out: p_out) -> cython.void:
    """The field as it is. One loop for each width, so that each copy is a few instructions."""
    i: index
    place: index = task.place
    if task.width == 2:
        for i in range(count):
            memcpy(out + 2 * i, rows[i] + place, 2)
    elif task.width == 4:
        for i in range(count):
            memcpy(out + 4 * i, rows[i] + place, 4)
    elif task.width == 8:
        for i in range(count):
            memcpy(out + 8 * i, rows[i] + place, 8)
    elif task.width == 32:
        for i in range(count):
            memcpy(out + 32 * i, rows[i] + place, 32)
    else:
        for i in range(count):
            memcpy(out + task.width * i, rows[i] + place, cython.cast(cython.size_t, task.width))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _reverse(rows: p_rows, count: index, task: p_task, out: p_out) -> cython.void:
    i: index
    word: u64
    for i in range(count):
        word = big_u64_at(rows[i] + task.place + 8)
        memcpy(out + 16 * i, cython.address(word), 8)
        word = big_u64_at(rows[i] + task.place)
        memcpy(out + 16 * i + 8, cython.address(word), 8)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _look_up(rows: p_rows, count: index, task: p_task, out: p_out) -> cython.void:
    i: index
    code: u32
    found: cython.int
    for i in range(count):
        code = u32_at(rows[i] + task.place)
        found = task.table[code] if code < task.table_size else 0
        memcpy(out + 4 * i, cython.address(found), 4)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _fill(rows: p_rows, count: index, task: p_task, at: index) -> cython.void:
    """One task for a few rows; ``at`` is the place of the first."""
    i: index
    value: u64
    out: p_out = task.out + at * task.width
    if task.form == REVERSED:
        _reverse(rows, count, task, out)
    elif task.form == CODE:
        _look_up(rows, count, task, out)
    elif task.form == TIME:
        for i in range(count):
            value = u64_at(rows[i] + task.place)
            value = value if value >> 63 == 0 else ~cython.cast(u64, 0) >> 1
            memcpy(out + 8 * i, cython.address(value), 8)
    elif task.form == PRESENT:
        for i in range(count):
            out[i] = (u64_at(rows[i] + task.place) | u64_at(rows[i] + task.place + 8)) != 0
    else:
        _copy(rows, count, task, out)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _gather(
    data: p_bytes,
    total: index,
    first: index,
    picks: cython.pointer[cython.const[cython.longlong]],
    count: index,
    tasks: p_task,
    task_count: index,
) -> cython.void:
    """Every task for ``count`` rows from ``first``, or for the rows that ``picks`` numbers."""
    rows: p_bytes[64]
    zeros: cython.uchar[162]
    at: index = 0
    i: index
    row: index
    size: index
    for i in range(162):
        zeros[i] = 0
    while at < count:
        size = min(count - at, AT_ONCE)
        for i in range(size):
            row = first + at + i if picks == cython.NULL else cython.cast(index, picks[at + i])
            if row < 0 or row >= total:
                rows[i] = cython.address(zeros[0])
            else:
                rows[i] = data + row * SIZE
        for i in range(task_count):
            _fill(rows, size, tasks + i, at)
        at += size


def gather_rows(parts: Any, jobs: Any) -> None:
    """See ``format.gather.gather_rows``."""
    count: index
    first: index
    total: index
    number: index
    task_count: index = len(jobs)
    tasks: Task[32]
    numbers: cython.const[cython.longlong][::1]
    table: cython.const[cython.int][::1]
    out: cython.uchar[::1]
    picks: cython.pointer[cython.const[cython.longlong]]
    data: p_bytes
    packed: cython.const[cython.uchar][::1]
    outs: list = []
    kept: list
    coded: list = []
    if check_jobs(parts, jobs) == 0 or task_count == 0:
        return
    for number, job in enumerate(jobs):
        out = np.frombuffer(job.out, np.uint8)
        outs.append(out)
        tasks[number].form = job.form
        tasks[number].place = _PLACES[job.field]
        tasks[number].width = WIDTHS.get(job.form, FOOTER_DTYPE[job.field].itemsize)
        tasks[number].out = cython.address(out[0])
        tasks[number].table = cython.NULL
        tasks[number].table_size = 0
        if job.form == CODE:
            coded.append((number, job.field))
    for entries, rows, tables in parts:
        count = row_count(rows)
        if count == 0:
            continue
        total = len(entries)
        data = picks = cython.NULL
        first = 0
        if isinstance(rows, slice):
            first = rows.start
        else:
            numbers = np.ascontiguousarray(rows, np.int64)
            picks = cython.address(numbers[0])
        if total:
            packed = np.ascontiguousarray(entries, FOOTER_DTYPE).view(np.uint8)
            data = cython.address(packed[0])
        kept = []
        for number, field in coded:
            table = np.ascontiguousarray(tables[field], np.int32)
            kept.append(table)
            tasks[number].table_size = table.shape[0]
            tasks[number].table = cython.address(table[0]) if table.shape[0] else cython.NULL
        with cython.nogil:
            _gather(data, total, first, picks, count, tasks, task_count)
        for number in range(task_count):
            tasks[number].out += count * tasks[number].width


def used_strings(entries: Any, mask: Any, count: Any) -> tuple[Any, Any]:
    """See ``format.gather.used_strings``."""
    entities, scopes = np.zeros(count, np.uint8), np.zeros(count, np.uint8)
    total: index = len(entries)
    if total == 0:
        return entities, scopes
    packed: cython.const[cython.uchar][::1] = np.ascontiguousarray(entries, FOOTER_DTYPE).view(np.uint8)
    entity: cython.uchar[::1] = entities
    scope: cython.uchar[::1] = scopes
    every: cython.bint = mask is None
    chosen: cython.const[cython.uchar][::1] = np.ascontiguousarray(
        np.zeros(1, np.uint8) if every else np.asarray(mask, np.bool_).view(np.uint8)
    )
    i: index
    code: u32
    row: p_bytes = cython.address(packed[0])
    if not every and chosen.shape[0] != total:
        raise ValueError("mask and entries differ in length. Pass one flag for each row.")
    with cython.nogil:
        for i in range(total):
            if every or chosen[i]:
                code = u32_at(row + ENTITY)
                if code < entity.shape[0]:
                    entity[code] = 1
                code = u32_at(row + SCOPE)
                if code < scope.shape[0]:
                    scope[code] = 1
            row += SIZE
    return entities, scopes
