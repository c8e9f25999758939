"""The rows of a block, checked by the rules of every append and encoded, before any of them is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from batpak_analytics import kernels
from batpak_analytics.engine.point_read import id_bytes
from batpak_analytics.errors import AppendRefusedError, BatpakError
from batpak_analytics.format.framing import EventColumns
from batpak_analytics.format.layout import ID_SIZE
from batpak_analytics.store.items import check_part, checked_kind
from batpak_analytics.store.table.columns import payload_column
from batpak_analytics.store.table.roles import FromColumn, Literal, Roles

_HEX_DIGITS = 2 * ID_SIZE


class RowRefusedError(Exception):
    """The row of a block that is not taken; the cause says why."""

    def __init__(self, row: int) -> None:
        super().__init__(row)
        self.row = row


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Events that have everything but an id and a place: arrays of n rows, or parts of them."""

    payloads: Any
    offsets: Any
    hashes: Any
    correlation_ids: Any
    correlated: Any  # bool; False where it is the event's own id
    causation_ids: Any
    kinds: Any
    entities: Any
    scopes: Any
    entity_names: list[str]
    scope_names: list[str]

    @property
    def count(self) -> int:
        """How many rows."""
        return len(self.kinds)

    def events(self, ids: Any) -> EventColumns:
        """The rows as events with these ids."""
        correlation = np.where(self.correlated[:, None], self.correlation_ids, ids)
        return EventColumns(
            self.payloads, self.offsets, self.hashes, ids, correlation, self.causation_ids, self.kinds,
            self.entities, self.scopes, self.entity_names, self.scope_names,
        )  # fmt: skip

    def parts(self, most_bytes: int) -> Iterator[Rows]:
        """The rows in order, in parts whose payloads have at most so many bytes, or are one row."""
        low = 0
        while low < self.count:
            limit = int(self.offsets[low]) + most_bytes
            high = max(int(np.searchsorted(self.offsets, limit, "right")) - 1, low + 1)
            yield self if high - low == self.count else self._slice(slice(low, high))
            low = high

    def _slice(self, rows: slice) -> Rows:
        return Rows(
            self.payloads, self.offsets[rows.start : rows.stop + 1], self.hashes[rows], self.correlation_ids[rows],
            self.correlated[rows], self.causation_ids[rows], self.kinds[rows], self.entities[rows], self.scopes[rows],
            self.entity_names, self.scope_names,
        )  # fmt: skip


def rows_of(batch: pa.RecordBatch, roles: Roles, max_bytes: int) -> Rows:
    """Every row of the block, or `RowRefusedError` for the first that breaks a rule, from the error that says which."""
    entities, entity_names = _names(batch, roles.entity, "entity")
    scopes, scope_names = _names(batch, roles.scope, "scope")
    kinds = _kinds(batch, roles.kind)
    correlation_ids, correlated = _ids(batch, roles.correlation_id)
    causation_ids, _ = _ids(batch, roles.causation_id)
    payloads, offsets = kernels.pack_rows(payload_column(batch, roles.payload))
    sizes = np.diff(offsets)
    if len(sizes) and int(sizes.max()) > max_bytes:
        row = int((sizes > max_bytes).argmax())
        _refuse(row, f"The payload has {sizes[row]} bytes and may have {max_bytes}. Raise append_max_bytes.")
    hashes = kernels.hash_spans(payloads, offsets[:-1], sizes)
    return Rows(
        payloads, offsets, hashes, correlation_ids, correlated, causation_ids, kinds, entities, scopes,
        entity_names, scope_names,
    )  # fmt: skip


def _refuse(row: int, message: str) -> NoReturn:
    raise RowRefusedError(row) from AppendRefusedError(message)


