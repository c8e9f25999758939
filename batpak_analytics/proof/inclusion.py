"""That one event belongs to a checkpoint, in a file that can be checked without the store.

The text is that of a C2SP tlog-proof: a first line that names the form, the frame's body as extra data, the index, the
Merkle path from the leaf's sibling upwards, a blank line, and the checkpoint. The first line is our own, because
the hash is: BLAKE3.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from batpak_analytics.errors import AnchorError, FormatError
from batpak_analytics.format.event import decode_event
from batpak_analytics.format.layout import HASH_SIZE
from batpak_analytics.model import Event
from batpak_analytics.proof.merkle import leaf_hash, root_from_path
from batpak_analytics.proof.note import Checkpoint, from_base64, to_base64, write_text

FIRST_LINE = "batpak-analytics/proof@v1"


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """A frame body, its place among the leaves, the way from it to the root, and the checkpoint with that root."""

    body: bytes
    index: int
    path: tuple[bytes, ...]
    checkpoint: Checkpoint

    def __str__(self) -> str:
        lines = [FIRST_LINE, f"extra {to_base64(self.body)}", f"index {self.index}", *map(to_base64, self.path)]
        return "\n".join(lines) + f"\n\n{self.checkpoint}"

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the text form to a file; returns its path."""
        return write_text(path, str(self))

    @classmethod
    def parse(cls, text: str) -> InclusionProof:
        """A proof from its text form; `AnchorError` where it is none."""
        above, blank, note = text.partition("\n\n")
        lines = above.split("\n")
        named = [line.partition(" ") for line in lines[1:3]]
        if not blank or lines[0] != FIRST_LINE or [part[0] for part in named] != ["extra", "index"]:
            raise AnchorError("This is no proof of an event. Give the file that prove() made.")
        index, path = named[1][2], tuple(from_base64(line) for line in lines[3:])
        if not (index.isascii() and index.isdigit() and len(index) <= 20) or any(len(one) != HASH_SIZE for one in path):
            raise AnchorError("The path of the proof is none. Give the file as it was written.")
        return cls(from_base64(named[0][2]), int(index), path, Checkpoint.parse(note))


@dataclass(frozen=True, slots=True)
class Included:
    """What a proof proved: this event, as stored, is number `index` of the events that the checkpoint counts.

    `signer` is who signed the checkpoint, None where no key was given: then it is for the reader to say where the
    checkpoint came from.
    """

    event: Event
    index: int
    checkpoint: Checkpoint
    signer: str | None


def verify_inclusion(proof: str | PathLike[str] | InclusionProof, *, public_key: Any = None) -> Included:
    """Check a proof of one event, without the store.

    Parameters
    ----------
    proof
        The path of a file that `InclusionProof.save` wrote, or the proof itself.
    public_key
        Ed25519, as 32 bytes, a PEM file or a key of `cryptography`: who has to have signed the checkpoint.

    Raises
    ------
    AnchorError
        The event does not belong to the checkpoint, the checkpoint is not signed by that key, or the file is no proof.

    Examples
    --------
    >>> import batpak_analytics as bp
    >>> report = bp.open_reader(bp.demo_store()).verify()
    >>> first = bp.read_batpak(bp.demo_store())["event_id"][0]
    >>> bp.verify_inclusion(report.prove(first)).event.event_id.hex() == first
    True
    """
    if not isinstance(proof, InclusionProof):
        try:
            proof = InclusionProof.parse(Path(proof).read_text(encoding="utf-8"))
        except UnicodeDecodeError as error:
            raise AnchorError(f"{proof} is no proof of an event: {error}. Give the file that prove() made.") from error
    checkpoint = proof.checkpoint
    signer = None if public_key is None else checkpoint.note.signer(public_key)
    if root_from_path(leaf_hash(proof.body), proof.index, checkpoint.size, proof.path) != checkpoint.root:
        raise AnchorError("The event does not belong to the checkpoint: its path leads to another root.")
    try:
        event = decode_event(proof.body)
    except FormatError as error:
        raise AnchorError(f"What the proof proves is no event: {error.reason}. Report how it was made.") from error
    return Included(event, proof.index, checkpoint, signer)
