"""Evidence in the reference's canonical bytes: its golden digests come out, and nothing else does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import msgpack
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from batpak_analytics.evidence.canonical import (
    Case,
    Evidence,
    Id,
    Known,
    Unavailable,
    canonical,
    digest,
    fingerprint,
    in_order,
)


@dataclass(frozen=True)
class TruncatedByLimit(Case):
    limit: int
    next_parent_hash: bytes


@dataclass(frozen=True)
class EndNotReached(Case):
    expected_end_event_id: Id


@dataclass(frozen=True)
class NotApplicable(Case):
    pass


@dataclass(frozen=True)
class ChainWalk:
    schema_version: int
    mode: str
    checked_count: int
    first_ref: Id | None
    last_ref: Id | None
    walk_digest: bytes
    findings: tuple[Case, ...]


def event_id(number: int) -> Id:
    return Id(number.to_bytes(16, "big"))


WALK = ChainWalk(
    1,
    "Linear",
    2,
    event_id(0x65),
    event_id(0x63),
    b"\x92" * 32,
    in_order(
        (EndNotReached(event_id(0x4D)), TruncatedByLimit(2, b"\x91" * 32)), (TruncatedByLimit, EndNotReached)
    ),
)  # fmt: skip


def test_the_chain_walk_body_has_the_golden_size_and_digest() -> None:
    """Spec engine-read 22, `chain_walk_report_body_v1`."""
    evidence = Evidence(WALK)
    assert len(evidence.body_bytes) == 354
    assert evidence.body_hash == "736145980ef2b7ae8eddfa1cc1a95e4a14f4943e1907751c840bcc99d7a6c87e"


def test_the_digest_of_nothing_is_that_of_an_empty_array() -> None:
    assert digest(()).hex() == "2ba82451e7edbf091af9674a911051229b0452ba7b9276d5159d482a65517d17"


def test_a_hash_is_an_array_and_an_id_is_not() -> None:
    assert canonical(b"\x01\xff") == b"\x92\x01\xcc\xff"
    assert canonical(event_id(1)) == b"\xc4\x10" + bytes(15) + b"\x01"


def test_cases_are_names_or_maps_of_one_entry() -> None:
    assert msgpack.unpackb(canonical(NotApplicable())) == "NotApplicable"
    assert msgpack.unpackb(canonical(Known((1, 2)))) == {"Known": [1, 2]}
    assert msgpack.unpackb(canonical(Unavailable("gone"))) == {"Unavailable": {"reason": "gone"}}


def test_a_fingerprint_is_a_map_of_the_named_fields_in_their_order() -> None:
    expected = blake3(
        b"\x82" + canonical("mode") + canonical("Linear") + canonical("schema_version") + b"\x01"
    ).digest()
    assert fingerprint(WALK, ("mode", "schema_version")) == expected
    assert fingerprint(WALK, ("schema_version", "mode")) != expected


@pytest.mark.parametrize("value", [1.5, {"a": 1}, {1}, object(), NotApplicable])
def test_what_no_body_may_hold_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="cannot hold"):
        canonical(value)


@given(st.integers(0, 2**64 - 1), st.text(), st.binary(max_size=40), st.none() | st.booleans())
def test_every_field_changes_the_hash_and_msgpack_reads_it_back(count: int, mode: str, walk: bytes, other: Any) -> None:
    body = replace(WALK, checked_count=count, mode=mode, walk_digest=walk, first_ref=other)
    read = msgpack.unpackb(canonical(body))
    assert list(read) == [*ChainWalk.__dataclass_fields__]
    assert (read["checked_count"], read["mode"], bytes(read["walk_digest"]), read["first_ref"]) == (
        count,
        mode,
        walk,
        other,
    )
    assert digest(body) != digest(replace(body, checked_count=count ^ 1))
