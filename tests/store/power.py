"""A disk that can lose its power: what it may hold afterwards, after every call that changes it.

The calls go to a real directory too. Beside it is kept, for each file, what the last sync brought to disk and what was
written since, and for the directory, which names are on disk and which changes of names are not yet. After a power cut
each of those changes has happened or not, and of what was written since, the disk has nothing, all, a prefix, a prefix
and zeros, or some of its sectors and zeros for the others.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field, replace
from pathlib import Path

from batpak_analytics.format.layout import LOCK_NAME
from batpak_analytics.store.files import Files

SECTORS = (512, 4096)
Change = dict[str, "int | None"]


@dataclass(frozen=True)
class Stored:
    """One file: its bytes on disk, and its bytes as every process sees them; or a symbolic link, whole at once."""

    durable: bytes = b""
    now: bytes = b""
    link: str = ""


@dataclass(frozen=True)
class State:
    """The disk between two calls: files by number, which names are on disk, and changes of names that are not."""

    call: str = ""
    files: dict[int, Stored] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    pending: tuple[Change, ...] = ()

    @property
    def seen(self) -> dict[str, int]:
        """The names as every process sees them."""
        return applied(self.names, self.pending)

    def is_settled(self) -> bool:
        """Whether a power cut changes nothing."""
        return not self.pending and all(self.files[one].durable == self.files[one].now for one in self.names.values())

    def after_power_cut(self, chance: random.Random, path: Path) -> Path:
        """One of the directories that may be left, written to `path`, which is empty or missing."""
        share = chance.choice([0.0, 0.5, 1.0])
        names = applied(self.names, tuple(change for change in self.pending if chance.random() < share))
        path.mkdir(exist_ok=True)
        for name, number in names.items():
            if self.files[number].link:
                (path / name).symlink_to(self.files[number].link)
            else:
                (path / name).write_bytes(left_of(self.files[number], chance))
        return path


def applied(names: dict[str, int], changes: tuple[Change, ...]) -> dict[str, int]:
    found: dict[str, int | None] = dict(names)
    for change in changes:
        found.update(change)
    return {name: number for name, number in found.items() if number is not None}


def left_of(file: Stored, chance: random.Random) -> bytes:
    """What the disk may hold of a file."""
    old, new = file.durable, file.now
    if not new.startswith(old):  # it was cut, or is another one: the cut is on disk or is not
        return chance.choice([old, new])
    kind = chance.choice(["nothing", "all", "prefix", "zeros", "sectors", "sectors"])
    if kind == "nothing":
        return old
    if kind == "all":
        return new
    cut = chance.randint(len(old), len(new))
    if kind in ("prefix", "zeros"):
        return new[:cut] + bytes(len(new) - cut if kind == "zeros" else 0)
    size = chance.choice(SECTORS)
    data = bytearray(new)
    for low in range(0, len(new), size):
        high = min(low + size, len(new))
        if high > len(old) and chance.random() < 0.5:
            data[max(low, len(old)) : high] = bytes(high - max(low, len(old)))
    return bytes(data[: chance.choice([len(new), cut])])


class Power(Files):
    """Files whose every state is kept in `states`; those that `path` has at the beginning are on disk."""

    def __init__(self, path: Path) -> None:
        names = sorted(file.name for file in path.iterdir() if file.name != LOCK_NAME) if path.exists() else []
        stored = {number: (path / name).read_bytes() for number, name in enumerate(names)}
        self.states = [
            State("", {one: Stored(data, data) for one, data in stored.items()}, dict(zip(names, stored, strict=True)))
        ]
        self._open: dict[int, int] = {}

    @property
    def now(self) -> State:
        """The latest state."""
        return self.states[-1]

    def _put(self, call: str, number: int, stored: Stored) -> None:
        self.states.append(replace(self.now, call=call, files={**self.now.files, number: stored}))

    def _change(self, call: str, change: Change) -> None:
        self.states.append(replace(self.now, call=call, pending=(*self.now.pending, change)))

    def create(self, path: Path) -> int:
        descriptor = super().create(path)
        number = self._open[descriptor] = len(self.now.files)
        self._put(f"create {path.name}", number, Stored())
        self._change(f"name {path.name}", {path.name: number})
        return descriptor

    def write(self, descriptor: int, data: memoryview) -> int:
        size = super().write(descriptor, data)
        number = self._open[descriptor]
        old = self.now.files[number]
        self._put("write", number, replace(old, now=old.now + bytes(data[:size])))
        return size

    def truncate(self, descriptor: int, size: int) -> None:
        super().truncate(descriptor, size)
        number = self._open[descriptor]
        old = self.now.files[number]
        self._put("truncate", number, replace(old, now=old.now[:size]))

    def sync(self, descriptor: int) -> None:
        number = self._open[descriptor]
        now = self.now.files[number].now
        self._put("sync", number, Stored(now, now))

    def sync_file(self, path: Path) -> None:
        number = self.now.seen[path.name]
        now = self.now.files[number].now
        self._put(f"sync {path.name}", number, Stored(now, now))

    def sync_directory(self, path: Path) -> None:
        self.states.append(replace(self.now, call="sync directory", names=self.now.seen, pending=()))

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        number = self.now.seen[source.name]
        self._change(f"rename {source.name} {target.name}", {source.name: None, target.name: number})

    def link(self, target: str, path: Path) -> None:
        super().link(target, path)
        number = len(self.now.files)
        self._put(f"link {path.name}", number, Stored(link=target))
        self._change(f"name {path.name}", {path.name: number})

    def remove(self, path: Path) -> None:
        super().remove(path)
        self._change(f"remove {path.name}", {path.name: None})

    def close(self, descriptor: int) -> None:
        self._open.pop(descriptor, None)
        os.close(descriptor)
