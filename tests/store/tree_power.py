"""A disk that can lose its power, as `tests.store.power`, for a tree of directories: copies are made beside a store.

Each directory has the names that its last sync brought to disk, and the changes of names since; after a power cut each
of those has happened or not, whatever happened to the others. A file may have several names.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field, replace
from pathlib import Path

from batpak_analytics.format.layout import LOCK_NAME
from batpak_analytics.store.files import Files
from tests.store.power import Change, Stored, applied, left_of

ROOT = 0


@dataclass(frozen=True)
class Names:
    """One directory: the names on disk, and the changes that are not yet."""

    durable: dict[str, int] = field(default_factory=dict)
    pending: tuple[Change, ...] = ()

    @property
    def seen(self) -> dict[str, int]:
        """The names as every process sees them."""
        return applied(self.durable, self.pending)


@dataclass(frozen=True)
class Tree:
    """The disk between two calls: files and directories by number, `ROOT` the uppermost."""

    call: str = ""
    files: dict[int, Stored] = field(default_factory=dict)
    folders: dict[int, Names] = field(default_factory=dict)

    def after_power_cut(self, chance: random.Random, path: Path) -> Path:
        """One of the trees that may be left, written to `path`, which is missing."""
        share = chance.choice([0.0, 0.5, 1.0])
        contents: dict[int, bytes] = {}
        self._write(ROOT, path, chance, share, contents)
        return path

    def _write(
        self, number: int, path: Path, chance: random.Random, share: float, contents: dict[int, bytes]
    ) -> None:  # fmt: skip
        path.mkdir()
        folder = self.folders[number]
        happened = tuple(change for change in folder.pending if chance.random() < share)
        for name, node in applied(folder.durable, happened).items():
            if node in self.folders:
                self._write(node, path / name, chance, share, contents)
            else:
                if node not in contents:
                    contents[node] = left_of(self.files[node], chance)
                (path / name).write_bytes(contents[node])

    def differs(self) -> bool:
        """Whether a power cut would make a difference."""
        return any(folder.pending for folder in self.folders.values()) or any(
            stored.durable != stored.now for stored in self.files.values()
        )


class TreePower(Files):
    """Files whose every state is kept in `states`; what `root` holds at the beginning is on disk."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._open: dict[int, int] = {}
        self._numbers = iter(range(1, 1_000_000))
        files: dict[int, Stored] = {}
        folders: dict[int, Names] = {}
        self._take_up(self._root, ROOT, files, folders)
        self.states = [Tree("", files, folders)]

    def _take_up(self, path: Path, number: int, files: dict[int, Stored], folders: dict[int, Names]) -> None:
        names: dict[str, int] = {}
        for one in sorted(path.iterdir()):
            if one.name == LOCK_NAME:
                continue
            names[one.name] = node = next(self._numbers)
            if one.is_dir():
                self._take_up(one, node, files, folders)
            else:
                files[node] = Stored(one.read_bytes(), one.read_bytes())
        folders[number] = Names(names)

    @property
    def now(self) -> Tree:
        """The latest state."""
        return self.states[-1]

    def _node(self, path: Path) -> int:
        node = ROOT
        for name in path.resolve().relative_to(self._root).parts:
            node = self.now.folders[node].seen[name]
        return node

    def _put(self, call: str, number: int, stored: Stored) -> None:
        self.states.append(replace(self.now, call=call, files={**self.now.files, number: stored}))

    def _change(self, call: str, folder: Path, change: Change, **folders: Names) -> None:
        number = self._node(folder)
        names = self.now.folders[number]
        changed = {number: replace(names, pending=(*names.pending, change))}
        added = {int(key.removeprefix("n")): value for key, value in folders.items()}
        self.states.append(replace(self.now, call=call, folders={**self.now.folders, **added, **changed}))

    def make_directory(self, path: Path) -> None:
        if not path.exists():
            self.new_directory(path)
            self.sync_directory(path.parent)

    def new_directory(self, path: Path) -> None:
        super().new_directory(path)
        node = next(self._numbers)
        self._change(f"mkdir {path.name}", path.parent, {path.name: node}, **{f"n{node}": Names()})

    def remove_directory(self, path: Path) -> None:
        super().remove_directory(path)
        self._change(f"rmdir {path.name}", path.parent, {path.name: None})

    def create(self, path: Path) -> int:
        descriptor = super().create(path)
        number = self._open[descriptor] = next(self._numbers)
        self._put(f"create {path.name}", number, Stored())
        self._change(f"name {path.name}", path.parent, {path.name: number})
        return descriptor

    def link(self, source: Path, target: Path) -> None:
        node = self._node(source)
        super().link(source, target)
        self._change(f"link {target.name}", target.parent, {target.name: node})

    def write(self, descriptor: int, data: memoryview) -> int:
        size = super().write(descriptor, data)
        number = self._open[descriptor]
        old = self.now.files[number]
        self._put("write", number, replace(old, now=old.now + bytes(data[:size])))
        return size

    def truncate(self, descriptor: int, size: int) -> None:
        super().truncate(descriptor, size)
        number = self._open[descriptor]
        self._put("truncate", number, replace(self.now.files[number], now=self.now.files[number].now[:size]))

    def sync(self, descriptor: int) -> None:
        number = self._open[descriptor]
        now = self.now.files[number].now
        self._put("sync", number, Stored(now, now))

    def sync_file(self, path: Path) -> None:
        number = self._node(path)
        now = self.now.files[number].now
        self._put(f"sync {path.name}", number, Stored(now, now))

    def sync_directory(self, path: Path) -> None:
        number = self._node(path)
        folders = {**self.now.folders, number: Names(self.now.folders[number].seen)}
        self.states.append(replace(self.now, call=f"sync directory {path.name}", folders=folders))

    def rename(self, source: Path, target: Path) -> None:
        node = self._node(source)
        super().rename(source, target)
        assert source.parent.resolve() == target.parent.resolve()
        self._change(f"rename {target.name}", target.parent, {source.name: None, target.name: node})

    def remove(self, path: Path) -> None:
        super().remove(path)
        self._change(f"remove {path.name}", path.parent, {path.name: None})

    def close(self, descriptor: int) -> None:
        self._open.pop(descriptor, None)
        os.close(descriptor)
