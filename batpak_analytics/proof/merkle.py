"""Merkle trees as RFC 6962 builds them, over BLAKE3 instead of SHA-256.

A leaf is H(0x00 || data) and a node H(0x01 || left || right): the two prefixes keep a node from passing for a leaf. A
tree of n leaves splits at the largest power of two below n, which is the same as pairing level by level and moving the
last one up where it has no partner.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from blake3 import blake3

from batpak_analytics import kernels
from batpak_analytics.engine.parallel import in_order
from batpak_analytics.format.layout import HASH_SIZE

LEAF, NODE = 0, 1  # RFC 6962, section 2.1
PAIRS_AT_ONCE = 1 << 15


def leaf_hash(data: bytes) -> bytes:
    """The hash of one leaf."""
    return blake3(bytes([LEAF]) + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees."""
    return blake3(bytes([NODE]) + left + right).digest()


def levels(leaves: Any) -> list[Any]:
    """The tree over an `(n, 32)` array of leaf hashes, from the leaves to the root; `[leaves]` for one or none."""
    found = [np.ascontiguousarray(leaves, np.uint8).reshape(-1, HASH_SIZE)]
    while len(found[-1]) > 1:
        below = found[-1]
        above = _paired(below[: len(below) & ~1])
        found.append(above if len(below) % 2 == 0 else np.concatenate([above, below[-1:]]))
    return found


def _paired(nodes: Any) -> Any:
    """The parents of an even number of nodes."""
    pairs = nodes.reshape(-1, 2 * HASH_SIZE)

    def hashed(first: int) -> Any:
        part = pairs[first : first + PAIRS_AT_ONCE]
        starts = np.arange(len(part), dtype=np.int64) * (2 * HASH_SIZE)
        return kernels.hash_spans(part.reshape(-1), starts, np.full(len(part), 2 * HASH_SIZE), NODE)

    firsts = range(0, len(pairs), PAIRS_AT_ONCE)
    return np.concatenate(list(in_order(hashed, firsts, 1 if len(firsts) < 2 else None)))


def root_of(leaves: Any) -> bytes:
    """The root over leaf hashes; that of an empty tree is the hash of nothing."""
    if not len(leaves):
        return blake3(b"").digest()
    return bytes(levels(leaves)[-1][0])


def inclusion_path(tree: Sequence[Any], index: int) -> list[bytes]:
    """The siblings of leaf `index` from below to above (RFC 6962, section 2.1.1)."""
    path = []
    for level in tree[:-1]:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(bytes(level[sibling]))
        index >>= 1
    return path


def root_from_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """The root that a path leads to from a leaf, or None where no tree of that size has such a path."""
    if not 0 <= index < size:
        return None
    at, last, found, used = index, size - 1, leaf, 0
    while last:
        if at ^ 1 <= last:
            if used == len(path):
                return None
            found = node_hash(path[used], found) if at & 1 else node_hash(found, path[used])
            used += 1
        at, last = at >> 1, last >> 1
    return found if used == len(path) else None
