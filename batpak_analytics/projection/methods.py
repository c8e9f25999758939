"""What can be asked of a `Store` and of a `Reader` about the state of an entity. Only delegates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batpak_analytics.engine.snapshot import Snapshot
    from batpak_analytics.evidence.canonical import Evidence
    from batpak_analytics.evidence.projection_run import ProjectionRun
    from batpak_analytics.projection.cache import ProjectionCache
    from batpak_analytics.projection.project import Freshness


class States(ABC):
    """States of entities: of a store as it is now, of a reader at the moment that it shows."""

    @abstractmethod
    def _snapshot(self) -> Snapshot:
        """What is visible now."""

    def _payload_registry(self) -> Any:
        """Where classes in `kinds` are looked up whose projection names no registry; None for that of the process."""
        return None

    def project(
        self,
        projection: Any,
        entity: str | None = None,
        *,
        freshness: Freshness = "consistent",
        cache: ProjectionCache | None = None,
    ) -> Any:
        """The state of one entity: its visible events, folded in the order in which batpak replays them.

        Parameters
        ----------
        projection
            What `Projection` describes. It may also have `id`, `incremental`, `max_cardinality` with `cardinality`,
            and `dump` with `load`: the page on projections tells what they do.
        entity
            Exactly this one, none below it; that of the projection where it has one.
        freshness
            ``"consistent"`` for the state of now. ``bp.MaybeStale(500)`` takes a cached one of fewer events too, if it
            is less than 500 ms old. Without a cache both are the same.
        cache
            `MemoryCache`, `DirectoryCache` or any `ProjectionCache`. The projection needs an `id` for it.

        Returns
        -------
        object
            The state; None where no event was folded, which tells an entity without events from one whose state is
            `initial()`.

        Events whose key was shredded are left out, with a `BatpakWarning` that counts them.

        Raises
        ------
        ProjectionError
            `apply` failed; the error names the event and has the state before it. `ProjectionStateError` for a state
            above `max_cardinality`.
        PayloadEncryptedError, PayloadUndecodableError, TypedDecodeError, CorruptError
            An event cannot be read. batpak gives no state then either.
        ProjectionDeclarationError, ValueError
            The arguments are wrong; nothing was read.

        Order: by (wall_ms, clock, id), all lanes together (engine-read 8.2). On one lane that is the order of
        appending; across lanes it need not be. Cost: a pass over the rows of the index, and one read for each event; a
        cache saves the reads.

        Examples
        --------
        >>> import batpak_analytics as bp
        >>> reader = bp.open_reader(bp.demo_store())
        >>> reader.project(bp.fold(lambda n, event: n + 1, initial=0), "player:alice")
        3
        """
        run = import_module("batpak_analytics.projection.project")
        made, entity = run.subject(projection, entity, self._payload_registry())
        asked = run.request(freshness)
        plan = import_module("batpak_analytics.projection.plan").Plan.of(self._snapshot(), entity, made.fold.kinds)
        outcome = run.run(made, entity, plan, asked, cache)
        run.tell_skipped(made, entity, outcome.skipped, stacklevel=2)
        return outcome.state

    def entity_generation(self, entity: str) -> str | None:
        """A text that changes exactly when the visible events of the entity do; None while there are none.

        It stays the same over reopening. The reference counts events here, and after a compaction may give a number
        that it gave before (trap T-7). Cost: a pass over the rows of the index.
        """
        plan = import_module("batpak_analytics.projection.plan").Plan.of(self._snapshot(), entity)
        generation: str | None = plan.digest() if len(plan) else None
        return generation

    def project_if_changed(
        self,
        projection: Any,
        entity: str | None = None,
        generation: str | None = None,
        *,
        cache: ProjectionCache | None = None,
    ) -> tuple[str | None, Any] | None:
        """The generation and the state of the entity; None where the generation is still the one given.

        Begin with None. The state is that of the generation that comes with it, never a stale one. Raises as `project`.
        Cost: where nothing changed, a pass over the rows of the index.

        Examples
        --------
        >>> import batpak_analytics as bp
        >>> reader, count = bp.open_reader(bp.demo_store()), bp.fold(lambda n, event: n + 1, initial=0)
        >>> generation, state = reader.project_if_changed(count, "player:alice")
        >>> state
        3
        >>> reader.project_if_changed(count, "player:alice", generation) is None
        True
        """
        run = import_module("batpak_analytics.projection.project")
        made, entity = run.subject(projection, entity, self._payload_registry())
        plan = import_module("batpak_analytics.projection.plan").Plan.of(self._snapshot(), entity)
        now: str | None = plan.digest() if len(plan) else None
        if now == generation:
            return None
        outcome = run.run(made, entity, plan.only(made.fold.kinds), run.request("consistent"), cache)
        run.tell_skipped(made, entity, outcome.skipped, stacklevel=2)
        return now, outcome.state

    def project_fused(self, projections: Sequence[Any], entity: str) -> tuple[Any, ...]:
        """The states of several projections from one reading of the events; each as `project` gives it alone.

        Each gets the events of its own kinds, in its own payload types, and its state contract is checked. No cache is
        asked. Raises as `project`, where any of them would.

        Examples
        --------
        >>> import batpak_analytics as bp
        >>> count = bp.fold(lambda n, event: n + 1, initial=0)
        >>> kinds = bp.fold(lambda seen, event: sorted({*seen, event.kind}), initial=[])
        >>> bp.open_reader(bp.demo_store()).project_fused([count, kinds], "player:alice")
        (3, [EventKind(0xF001), EventKind(0xF003)])
        """
        states: tuple[Any, ...] = import_module("batpak_analytics.projection.project").project_fused(
            projections, entity, self._snapshot(), self._payload_registry()
        )
        return states

    def project_run(
        self,
        projection: Any,
        entity: str | None = None,
        *,
        freshness: Freshness = "consistent",
        cache: ProjectionCache | None = None,
    ) -> tuple[Any, Evidence[ProjectionRun]]:
        """As `project`, with the evidence of the run in the reference's bytes: what was read, how fresh, what came out.

        The `body` of the evidence is a `ProjectionRun`; equal `body_hash`es say that the same came out of the same
        events by the same way. `output_hash` is the BLAKE3 of the state's MessagePack, and unavailable for a state that
        has none. The input frontier is the last event in the order of the replay.

        Raises `ProjectionRunError` where `project` would fail, with the evidence of that in `report`; and as `project`
        for wrong arguments.

        Examples
        --------
        >>> import batpak_analytics as bp
        >>> reader = bp.open_reader(bp.demo_store())
        >>> state, evidence = reader.project_run(bp.fold(lambda n, event: n + 1, initial=0), "player:alice")
        >>> state, evidence.body.observed_freshness, evidence.body.cache_status
        (3, Fresh(), Bypassed())
        """
        run = import_module("batpak_analytics.projection.project")
        made, entity = run.subject(projection, entity, self._payload_registry())
        ran: tuple[Any, Evidence[ProjectionRun]] = run.project_run(
            made, entity, self._snapshot(), run.request(freshness), cache
        )
        return ran
