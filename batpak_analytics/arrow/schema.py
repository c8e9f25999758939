"""The columns of a scan: their names, their Arrow types and what each one costs to read.

Three cost tiers. The *index* tier comes from segment footers alone (162 bytes an event, segments.md 5.2).
The *frame* tier parses the header of every selected frame (segments.md 2.6). The *payload* tier decodes what
the application stored. A scan touches the dearest tier that a requested or filtered column needs, and no
dearer one.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import pyarrow as pa

from batpak_analytics.errors import UnknownColumnError

ID = pa.binary(16)
HASH = pa.binary(32)
LABEL = pa.dictionary(pa.int32(), pa.string())
WALL_TIME = pa.timestamp("ms", tz="UTC")
TIMESTAMP = pa.timestamp("us", tz="UTC")
EXTENSIONS = pa.map_(pa.string(), pa.binary())

INDEX_SCHEMA = pa.schema(
    [
        ("global_sequence", pa.uint64()),
        ("event_id", ID),
        ("correlation_id", ID),
        ("causation_id", ID),
        ("entity", LABEL),
        ("scope", LABEL),
        ("kind", pa.uint16()),
        ("wall_time", WALL_TIME),
        ("lane", pa.uint32()),
        ("depth", pa.uint32()),
        ("clock", pa.uint32()),
        ("prev_hash", HASH),
        ("event_hash", HASH),
        ("segment_id", pa.uint64()),
        ("offset", pa.uint64()),
        ("length", pa.uint32()),
        ("sequence_source", LABEL),
    ]
)
FRAME_SCHEMA = pa.schema(
    [
        ("timestamp", TIMESTAMP),
        ("flags", pa.uint8()),
        ("payload_version", pa.uint16()),
        ("payload_size", pa.uint32()),
        ("content_hash", HASH),
        ("extensions", EXTENSIONS),
        ("disposition", LABEL),
    ]
)
EVERYDAY = (
    "global_sequence",
    "event_id",
    "correlation_id",
    "causation_id",
    "entity",
    "scope",
    "kind",
    "wall_time",
    "payload",
)
PAYLOAD = "payload"
FIELD_PREFIX = "payload."
PAYLOAD_MODES = ("columns", "struct", "json", "binary", "frame", None)

ID_COLUMNS = ("event_id", "correlation_id", "causation_id")
HASH_COLUMNS = ("prev_hash", "event_hash", "content_hash")
DISPOSITIONS = ("present", "encrypted", "shredded", "undecodable")
SEQUENCE_SOURCES = ("image", "footer", "synthesised")


class Tier(IntEnum):
    """What a column costs: the cheapest tier first."""

    INDEX = 0
    FRAME = 1
    PAYLOAD = 2


def tier_of(name: str) -> Tier:
    """The tier that `name` is read from; the name must be a known one or a payload field."""
    if name in INDEX_SCHEMA.names:
        return Tier.INDEX
    return Tier.FRAME if name in FRAME_SCHEMA.names else Tier.PAYLOAD


def is_field(name: str) -> bool:
    """Whether `name` stands for one payload field (`payload.amount`); a field's own name may be empty."""
    return name.startswith(FIELD_PREFIX)


def unknown_column(name: str, known: Iterable[str], *, where: str = "columns=") -> UnknownColumnError:
    """The error for a name that no tier has, with the names it may have been meant for."""
    names = [one for one in known if one != name]  # what is a column elsewhere may be none here
    near = [FIELD_PREFIX + name] if FIELD_PREFIX + name in names else difflib.get_close_matches(name, names, n=3)
    listed = [n for n in names if not is_field(n)]
    hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else f"Use one of {', '.join(listed)}."
    return UnknownColumnError(
        f"{where} names {name!r}, which is not a column of this scan. {hint}", suggestions=near, actual=name
    )


