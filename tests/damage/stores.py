"""Small sound stores to be damaged: built ones with every shape of segment, and those that batpak 0.9.0 wrote."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from batpak_analytics.format.sidecars import marker, visibility
from batpak_analytics.format.sidecars.marker import CompactionMarker
from batpak_analytics.format.sidecars.visibility import HiddenRanges
from batpak_analytics.model import Event
from tests.engine.building import EPOCH_US, Segment, begin, commit, make_event, three_segments

TESTS = Path(__file__).resolve().parents[1]
FIXTURES = TESTS / "fixtures"
SHARED = TESTS.parents[1] / "shared" / "fixtures"


@dataclass(frozen=True)
class Store:
    """The files of a sound store, by name. `idle` are files that hold copies and do not count, as they are."""

    name: str
    files: dict[str, bytes]
    idle: frozenset[str] = frozenset()

    @property
    def segments(self) -> list[str]:
        """Names of the segment files, in the order of their numbers."""
        return sorted(name for name in self.files if name.endswith(".fbat"))

    def write(self, directory: Path) -> Path:
        """Write the files into an empty or missing directory."""
        directory.mkdir(exist_ok=True)
        for name, data in self.files.items():
            (directory / name).write_bytes(data)
        return directory


def batch(number: int, first: int, items: int, *, close: bool = True) -> list[Event]:
    """A whole batch frame by frame, or one that was never committed; its items share one clock reading."""
    at = EPOCH_US + 1000 * first
    events = [begin(number, items, at_us=at + 5), *(make_event(first + n, at_us=at) for n in range(items))]
    return [*events, commit(number, at_us=at + 6)] if close else events


def _plain(count: int, start: int = 0) -> list[Event]:
    return [make_event(n, entity=f"order:{n % 3}") for n in range(start, start + count)]


def _built(name: str, segments: list[Segment], sidecars: dict[str, bytes] | None = None) -> Store:
    files = {f"{one.segment_id:06}.fbat": one.to_bytes() for one in segments}
    return Store(name, files | (sidecars or {}))


def single() -> Store:
    """One segment as a crash leaves it: no footer."""
    return _built("single", [Segment(1, _plain(7), footer=False)])


def sealed() -> Store:
    """Three segments, all closed cleanly."""
    return _built("sealed", three_segments())


def batches() -> Store:
    """Batches and single events in turn; the second segment ends in a batch that was never committed."""
    first = [*_plain(2), *batch(2, 2, 3), *_plain(1, 5), *batch(6, 6, 1)]
    second = [*_plain(1, 7), *batch(8, 8, 2), *_plain(1, 10), *batch(11, 100, 3, close=False)]
    third = [*_plain(1, 11), *batch(12, 12, 3), *_plain(1, 15)]
    return _built("batches", [Segment(1, first), Segment(2, second, footer=False), Segment(3, third, footer=False)])


def sealed_batches() -> Store:
    """Batches behind good footers."""
    second = [*batch(6, 6, 1), *batch(7, 7, 2), *_plain(1, 9)]
    return _built("sealed-batches", [Segment(1, [*_plain(2), *batch(2, 2, 4)]), Segment(2, second, first_sequence=6)])


def compacting() -> Store:
    """A compaction that stopped while it wrote its output: marker, moved-aside source, half an output."""
    segments = three_segments()
    output = replace(segments[0], events=segments[0].events[:1], footer=False)
    others = {
        "000001.fbat.compact-src": segments[0].to_bytes(),
        "compaction.pending.json": marker.encode(CompactionMarker(1, (1, 2, 3))),
    }
    store = _built("compacting", [output, *segments[1:], Segment(4, _plain(2, 9), footer=False)], others)
    return replace(store, idle=frozenset(("000001.fbat",)))


def hiding() -> Store:
    """Cancelled events in a sealed segment and in the tail."""
    ranges = visibility.encode(HiddenRanges(((1, 2), (4, 6)), {}))
    return _built("hiding", three_segments(footer=False), {"visibility_ranges.fbv": ranges})


BUILT = (single, sealed, batches, sealed_batches, compacting, hiding)
WRITTEN = (
    "quickstart", "crash", "segments", "lanes", "hidden", "checkpoint", "encrypted", "encrypted-event", "merge",
    "retention", "tombstone", "payloads",
)  # fmt: skip


def built_stores() -> list[Store]:
    """Every store made of parts."""
    return [make() for make in BUILT]


def written_stores() -> list[Store]:
    """Every store that the reference engine wrote and that is at hand."""
    found = [_read(FIXTURES / name) for name in WRITTEN]
    return found + ([_read(SHARED / "signed")] if (SHARED / "signed").is_dir() else [])


def store_named(name: str) -> Store:
    """One of them."""
    return next(one for one in [*built_stores(), *written_stores()] if one.name == name)


def _read(directory: Path) -> Store:
    # The idempotency history is the writer's; no reader opens it.
    files = sorted(path for path in directory.iterdir() if path.is_file())
    return Store(directory.name, {path.name: path.read_bytes() for path in files})
