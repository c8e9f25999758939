"""Signed notes and checkpoints in the text form of C2SP (signed-note, tlog-checkpoint).

A note is a text that ends in a newline, a blank line, and a line for each signature: em dash, name, base64 of key id
and signature. A checkpoint's text is origin, size and root, one a line. Ours has a fourth line that says what a leaf is
and which hash the tree uses, so that a root over BLAKE3 cannot be taken for one over SHA-256. A checkpoint that nobody
signed has no line behind the blank one; it is worth what the place is worth where it was kept.
"""

from __future__ import annotations

import base64
import binascii
from abc import ABC, abstractmethod
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Self

from batpak_analytics.errors import AnchorError
from batpak_analytics.format.layout import HASH_SIZE, U64_MAX
from batpak_analytics.proof import signing

LEAF_RULE = "batpak-frame-body/1 blake3"
DASH = "\u2014 "
MOST_BYTES = 1 << 20
MOST_SIGNATURES = 100
KEY_ID_SIZE = 4


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line of a note."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A text, which ends in a newline, and who signed it."""

    text: str
    signatures: tuple[Signature, ...] = ()

    def __str__(self) -> str:
        lines = [f"{DASH}{one.name} {to_base64(one.key_id + one.signature)}\n" for one in self.signatures]
        return f"{self.text}\n{''.join(lines)}"

    def signed(self, name: str, key: Any) -> Note:
        """The note with a signature of the private `key` under `name`."""
        check_name(name)
        private = signing.private_key(key)
        identity = signing.key_id(name, private.public_key())
        made = Signature(name, identity, signing.sign(private, self.text.encode()))
        return Note(self.text, (*self.signatures, made))

    def signer(self, public_key: Any) -> str:
        """The name under which `public_key` signed; `AnchorError` where it did not, or where its signature is wrong."""
        public = signing.public_key(public_key)
        for one in self.signatures:
            if one.key_id == signing.key_id(one.name, public):
                if signing.holds(public, one.signature, self.text.encode()):
                    return one.name
                raise AnchorError(
                    f"The signature of {one.name} is not one over this text: the note was changed. Do not trust it."
                )
        raise AnchorError("The note is not signed by this key. Give the key of one of its signers.")


def check_name(name: str) -> None:
    """Raise `AnchorError` for a name that a signature line cannot have."""
    if not name or "+" in name or any(one.isspace() or not one.isprintable() for one in name):
        raise AnchorError(f"{name!r} cannot name a key: no spaces and no plus sign. Give origin= such as a URL.")


def parse_note(text: str) -> Note:
    """A note from its text form; `AnchorError` where it is none."""
    body, blank, rest = text.rpartition("\n\n")
    odd = any(ord(one) < 0x20 and one != "\n" for one in text)
    if not blank or odd or len(text) > MOST_BYTES or (rest and not rest.endswith("\n")):
        raise AnchorError("This is no signed note: a text, a blank line, and lines of signatures. Give the whole file.")
    lines = rest.split("\n")[:-1]
    if len(lines) > MOST_SIGNATURES:
        raise AnchorError(f"The note has {len(lines)} signatures, and {MOST_SIGNATURES} are the most. Leave some out.")
    return Note(body + "\n", tuple(_signature(line) for line in lines))


def _signature(line: str) -> Signature:
    name, space, encoded = line.removeprefix(DASH).partition(" ")
    raw = from_base64(encoded) if line.startswith(DASH) and space else b""
    if len(raw) <= KEY_ID_SIZE or not name or "+" in name:
        raise AnchorError(f"{line[:60]!r} is no line of a signature. Give the note as it was written.")
    return Signature(name, raw[:KEY_ID_SIZE], raw[KEY_ID_SIZE:])


def to_base64(value: bytes) -> str:
    """Bytes as they stand in a note."""
    return base64.b64encode(value).decode()


def from_base64(text: str) -> bytes:
    """Strictly decoded base64; empty where it is none."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def head(size: str, root: str) -> tuple[int, bytes]:
    """A size and a root as they stand in a note; `AnchorError` where they are none."""
    number = int(size) if size.isascii() and size.isdigit() and len(size) <= 20 else -1
    found = from_base64(root)
    if number < 0 or str(number) != size or number > U64_MAX or len(found) != HASH_SIZE:
        raise AnchorError(f"{size[:30]!r} and {root[:60]!r} are no size and root. Give the file as it was written.")
    return number, found


class Noted(ABC):
    """What has a note for its text form, and is kept in a file of that text."""

    __slots__ = ()

    @property
    @abstractmethod
    def note(self) -> Note:
        """It as a note."""

    @classmethod
    @abstractmethod
    def parse(cls, text: str) -> Self:
        """One from its text form; `AnchorError` where it is none."""

    def __str__(self) -> str:
        return str(self.note)

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the text form to a file; returns its path."""
        return write_text(path, str(self))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read one from a file."""
        return cls.parse(read_text(path))


@dataclass(frozen=True, slots=True)
class Checkpoint(Noted):
    """The state of a store at one moment: `root` is that of the Merkle tree over its first `size` committed events.

    Keep it away from the store: whoever can rewrite both proves nothing.
    """

    origin: str
    size: int
    root: bytes
    signatures: tuple[Signature, ...] = ()

    @property
    def note(self) -> Note:
        """The checkpoint as a note."""
        return Note(f"{self.origin}\n{self.size}\n{to_base64(self.root)}\n{LEAF_RULE}\n", self.signatures)

    def signed(self, key: Any) -> Checkpoint:
        """The checkpoint with a signature of the private `key`, under the origin as its name."""
        return Checkpoint(self.origin, self.size, self.root, self.note.signed(self.origin, key).signatures)

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """A checkpoint from its text form; `AnchorError` where it is none of ours."""
        note = parse_note(text)
        lines = note.text.split("\n")[:-1]
        if len(lines) != 4 or not lines[0]:
            raise AnchorError("This is no checkpoint of a batpak store: origin, size, root, and what a leaf is.")
        if lines[3] != LEAF_RULE:
            raise AnchorError(f"The checkpoint's leaves are {lines[3][:60]!r}, and this package knows {LEAF_RULE!r}.")
        return cls(lines[0], *head(lines[1], lines[2]), note.signatures)


def write_text(path: str | PathLike[str], text: str) -> Path:
    """Write a small text file in UTF-8, its lines ended as they stand; returns its path."""
    target = Path(path)
    target.write_text(text, encoding="utf-8", newline="\n")
    return target


def read_text(path: str | PathLike[str]) -> str:
    """A small text file; `AnchorError` where it is not UTF-8."""
    try:
        with open(path, encoding="utf-8", newline="") as handle:
            return handle.read(MOST_BYTES + 1)
    except UnicodeDecodeError as error:
        raise AnchorError(f"{path} is no text in UTF-8: {error}. Give the file as it was written.") from error


def outside(store: str, path: str | PathLike[str]) -> Path:
    """The path, unless it lies in the store's directory, where nothing but the store's own files belongs."""
    target = Path(path).resolve()
    if Path(store).resolve() in target.parents:
        raise AnchorError(
            f"{path} lies in the store. What proves its history belongs somewhere else: give such a path."
        )
    return target