def is_id(name: str, kind: Any) -> bool:
    """Whether the column holds ids of events or correlations: no payload field does."""
    return bool(kind == ID) and not is_field(name)


def is_kind(name: str) -> bool:
    """Whether the column holds kinds of events."""
    return name == "kind" or (name.endswith("_kind") and not is_field(name))


def is_hash(name: str, kind: Any) -> bool:
    """Whether the column holds hashes."""
    return bool(kind == HASH) and not is_field(name)


@dataclass(frozen=True, slots=True)
class Projection:
    """The columns asked for, in order, before payload fields are known.

    `names` holds index and frame names, `payload` (whatever the payload mode yields) and `payload.FIELD`
    names.
    """

    names: tuple[str, ...]
    mode: str | None

    @property
    def wants_payload(self) -> bool:
        """Whether the whole payload, in its mode, is among the columns."""
        return PAYLOAD in self.names and self.mode is not None

    @property
    def fields(self) -> tuple[str, ...]:
        """The single payload fields asked for by name."""
        return tuple(name for name in self.names if is_field(name))

    @property
    def needs_plan(self) -> bool:
        """Whether payload types must be known before the schema is."""
        return bool(self.fields) or (self.wants_payload and self.mode in ("columns", "struct", "json"))

    @property
    def tiers(self) -> set[Tier]:
        """The tiers that these columns touch; the raw frame counts as payload."""
        found = {tier_of(name) for name in self.names if name != PAYLOAD}
        return found | ({Tier.PAYLOAD} if self.wants_payload else set())

    def schema(self, payload_fields: Sequence[Any], typed_fields: dict[str, Any]) -> Any:
        """The Arrow schema: `payload_fields` is what `payload` stands for, `typed_fields` the single fields
        by name.
        """
        fields: dict[str, Any] = {}
        for name in self.names:
            if name == PAYLOAD:
                for field in payload_fields:
                    fields.setdefault(field.name, field)
            elif is_field(name):
                fields.setdefault(name, typed_fields[name])
            else:
                fields[name] = base_field(name)
        return pa.schema(list(fields.values()))

    def guessed_schema(self) -> Any:
        """The schema before payload types are known, each payload column as text."""
        text = {name: pa.field(name, pa.string()) for name in (PAYLOAD, *self.fields)}
        return self.schema([text[PAYLOAD]], text)


def base_field(name: str) -> Any:
    """The Arrow field of an index or frame column."""
    schema = INDEX_SCHEMA if name in INDEX_SCHEMA.names else FRAME_SCHEMA
    return schema.field(name)


def base_names() -> list[str]:
    """Every name that needs no look at the payloads, in the order of `columns="all"`."""
    return [*INDEX_SCHEMA.names, *FRAME_SCHEMA.names, PAYLOAD]


def resolve_columns(columns: str | Iterable[str] | None, mode: str | None) -> Projection:
    """Check `columns=` and `payload=` and settle the order; raises `UnknownColumnError` with the nearest
    names.

    None is the everyday set, `"all"` every index and frame column plus the payload, a list exactly that list.
    Payload fields cannot be checked before the payloads have been looked at; the scan does that.
    """
    if mode not in PAYLOAD_MODES:
        raise ValueError(f"payload={mode!r} is not a payload mode. Use one of {PAYLOAD_MODES}.")
    if columns is None:
        return Projection(EVERYDAY, mode)
    if isinstance(columns, str):
        if columns != "all":
            raise ValueError(f'columns={columns!r}: give a list of names, "all", or None for the everyday set.')
        return Projection(tuple(base_names()), mode)
    names = tuple(columns)
    known = base_names()
    for position, name in enumerate(names):
        if not isinstance(name, str):
            raise TypeError(f"columns= holds {name!r}; column names are strings.")
        if name in names[:position]:
            raise ValueError(f"columns= names {name!r} twice. Name each column once.")
        if name not in known and not is_field(name):
            raise unknown_column(name, known)
    return Projection(names, mode)
