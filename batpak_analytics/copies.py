"""`snapshot` and `fork`, for `Reader` and `Store`. Only delegates."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from batpak_analytics.evidence.fork import ForkBody
    from batpak_analytics.evidence.snapshot import SnapshotBody
    from batpak_analytics.store.copies.report import CopyReport


class Copies:
    """Copies of a store: of the moment that a reader shows, or of a store as it is now.

    The copy of a `Reader` takes no lock and asks nothing of the writer, whichever engine that is; the last segment is
    cut behind its last whole event. What is behind a fence that is open has no mark on disk, so such a copy has it as
    it has every other event. `Store` syncs first, refuses while a fence is open (`FenceActiveError`), and makes
    appends wait for that sync only.
    """

    def _to_copy(self) -> tuple[Path, Callable[[], Any], Any]:
        """The store's directory, what pins its state, and the files to write through."""
        raise NotImplementedError

    def snapshot(
        self, dest: str | PathLike[str], *, keys: Literal["refuse", "exclude"] = "refuse"
    ) -> CopyReport[SnapshotBody]:  # fmt: skip
        """Copy the store to `dest`, which does not exist yet: a store that shares nothing with this one.

        Events, ids, hidden ranges, sequence numbers and used keys are the same in it, for both engines. Every segment
        of the copy has a footer with the numbers, so that it needs no index image; cursors, caches and locks stay
        behind. It appears under its name when it is whole and on disk.

        Parameters
        ----------
        dest
            A path that does not exist yet, in a directory that does.
        keys
            What to do with a store that seals its payloads: ``"refuse"``, or ``"exclude"`` the keys and copy the sealed
            events. Keys are never copied.

        Raises
        ------
        CopyRefusedError
            The destination exists, lies in the store, cannot be written or has no room; or the store is damaged so
            that a copy would not show the same, or sealed. Nothing was touched.
        CopyFailedError
            The disk failed. The store is as it was, and there is no copy.
        ViewExpiredError
            A compaction took away what the reader shows; `refresh` it and repeat.

        Cost: a pass over the bytes of the store, and a sync a file.

        Examples
        --------
        >>> import tempfile
        >>> import batpak_analytics as bp
        >>> with tempfile.TemporaryDirectory() as directory, bp.open_reader(bp.demo_store()) as reader:
        ...     report = reader.snapshot(f"{directory}/copy")
        ...     copied = bp.read_batpak(report.path)
        >>> len(copied), report.body.copied_segment_ids_sorted
        (4, (1,))
        """
        copied: CopyReport[SnapshotBody] = _copying().snapshot(*self._to_copy(), dest, keys=keys)
        return copied

    def fork(
        self,
        dest: str | PathLike[str],
        *,
        copy: Literal["reflink", "hardlink", "copy"] = "reflink",
        exclude_caches: bool = True,
        keys: Literal["refuse", "exclude"] = "refuse",
    ) -> CopyReport[ForkBody]:
        """As `snapshot`, but the two stores share the files that never change: sealed segments.

        Either store can then be written, compacted and removed without the other noticing. Two names of one file need
        one file system, and `chmod` or damage to it is damage to both: for a backup, use `snapshot`.

        Parameters
        ----------
        dest, keys
            As of `snapshot`.
        copy
            How to share: ``"reflink"`` shares blocks where the file system can, else tries a hard link; ``"hardlink"``;
            ``"copy"`` shares nothing. Each falls back to a copy, file by file. The last segment is always copied.
        exclude_caches
            False takes along an index image that lists what the segments hold.

        Raises and costs as `snapshot`; what is shared costs a link, and is not read.

        Examples
        --------
        >>> import tempfile
        >>> import batpak_analytics as bp
        >>> with tempfile.TemporaryDirectory() as directory, bp.Store.open(f"{directory}/store") as store:
        ...     event = store.append("order:1", "shop", 0x1001, {"total": 12}).event_id
        ...     report = store.fork(f"{directory}/what-if")
        ...     with bp.Store.open(report.path) as other:
        ...         after = other.append("order:1", "shop", 0x1002, {"by": "card"}, causation_id=event)
        ...     store.last_sequence, after.global_sequence
        (1, 3)
        """
        copied: CopyReport[ForkBody] = _copying().fork(
            *self._to_copy(), dest, copy=copy, exclude_caches=exclude_caches, keys=keys
        )  # fmt: skip
        return copied


def _copying() -> Any:
    # Copies are made with what writes stores, which a reader does without until one is asked for.
    return import_module("batpak_analytics.store.copies.copying")
