"""`Store.import_events`. Only delegates: what does it is loaded when it is asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from importlib import import_module
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from batpak_analytics.engine.queries import Queries
    from batpak_analytics.engine.region import Region
    from batpak_analytics.model import IndexEntry
    from batpak_analytics.store.imports.importing import Target
    from batpak_analytics.store.imports.report import ImportReport


class Imports(ABC):
    """What a store can take over from others."""

    @abstractmethod
    def _turn(self) -> AbstractContextManager[Target]:
        """The store to write to, while no other thread does."""

    def import_events(
        self,
        source: Queries | str | PathLike[str],
        *,
        namespace: str,
        region: Region | None = None,
        kinds: Collection[int] | None = None,
        after: int | None = None,
        keep: Callable[[IndexEntry], bool] | None = None,
        chunk_size: int = 256,
        causes: Literal["map", "clear"] = "map",
        lanes: bool = False,
        versions: bool = True,
        encrypted: Literal["refuse", "skip"] = "refuse",
        progress: bool | Callable[[int, int], Any] | None = None,
    ) -> ImportReport:
        """Append the events of another store, each once however often this is done, by whichever engine.

        An imported event has an id of its own, derived from `namespace` and the id it had; its payload, kind,
        coordinate and correlation stay, clock and time are new, and an extension says where it comes from.

        Parameters
        ----------
        source
            A `Reader`, a `Store`, or the path of one; also this store itself. What it shows now is what is looked at.
        namespace
            The name of the source, the same whenever it is imported; `namespace_of` gives the one that batpak derives
            from a path.
        region, kinds, after
            Look only at events of a region, of these kinds, after this sequence of the source.
        keep
            Called with the index entry of each; those for which it is false are left out.
        chunk_size
            Events that are written together, all or none; less where a batch may not be so large.
        causes
            ``"map"`` keeps the cause of an event where this store has it, imported or as it is; ``"clear"`` keeps none,
            as batpak does.
        lanes
            Keep lane and depth; otherwise all go to lane 0, as in batpak.
        versions
            Keep payload version and flags, which batpak loses.
        encrypted
            Sealed payloads cannot be read without the source's keys: ``"refuse"`` them before anything is appended, or
            ``"skip"`` them.
        progress
            True draws a bar; a function is called with the events looked at so far and in all.

        Raises
        ------
        ImportStoppedError
            Something failed on the way; its `report` tells what is here. Import again to go on.
        PayloadEncryptedError, FenceActiveError, StoreNotFoundError, NotAStoreError, ValueError, TypeError
            Nothing was appended.

        Cost: a read of every frame looked at, and a write and a sync for each chunk.

        Examples
        --------
        >>> import tempfile
        >>> import batpak_analytics as bp
        >>> with tempfile.TemporaryDirectory() as directory, bp.Store.open(directory) as store:
        ...     first = store.import_events(bp.demo_store(), namespace="demo")
        ...     again = store.import_events(bp.demo_store(), namespace="demo")
        >>> first.imported, again.imported, again.deduplicated
        (4, 0, 4)
        """
        report: ImportReport = import_module("batpak_analytics.store.imports.importing").import_events(
            self._turn, source, region=region, kinds=kinds, after=after, keep=keep, progress=progress,
            namespace=namespace, chunk_size=chunk_size, causes=causes, lanes=lanes, versions=versions,
            encrypted=encrypted,
        )  # fmt: skip
        return report
