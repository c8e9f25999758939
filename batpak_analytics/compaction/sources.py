"""Which segments take part, and whether they are still those that a plan names."""

from __future__ import annotations

from blake3 import blake3

from batpak_analytics.compaction.plan import CompactionPlan, PlanSource
from batpak_analytics.engine.view import SegmentRows, View
from batpak_analytics.errors import PlanOutgrownError

PIECE_BYTES = 1 << 25


def eligible(view: View) -> list[SegmentRows]:
    """Every segment below the highest one, which is the one being written or the last of a closed store (13.1)."""
    highest = view.listing.highest_id
    highest = max([highest, *(pack.ids[-1] for pack in view.listing.packs)])
    return [segment for segment in view.segments if segment.segment_id < highest]


def active_id(view: View) -> int:
    """The highest id, which no compaction touches; 0 without segments."""
    return max((segment.segment_id for segment in view.segments), default=0)


def digest_in(view: View, segment: SegmentRows) -> bytes:
    """BLAKE3 of the whole file of a segment of the view, which never changes: it is read once."""
    key = ("digest", segment.name)
    found: bytes | None = view.cache.get(key)
    if found is None:
        found = view.cache[key] = digest_of(segment)
    return found


def digest_of(segment: SegmentRows) -> bytes:
    """BLAKE3 of the whole file, as it was when the view was made."""
    hasher = blake3(max_threads=blake3.AUTO)
    for low in range(0, segment.size_bytes, PIECE_BYTES):
        high = min(low + PIECE_BYTES, segment.size_bytes)
        hasher.update(memoryview(segment.window(low, high)))
        segment.release(low, high)
    return hasher.digest()


def changes(plan: CompactionPlan, view: View) -> tuple[str, ...]:
    """What of the plan's sources is not in the view as it was planned, in sentences."""
    found = []
    by_id: dict[int, list[SegmentRows]] = {}
    for segment in view.segments:
        by_id.setdefault(segment.segment_id, []).append(segment)
    for source in plan.sources:
        now = by_id.get(source.segment_id, [])
        found += [f"{source.name} is gone."] if not now else _changes_of(view, source, now)
    last = plan.sources[-1].segment_id if plan.sources else 0
    planned = {source.segment_id for source in plan.sources}
    found += [f"{by_id[one][0].name} was not there." for one in sorted(by_id) if one < last and one not in planned]
    if plan.sources and active_id(view) <= last:
        found.append(f"{plan.sources[-1].name} is the highest segment now, which no compaction touches.")
    if view.listing.marker is not None:
        found.append("A compaction was begun and is not settled.")
    return tuple(found)


def _changes_of(view: View, source: PlanSource, now: list[SegmentRows]) -> list[str]:
    if len(now) > 1 or now[0].name != source.name:
        names = ", ".join(one.name for one in now)
        return [f"Segment {source.segment_id} was {source.name} and is {names}."]
    (segment,) = now
    if segment.size_bytes != source.size_bytes:
        return [f"{source.name} had {source.size_bytes:,} bytes and has {segment.size_bytes:,}."]
    if digest_in(view, segment) != source.digest:
        return [f"{source.name} has other bytes."]
    if segment.count != source.events:
        return [f"{source.name} showed {source.events:,} events and shows {segment.count:,}, in the same bytes."]
    return []


def require_unchanged(plan: CompactionPlan, view: View) -> None:
    """Raise `PlanOutgrownError` where a source is no longer what it was."""
    found = changes(plan, view)
    if found:
        more = f" And {len(found) - 1} more changes." if len(found) > 1 else ""
        raise PlanOutgrownError(
            f"The plan does not fit {view.path} any more. {found[0]}{more} Plan again with plan_compaction().",
            changes=found,
            path=view.path,
        )


def sources_in(plan: CompactionPlan, view: View) -> list[SegmentRows]:
    """The segments of the view that are the plan's sources, in its order. Only that they are there is checked."""
    by_id = {segment.segment_id: segment for segment in view.segments}
    return [by_id[source.segment_id] for source in plan.sources]
