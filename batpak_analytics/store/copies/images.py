"""Index images, which a fork may take along: only those that list what the segments hold."""

from __future__ import annotations

from collections.abc import Iterator

from batpak_analytics.engine.filesystem import read_file
from batpak_analytics.errors import FormatError, FutureVersionError
from batpak_analytics.format.layout import CHECKPOINT_NAME, MMAP_INDEX_NAME
from batpak_analytics.format.sidecars import checkpoint, mmap_index
from batpak_analytics.store.copies.source import CopySource
from batpak_analytics.store.image import is_true

_DECODERS = {MMAP_INDEX_NAME: mmap_index.decode_sequences, CHECKPOINT_NAME: checkpoint.decode_sequences}


def true_images(source: CopySource) -> Iterator[tuple[str, bytes]]:
    """The images that are true of the copy as well: batpak would believe any other if a name and a size fit."""
    for name, decode in _DECODERS.items():
        data = read_file(source.path / name)
        if data is None:
            continue
        try:
            image = decode(data)
        except (FormatError, FutureVersionError):
            continue
        if is_true(source, image):
            yield name, data
