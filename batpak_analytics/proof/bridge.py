"""A bridge over a compaction: "(old root, plan, new root)", in the words of whoever compacted.

A compaction that drops or rewrites events makes every earlier checkpoint fail, and rightly so. A bridge is a signed
note by the one who compacted: the store that had the old root was compacted by the plan with this hash, and then had
the new one. It proves no more than that its signer says so; whether the plan was kept to can be seen only with the old
files. So a bridge counts only with its signature checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from batpak_analytics.errors import AnchorError
from batpak_analytics.format.layout import HASH_SIZE
from batpak_analytics.proof.note import Checkpoint, Note, Noted, Signature, from_base64, head, parse_note, to_base64

BRIDGE_RULE = "batpak-bridge/1 blake3"


@dataclass(frozen=True, slots=True)
class Bridge(Noted):
    """From one state of a store to another, by the compaction plan with this hash."""

    origin: str
    old: tuple[int, bytes]
    plan: bytes
    new: tuple[int, bytes]
    signatures: tuple[Signature, ...] = ()

    @classmethod
    def between(cls, old: Checkpoint, plan: bytes, new: Checkpoint) -> Bridge:
        """The bridge that a compaction writes: `plan` is the BLAKE3 of the plan it followed."""
        if len(plan) != HASH_SIZE:
            raise AnchorError(f"plan= has {len(plan)} bytes. Give the {HASH_SIZE} bytes of the plan's BLAKE3.")
        return cls(new.origin, (old.size, old.root), plan, (new.size, new.root))

    @property
    def note(self) -> Note:
        """The bridge as a note."""
        lines = [
            self.origin,
            BRIDGE_RULE,
            f"old {self.old[0]} {to_base64(self.old[1])}",
            f"plan {to_base64(self.plan)}",
            f"new {self.new[0]} {to_base64(self.new[1])}",
        ]
        return Note("\n".join(lines) + "\n", self.signatures)

    def signed(self, key: Any) -> Bridge:
        """The bridge with a signature of the private `key`, under the origin as its name."""
        return Bridge(self.origin, self.old, self.plan, self.new, self.note.signed(self.origin, key).signatures)

    @classmethod
    def parse(cls, text: str) -> Bridge:
        """A bridge from its text form; `AnchorError` where it is none."""
        note = parse_note(text)
        lines = note.text.split("\n")[:-1]
        words = [line.split(" ") for line in lines[2:]]
        shape = [(part[0], len(part)) for part in words]
        if len(lines) != 5 or lines[1] != BRIDGE_RULE or shape != [("old", 3), ("plan", 2), ("new", 3)]:
            raise AnchorError("This is no bridge of a batpak store: origin, old root, plan, new root.")
        plan = from_base64(words[1][1])
        if len(plan) != HASH_SIZE:
            raise AnchorError("The plan of the bridge is no hash. Give the file as it was written.")
        return cls(lines[0], head(*words[0][1:]), plan, head(*words[2][1:]), note.signatures)
