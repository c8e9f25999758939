"""Index images of batpak that are not an image of the store any more, and that it would believe or ignore wrongly.

Nothing but a file name and a size ties an image to the segments (sidecars spec 6.2). One from before a compaction can
pass that check and hide events from the reference; one that does not pass is the only record of the numbers of events
behind no footer. So such an image is removed, once every segment has a footer with the numbers that are shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from batpak_analytics.engine.sequences import FROM_IMAGE
from batpak_analytics.engine.view import SegmentRows
from batpak_analytics.format.layout import CHECKPOINT_NAME, MMAP_INDEX_NAME
from batpak_analytics.format.segment import canonical_name
from batpak_analytics.format.sidecars.image import IndexImage
from batpak_analytics.store.files import Files
from batpak_analytics.store.report import Repair


class Segments(Protocol):
    """A view, or anything else that has segments by ascending id."""

    @property
    def segments(self) -> Sequence[SegmentRows]:
        """Those that count."""


def is_true(view: Segments, image: IndexImage) -> bool:
    """Whether the reference would believe the image, and it lists what the segments hold up to its watermark."""
    name = canonical_name(image.watermark_segment)
    sizes = {segment.name: segment.size_bytes for segment in view.segments}
    if sizes.get(name, -1) < image.watermark_offset:
        return False
    ids, offsets = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    for segment in view.segments:
        if segment.segment_id > image.watermark_segment:
            break
        listed = segment.rows["offset"]
        if segment.name == name:
            listed = listed[listed < image.watermark_offset]
        if (segment.source[: len(listed)] != FROM_IMAGE).any():
            return False
        ids.append(np.full(len(listed), segment.segment_id, np.uint64))
        offsets.append(listed)
    return _same_places(image, np.concatenate(ids), np.concatenate(offsets))


def _same_places(image: IndexImage, ids: Any, offsets: Any) -> bool:
    if len(ids) != len(image.segment_id):
        return False
    if np.array_equal(image.segment_id, ids) and np.array_equal(image.offset, offsets):
        return True
    order = np.lexsort((image.offset, image.segment_id))
    return np.array_equal(image.segment_id[order], ids) and np.array_equal(image.offset[order], offsets)


def remove_images(files: Files, directory: Path) -> list[Repair]:
    """Remove both, the one first that the reference tries last: what is left is never believed instead. Raises OSError.

    Cost: two syncs of the directory.
    """
    repairs = []
    for name in (CHECKPOINT_NAME, MMAP_INDEX_NAME):
        if (directory / name).exists():
            files.remove(directory / name)
            files.sync_directory(directory)
            repairs.append(Repair(name, "it was removed", "it does not list what the segments hold"))
    return repairs
