"""Whether a store seals its payloads: what is appended from here would be readable beside them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from batpak_analytics.engine.ids import Place
from batpak_analytics.engine.point_read import read_event
from batpak_analytics.engine.view import SegmentRows, View
from batpak_analytics.errors import CorruptError, StoreEncryptedError
from batpak_analytics.format.layout import KEYSET_NAME
from batpak_analytics.model import EventKind

ROWS_A_SAMPLE = 4096
MOST_SAMPLES = 16


def refuse_sealed(directory: Path, names: Any, view: View) -> None:
    """Raise `StoreEncryptedError` where there is a keyset, or a sealed event without one.

    0.9.0 seals all events of a session or none, and each session has segments of its own, so that one event tells for
    its segment. A compaction joins segments: of a larger one, up to 16 events are looked at, evenly spread.
    """
    evidence = evidence_of_sealing(directory, names, view.segments)
    if evidence is not None:
        raise StoreEncryptedError(
            f"{evidence} shows that this store seals its payloads, and appends from here would be readable beside "
            f"them. Write to it with batpak, start a new store, or pass StoreConfig(allow_plaintext=True).",
            path=evidence,
        )


def evidence_of_sealing(directory: Path, names: Any, segments: Iterable[SegmentRows]) -> Path | None:
    """The file that shows that payloads are sealed: the keyset, or a segment; None where nothing does."""
    return directory / KEYSET_NAME if KEYSET_NAME in names else _sealed_segment(segments)


def _sealed_segment(segments: Iterable[SegmentRows]) -> Path | None:
    for segment in segments:
        users = np.flatnonzero(~np.isin(segment.rows["kind"] >> 12, _RESERVED))
        samples = min(1 + len(users) // ROWS_A_SAMPLE, MOST_SAMPLES, len(users))
        for at in np.linspace(0, len(users) - 1, samples).astype(int) if samples else ():
            try:
                event = read_event(Place(segment, int(users[at]), 0))
            except CorruptError:  # damage has its own refusal
                continue
            if event.payload_encryption is not None:
                return Path(segment.path)
    return None


_RESERVED = [category for category in range(16) if EventKind(category << 12).is_reserved]
