"""Bytes as hexadecimal text: the readable twin and the oracle of ``kernels/hexadecimal.py``."""

from __future__ import annotations

from typing import Any

import numpy as np


def write_hex(data: Any, out: Any) -> None:
    """Fill ``out`` with the lower-case hexadecimal digits of ``data``, two for each byte, as ASCII."""
    source, digits = np.frombuffer(data, np.uint8), np.frombuffer(out, np.uint8)
    if len(digits) != 2 * len(source):
        raise ValueError("out must hold two bytes for each byte of data. Pass a buffer twice as long.")
    digits[:] = np.frombuffer(source.tobytes().hex().encode(), np.uint8)
