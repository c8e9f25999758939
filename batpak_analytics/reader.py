"""The public facade for reading a store: `open_reader` and `Reader`. It only delegates."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from batpak_analytics.copies import Copies
from batpak_analytics.engine import check as frame_check
from batpak_analytics.engine import ids
from batpak_analytics.engine.filesystem import DescriptorCache
from batpak_analytics.engine.ids import Place
from batpak_analytics.engine.queries import Queries
from batpak_analytics.engine.snapshot import Snapshot
from batpak_analytics.engine.view import View, build_view, given_path, require_directory
from batpak_analytics.errors import ViewExpiredError
from batpak_analytics.markup import Html, facts, plural, size_text, titled
from batpak_analytics.model import Finding
from batpak_analytics.projection.methods import States
from batpak_analytics.views import Views

OnDamage = Literal["report", "raise"]
# How often a refresh starts over when a compaction deletes what it was reading.
REBUILDS = 5


def open_reader(path: str | PathLike[str], *, on_damage: OnDamage = "report") -> Reader:
    """Open the store at `path` for reading, beside a running writer: no lock is taken and nothing is written.

    Parameters
    ----------
    path
        The data directory that the application gave to batpak.
    on_damage
        ``"report"`` reads everything that can be proven and lists the rest in `Reader.findings`; ``"raise"`` raises
        where 0.9.0's own open or read would fail or silently drop events. Unfinished writes at the very end are normal
        in both.

    Raises
    ------
    StoreNotFoundError, NotAStoreError, StorePermissionError
        The path does not exist, holds no segments, or may not be read.
    HiddenRangesCorruptError, MarkerCorruptError, FutureVersionError
        What is hidden, or which files count, cannot be known. Both modes refuse.

    Cost: sealed segments are mapped and their footers checked; segments without a footer are read once.

    Examples
    --------
    >>> import batpak_analytics as bp
    >>> reader = bp.open_reader(bp.demo_store())
    >>> reader.events(columns=["entity", "payload"]).count()
    4
    """
    return Reader(path, on_damage=on_damage)


class Reader(Queries, Views, Copies, States):
    """A store opened for reading. The view it holds never changes until `refresh`; threads may share it."""

    def __init__(self, path: str | PathLike[str], *, on_damage: OnDamage = "report") -> None:
        self._path = given_path(path)
        require_directory(self._path)
        self._path = self._path.resolve()
        self._on_damage = on_damage
        self._descriptors = DescriptorCache()
        self._scans: dict[tuple[Any, ...], Any] = {}
        self._lock = threading.Lock()
        self._view = self._build(None)

    @property
    def path(self) -> Path:
        """The store's directory."""
        return self._path

    @property
    def view(self) -> View:
        """The pinned state of the store that every call of this reader uses."""
        return self._view

    def refresh(self) -> Reader:
        """Move the view forward to the store as it is now; scans that were made before keep the old one."""
        with self._lock:
            view = self._build(self._view)
            ids.carry(self._view, view)
            self._view = view
        return self

    def _build(self, old: View | None) -> View:
        """A view of the store as it is. A file that was listed, not mapped, and is gone asks for a new listing."""
        for left in reversed(range(REBUILDS)):
            try:
                return build_view(self._path, self._on_damage, self._descriptors, self._scans, old)
            except ViewExpiredError as error:
                if not left or error.path == str(self._path):
                    raise
        raise AssertionError("unreachable")

    def _reading(self) -> Reader:
        return self

    def _to_copy(self) -> tuple[Path, Callable[[], Any], Any]:
        view = self._view
        pin = import_module("batpak_analytics.store.copies.source").source_of_view
        return self._path, lambda: pin(view), import_module("batpak_analytics.store.files").Files()

    def _snapshot(self) -> Snapshot:
        return Snapshot.of_view(self._view)

    def _find(self, event_id: bytes) -> Place | None:
        return ids.find(self._view, event_id)

    def check(self, progress: Callable[[int, int], None] | None = None) -> list[Finding]:
        """Check every frame against its CRC; returns all findings, those of the open included.

        `progress` is called with (rows done, rows in all). Cost: one pass over every byte of the store.
        """
        frame_check.check_frames(self._view, progress)
        return list(self._view.findings)

    def close(self) -> None:
        """Let go of descriptors. Maps live as long as something that was read from them."""
        self._descriptors.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        view = self._view
        worst = [one for one in view.findings if one.severity != "info"]
        told = f", {plural(len(worst), 'finding')}" if worst else ""
        held = f"{plural(view.event_count, 'event')} in {plural(len(view.segments), 'segment')}"
        return f"Reader({str(self._path)!r}, {held}{told})"

    def _repr_html_(self) -> Html:
        view = self._view
        counted = Counter(finding.severity for finding in view.findings)
        told = ", ".join(plural(count, severity) for severity, count in counted.items() if severity != "info")
        return facts(
            titled("Reader", self._path, ""),
            {
                "events": f"{view.event_count:,}, the store's own included",
                "segments": f"{len(view.segments):,}, {size_text(sum(one.size_bytes for one in view.segments))}",
                "last sequence": view.last_sequence,
                "findings": f"{told}; findings() lists them" if told else "none so far",
            },
        )
