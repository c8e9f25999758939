"""What ``index.ckpt`` and ``index.fbati`` have in common: rows, routing summary, fallback counts.

Sources: core/src/store/cold_start/{row,checkpoint,mmap}.rs and core/src/store/index/restore.rs (spec sidecars
3 to 5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from batpak_analytics.errors import FormatError
from batpak_analytics.format import codec

_NOTHING: Mapping[Any, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class IndexImage:
    """Just the numbering: which event has which global sequence, and stood where. Ids are little-endian, one item
    a row; the arrays may be views of the file's own rows.

    ``allocator`` is the next sequence to assign; the watermark is the newest segment when the image was
    written and that file's size in bytes.
    """

    allocator: int
    watermark_segment: int
    watermark_offset: int
    event_id: npt.NDArray[np.void]
    event_hash: npt.NDArray[np.void]
    global_sequence: npt.NDArray[np.uint64]
    segment_id: npt.NDArray[np.uint64]
    offset: npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One row. ``entity_id`` and ``scope_id`` index the image's strings; ids are big-endian."""

    event_id: bytes
    correlation_id: bytes
    causation_id: bytes | None
    entity_id: int
    scope_id: int
    kind: int
    wall_ms: int
    clock: int
    lane: int
    depth: int
    prev_hash: bytes
    event_hash: bytes
    segment_id: int
    offset: int
    length: int
    global_sequence: int
    extensions: Mapping[str, bytes] = field(default_factory=lambda: _NOTHING)


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch of sorted rows; ``entity`` is None for a chunk of the rows in sequence order."""

    start: int
    length: int
    first_sequence: int
    last_sequence: int
    entity: str | None = None


@dataclass(frozen=True, slots=True)
class Routing:
    """Hints for splitting the rows; the reference recomputes them when they contradict the rows."""

    entry_count: int = 0
    chunk_count: int = 0
    chunks: tuple[Run, ...] = ()
    entity_runs: tuple[Run, ...] = ()


@dataclass(frozen=True, slots=True)
class KindFallbacks:
    """How often an unknown reserved kind was read as another, by kind."""

    system: int = 0
    effect: int = 0
    system_histogram: Mapping[int, int] = field(default_factory=lambda: _NOTHING)
    effect_histogram: Mapping[int, int] = field(default_factory=lambda: _NOTHING)


@dataclass(frozen=True, slots=True)
class FullImage:
    """A whole image. Versions that have no routing or no fallback counts carry the empty ones."""

    version: int
    allocator: int
    watermark_segment: int
    watermark_offset: int
    strings: tuple[str, ...]
    entries: tuple[IndexEntry, ...]
    routing: Routing = field(default_factory=Routing)
    fallbacks: KindFallbacks = field(default_factory=KindFallbacks)

    def check(self) -> FullImage:
        """The image itself, once every row's strings exist."""
        for entry in self.entries:
            if max(entry.entity_id, entry.scope_id) >= len(self.strings):
                raise FormatError(
                    "a row names a string that is not there",
                    expected=f"below {len(self.strings)}",
                    actual=(entry.entity_id, entry.scope_id),
                )
        return self


# -- reading ----------------------------------------------------------------------------------------------
_RUN_FIELDS: dict[str, codec.Reader[Any]] = {
    "start": codec.read_u64,
    "len": codec.read_u64,
    "first_sequence": codec.read_u64,
    "last_sequence": codec.read_u64,
}
_read_chunk = codec.Struct("a routing chunk", _RUN_FIELDS)
_read_entity_run = codec.Struct("an entity run", {"entity": codec.read_str, **_RUN_FIELDS})
_read_routing = codec.Struct(
    "routing",
    {
        "entry_count": codec.read_u64,
        "chunk_count": codec.read_u64,
        "chunks": codec.sequence(_read_chunk),
        "entity_runs": codec.sequence(_read_entity_run),
    },
)
_read_histogram = codec.mapping(codec.read_u16, codec.read_u64)
_read_fallbacks = codec.Struct(
    "reserved_kind_fallbacks",
    {
        "system": codec.read_u64,
        "effect": codec.read_u64,
        "system_histogram": _read_histogram,
        "effect_histogram": _read_histogram,
    },
    defaults={"system_histogram": _NOTHING, "effect_histogram": _NOTHING},
)
read_extensions = codec.mapping(codec.read_str, codec.read_bytes)
read_strings = codec.sequence(codec.read_str)


def _run(values: Mapping[str, Any]) -> Run:
    sequences = values["first_sequence"], values["last_sequence"]
    return Run(values["start"], values["len"], *sequences, entity=values.get("entity"))


def read_routing(cur: codec.Cursor) -> Routing:
    """A routing summary, which is not checked against the rows."""
    values = _read_routing(cur)
    return Routing(
        values["entry_count"],
        values["chunk_count"],
        tuple(map(_run, values["chunks"])),
        tuple(map(_run, values["entity_runs"])),
    )


def read_fallbacks(cur: codec.Cursor) -> KindFallbacks:
    """The fallback counts."""
    return KindFallbacks(**_read_fallbacks(cur))


# -- writing ----------------------------------------------------------------------------------------------
def _pack_run(run: Run) -> bytes:
    pairs = [] if run.entity is None else [("entity", codec.pack_str(run.entity))]
    numbers = (run.start, run.length, run.first_sequence, run.last_sequence)
    pairs += [(key, codec.pack_uint(value)) for key, value in zip(_RUN_FIELDS, numbers, strict=True)]
    return codec.pack_map(pairs)


def pack_routing(routing: Routing) -> bytes:
    """A routing summary."""
    return codec.pack_map(
        [
            ("entry_count", codec.pack_uint(routing.entry_count)),
            ("chunk_count", codec.pack_uint(routing.chunk_count)),
            ("chunks", codec.pack_array([_pack_run(run) for run in routing.chunks])),
            ("entity_runs", codec.pack_array([_pack_run(run) for run in routing.entity_runs])),
        ]
    )


def _pack_histogram(histogram: Mapping[int, int]) -> bytes:
    pairs = [codec.pack_uint(kind) + codec.pack_uint(count) for kind, count in sorted(histogram.items())]
    return codec.pack_map_header(len(pairs)) + b"".join(pairs)


def pack_fallbacks(counts: KindFallbacks) -> bytes:
    """The fallback counts; histogram keys are integers."""
    return codec.pack_map(
        [
            ("system", codec.pack_uint(counts.system)),
            ("effect", codec.pack_uint(counts.effect)),
            ("system_histogram", _pack_histogram(counts.system_histogram)),
            ("effect_histogram", _pack_histogram(counts.effect_histogram)),
        ]
    )


def pack_strings(strings: tuple[str, ...]) -> bytes:
    """The interned strings; element 0 is the empty string."""
    return codec.pack_array([codec.pack_str(text) for text in strings])
