"""Files of which one call, and maybe every later one, fails, is interrupted, or is the last of its process."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path

from batpak_analytics.store.files import Files


def full() -> None:
    """The disk has no room."""
    raise OSError(errno.ENOSPC, "No space left on device")


def interrupt() -> None:
    """Ctrl-C."""
    raise KeyboardInterrupt


def die() -> None:
    """The process is killed."""
    os.kill(os.getpid(), signal.SIGKILL)


class FailingCall(Files):
    """The call with number `at` (the first is 1) ends in `what`; of a write, half is written before."""

    def __init__(self, at: int = 0, what: Callable[[], None] = full, *, sticky: bool = False) -> None:
        self.at, self.what, self.sticky = at, what, sticky
        self.calls = 0
        self.named: list[str] = []

    def _meet(self, call: str) -> bool:
        self.calls += 1
        self.named.append(call)
        return self.calls == self.at or (self.sticky and 0 < self.at < self.calls)

    def _before(self, call: str) -> None:
        if self._meet(call):
            self.what()

    def make_directory(self, path: Path) -> None:
        self._before("make_directory")
        super().make_directory(path)

    def new_directory(self, path: Path) -> None:
        self._before("new_directory")
        super().new_directory(path)

    def remove_directory(self, path: Path) -> None:
        self._before("remove_directory")
        super().remove_directory(path)

    def set_mode(self, path: Path, mode: int) -> None:
        self._before("set_mode")
        super().set_mode(path, mode)

    def keep_access(self, old: Path, new: Path) -> None:
        self._before("keep_access")
        super().keep_access(old, new)

    def link(self, source: Path, target: Path) -> None:
        self._before("link")
        super().link(source, target)

    def clone(self, source: Path, target: Path) -> None:
        self._before("clone")
        super().clone(source, target)

    def create(self, path: Path) -> int:
        self._before("create")
        return super().create(path)

    def write(self, descriptor: int, data: memoryview) -> int:
        if self._meet("write"):
            super().write(descriptor, data[: len(data) // 2])
            self.what()
        return super().write(descriptor, data)

    def truncate(self, descriptor: int, size: int) -> None:
        self._before("truncate")
        super().truncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        self._before("sync")
        super().sync(descriptor)

    def sync_file(self, path: Path) -> None:
        self._before("sync_file")
        super().sync_file(path)

    def sync_directory(self, path: Path) -> None:
        self._before("sync_directory")
        super().sync_directory(path)

    def rename(self, source: Path, target: Path) -> None:
        self._before("rename")
        super().rename(source, target)

    def remove(self, path: Path) -> None:
        self._before("remove")
        super().remove(path)
