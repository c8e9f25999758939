"""Packs: many small segments in a row, mapped one behind the other into one buffer.

A segment of a few events costs more to open, and to pass on, than to read. In a pack the system calls are left and
everything else is done for hundreds of segments at once (see `stretches`). A pack only maps: whether a segment in it
is as usual is for the scan to find out, and one that is not goes the way of all others, over a slice of the same map.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from batpak_analytics.engine.filesystem import DescriptorCache, FileIdentity
from batpak_analytics.engine.mapping import SegmentFile, map_together
from batpak_analytics.format.segment import canonical_name

SMALL_BYTES = 1 << 18
"""The size up to which a segment is packed."""
FEWEST = 32
"""Neighbours that are worth a pack."""
MOST = 512
MOST_BYTES = 1 << 26
"""Limits of one pack: what a scan copies of it, its index rows, is a few megabytes."""

Named = tuple[str, int, bool]
"""File name, segment id, and whether a compaction moved the file aside."""


@dataclass(frozen=True, slots=True, eq=False)
class Pack:
    """Sealed segments with neighbouring ids. File `i` is `buffer[starts[i]:starts[i] + identities[i].size]`."""

    location: str
    names: tuple[str, ...]
    ids: tuple[int, ...]
    identities: tuple[FileIdentity, ...]
    buffer: Any
    starts: tuple[int, ...]
    descriptors: DescriptorCache

    def file(self, member: int) -> SegmentFile:
        """One file by itself, over a slice of the map."""
        identity, name = self.identities[member], self.names[member]
        part = self.buffer.slice(self.starts[member], identity.size)
        return SegmentFile(f"{self.location}/{name}", name, identity, part, self.descriptors)

    @property
    def listed(self) -> Iterator[tuple[str, FileIdentity]]:
        """Every file's name, and which file that is."""
        return zip(self.names, self.identities, strict=True)

    def files(self) -> Iterator[SegmentFile]:
        """Every file by itself."""
        return map(self.file, range(len(self.names)))


def find_packs(
    location: str,
    ordered: Sequence[Named],
    names: Mapping[str, FileIdentity],
    unfinished: Set[int],
    descriptors: DescriptorCache,
    previous: Iterable[Pack],
) -> tuple[Pack, ...]:
    """The packs of a directory whose segments are `ordered`; those of `previous` that are the same are used again.

    What cannot be mapped as it was listed is in no pack, and in no pack are the `unfinished` and all odd names.
    """
    kept, parts = _divided(ordered, names, unfinished, {pack.names[0]: pack for pack in previous})
    packs = list(kept)
    for part in parts:
        files, ids, _ = zip(*part, strict=True)
        identities = tuple(names[name] for name in files)
        mapped = map_together(location, files, identities)
        if mapped is not None:
            packs.append(Pack(location, files, ids, identities, *mapped, descriptors))
    return tuple(packs)


def _divided(
    ordered: Sequence[Named], names: Mapping[str, FileIdentity], unfinished: Set[int], old: Mapping[str, Pack]
) -> tuple[list[Pack], list[list[Named]]]:
    """The packs that are still the same, and the files that make new ones."""
    kept: list[Pack] = []
    runs: list[list[Named]] = [[]]
    at = 0
    while at < len(ordered):
        name, segment_id, moved = ordered[at]
        known = old.get(name)
        if known is not None and _is_same(known, ordered[at : at + len(known.names)], names, unfinished):
            kept.append(known)
            runs.append([])
            at += len(known.names)
            continue
        size = names[name].size
        if moved or not 0 < size <= SMALL_BYTES or segment_id in unfinished or name != canonical_name(segment_id):
            runs.append([])
        else:
            runs[-1].append(ordered[at])
        at += 1
    return kept, [part for run in runs for part in _parts(run, names) if len(part) >= FEWEST]


def _is_same(pack: Pack, ordered: Sequence[Named], names: Mapping[str, FileIdentity], unfinished: Set[int]) -> bool:
    """Whether these are the very files of the pack, and nothing has come between them."""
    if tuple(name for name, _, _ in ordered) != pack.names or not unfinished.isdisjoint(pack.ids):
        return False
    return all(names[name] == identity for name, identity in zip(pack.names, pack.identities, strict=True))


def _parts(run: list[Named], names: Mapping[str, FileIdentity]) -> Iterator[list[Named]]:
    """A run of neighbours in parts within the limits of a pack."""
    part: list[Named] = []
    size = 0
    for one in run:
        more = names[one[0]].size
        if len(part) == MOST or size + more > MOST_BYTES:
            yield part
            part, size = [], 0
        part.append(one)
        size += more
    yield part
