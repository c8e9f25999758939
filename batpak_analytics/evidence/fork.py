"""The body of a fork's report, schema 1, and its wire form (core/src/store/fork_report.rs; spec engine-read 15.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import msgpack

from batpak_analytics.errors import FormatError, FutureVersionError
from batpak_analytics.evidence.canonical import Case, Evidence, canonical, fingerprint, in_order
from batpak_analytics.evidence.snapshot import (
    DestinationCleared,
    FenceToken,
    FenceTokenCancelled,
    KeysExcluded,
    SourceWatermark,
)
from batpak_analytics.format import layout
from batpak_analytics.format.sidecars.envelope import close_envelope, open_envelope

SCHEMA_VERSION = 1
NOT_SHARED = "not part of the share-safe fork substrate"


@dataclass(frozen=True)
class StrategyCounts:
    """How many files were shared, copied and left out, sidecars among them."""

    reflink: int = 0
    hardlink: int = 0
    deep_copy: int = 0
    cache_regenerable: int = 0
    excluded: int = 0


@dataclass(frozen=True)
class CacheRegenerableExcluded(Case):
    """An index image, which can be made again."""

    file_name: str


@dataclass(frozen=True)
class FileExcluded(Case):
    """A file that is no part of a fork."""

    file_name: str
    reason: str


@dataclass(frozen=True)
class FileCopied(Case):
    """A file of the fork; the strategy is ``Reflink``, ``Hardlink`` or ``DeepCopy``."""

    file_name: str
    strategy: str


CASES = (
    DestinationCleared, FenceTokenCancelled, CacheRegenerableExcluded, FileExcluded, FileCopied, KeysExcluded
)  # fmt: skip


@dataclass(frozen=True)
class ForkBody:
    """What a fork shares and what it copied, in the reference's order of fields."""

    schema_version: int
    fork_id: bytes
    fence_token: FenceToken
    source_watermark: SourceWatermark
    active_segment_id: int
    shared_segment_ids_sorted: tuple[int, ...]
    deep_copied_segment_ids_sorted: tuple[int, ...]
    strategy_counts: StrategyCounts
    copied_visibility_ranges_present: bool
    copied_pending_compaction_marker_present: bool
    copied_idempotency_store_present: bool
    destination_path_digest: bytes
    findings: tuple[Case, ...]


_IDENTITY = [name for name in ForkBody.__dataclass_fields__ if name not in ("fork_id", "findings")]


def fork_evidence(body: ForkBody, diagnostics: Iterable[str] = ()) -> Evidence[ForkBody]:
    """The evidence of a body whose lists may be in any order and whose id is not computed yet."""
    ordered = replace(
        body,
        shared_segment_ids_sorted=tuple(sorted(body.shared_segment_ids_sorted)),
        deep_copied_segment_ids_sorted=tuple(sorted(body.deep_copied_segment_ids_sorted)),
        findings=in_order(body.findings, CASES),
    )
    return Evidence(replace(ordered, fork_id=fingerprint(ordered, _IDENTITY)), tuple(diagnostics))


def encode_wire(body: ForkBody) -> bytes:
    """The body as it travels: magic, version, CRC-32 and the canonical bytes."""
    return close_envelope(layout.FORK_EVIDENCE_MAGIC, body.schema_version, canonical(body))


def decode_wire(data: bytes) -> ForkBody:
    """The body in its wire form.

    Raises `FutureVersionError` for a newer version, of the frame or of the body, and `FormatError` for other bytes.
    """
    open_envelope(data, layout.FORK_EVIDENCE_MAGIC, SCHEMA_VERSION, oldest=0)
    try:
        values = msgpack.unpackb(data[layout.ENVELOPE_SIZE :])
        body: ForkBody = _built(ForkBody, values)
    except (ValueError, TypeError, KeyError, AttributeError, msgpack.UnpackException) as error:
        raise FormatError("the evidence is not the body of a fork's report", offset=layout.ENVELOPE_SIZE) from error
    if body.schema_version > SCHEMA_VERSION:
        raise FutureVersionError(
            f"Version {body.schema_version} of a fork's report is newer than {SCHEMA_VERSION}. "
            f"Update batpak-analytics.",
            expected=SCHEMA_VERSION,
            actual=body.schema_version,
        )
    return body


_PARTS: dict[str, Any] = {
    "FenceToken": FenceToken,
    "SourceWatermark": SourceWatermark,
    "StrategyCounts": StrategyCounts,
}
_CASE_NAMES: dict[str, Any] = {case.__name__: case for case in CASES}


def _built(kind: Any, values: Mapping[str, Any]) -> Any:
    """The dataclass from a map of its fields, each checked against its declared type."""
    found = {field.name: _value(str(field.type), values[field.name]) for field in fields(kind)}
    return kind(**found)


def _value(declared: str, value: Any) -> Any:
    if declared in _PARTS:
        return _built(_PARTS[declared], value)
    if declared == "bytes":
        return _digest(value)
    if declared == "tuple[int, ...]":
        return tuple(_value("int", one) for one in value)
    if declared == "tuple[Case, ...]":
        return tuple(map(_case, value))
    expected: type = {"int": int, "str": str, "bool": bool}[declared]
    if type(value) is not expected or (type(value) is int and value < 0):
        raise TypeError(value)
    return value


def _digest(value: Any) -> bytes:
    if len(value) != layout.HASH_SIZE:
        raise ValueError(value)
    return bytes(value)


def _case(value: Any) -> Case:
    [(name, values)] = [(value, {})] if isinstance(value, str) else value.items()
    case: Case = _built(_CASE_NAMES[name], values)
    return case
