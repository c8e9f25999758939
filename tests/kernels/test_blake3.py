"""Hashes of many short messages: compiled against readable, and both against the package and the published values."""

from __future__ import annotations

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from batpak_analytics import kernels
from batpak_analytics.format import blake3 as readable

# Edges of blocks (64), of the chunk (1024) and of both less the prefix.
EDGES = sorted({size + one for size in (0, 64, 128, 512, 960, 1024, 2048) for one in (-2, -1, 0, 1, 2)} - {-2, -1})
HASHERS = (kernels.hash_spans, readable.hash_spans)
sizes = st.one_of(st.sampled_from(EDGES), st.integers(0, 1100))


def laid_out(messages: list[bytes]) -> tuple[bytes, list[int], list[int]]:
    """All messages behind one another, with their places."""
    lengths = [len(one) for one in messages]
    return b"".join(messages), [sum(lengths[:at]) for at in range(len(messages))], lengths


@given(st.lists(sizes, max_size=40), st.sampled_from([-1, 0, 1, 255]), st.randoms(use_true_random=False))
def test_every_hash_is_the_one_of_the_package(lengths: list[int], prefix: int, chance: object) -> None:
    messages = [chance.randbytes(length) for length in lengths]  # type: ignore[attr-defined]
    lead = b"" if prefix < 0 else bytes([prefix])
    expected = [blake3(lead + message).digest() for message in messages]
    for hash_spans in HASHERS:
        assert [row.tobytes() for row in hash_spans(*laid_out(messages), prefix)] == expected


def test_the_published_vectors() -> None:
    """From the test vectors of the BLAKE3 paper: input byte i is i modulo 251."""
    known = {
        0: "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
        1: "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
        1023: "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11",
        1024: "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7",
        1025: "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444",
    }
    for hash_spans in HASHERS:
        rows = hash_spans(bytes(i % 251 for i in range(2000)), [0] * len(known), list(known))
        assert [row.tobytes().hex() for row in rows] == list(known.values())


@given(st.binary(max_size=80), st.lists(st.tuples(st.integers(-5, 90), st.integers(-5, 90)), max_size=20))
def test_a_span_outside_the_buffer_is_never_read(data: bytes, spans: list[tuple[int, int]]) -> None:
    starts, lengths = [start for start, _ in spans], [size for _, size in spans]
    for hash_spans in HASHERS:
        rows = hash_spans(data, starts, lengths)
        for row, start, size in zip(rows, starts, lengths, strict=True):
            inside = start >= 0 and size >= 0 and start + size <= len(data)
            assert row.tobytes() == (blake3(data[start : start + size]).digest() if inside else bytes(32))


def test_numbers_that_overflow_are_outside() -> None:
    most = np.iinfo(np.int64).max
    for hash_spans in HASHERS:
        assert not hash_spans(b"abc", np.array([most, 1, 0]), np.array([1, most, most])).any()


def test_starts_and_sizes_that_do_not_pair_are_refused() -> None:
    for hash_spans in HASHERS:
        with pytest.raises(ValueError):
            hash_spans(b"abc", [0, 1], [1])
