"""The state of one entity now, in the reference's order: fresh or from a cache, and with a report (engine-read 8)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from blake3 import blake3

from batpak_analytics.engine.snapshot import Snapshot
from batpak_analytics.errors import (
    AppendRefusedError,
    BatpakWarning,
    ProjectionDeclarationError,
    ProjectionError,
    ProjectionRunError,
)
from batpak_analytics.evidence.canonical import Evidence, Known, Unavailable
from batpak_analytics.evidence.projection_run import (
    Bypassed,
    CacheStatus,
    Consistent,
    Fresh,
    Hit,
    InputFrontier,
    MaybeStale,
    Miss,
    NotApplicable,
    ObservedFreshness,
    OutputHash,
    ProjectionRun,
    RequestedFreshness,
    StaleAllowed,
    projection_run,
    sources,
)
from batpak_analytics.format.layout import U64_MAX
from batpak_analytics.payloads.plain import encode_payload
from batpak_analytics.projection import kept as cached
from batpak_analytics.projection.cache import ProjectionCache
from batpak_analytics.projection.declared import Declared, declared
from batpak_analytics.projection.folding import Folding, fold_entries
from batpak_analytics.projection.plan import Plan
from batpak_analytics.projection.protocol import fold_of

Freshness = Literal["consistent"] | MaybeStale
CACHE_GET_FAILED = "cache_get_failed"
PROJECTION_FAILED = "projection_failed"
STATE_NOT_ENCODABLE = "state_not_encodable"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A state, and how it came about. `skipped` events had lost their key."""

    state: Any
    observed: ObservedFreshness
    cache: CacheStatus
    frontier: InputFrontier | None
    skipped: int = 0


def request(freshness: Freshness) -> RequestedFreshness:
    """What was asked for, as a report says it."""
    if isinstance(freshness, str) and freshness == "consistent":
        return Consistent()
    if isinstance(freshness, MaybeStale):
        age = freshness.max_stale_ms
        if isinstance(age, int) and not isinstance(age, bool) and 0 <= age <= U64_MAX:
            return freshness
    raise ValueError(f"freshness is {freshness!r:.60}. Give 'consistent', or MaybeStale with milliseconds from 0 on.")


def subject(projection: Any, entity: str | None, registry: Any) -> tuple[Declared, str]:
    """The projection in its declared form, and the entity that it is asked about."""
    made = declared(fold_of(projection, registry=registry))
    own = made.fold.entity
    if entity is None and own is None:
        raise ProjectionDeclarationError(f"{made.name} is about no entity of its own. Name one: project(p, 'order:1').")
    if own is not None and entity not in (None, own):
        raise ProjectionDeclarationError(f"{made.name} is about {own!r} only. Ask for that, or drop its `entity`.")
    return made, entity if entity is not None else str(own)


def run(
    made: Declared, entity: str, plan: Plan, asked: RequestedFreshness, cache: ProjectionCache | None
) -> Outcome:  # fmt: skip
    """The state after the events of `plan`, or after fewer where a stale one is allowed; its contract holds."""
    if not len(plan.every):
        return Outcome(None, NotApplicable(), Bypassed(), None)
    if cache is None:
        return _folded(made, plan, Folding(made.fold), Bypassed())
    return _through(cache, made, entity, plan, asked)


def _through(
    cache: ProjectionCache, made: Declared, entity: str, plan: Plan, asked: RequestedFreshness
) -> Outcome:  # fmt: skip
    key = made.key(entity)
    status: CacheStatus = Miss()
    try:
        data = cache.get(key)
        found = None if data is None else cached.read(made, data)
        if data is not None and found is None:
            cache.discard(key)
    except OSError:
        found, status = None, Unavailable(CACHE_GET_FAILED)
    if found is None or found.count > len(plan) or plan.digest(found.count) != found.inputs:
        return _folded(made, plan, Folding(made.fold), status, cache, key)
    made.check(found.state)
    frontier = plan.frontier(found.count)
    if found.count == len(plan):
        return Outcome(found.state, Fresh(), Hit(), frontier, found.skipped)
    if isinstance(asked, MaybeStale) and cached.is_younger(found.trailer, asked.max_stale_ms):
        return Outcome(found.state, StaleAllowed(), Hit(), frontier, found.skipped)
    if made.incremental:
        begun = Folding(made.fold, found.state, position=found.count, skipped=found.skipped)
        return _folded(made, plan, begun, Hit(), cache, key)
    return _folded(made, plan, Folding(made.fold), status, cache, key)


