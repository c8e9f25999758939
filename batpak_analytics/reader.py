"""The public facade for reading a store: `open_reader` and `Reader`. It only delegates."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from html import escape
from importlib import import_module
from os import PathLike, fspath
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from batpak_analytics.engine import check as frame_check
from batpak_analytics.engine import ids
from batpak_analytics.engine.filesystem import DescriptorCache
from batpak_analytics.engine.ids import Place
from batpak_analytics.engine.point_read import EventId
from batpak_analytics.engine.queries import Queries
from batpak_analytics.engine.snapshot import Snapshot
from batpak_analytics.engine.view import View, build_view, require_directory
from batpak_analytics.errors import ViewExpiredError
from batpak_analytics.model import Finding

if TYPE_CHECKING:
    import pandas as pd

    from batpak_analytics.arrow.scan import Scan
    from batpak_analytics.frames.ocel import Ocel
    from batpak_analytics.graph.causes import Causes
    from batpak_analytics.graph.correlations import Correlations
    from batpak_analytics.graph.nodes import CausalNodes
    from batpak_analytics.proof.chains import Chains, ChainSummary
    from batpak_analytics.proof.report import VerifyReport
    from batpak_analytics.proof.segments import Segments

OnDamage = Literal["report", "raise"]
# How often a refresh starts over when a compaction deletes what it was reading.
REBUILDS = 5


def open_reader(path: str | PathLike[str], *, on_damage: OnDamage = "report") -> Reader:
    """Open the store at `path` for reading, beside a running writer: no lock is taken and nothing is written.

    Parameters
    ----------
    path
        The data directory that the application gave to batpak.
    on_damage
        ``"report"`` reads everything that can be proven and lists the rest in `Reader.findings`; ``"raise"`` raises
        where 0.9.0's own open or read would fail or silently drop events. Unfinished writes at the very end are normal
        in both.

    Raises
    ------
    StoreNotFoundError, NotAStoreError, StorePermissionError
        The path does not exist, holds no segments, or may not be read.
    HiddenRangesCorruptError, MarkerCorruptError, FutureVersionError
        What is hidden, or which files count, cannot be known. Both modes refuse.

    Cost: sealed segments are mapped and their footers checked; segments without a footer are read once.

    Examples
    --------
    >>> import batpak_analytics as bp
    >>> reader = bp.open_reader(bp.demo_store())
    >>> reader.events(columns=["entity", "payload"]).count()
    4
    """
    return Reader(path, on_damage=on_damage)


class Reader(Queries):
    """A store opened for reading. The view it holds never changes until `refresh`; threads may share it."""

    def __init__(self, path: str | PathLike[str], *, on_damage: OnDamage = "report") -> None:
        self._path = Path(fspath(path))
        require_directory(self._path)
        self._path = self._path.resolve()
        self._on_damage = on_damage
        self._descriptors = DescriptorCache()
        self._scans: dict[tuple[Any, ...], Any] = {}
        self._lock = threading.Lock()
        self._view = self._build(None)

    @property
    def path(self) -> Path:
        """The store's directory."""
        return self._path

    @property
    def view(self) -> View:
        """The pinned state of the store that every call of this reader uses."""
        return self._view

    def refresh(self) -> Reader:
        """Move the view forward to the store as it is now; scans that were made before keep the old one."""
        with self._lock:
            view = self._build(self._view)
            ids.carry(self._view, view)
            self._view = view
        return self

    def _build(self, old: View | None) -> View:
        """A view of the store as it is. A file that was listed, not mapped, and is gone asks for a new listing."""
        for left in reversed(range(REBUILDS)):
            try:
                return build_view(self._path, self._on_damage, self._descriptors, self._scans, old)
            except ViewExpiredError as error:
                if not left or error.path == str(self._path):
                    raise
        raise AssertionError("unreachable")

    def events(self, **options: Any) -> Scan:
        """A lazy table of the events; `options` are those of `read_batpak`."""
        scan: Scan = import_module("batpak_analytics.frames.read").scan_batpak(self, **options)
        return scan

    def causes(self, **options: Any) -> Causes:
        """A lazy table of which event caused which; options and columns are those of `read_causes`."""
        table: Causes = import_module("batpak_analytics.graph.causes").Causes(self._view, **options)
        return table

    def causal_nodes(self, **options: Any) -> CausalNodes:
        """A lazy table of where each event stands in the causal graph, as `read_causal_nodes` describes it."""
        table: CausalNodes = import_module("batpak_analytics.graph.nodes").CausalNodes(self._view, **options)
        return table

    def correlations(self, **options: Any) -> Correlations:
        """A lazy table of correlations; options and columns are those of `read_correlations`."""
        table: Correlations = import_module("batpak_analytics.graph.correlations").Correlations(self._view, **options)
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
        frame: pd.DataFrame = walk(self._view, *arguments, **form)
        return frame

    def to_networkx(self, **filters: Any) -> Any:
        """The causal graph as a `networkx.DiGraph`, from causes to effects; needs `batpak-analytics[graph]`.

        Nodes are ids in hex with the attributes `sequence`, `kind`, `entity`, `scope`, `correlation_id` and `missing`;
        edges have `latency_ms` (None where unknown). `filters` choose effects and single events; their causes come
        along, and those that are not there as nodes with nothing but `missing=True`.
        """
        return import_module("batpak_analytics.graph.libraries").to_networkx(self._view, **filters)

    def to_rustworkx(self, **filters: Any) -> Any:
        """The same as a `rustworkx.PyDiGraph`: node data are those attributes and `event_id`, edge data the latency."""
        return import_module("batpak_analytics.graph.libraries").to_rustworkx(self._view, **filters)

    def to_mermaid(self, event_id: EventId, max_nodes: int = 60, kind_names: Mapping[int, str] | None = None) -> str:
        """What led to an event and what it led to, as a Mermaid flowchart of at most `max_nodes` events.

        Nearer events are drawn first, and what is left out is counted in the drawing. Names are escaped: an entity
        cannot add to the drawing. Raises `EventNotFoundError`.
        """
        text: str = import_module("batpak_analytics.graph.drawing").to_mermaid(
            self._view, event_id, max_nodes, kind_names
        )
        return text

    def to_dot(self, event_id: EventId, max_nodes: int = 60, kind_names: Mapping[int, str] | None = None) -> str:
        """The same as a Graphviz digraph."""
        text: str = import_module("batpak_analytics.graph.drawing").to_dot(self._view, event_id, max_nodes, kind_names)
        return text

    def to_ocel(self, kind_names: Mapping[int, str] | None = None, **filters: Any) -> Ocel:
        """The events as an object-centric event log, in the DataFrames that pm4py takes; `Ocel` describes them."""
        log: Ocel = import_module("batpak_analytics.frames.ocel").to_ocel(self._view, kind_names=kind_names, **filters)
        return log

    def findings(self) -> pd.DataFrame:
        """What was found wrong so far: severity, rule, segment, file, offset, what it means and what to do."""
        frame: pd.DataFrame = import_module("batpak_analytics.frames.findings").findings_frame(self._view.findings)
        return frame

    def _snapshot(self) -> Snapshot:
        return Snapshot.of_view(self._view)

    def _find(self, event_id: bytes) -> Place | None:
        return ids.find(self._view, event_id)

    def check(self, progress: Callable[[int, int], None] | None = None) -> list[Finding]:
        """Check every frame against its CRC; returns all findings, those of the open included.

        `progress` is called with (rows done, rows in all). Cost: one pass over every byte of the store.
        """
        frame_check.check_frames(self._view, progress)
        return list(self._view.findings)

    def chains(self, *, check_payloads: bool = False, **filters: Any) -> Chains:
        """A lazy table of the events with their place in the hash chain, in commit order: entity, lane, clock,
        global_sequence, event_id, event_hash, prev_hash, link, parent_id, payload_ok. `Chains` describes them.

        `filters` are those of `events`, with `system=True` as default. Hidden events are no rows but take part as
        parents. `check_payloads=True` hashes every payload; without it `payload_ok` is null.
        """
        made: Chains = import_module("batpak_analytics.proof.chains").Chains(
            self._view, check_payloads=check_payloads, **filters
        )
        return made

    def chain_summary(self, **filters: Any) -> ChainSummary:
        """A lazy table with one row for each (entity, lane); `ChainSummary` describes its columns."""
        made: ChainSummary = import_module("batpak_analytics.proof.chains").ChainSummary(self._view, **filters)
        return made

    def segments(self, *, payloads: bool = True, dtype_backend: str | None = None) -> Segments:
        """A lazy table with one row for each segment file; `Segments` describes its columns."""
        made: Segments = import_module("batpak_analytics.proof.segments").Segments(
            self._view, payloads=payloads, dtype_backend=dtype_backend
        )
        return made

    def verify(
        self, level: Literal["index", "frames", "full"] = "full", against: Any = None, **options: Any
    ) -> VerifyReport:
        """Check the history as far as `level` goes, and against an earlier checkpoint; `proof.verify` tells all.

        `options` are `leaves`, `public_key`, `bridge`, `progress` and `known`. The report's `verdict` is `verified`,
        `unanchored` or `broken`; its `rules()` say of each rule what it proved and what it leaves open.
        """
        report: VerifyReport = import_module("batpak_analytics.proof.verify").verify(
            self._view, level, against, **options
        )
        return report

    def close(self) -> None:
        """Let go of descriptors. Maps live as long as something that was read from them."""
        self._descriptors.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        view = self._view
        worst = [one for one in view.findings if one.severity != "info"]
        told = f", {len(worst)} findings" if worst else ""
        return f"Reader({str(self._path)!r}, {view.event_count} events in {len(view.segments)} segments{told})"

    def _repr_html_(self) -> str:
        return f"<pre>{escape(repr(self))}</pre>"
