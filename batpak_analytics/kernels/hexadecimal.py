"""Bytes -> hexadecimal digits: twin of ``write_hex`` in ``format/hexadecimal.py``."""

from __future__ import annotations

from typing import Any

import cython
import numpy as np

index = cython.typedef(cython.Py_ssize_t)
octet = cython.typedef(cython.uchar)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _digit(value: octet) -> octet:
    """0 to 15 as ``0`` to ``f``. Without a branch and in bytes, so that compilers make vectors of it."""
    return cython.cast(octet, value + 48 + (39 & -cython.cast(octet, value > 9)))


def write_hex(data: Any, out: Any) -> None:
    """See ``format.hexadecimal.write_hex``."""
    view: cython.const[cython.uchar][::1] = np.frombuffer(data, np.uint8)
    digits: cython.uchar[::1] = np.frombuffer(out, np.uint8)
    i: index
    if digits.shape[0] != 2 * view.shape[0]:
        raise ValueError("out must hold two bytes for each byte of data. Pass a buffer twice as long.")
    with cython.nogil:
        for i in range(view.shape[0]):
            digits[2 * i] = _digit(view[i] >> 4)
            digits[2 * i + 1] = _digit(view[i] & 15)
