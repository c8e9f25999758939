"""The segment being written: header, frames, and the footer that seals it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

from batpak_analytics.format import layout
from batpak_analytics.format.footer import footer_pieces
from batpak_analytics.format.segment import canonical_name, encode_segment_header
from batpak_analytics.store.files import Buffer, Files, write_all, write_pieces
from batpak_analytics.store.footer_rows import FooterRows


class ActiveSegment:
    """A new segment file, growing at its end. Every failure of the file system reaches the caller as it is."""

    def __init__(self, files: Files, directory: Path, segment_id: int, created_ns: int) -> None:
        """Create the file with its header, durably.

        The header is written under another name: under its own, neither engine ever sees a file without one.
        """
        self.segment_id = segment_id
        self.path = directory / canonical_name(segment_id)
        self.size = 0
        self.sealed = False
        self._files = files
        self._rows = FooterRows()
        self.strings: dict[str, int] = {}
        """The number of each entity and scope in the footer's table."""
        newborn = directory / f"{layout.TEMPORARY_PREFIX}{segment_id:06}"
        newborn.unlink(missing_ok=True)
        self._descriptor = files.create(newborn)
        try:
            self.write(encode_segment_header(segment_id, created_ns))
            self.sync()
            if os.path.lexists(self.path):  # of a writer that does not hold the lock: its events are not to be replaced
                raise FileExistsError(errno.EEXIST, f"{self.path.name} appeared, which this writer did not create")
            files.rename(newborn, self.path)
            files.sync_directory(directory)
        except BaseException:
            files.close(self._descriptor)
            raise

    def write(self, data: Buffer) -> int:
        """Append all of `data` and return the offset it begins at."""
        write_all(self._files, self._descriptor, data)
        offset = self.size
        self.size += len(data)
        return offset

    def cut(self) -> None:
        """Remove what a failed `write` may have left behind the last whole one."""
        self._files.truncate(self._descriptor, self.size)

    def sync(self) -> None:
        """Return when everything written is on disk."""
        self._files.sync(self._descriptor)

    def record(self, rows: Buffer) -> None:
        """Remember the footer rows of committed events."""
        self._rows += rows

    @property
    def rows(self) -> Any:
        """The footer rows of what is committed so far; the array never changes."""
        return self._rows.array

    def seal(self) -> None:
        """Sync the frames, then write the footer and sync that: a footer on disk proves the frames are.

        Nothing is written behind it; sealing again does nothing.
        """
        if self.sealed:
            return
        self.sync()
        self.write_footer()
        self.sync()
        self.sealed = True

    def write_footer(self, rows: Any = None) -> None:
        """The middle of `seal`; with these rows where they are given."""
        pieces = footer_pieces(self.rows if rows is None else rows, list(self.strings), self.size)
        self.size += write_pieces(self._files, self._descriptor, pieces)

    def follow(self, last: ActiveSegment) -> None:
        """Close the segment before this one, which is sealed, and use its memory again."""
        self._rows = last._rows.emptied()
        last.close()

    def close(self) -> None:
        """Let go of the file as it is, and of the rows: whoever looks at them has arrays of their own."""
        self._rows = FooterRows()
        self._files.close(self._descriptor)
