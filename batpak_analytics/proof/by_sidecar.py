"""The small files beside the segments: do their envelopes hold, and does an index image name events that are gone?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from batpak_analytics.engine.filesystem import list_files, read_file
from batpak_analytics.engine.parallel import crc32_in_threads
from batpak_analytics.engine.problems import Problems
from batpak_analytics.engine.sequences import load_image
from batpak_analytics.errors import FormatError, FutureVersionError
from batpak_analytics.format.layout import (
    CHECKPOINT_NAME,
    CURSOR_FOLDER,
    CURSOR_SUFFIX,
    IDEMPOTENCY_NAME,
    KEYSET_NAME,
    MMAP_INDEX_NAME,
    VISIBILITY_NAME,
)
from batpak_analytics.format.sidecars import checkpoint, cursor, idempotency, keyset, mmap_index, visibility
from batpak_analytics.proof.faults import Fault

DECODERS: dict[str, Callable[[Any], Any]] = {
    MMAP_INDEX_NAME: partial(mmap_index.decode_sequences, crc=crc32_in_threads),
    CHECKPOINT_NAME: checkpoint.decode_sequences,
    VISIBILITY_NAME: visibility.decode,
    KEYSET_NAME: keyset.decode,
    IDEMPOTENCY_NAME: idempotency.decode,
}
FOLD = np.uint64(0x9E3779B97F4A7C15)


def check_sidecars(view: Any) -> tuple[int, list[Fault]]:
    """(how many files there are, what is wrong with them)."""
    files = dict(_files(view))
    found = [fault for name, data in files.items() if (fault := _decoded(name, data)) is not None]
    return len(files), [*found, *_missing_events(view)]


def _files(view: Any) -> Iterator[tuple[str, Any]]:
    """Name and bytes of each; those that the view holds are the view's, the others are as they are now."""
    directory = Path(view.path)
    yield from view.listing.sidecars.items()
    data = read_file(directory / IDEMPOTENCY_NAME)
    if data is not None:
        yield IDEMPOTENCY_NAME, data
    folder = directory / CURSOR_FOLDER
    names = list_files(folder) if folder.is_dir() else {}
    for name in sorted(names):
        data = read_file(folder / name) if name.endswith(CURSOR_SUFFIX) else None
        if data is not None:
            yield f"{CURSOR_FOLDER}/{name}", data


def _decoded(name: str, data: Any) -> Fault | None:
    decode: Callable[[Any], Any] = DECODERS.get(name, cursor.decode)
    try:
        if not isinstance(data, OSError):  # which is kept where a file may not be read
            decode(data)
            return None
        reason = str(data)
    except (FormatError, FutureVersionError) as error:
        reason = getattr(error, "reason", "") or str(error)
    action = "Events are complete without it. Restore the file, or let the application write it anew."
    return Fault("warning", "sidecar-damaged", f"{name} cannot be used: {reason}", action)


def _missing_events(view: Any) -> Iterator[Fault]:
    """Events that the index image numbers and no segment holds. It was written from all that were there."""
    image = load_image(view.listing, Problems())
    if image is None or not len(image.event_id):
        return
    there = np.concatenate([np.empty(0, np.uint64), *(_folded(segment.rows["event_id"]) for segment in view.segments)])
    gone = _not_among(_folded(image.event_id), there)
    action = "Compare with a backup. After a compaction that dropped events, an image may be older than it."
    for at in gone.tolist():
        event = image.event_id[at].tobytes()[::-1].hex()
        number = str(image.global_sequence[at])
        meaning = "the index image names this event, and no segment holds it"
        yield Fault("warning", "sidecar-names-missing", meaning, action, event=event, expected=number, actual="none")


def _not_among(wanted: Any, there: Any) -> Any:
    """Places of the values that are not there. Mostly both are in one order, and nothing is left to look for."""
    both = min(len(wanted), len(there))
    left = np.append(np.flatnonzero(wanted[:both] != there[:both]), np.arange(both, len(wanted)))
    if not len(left):
        return left
    ordered = np.append(np.sort(there), np.uint64(0))
    found = ordered[np.searchsorted(ordered[:-1], wanted[left])] == wanted[left]
    return left[~found] if len(there) else left


def _folded(ids: Any) -> Any:
    words = np.ascontiguousarray(ids).view("<u8").reshape(-1, 2)
    return words[:, 0] ^ (words[:, 1] * FOLD)
