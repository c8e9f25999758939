"""What a run of a projection read, from where and how fresh, and what came out (spec engine-read 12.4, schema 1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from batpak_analytics.evidence.canonical import Case, Known, Unavailable, in_order

SCHEMA_VERSION: Final = 1


@dataclass(frozen=True)
class Entity(Case):
    """The events of exactly this entity were asked for."""

    entity: str


@dataclass(frozen=True)
class RelevantKind(Case):
    """Events of this kind were asked for; where a body names none, those of all kinds."""

    category: int
    type_id: int


@dataclass(frozen=True)
class Current(Case):
    """All that is visible now: the reference replays to no other moment."""


@dataclass(frozen=True)
class Consistent(Case):
    """The state of now is asked for."""


@dataclass(frozen=True)
class MaybeStale(Case):
    """A cached state that is younger than `max_stale_ms` milliseconds will do, although events came since."""

    max_stale_ms: int


@dataclass(frozen=True)
class Fresh(Case):
    """The state is that of now."""


@dataclass(frozen=True)
class StaleAllowed(Case):
    """The state is an older one, young enough for what was asked."""


@dataclass(frozen=True)
class NotApplicable(Case):
    """There was nothing to be fresh, or to be hashed, or no such thing as a checkpoint."""


@dataclass(frozen=True)
class Hit(Case):
    """The state came from the cache as it was."""


@dataclass(frozen=True)
class Miss(Case):
    """The cache had nothing to be used as it was."""


@dataclass(frozen=True)
class Bypassed(Case):
    """No cache was asked."""


@dataclass(frozen=True)
class ObservedFreshnessUnavailable(Case):
    """How fresh the state is was not found out."""


@dataclass(frozen=True)
class InputFrontierUnknown(Case):
    """How far the events go that the state stands for is not known."""


@dataclass(frozen=True)
class OutputHashUnavailable(Case):
    """The state has no canonical bytes, or there is none."""


@dataclass(frozen=True)
class CacheStatusUnavailable(Case):
    """The cache could not be asked."""


@dataclass(frozen=True)
class PartialVisibilityNotApplicable(Case):
    """A run sees all that is visible; every report of the reference says so."""


@dataclass(frozen=True)
class ProjectionFailed(Case):
    """The run ended in an error."""


@dataclass(frozen=True)
class StaleUsed(Case):
    """An older state was given."""


SourceRef = Entity | RelevantKind
SOURCES: Final[tuple[type[Case], ...]] = (Entity, RelevantKind)
RequestedFreshness = Consistent | MaybeStale
ObservedFreshness = Fresh | StaleAllowed | NotApplicable | Unavailable
OutputHash = Known | NotApplicable | Unavailable
CacheStatus = Hit | Miss | Bypassed | Unavailable
FINDINGS: Final[tuple[type[Case], ...]] = (
    ObservedFreshnessUnavailable, InputFrontierUnknown, OutputHashUnavailable, CacheStatusUnavailable,
    PartialVisibilityNotApplicable, ProjectionFailed, StaleUsed,
)  # fmt: skip


@dataclass(frozen=True)
class Visible(Case):
    """The frontier is one of what was visible."""


@dataclass(frozen=True)
class InputFrontier:
    """The event up to which a state was made; in the reference the last in the order of the replay."""

    kind: Visible
    wall_ms: int
    global_sequence: int


@dataclass(frozen=True)
class ProjectionRun:
    """The body of the report. Two runs agree exactly when the hashes of their bodies do."""

    schema_version: int
    projection_id: str
    source_refs: tuple[Case, ...]
    replay_mode: Current
    requested_freshness: RequestedFreshness
    observed_freshness: ObservedFreshness
    input_frontier: InputFrontier | None
    output_hash: OutputHash
    cache_status: CacheStatus
    checkpoint_ref: NotApplicable
    findings: tuple[Case, ...]


def sources(entity: str, kinds: Iterable[int]) -> tuple[Case, ...]:
    """What a run over these kinds of the entity refers to, sorted as bodies have it."""
    return in_order((Entity(entity), *(RelevantKind(kind >> 12, kind & 0x0FFF) for kind in set(kinds))), SOURCES)


def projection_run(
    projection_id: str,
    source_refs: tuple[Case, ...],
    requested: RequestedFreshness,
    observed: ObservedFreshness,
    frontier: InputFrontier | None,
    output: OutputHash,
    cache: CacheStatus,
    *,
    failed: bool = False,
) -> ProjectionRun:
    """The body of one run, with the findings that its facts ask for."""
    found: list[Case] = [PartialVisibilityNotApplicable()]
    if isinstance(observed, Unavailable):
        found.append(ObservedFreshnessUnavailable())
    if frontier is None and not isinstance(observed, NotApplicable):
        found.append(InputFrontierUnknown())
    if isinstance(output, Unavailable):
        found.append(OutputHashUnavailable())
    if isinstance(cache, Unavailable):
        found.append(CacheStatusUnavailable())
    if failed:
        found.append(ProjectionFailed())
    if isinstance(observed, StaleAllowed):
        found.append(StaleUsed())
    return ProjectionRun(
        SCHEMA_VERSION, projection_id, source_refs, Current(), requested, observed, frontier, output, cache,
        NotApplicable(), in_order(found, FINDINGS),
    )  # fmt: skip
