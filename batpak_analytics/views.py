"""What can be asked of a store as tables: events, causes, chains, segments, and whether it is whole. Only delegates.

`Reader` answers for the moment that it shows, `Store` for now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, overload

if TYPE_CHECKING:
    import pandas as pd

    from batpak_analytics.arrow.scan import Scan
    from batpak_analytics.compaction.plan import CompactionPlan, Strategy
    from batpak_analytics.engine.point_read import EventId
    from batpak_analytics.engine.view import View
    from batpak_analytics.frames.ocel import Ocel
    from batpak_analytics.graph.causes import Causes
    from batpak_analytics.graph.correlations import Correlations
    from batpak_analytics.graph.nodes import CausalNodes
    from batpak_analytics.graph.surroundings import Surroundings
    from batpak_analytics.projection.replay import Replay
    from batpak_analytics.projection.vectorised import Vectorised, VectorReplay
    from batpak_analytics.proof.chains import Chains, ChainSummary
    from batpak_analytics.proof.report import VerifyReport
    from batpak_analytics.proof.segments import Segments
    from batpak_analytics.reader import Reader
    from batpak_analytics.widgets.causes import CausesWidget
    from batpak_analytics.widgets.compaction import CompactionWidget


class Views:
    """Tables of a store, each lazy until it is asked for rows."""

    def _reading(self) -> Reader:
        """The reader whose view is asked."""
        raise NotImplementedError

    @property
    def _now(self) -> View:
        return self._reading().view

    def events(self, **options: Any) -> Scan:
        """A lazy table of the events; `options` are those of `read_batpak`."""
        scan: Scan = import_module("batpak_analytics.frames.read").scan_batpak(self._reading(), **options)
        return scan

    def causes(self, **options: Any) -> Causes:
        """A lazy table of which event caused which; options and columns are those of `read_causes`."""
        table: Causes = import_module("batpak_analytics.graph.causes").Causes(self._now, **options)
        return table

    def causal_nodes(self, **options: Any) -> CausalNodes:
        """A lazy table of where each event stands in the causal graph, as `read_causal_nodes` describes it."""
        table: CausalNodes = import_module("batpak_analytics.graph.nodes").CausalNodes(self._now, **options)
        return table

    def correlations(self, **options: Any) -> Correlations:
        """A lazy table of correlations; options and columns are those of `read_correlations`."""
        table: Correlations = import_module("batpak_analytics.graph.correlations").Correlations(self._now, **options)
        return table

    def ancestors(self, event_id: EventId, max_depth: int | None = None, **form: Any) -> pd.DataFrame:
        """Everything that led to an event, the oldest first and its own cause last.

        Columns: `distance` (uint32, generations up to the event), then `global_sequence`, the ids, `entity`, `scope`,
        `kind` and `wall_time` as in `read_batpak`. `max_depth` is how many generations to follow. `form` may have
        `ids`, `kind_names` and `dtype_backend`. `df.attrs["batpak"]["ends"]` says why it goes no further: `root`,
        `dangling` (a cause that is not there), `cycle` or `max_depth`. Raises `EventNotFoundError`.
        """
        return self._walk("ancestors", event_id, max_depth, **form)

    def descendants(self, event_id: EventId, max_depth: int | None = None, **form: Any) -> pd.DataFrame:
        """Everything that an event led to, generation by generation: columns and options as in `ancestors`."""
        return self._walk("descendants", event_id, max_depth, **form)

    def critical_path(self, correlation_id: EventId, **form: Any) -> pd.DataFrame:
        """The way through a correlation that took longest, from its root to the event where it ended.

        Columns: `depth` (uint32), `elapsed_ms` (float64, since the root), `latency_ms` (float64, since the event
        before), `timestamp`, then those of `ancestors`. Raises `EventNotFoundError` where no event has that
        correlation id. Cost: the index, and the frames of the correlation.
        """
        return self._walk("critical_path", correlation_id, **form)

    def common_causes(self, first: EventId, second: EventId, **form: Any) -> pd.DataFrame:
        """Everything that led to both events, the oldest first and the nearest last; empty where nothing did.

        Columns: `distance_a`, `distance_b` (uint32, generations up to each of the two), then those of `ancestors`.
        """
        return self._walk("common_causes", first, second, **form)

    def _walk(self, name: str, *arguments: Any, **form: Any) -> pd.DataFrame:
        walk = getattr(import_module("batpak_analytics.frames.causes"), name)
        frame: pd.DataFrame = walk(self._now, *arguments, **form)
        return frame

    def surroundings(
        self, event_id: EventId, *, causes: int = 10, effects: int = 3, max_events: int = 40
    ) -> Surroundings:
        """The events nearest to one in the causal graph: up to `causes` generations back and `effects` on.

        At most `max_events` in all, nearer ones first, and of what is left out the number. `Surroundings` describes
        the answer; its `to_pandas()` gives a row for each event. Raises `EventNotFoundError`. Cost: the index, once for
        a view, and the frames of the events shown, for their times.

        >>> import batpak_analytics as bp
        >>> reader = bp.open_reader(bp.demo_store())
        >>> last = reader.causes().to_pandas()["effect_id"].iloc[-1]
        >>> [(one.entity, one.distance, one.latency_ms) for one in reader.surroundings(last).events]
        [('player:alice', -2, None), ('monster:rat', -1, 0.099), ('player:alice', 0, 0.07)]
        """
        found: Surroundings = import_module("batpak_analytics.graph.surroundings").surroundings(
            self._now, event_id, causes, effects, max_events
        )
        return found

    def explore(self, event_id: EventId | None = None, **options: Any) -> CausesWidget:
        """A widget to walk through causes and effects in a notebook; `CausesWidget` describes it and its options.

        Raises `MissingExtraError` without the extra `widgets`.
        """
        made: CausesWidget = import_module("batpak_analytics.widgets.causes").CausesWidget(self, event_id, **options)
        return made

    def to_networkx(self, **filters: Any) -> Any:
        """The causal graph as a `networkx.DiGraph`, from causes to effects; needs `batpak-analytics[graph]`.

        Nodes are ids in hex with the attributes `sequence`, `kind`, `entity`, `scope`, `correlation_id` and `missing`;
        edges have `latency_ms` (None where unknown). `filters` choose effects and single events; their causes come
        along, and those that are not there as nodes with nothing but `missing=True`.
        """
        return import_module("batpak_analytics.graph.libraries").to_networkx(self._now, **filters)

    def to_rustworkx(self, **filters: Any) -> Any:
        """The same as a `rustworkx.PyDiGraph`: node data are those attributes and `event_id`, edge data the latency."""
        return import_module("batpak_analytics.graph.libraries").to_rustworkx(self._now, **filters)

    def to_mermaid(self, event_id: EventId, max_nodes: int = 60, kind_names: Mapping[int, str] | None = None) -> str:
        """What led to an event and what it led to, as a Mermaid flowchart of at most `max_nodes` events.

        Nearer events are drawn first, and what is left out is counted in the drawing. Names are escaped: an entity
        cannot add to the drawing. Raises `EventNotFoundError`.
        """
        text: str = import_module("batpak_analytics.graph.drawing").to_mermaid(
            self._now, event_id, max_nodes, kind_names
        )
        return text

    def to_dot(self, event_id: EventId, max_nodes: int = 60, kind_names: Mapping[int, str] | None = None) -> str:
        """The same as a Graphviz digraph."""
        text: str = import_module("batpak_analytics.graph.drawing").to_dot(self._now, event_id, max_nodes, kind_names)
        return text

    def to_ocel(self, kind_names: Mapping[int, str] | None = None, **filters: Any) -> Ocel:
        """The events as an object-centric event log, in the DataFrames that pm4py takes; `Ocel` describes them."""
        log: Ocel = import_module("batpak_analytics.frames.ocel").to_ocel(self._now, kind_names=kind_names, **filters)
        return log

    @overload
    def replay(self, projection: Vectorised, **options: Any) -> VectorReplay: ...
    @overload
    def replay(self, projection: Any, **options: Any) -> Replay: ...
    def replay(self, projection: Any, **options: Any) -> Any:
        """Fold a projection over the events in commit order, to ask it for any past state; `Replay` describes how
        (`VectorReplay` for a vectorised one).

        `options` are `entity` (exactly this one), `filters` and `as_of` as in `read_batpak`, `system` (the store's own
        open and close events too; with an entity or kinds they always are, as in batpak), and `memory`, the bytes that
        kept states may take (64 MiB). Raises `ProjectionDeclarationError` and what `events` raises. Cost: the events
        are read once, and take about 110 bytes each beside their payload.
        """
        return import_module("batpak_analytics.projection.start").replay(self._now, projection, **options)

    def findings(self) -> pd.DataFrame:
        """What was found wrong so far: severity, rule, segment, file, offset, what it means and what to do."""
        frame: pd.DataFrame = import_module("batpak_analytics.frames.findings").findings_frame(self._now.findings)
        return frame

    def chains(self, *, check_payloads: bool = False, **filters: Any) -> Chains:
        """A lazy table of the events with their place in the hash chain, in commit order: entity, lane, clock,
        global_sequence, event_id, event_hash, prev_hash, link, parent_id, payload_ok. `Chains` describes them.

        `filters` are those of `events`, with `system=True` as default. Hidden events are no rows but take part as
        parents. `check_payloads=True` hashes every payload; without it `payload_ok` is null.
        """
        made: Chains = import_module("batpak_analytics.proof.chains").Chains(
            self._now, check_payloads=check_payloads, **filters
        )
        return made

    def chain_summary(self, **filters: Any) -> ChainSummary:
        """A lazy table with one row for each (entity, lane); `ChainSummary` describes its columns."""
        made: ChainSummary = import_module("batpak_analytics.proof.chains").ChainSummary(self._now, **filters)
        return made

    def segments(self, *, payloads: bool = True, dtype_backend: str | None = None) -> Segments:
        """A lazy table with one row for each segment file; `Segments` describes its columns."""
        made: Segments = import_module("batpak_analytics.proof.segments").Segments(
            self._now, payloads=payloads, dtype_backend=dtype_backend
        )
        return made

    def plan_compaction(
        self,
        strategy: Strategy = "merge",
        keep: Any = None,
        *,
        min_segments: int = 2,
        projections: Iterable[Any] = (),
        sample: float | None = None,
        system: bool = False,
        tombstone_encrypted: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> CompactionPlan:
        """What a compaction would do, counted before it is done. Reads, and writes nothing.

        Parameters
        ----------
        strategy
            ``"merge"`` keeps every event, ``"retention"`` drops those that `keep` does not keep, and ``"tombstone"``
            marks them: their kind becomes 0x0FFE, and their payload stays on disk.
        keep
            What stays as it is: a rule of `bp.keep`, a filter as `events(filters=)` takes it, or a function of an
            event, as `get` gives it, that returns true. What cannot be judged, because its payload is sealed or has no
            reading, is kept.
        min_segments
            With fewer segments to compact the plan's outcome is ``"skipped"``, as in batpak; at least 1.
        projections
            Objects with ``initial()`` and ``apply(state, event)``. Each is folded per entity, with and without the
            events that would go, to count the states that would change.
        sample
            A share of the events: numbers are estimated from it, the plan says so everywhere and cannot be applied.
        system
            Judge the store's own events too: reserved kinds (denials and tombstones among them) and the entity
            ``batpak:store``. They are kept otherwise.
        tombstone_encrypted
            Plan tombstones of encrypted events, which nobody can decrypt afterwards. Refused otherwise.
        progress
            Called with (events judged, events in all) while a function judges them.

        Returns a `CompactionPlan` over every segment but the highest. Raises `ValueError` or `TypeError` for options
        that are wrong, and what `keep` raises. Damage raises nothing: the outcome is ``"refused"``, with the reasons.

        Cost: the index rows, and each file of the sources once for its digest; payloads only where `keep` asks.

        Examples
        --------
        >>> import batpak_analytics as bp
        >>> bp.open_reader(bp.demo_store()).plan_compaction().outcome
        'skipped'
        """
        plan: CompactionPlan = import_module("batpak_analytics.compaction.planning").plan_compaction(
            self._now, strategy, keep, min_segments=min_segments, projections=projections, sample=sample,
            system=system, tombstone_encrypted=tombstone_encrypted, keys=self._keys_in_use(), progress=progress,
        )  # fmt: skip
        return plan

    def what_if(self, **options: Any) -> CompactionWidget:
        """A widget to ask what a compaction would cost; `CompactionWidget` describes it and its options.

        It applies nothing. Raises `MissingExtraError` without the extra `widgets`.
        """
        made: CompactionWidget = import_module("batpak_analytics.widgets.compaction").CompactionWidget(self, **options)
        return made

    def _keys_in_use(self) -> Callable[[], Iterable[bytes]] | None:
        """What gives the idempotency keys in use, where they are known better than from the file."""
        return None

    def verify(
        self, level: Literal["index", "frames", "full"] = "full", against: Any = None, **options: Any
    ) -> VerifyReport:
        """Check the history as far as `level` goes, and against an earlier checkpoint; `proof.verify` tells all.

        `options` are `leaves`, `public_key`, `bridge`, `progress` and `known`. The report's `verdict` is `verified`,
        `unanchored` or `broken`; its `rules()` say of each rule what it proved and what it leaves open.
        """
        report: VerifyReport = import_module("batpak_analytics.proof.verify").verify(
            self._now, level, against, **options
        )
        return report
