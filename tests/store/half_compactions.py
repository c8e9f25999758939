"""Every state that a compaction of batpak 0.9.0 can leave behind when its process dies (sidecars spec 7.3, 7.4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from batpak_analytics.engine.filesystem import DescriptorCache
from batpak_analytics.engine.view import SegmentRows, View, build_view
from batpak_analytics.format.event import decode_event, encode_event
from batpak_analytics.format.frame import encode_frame, read_frame
from batpak_analytics.format.layout import KIND_TOMBSTONE
from batpak_analytics.format.segment import encode_segment_header
from batpak_analytics.format.sidecars import marker
from batpak_analytics.format.sidecars.marker import CompactionMarker
from batpak_analytics.model import EventKind

STRATEGIES = ("merge", "retention", "tombstone")
STRUCK = "order:2"
LATER_NS = 1_900_000_000_000_000_000
MARKER = "compaction.pending.json"


@dataclass(frozen=True)
class Compaction:
    """What a compaction of the store in `path` reads and writes."""

    path: Path
    strategy: str

    def view(self) -> View:
        """The store as it is."""
        return build_view(self.path, "report", DescriptorCache(), {})

    def sources(self) -> list[SegmentRows]:
        """All segments but the last."""
        return list(self.view().segments[:-1])

    def output(self) -> bytes:
        """The file it writes: no footer, and made after its sources."""
        found = self.sources()
        parts = [encode_segment_header(found[0].segment_id, LATER_NS)]
        for one in found:
            if self.strategy == "merge":
                parts.append(bytes(one.window(one.frames_start, one.frames_end)))
                continue
            for row in one.rows:
                start, length = int(row["offset"]), int(row["length"])
                frame = bytes(one.window(start, start + length))
                struck = one.strings[int(row["entity_idx"])] == STRUCK
                if struck and self.strategy == "tombstone":
                    event = replace(decode_event(read_frame(frame)), kind=EventKind(KIND_TOMBSTONE))
                    frame = encode_frame(encode_event(event))
                if not (struck and self.strategy == "retention"):
                    parts.append(frame)
        return b"".join(parts)


def begin(compaction: Compaction) -> list[str]:
    """The marker, and nothing moved; the names of the sources."""
    names = [one.name for one in compaction.sources()]
    ids = tuple(int(name[:6]) for name in names)
    (compaction.path / MARKER).write_bytes(marker.encode(CompactionMarker(ids[0], ids)))
    return names


def steps(compaction: Compaction) -> Iterator[str]:
    """Do the compaction; the directory is, at each name that this gives, as a crash there leaves it."""
    path, output = compaction.path, compaction.output()
    names = begin(compaction)
    yield "marker"
    source, merged = path / f"{names[0]}.compact-src", path / names[0]
    merged.rename(source)
    yield "moved"
    for size in (0, 20, len(output) // 2, len(output) - 7, len(output)):
        merged.write_bytes(output[:size])
        yield f"written {size}"
    source.unlink()
    yield "source removed"
    for name in names[1:]:
        (path / name).unlink()
        yield f"{name} removed"
    (path / MARKER).unlink()
    yield "done"