def _folded(
    made: Declared, plan: Plan, folding: Folding, status: CacheStatus, cache: ProjectionCache | None = None,
    key: bytes = b"",
) -> Outcome:  # fmt: skip
    """Fold what `folding` has not yet, and keep the state where there is a cache."""
    fold_entries([folding], plan.entries, plan.keyset, folding.position)
    made.check(folding.state)
    if cache is not None and not folding.is_empty:
        _keep(cache, key, made, plan, folding)
    return Outcome(folding.state, Fresh(), status, plan.frontier(len(plan)), folding.skipped)


def _keep(cache: ProjectionCache, key: bytes, made: Declared, plan: Plan, folding: Folding) -> None:
    """Put the state in the cache; where that fails, it is told and the state is none the worse."""
    trailer = cached.trailer_now(plan.watermark(len(plan)))
    state = cached.Kept(folding.state, len(plan), folding.skipped, plan.digest(), trailer)
    try:
        cache.put(key, cached.write(made, state))
    except (OSError, TypeError, ValueError) as error:
        warnings.warn(
            f"The state of {made.name} is not kept, and is made anew each time: {error}", BatpakWarning, stacklevel=6
        )


def tell_skipped(made: Declared, entity: str, skipped: int, stacklevel: int) -> str | None:
    """Warn that a state was made without events, and give the words."""
    if not skipped:
        return None
    told = (
        f"{skipped} events of {entity!r} have lost their key, and the state of {made.name} was made without them. "
        f"It is what can be known; nothing brings them back."
    )
    warnings.warn(told, BatpakWarning, stacklevel=stacklevel + 1)
    return told


def project_fused(projections: Sequence[Any], entity: str, snapshot: Snapshot, registry: Any) -> tuple[Any, ...]:
    """The state of each projection, from one reading of the events that any of them wants."""
    asked = [subject(one, entity, registry)[0] for one in projections]
    kinds = [one.fold.kinds for one in asked]
    union = None if None in kinds else frozenset().union(*(some for some in kinds if some is not None))
    plan = Plan.of(snapshot, entity, union)
    foldings = [Folding(one.fold) for one in asked]
    fold_entries(foldings, plan.entries, plan.keyset)
    for made, folding in zip(asked, foldings, strict=True):
        made.check(folding.state)
        tell_skipped(made, entity, folding.skipped, stacklevel=3)
    return tuple(folding.state for folding in foldings)


def project_run(
    made: Declared, entity: str, snapshot: Snapshot, asked: RequestedFreshness, cache: ProjectionCache | None
) -> tuple[Any, Evidence[ProjectionRun]]:
    """The state and the report of the run. Raises `ProjectionRunError`, which carries the report, where it fails."""
    name, refs = f"{made.name}:{entity}", sources(entity, made.fold.kinds or ())
    try:
        outcome = run(made, entity, Plan.of(snapshot, entity, made.fold.kinds), asked, cache)
    except Exception as error:
        unknown = Unavailable(PROJECTION_FAILED)
        body = projection_run(name, refs, asked, unknown, None, unknown, unknown, failed=True)
        raise _run_failed(error, Evidence(body, (str(error),))) from error
    told = tell_skipped(made, entity, outcome.skipped, stacklevel=3)
    output = _output_hash(made, outcome.state)
    body = projection_run(name, refs, asked, outcome.observed, outcome.frontier, output, outcome.cache)
    return outcome.state, Evidence(body, () if told is None else (told,))


def _run_failed(error: Exception, report: Evidence[ProjectionRun]) -> ProjectionRunError:
    at = error if isinstance(error, ProjectionError) else ProjectionError()
    return ProjectionRunError(
        f"{error} The report of this run is in .report.", report=report, position=at.position, event_id=at.event_id,
        global_sequence=at.global_sequence, entity=at.entity, kind=at.kind, state=at.state, expected=at.expected,
        actual=at.actual,
    )  # fmt: skip


def _output_hash(made: Declared, state: Any) -> OutputHash:
    """BLAKE3 of the state's MessagePack: dataclasses by their fields in order, dicts by ascending keys.

    Of what its `dump` makes of it, where the state itself has none.
    """
    if state is None:
        return NotApplicable()
    try:
        packed = encode_payload(state)
    except AppendRefusedError:
        if made.dump is None:
            return Unavailable(STATE_NOT_ENCODABLE)
        try:
            packed = encode_payload(made.dump(state))
        except AppendRefusedError:
            return Unavailable(STATE_NOT_ENCODABLE)
    return Known(blake3(packed).digest())
