"""A store against an earlier checkpoint: are its first events, in bytes and order, those that the checkpoint counts?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from batpak_analytics.errors import AnchorError
from batpak_analytics.proof.bridge import Bridge
from batpak_analytics.proof.by_index import COMPARE
from batpak_analytics.proof.faults import Fault
from batpak_analytics.proof.frames import same_hashes
from batpak_analytics.proof.leaves import LeafFile
from batpak_analytics.proof.merkle import root_of
from batpak_analytics.proof.note import Checkpoint
from batpak_analytics.proof.rows import AllRows


@dataclass(frozen=True, eq=False)
class Anchored:
    """What came of it. `covered` events are those of the checkpoint, or of the new side of `bridge`; 0 where not."""

    checkpoint: Checkpoint
    covered: int
    signer: str | None
    bridge: Bridge | None
    faults: tuple[Fault, ...]

    @property
    def worth(self) -> str:
        """Who vouches for it, in words."""
        if self.signer is not None:
            return f"signed by {self.signer}"
        if self.checkpoint.signatures:
            return "its signature was not checked: no public key was given"
        return "unsigned: worth what the place is worth where it was kept"


def hold_against(
    rows: AllRows,
    leaves: Any,
    checkpoint: Checkpoint,
    *,
    saved: LeafFile | None = None,
    bridge: Bridge | None = None,
    public_key: Any = None,
) -> Anchored:
    """Compare the leaf hashes of a view with a checkpoint; raises `AnchorError` where that cannot be trusted."""
    signer = None if public_key is None else checkpoint.note.signer(public_key)
    if saved is not None and (len(saved.hashes) != checkpoint.size or root_of(saved.hashes) != checkpoint.root):
        raise AnchorError("The leaf hashes are not those of this checkpoint. Give the file saved with it, or none.")
    if len(leaves) >= checkpoint.size and root_of(leaves[: checkpoint.size]) == checkpoint.root:
        return Anchored(checkpoint, checkpoint.size, signer, None, ())
    if bridge is not None and _crossed(leaves, checkpoint, bridge):
        if public_key is None:
            raise AnchorError("A bridge proves nothing unless its signature is checked. Give public_key=.")
        bridge.note.signer(public_key)
        return Anchored(checkpoint, bridge.new[0], signer, bridge, ())
    return Anchored(checkpoint, 0, signer, None, (_difference(rows, leaves, checkpoint, saved),))


def _crossed(leaves: Any, checkpoint: Checkpoint, bridge: Bridge) -> bool:
    """Whether the bridge begins at the checkpoint and ends at what the store begins with."""
    size, root = bridge.new
    begins = bridge.old == (checkpoint.size, checkpoint.root)
    return begins and len(leaves) >= size and root_of(leaves[:size]) == root


def _difference(rows: AllRows, leaves: Any, checkpoint: Checkpoint, saved: LeafFile | None) -> Fault:
    """The fault that names what differs, as exactly as can be known."""
    held, size = len(leaves), checkpoint.size
    if saved is None:
        short = f" and the store holds {held}" if held < size else ""
        return Fault(
            "error", "anchor-differs",
            f"differs within the first {size} events, which are those that the checkpoint counts{short}",
            f"{COMPARE} With the leaf hashes of the checkpoint the first event that differs can be named.",
            expected=checkpoint.root.hex(), actual=root_of(leaves[:size]).hex(),
        )  # fmt: skip
    both = min(held, size)
    differ = np.flatnonzero(~same_hashes(leaves[:both], saved.hashes[:both]))
    at = int(differ[0]) if len(differ) else both
    if at == held:
        meaning = f"event {at} of the checkpoint is not there, nor any after it: the store ends before"
        return Fault(
            "error", "anchor-differs", meaning, COMPARE,
            event=bytes(saved.event_ids[at]).hex(), expected=bytes(saved.hashes[at]).hex(), actual="none",
        )  # fmt: skip
    segment, row = rows.place(at)
    was, now = bytes(saved.event_ids[at]).hex(), rows.event(at)
    return Fault(
        "error", "anchor-differs", f"event {at} is the first that differs: {_what(leaves, saved, at, was, now)}",
        COMPARE, segment.segment_id, int(segment.rows["offset"][row]), now,
        bytes(saved.hashes[at]).hex(), bytes(leaves[at]).hex(),
    )  # fmt: skip


def _what(leaves: Any, saved: LeafFile, at: int, was: str, now: str) -> str:
    """What seems to have happened at the first place that differs."""
    ahead = slice(at + 1, None)
    here_later = bool((leaves[ahead] == saved.hashes[at]).all(axis=1).any())
    there_later = bool((saved.hashes[ahead] == leaves[at]).all(axis=1).any())
    if here_later and there_later:
        return f"the events stand in another order; event {was} was here"
    if there_later:
        return f"event {was} was here and is gone"
    if here_later:
        return f"an event was put in before event {was}"
    return "it was changed" if was == now else f"event {was} was here"