def _names(batch: pa.RecordBatch, source: FromColumn | Literal, part: str) -> tuple[Any, list[str]]:
    """The code of each row, and what each code stands for: sound entities or scopes."""
    if isinstance(source, Literal):
        check_part(part, source.value)
        return np.zeros(batch.num_rows, np.uint32), [source.value]
    array = batch.column(source.name)
    if not _is_text(array.type):
        raise TypeError(f"The column {source.name!r} is {array.type}, and {part} is text. Cast it to string.")
    _no_nulls(array, f"{part} is null in column {source.name!r}. Fill it, or leave the row out.")
    encoded = array.cast(pa.large_string()).dictionary_encode()
    codes = encoded.indices.to_numpy().astype(np.uint32)
    names: list[str] = encoded.dictionary.to_pylist()
    _check_each(codes, names, lambda name: check_part(part, name))
    return codes, names


def _is_text(kind: Any) -> Any:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _no_nulls(array: pa.Array, message: str) -> None:
    if array.null_count:
        _refuse(int(array.is_null().to_numpy(zero_copy_only=False).argmax()), message)


def _check_each(codes: Any, values: list[Any], check: Callable[[Any], object]) -> None:
    """Check every distinct value once; the first row with one that is not sound is refused."""
    for code, value in enumerate(values):
        try:
            check(value)
        except (BatpakError, TypeError, ValueError) as error:
            raise RowRefusedError(int((codes == code).argmax())) from error


def _kinds(batch: pa.RecordBatch, source: FromColumn | Literal) -> Any:
    if isinstance(source, Literal):
        return np.full(batch.num_rows, checked_kind(source.value), np.uint16)
    array = batch.column(source.name)
    if not pa.types.is_integer(array.type):
        raise TypeError(f"The column {source.name!r} is {array.type}, and kinds are integers. Cast it to uint16.")
    _no_nulls(array, f"kind is null in column {source.name!r}. Fill it, or leave the row out.")
    encoded = array.dictionary_encode()
    codes, kinds = encoded.indices.to_numpy(), encoded.dictionary.to_pylist()
    _check_each(codes, kinds, checked_kind)
    return np.array(kinds, np.uint16)[codes]


def _ids(batch: pa.RecordBatch, source: FromColumn | Literal) -> tuple[Any, Any]:
    """(n, 16) bytes, and for each row whether there is an id."""
    count = batch.num_rows
    if isinstance(source, Literal):
        value = bytes(ID_SIZE) if source.value is None else id_bytes(source.value)
        ids = np.ascontiguousarray(np.broadcast_to(np.frombuffer(value, np.uint8), (count, ID_SIZE)))
        return ids, np.full(count, source.value is not None)
    array = batch.column(source.name)
    given = array.is_valid().to_numpy(zero_copy_only=False)
    ids = np.zeros((count, ID_SIZE), np.uint8)
    present = array.drop_null()
    if pa.types.is_null(array.type):
        return ids, given
    if not (_is_text(array.type) or _is_binary(array.type)):
        raise TypeError(f"The column {source.name!r} is {array.type}, and ids are text or binary. Cast it.")
    joined = _joined_ids(present)
    if joined is None:
        for row, value in zip(np.flatnonzero(given).tolist(), present.to_pylist(), strict=True):
            ids[row] = np.frombuffer(_id_of_row(row, value), np.uint8)
    else:
        ids[given] = np.frombuffer(joined, np.uint8).reshape(-1, ID_SIZE)
    return ids, given


def _is_binary(kind: Any) -> Any:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)


def _id_of_row(row: int, value: Any) -> bytes:
    try:
        return id_bytes(value)
    except ValueError as error:
        raise RowRefusedError(row) from error


def _joined_ids(present: pa.Array) -> bytes | None:
    """Ids that are all 16 bytes, or all 32 hexadecimal digits, at once; None where one is not."""
    try:
        if not _is_text(present.type):
            fixed = present.cast(pa.binary(ID_SIZE))
            return bytes(fixed.buffers()[1] or b"")[fixed.offset * ID_SIZE :][: len(fixed) * ID_SIZE]
        digits = "".join(present.to_pylist())
        joined = bytes.fromhex(digits)
    except (pa.ArrowInvalid, ValueError):
        return None
    # Blanks between digits are passed over, and some ids may be longer where others are shorter.
    sizes = pc.binary_length(present.cast(pa.large_string()))
    plain = pc.all(pc.equal(sizes, _HEX_DIGITS)).as_py()
    return joined if plain is not False and len(joined) == ID_SIZE * len(present) else None
