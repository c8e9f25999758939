"""Where a copy goes: everything that speaks against it is found before anything is touched."""

from __future__ import annotations

import os
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from blake3 import blake3

from batpak_analytics.errors import CopyRefusedError

PARTIAL_SUFFIX = ".batpak-partial"


@dataclass(frozen=True, slots=True)
class Destination:
    """A path that is free, and the name beside it under which the copy is made."""

    path: Path
    partial: Path
    path_digest: bytes
    """Of the path as it was given (trap T-29): the same place under another name has another one."""


def destination_of(store: Path, given: str | PathLike[str]) -> Destination:
    """The destination, or `CopyRefusedError` for one that is taken, inside the store, or cannot be written."""
    text = os.path.expanduser(given)
    path = Path(text)
    if os.path.lexists(path):
        kind = "a symbolic link" if path.is_symlink() else "a directory" if path.is_dir() else "a file"
        raise _refused(path, f"{path} exists: it is {kind}, and a copy replaces nothing. Give a new name.")
    parent = path.parent.resolve()
    if not parent.is_dir():
        raise _refused(path, f"{parent} is no directory, so {path.name!r} cannot be made in it. Create it first.")
    _require_outside(store, path, parent)
    if not os.access(parent, os.W_OK | os.X_OK):
        raise _refused(path, f"{parent} may not be written by this user. Give a directory that may.")
    partial = parent / f"{path.name}{PARTIAL_SUFFIX}"
    if os.path.lexists(partial):
        raise left_over(path, partial)
    return Destination(parent / path.name, partial, blake3(os.fsencode(text)).digest())


def left_over(path: Path, partial: Path) -> CopyRefusedError:
    """The error for a copy that was stopped, or is being made by somebody else."""
    return _refused(
        path,
        f"{partial} exists: a copy to {path} is being made, or was stopped in the middle. When none is running, "
        f"remove that directory (rm -r) and repeat; nothing of the store is lost by it.",
    )


def _require_outside(store: Path, path: Path, parent: Path) -> None:
    """Compare directories, not names: links, `..` and other mounts of one place lead to it as well."""
    home = os.stat(store)
    for one in (parent, *parent.parents):
        if os.path.samestat(home, os.stat(one)):
            raise _refused(path, f"{path} lies inside the store {store}. Give a place outside of it.")


def _refused(path: Path, message: str) -> CopyRefusedError:
    return CopyRefusedError(message, path=path)
