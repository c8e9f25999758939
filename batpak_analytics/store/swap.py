"""One new segment takes the place of several, for both engines in the same instant; a crash leaves before or after.

0.9.0 finds out at every open which segments count (sidecars spec 7.2). Its own compaction names the first source as
the output before there is one, and loses events from view in three windows (T-2). Here the marker names as output an id
that no file has: while that file is missing 0.9.0 reads the sources, and once it is there, the output alone. So one
rename is the whole change:

===============================================================  ========================================
step                                                             what both engines show from then on
===============================================================  ========================================
0. the output is whole and on disk under a temporary name        the sources
1. the marker names a free id as output                          the sources; index images are not used
2. the output is renamed to that id                              the output
3. the sources are removed                                       the output
4. the index images are removed, which name the sources          the output
5. the marker is removed                                         the output
6. the output is renamed to the lowest source's id               the output
===============================================================  ========================================

The marker is a symbolic link. 0.9.0 reads through it, and refuses to write through it: its `compact`, which looks at
all files whatever the marker says, would otherwise take a store that a crash left between 2 and 3, and merge
the sources into it again. So it fails there, with nothing changed, until the store was opened from here.

Every segment has a footer from 1 to 6, and the one that was being written is sealed: then the numbers of events do not
depend on the ids of the files, of which 0 is special to 0.9.0 (it never believes the footer of a segment 0 when another
segment has none).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path

from batpak_analytics.engine.filesystem import read_file
from batpak_analytics.errors import FormatError
from batpak_analytics.format.layout import MARKER_NAME, SWAP_NAME
from batpak_analytics.format.segment import canonical_name, read_segment_header
from batpak_analytics.format.sidecars import marker as marker_format
from batpak_analytics.format.sidecars.marker import CompactionMarker
from batpak_analytics.store.files import Files, replace_file


def free_id(taken: Collection[int], sources: Collection[int]) -> int | None:
    """An id for the output until it has its lasting one: free, and below every segment that stays. None if none is."""
    taken = set(taken)
    first_to_stay = min(taken - set(sources), default=0)
    between = (one for one in range(1, first_to_stay) if one not in taken)
    return next(between, None if 0 in taken else 0)


def publish(files: Files, directory: Path, marker: CompactionMarker, output: Path) -> None:
    """Steps 1 and 2. Raises OSError; then `withdraw` undoes what was done."""
    replace_file(files, directory / SWAP_NAME, [marker_format.encode(marker)])
    files.link(SWAP_NAME, directory / MARKER_NAME)
    files.sync_directory(directory)
    files.rename(output, merged_path(directory, marker))
    files.sync_directory(directory)


def withdraw(files: Files, directory: Path, marker: CompactionMarker, output: Path) -> None:
    """Undo steps 2 and 1, as far as they were done. Raises OSError; what is left then is one of the states above."""
    if merged_path(directory, marker).exists():
        files.rename(merged_path(directory, marker), output)
    if (directory / MARKER_NAME).is_symlink():
        files.remove(directory / MARKER_NAME)
    files.sync_directory(directory)
    if (directory / SWAP_NAME).exists():
        files.remove(directory / SWAP_NAME)


def remove_sources(files: Files, directory: Path, marker: CompactionMarker, names: Iterable[str]) -> None:
    """Step 3, as far as it was not done: after step 6 the output has the name of a source. Raises OSError."""
    if not merged_path(directory, marker).exists():
        return
    for name in names:
        if (directory / name).exists():
            files.remove(directory / name)
    files.sync_directory(directory)


def forget(files: Files, directory: Path, marker: CompactionMarker) -> None:
    """Steps 5 and 6, as far as they were not done; of a compaction of 0.9.0 only the marker. Raises OSError."""
    if os.path.lexists(directory / MARKER_NAME):
        files.remove(directory / MARKER_NAME)
    files.sync_directory(directory)
    if marker.is_swap:
        name_output(files, directory, marker)


def merged_path(directory: Path, marker: CompactionMarker) -> Path:
    """The output's name from step 2 to step 6."""
    return directory / canonical_name(marker.merged_id)


def lasting_path(directory: Path, marker: CompactionMarker) -> Path:
    """The output's name in the end."""
    return directory / canonical_name(marker.lasting_id)


def name_output(files: Files, directory: Path, marker: CompactionMarker) -> None:
    """Step 6, as far as it was not done, and the file that the marker linked to goes. Raises OSError."""
    merged, lasting = merged_path(directory, marker), lasting_path(directory, marker)
    if merged.exists() and not lasting.exists():
        files.rename(merged, lasting)
        files.sync_directory(directory)
    if (directory / SWAP_NAME).exists():
        files.remove(directory / SWAP_NAME)


def unnamed_output(directory: Path) -> CompactionMarker | None:
    """The marker of a compaction of which only step 6 is left to do, after a crash in front of it."""
    data = read_file(directory / SWAP_NAME)
    if data is None or os.path.lexists(directory / MARKER_NAME):
        return None
    try:
        marker = marker_format.decode(data)
    except FormatError:
        return None
    return marker if marker.is_swap and _is_output(directory, marker) else None


def _is_output(directory: Path, marker: CompactionMarker) -> bool:
    """Whether the segment of that id is the output, which has its lasting id inside."""
    try:
        with open(merged_path(directory, marker), "rb") as file:
            return read_segment_header(file.read(128)).segment_id == marker.lasting_id
    except (OSError, FormatError):
        return False
