"""The tree against RFC 6962's own recursive definition, and every proof against every lie about it."""

from __future__ import annotations

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from batpak_analytics.proof.merkle import inclusion_path, leaf_hash, levels, root_from_path, root_of


def recursive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word."""
    if not leaves:
        return blake3(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return blake3(b"\x01" + recursive_root(leaves[:split]) + recursive_root(leaves[split:])).digest()


def recursive_path(index: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 6962, section 2.1.1, word for word."""
    if len(leaves) <= 1:
        return []
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if index < split:
        return [*recursive_path(index, leaves[:split]), recursive_root(leaves[split:])]
    return [*recursive_path(index - split, leaves[split:]), recursive_root(leaves[:split])]


def some_leaves(count: int) -> list[bytes]:
    return [leaf_hash(str(n).encode()) for n in range(count)]


def as_array(leaves: list[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(leaves), np.uint8).reshape(-1, 32)


@pytest.mark.parametrize("count", [*range(20), 31, 32, 33, 100, 255, 256, 257])
def test_root_and_paths_are_those_of_the_rfc(count: int) -> None:
    leaves = some_leaves(count)
    assert root_of(as_array(leaves)) == recursive_root(leaves)
    tree = levels(as_array(leaves))
    for index in range(count):
        path = inclusion_path(tree, index)
        assert path == recursive_path(index, leaves)
        assert root_from_path(leaves[index], index, count, path) == recursive_root(leaves)


def test_a_large_tree_built_in_threads_has_the_same_root() -> None:
    leaves = as_array(some_leaves(1)).repeat(70_001, axis=0)
    assert root_of(leaves) == recursive_root([bytes(leaf) for leaf in leaves])


def test_a_node_does_not_pass_for_a_leaf() -> None:
    left, right = some_leaves(2)
    assert root_of(as_array([left, right])) != leaf_hash(left + right)


@given(st.integers(1, 40), st.data())
def test_no_other_leaf_place_size_or_path_leads_to_the_root(count: int, data: st.DataObject) -> None:
    leaves = some_leaves(count)
    index = data.draw(st.integers(0, count - 1))
    tree = levels(as_array(leaves))
    path, root = inclusion_path(tree, index), root_of(as_array(leaves))
    assert root_from_path(leaf_hash(b"other"), index, count, path) != root
    assert root_from_path(leaves[index], index, count, [*path, bytes(32)]) is None
    if path:
        assert root_from_path(leaves[index], index, count, path[:-1]) is None
        assert root_from_path(leaves[index], index, count, [bytes(32), *path[1:]]) != root
    for other in range(count):
        if other != index:
            assert root_from_path(leaves[index], other, count, path) != root
    assert root_from_path(leaves[index], count, count, path) is None
    assert root_from_path(leaves[index], -1, count, path) is None
