"""`Store.import_events`: by re-application, in atomic chunks, so that whatever stops it, doing it again goes on."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from blake3 import blake3

from batpak_analytics.engine.entries import Entries
from batpak_analytics.engine.ids import Place
from batpak_analytics.engine.queries import Queries
from batpak_analytics.engine.region import Region
from batpak_analytics.errors import FenceActiveError, ImportStoppedError, StoreClosedError
from batpak_analytics.frames.progress import Bar
from batpak_analytics.model import Receipt
from batpak_analytics.store.config import StoreConfig
from batpak_analytics.store.idempotency import KeyHistory
from batpak_analytics.store.imports.candidates import Candidate, Options, chunks, import_key, refuse_sealed
from batpak_analytics.store.imports.report import ImportReport, Progress
from batpak_analytics.store.imports.selection import Keep, Selector, wanted
from batpak_analytics.store.items import Draft
from batpak_analytics.store.sealed import evidence_of_sealing
from batpak_analytics.store.writer import Writer

Source = Queries | str | PathLike[str]
Told = bool | Callable[[int, int], Any] | None


class Target(NamedTuple):
    """The store that is written to, for one turn."""

    writer: Writer
    history: KeyHistory
    find: Callable[[bytes], Place | None]
    config: StoreConfig


Turn = Callable[[], AbstractContextManager[Target]]


def namespace_of(path: str | PathLike[str]) -> str:
    """The namespace that batpak derives from a store's directory. A name of your own outlives a move.

    >>> import batpak_analytics as bp
    >>> bp.namespace_of(".")[:9]
    'data-dir:'
    """
    return f"data-dir:{blake3(os.fsencode(Path(path).resolve())).hexdigest()}"


def import_events(
    turn: Turn, source: Source, *, region: Region | None, kinds: Collection[int] | None, after: int | None,
    keep: Keep | None, progress: Told, **options: Any,
) -> ImportReport:  # fmt: skip
    """See `Store.import_events`; `turn` takes the store's lock for one chunk."""
    chosen, selector = Options(**options), Selector(region, kinds, after)
    if isinstance(source, Queries):
        return _Import(turn, source, selector, keep, chosen).run(progress)
    with import_module("batpak_analytics.reader").open_reader(source) as reader:
        return _Import(turn, reader, selector, keep, chosen).run(progress)


class _Import:
    def __init__(self, turn: Turn, source: Queries, selector: Selector, keep: Keep | None, options: Options) -> None:
        self._turn, self._keep, self._options = turn, keep, options
        snapshot = source._snapshot()
        self._entries: Entries = selector.of(snapshot)
        self._done = Progress(options.namespace, selector.after, _damage_of(source))
        names = os.listdir(source.path)
        self._sealed = evidence_of_sealing(source.path, names, snapshot.segments) is not None

    def run(self, progress: Told) -> ImportReport:
        """All of it, or `ImportStoppedError` with what was done."""
        with self._turn() as target:  # what speaks against any append speaks before anything is read
            target.writer.append_batch([])
            config = target.config
        self._refuse_sealed_events()
        bar = Bar("importing events") if progress is True else None
        told = bar or progress or None
        try:
            found = wanted(self._entries, self._keep, self._options.namespace, self._done)
            for rows in chunks(found, config, self._options, self._done):
                with self._turn() as target:
                    _write(target, rows, self._options, self._done)
                if callable(told):
                    told(self._done.looked_at, len(self._entries))
        except (FenceActiveError, StoreClosedError) as error:
            if not self._done.counts["imported"]:
                raise
            raise self._stopped(error) from error
        except Exception as error:
            raise self._stopped(error) from error
        except BaseException as interrupt:
            interrupt.add_note(self._kept())
            raise
        finally:
            if bar is not None:
                bar.close()
        return self._done.report()

    def _refuse_sealed_events(self) -> None:
        """Look through a source that seals payloads before anything is appended."""
        if not self._sealed or self._options.encrypted == "skip":
            return
        idle = Progress(self._options.namespace, None, ())
        for entry, event in wanted(self._entries, self._keep, self._options.namespace, idle):
            refuse_sealed(entry, event, self._options)

    def _stopped(self, cause: Exception) -> ImportStoppedError:
        message = f"The import stopped: {str(cause).rstrip('.')}. {self._kept()}"
        return ImportStoppedError(message, report=self._done.report())

    def _kept(self) -> str:
        count = self._done.counts["imported"]
        if not count:
            return "No event was imported. Import again when the reason is gone, or leave the event out with keep=."
        return (
            f"{count:,} events were imported and are on disk. Import again to go on when the reason is gone, or leave "
            f"the event out with keep=."
        )


def _damage_of(source: Any) -> tuple[str, ...]:
    """What is wrong with the source, as events that are not there are not imported either."""
    view = getattr(source, "view", None)
    if view is None:
        return ()
    found = [one for one in view.findings if one.severity == "error"]
    return tuple(f"{one.rule} in {one.file or view.path}: {one.meaning}" for one in found)


def _write(target: Target, rows: Sequence[Candidate], options: Options, done: Progress) -> None:
    """Append those of the candidates that are not here yet, all or none of them."""
    fresh: dict[bytes, Candidate] = {}
    drafts: list[Draft] = []
    kept = dropped = 0
    for one in rows:
        key = one.draft.key
        assert key is not None
        if key in fresh or target.history.find(key) is not None:
            done.counts["deduplicated"] += 1
            continue
        cause = _cause_here(target, one, fresh, options)
        kept += cause is not None
        dropped += one.cause is not None and cause is None
        fresh[key] = one
        drafts.append(one.draft._replace(causation=cause))
    for one, receipt in zip(fresh.values(), _append(target, drafts), strict=True):
        done.imported(one.source_id, receipt.event_id, receipt.global_sequence)
    done.counts["causes_kept"] += kept
    done.counts["causes_dropped"] += dropped


def _cause_here(target: Target, one: Candidate, fresh: dict[bytes, Candidate], options: Options) -> bytes | None:
    """The cause as this store knows it: imported too, or the very event, where both stores share a past.

    The reference clears every cause.
    """
    if one.cause is None or options.causes == "clear":
        return None
    imported = import_key(options.namespace, one.cause)
    if imported in fresh or target.find(imported) is not None:
        return imported
    return one.cause if target.find(one.cause) is not None else None


def _append(target: Target, drafts: list[Draft]) -> list[Receipt]:
    """A batch, or by itself the one event that is larger than a batch may be."""
    if len(drafts) == 1 and drafts[0].size_bytes > target.config.batch_max_bytes:
        receipt = target.writer.append(drafts[0])
        target.writer.sync()
        return [receipt]
    return target.writer.append_batch(drafts)
