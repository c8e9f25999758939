"""Frame columns: what was decoded, as Arrow arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from batpak_analytics.arrow.columns import Labels, fixed_binary, numbers, validity
from batpak_analytics.arrow.decode import Decoded
from batpak_analytics.arrow.schema import DISPOSITIONS, EXTENSIONS, base_field
from batpak_analytics.format.event import decode_extensions

_DISPOSITION = Labels(DISPOSITIONS)
_PRESENT, _ENCRYPTED, _SHREDDED, _UNDECODABLE = range(4)


def frame_array(name: str, decoded: Decoded, decodable: npt.NDArray[np.bool_] | None) -> Any:
    """Frame column `name`; null where the frame could not be read, but for `disposition`, which is then
    undecodable.
    """
    if name == "disposition":
        return disposition(decoded, decodable)
    if name == "extensions":
        return extensions(decoded)
    values = decoded.header[name]
    if name == "content_hash":
        return fixed_binary(values, decoded.ok)
    return numbers(values, base_field(name).type, decoded.ok)


def disposition(decoded: Decoded, decodable: npt.NDArray[np.bool_] | None) -> Any:
    """What became of each payload; `decodable` says which the reference's JSON decoding can read."""
    codes = np.full(len(decoded.ok), _PRESENT, np.int32)
    if decodable is not None:
        codes[~decodable] = _UNDECODABLE
    codes[decoded.encrypted] = _ENCRYPTED
    codes[decoded.shredded] = _SHREDDED
    codes[~decoded.ok] = _UNDECODABLE
    return _DISPOSITION.array(codes)


def extensions(decoded: Decoded) -> Any:
    """Receipt extensions as `map<string, binary>`: empty for most events, null where the frame could not be
    read.
    """
    sizes = np.zeros(len(decoded.ok), np.int32)
    keys: list[str] = []
    values: list[bytes] = []
    for row, packed in decoded.extensions.items():
        entries = decode_extensions(packed, 0, len(packed))
        sizes[row] = len(entries)
        keys.extend(entries)
        values.extend(entries.values())
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    pairs = pa.StructArray.from_arrays(
        [pa.array(keys, pa.string()), pa.array(values, pa.binary())], fields=list(EXTENSIONS.field(0).type)
    )
    return pa.Array.from_buffers(
        EXTENSIONS, len(sizes), [validity(decoded.ok), pa.py_buffer(offsets)], children=[pairs]
    )


def binary_payload(decoded: Decoded) -> Any:
    """Stored payload bytes, ciphertext included, over the decoded buffer; null where the frame could not be
    read.
    """
    if decoded.offsets[-1] > np.iinfo(np.int32).max:
        raise MemoryError("one batch holds more than 2 GiB of payload. Give to_batches a smaller batch_size.")
    offsets = decoded.offsets.astype(np.int32)
    buffers = [validity(decoded.ok), pa.py_buffer(offsets), pa.py_buffer(decoded.data)]
    return pa.Array.from_buffers(pa.binary(), len(decoded.ok), buffers)


def frame_payload(decoded: Decoded, rows: npt.NDArray[np.int64] | None) -> Any:
    """Whole frames as `binary_view`s of the file's own bytes: 16 bytes each, no frame is copied.

    `rows` chooses and orders; Arrow itself cannot take from a view column.
    """
    views = np.ascontiguousarray(decoded.views if rows is None else decoded.views[rows])
    valid = decoded.ok if rows is None else decoded.ok[rows]
    buffers = [validity(valid), pa.py_buffer(views), *decoded.buffers]
    return pa.Array.from_buffers(pa.binary_view(), len(views), buffers)
