"""Open a batpak event store, trust it, rewind it and question it, from Python.

The folders are the path of a byte, from a segment file on disk to a column in a notebook::

    errors, model   the exception tree; events, ids and findings as values
    markup          pieces of HTML, for what notebooks show
    format/         bytes <-> values: pure functions over buffers
    kernels/        the same bytes, a million at a time, compiled
    engine/         files, order, damage and visibility
    arrow/          events -> record batches
    graph/          who caused whom, as tables and drawings
    frames/         record batches -> DataFrames
    projection/     events -> states, and replays of them
    proof/          hash chains, every check, and anchors
    widgets/        views for notebooks, over all of these
    compaction/     what a compaction would do, as a plan
    views           what can be asked of a store as tables
    reader          the public facade for reading
    payloads/       Python values -> payload bytes and back
    store/          events -> segment files; its facade is `Store`

>>> import batpak_analytics as bp
>>> df = bp.read_batpak(bp.demo_store())
>>> len(df)
4
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batpak_analytics.arrow.filters import category as category
    from batpak_analytics.arrow.scan import Scan as Scan
    from batpak_analytics.compaction import keep as keep
    from batpak_analytics.compaction.compare import compare_plans as compare_plans
    from batpak_analytics.compaction.plan import CompactionPlan as CompactionPlan
    from batpak_analytics.compaction.plan import PlanSummary as PlanSummary
    from batpak_analytics.compaction.suggestions import Suggestion as Suggestion
    from batpak_analytics.data import demo_store as demo_store
    from batpak_analytics.engine.entries import Entries as Entries
    from batpak_analytics.engine.region import Region as Region
    from batpak_analytics.errors import (
        BatpakDamageWarning as BatpakDamageWarning,
    )
    from batpak_analytics.errors import (
        BatpakError as BatpakError,
    )
    from batpak_analytics.errors import (
        BatpakWarning as BatpakWarning,
    )
    from batpak_analytics.errors import (
        PerformanceWarning as PerformanceWarning,
    )
    from batpak_analytics.evidence.projection_run import MaybeStale as MaybeStale
    from batpak_analytics.frames.causes import read_causal_nodes as read_causal_nodes
    from batpak_analytics.frames.causes import read_causes as read_causes
    from batpak_analytics.frames.causes import read_correlations as read_correlations
    from batpak_analytics.frames.ocel import Ocel as Ocel
    from batpak_analytics.frames.read import read_batpak as read_batpak
    from batpak_analytics.frames.read import scan_batpak as scan_batpak
    from batpak_analytics.frames.typed import read_typed as read_typed
    from batpak_analytics.graph.causes import Causes as Causes
    from batpak_analytics.graph.correlations import Correlations as Correlations
    from batpak_analytics.graph.nodes import CausalNodes as CausalNodes
    from batpak_analytics.graph.surroundings import Surroundings as Surroundings
    from batpak_analytics.model import AncestorWalk as AncestorWalk
    from batpak_analytics.model import Event as Event
    from batpak_analytics.model import EventKind as EventKind
    from batpak_analytics.model import Finding as Finding
    from batpak_analytics.model import IndexEntry as IndexEntry
    from batpak_analytics.model import Receipt as Receipt
    from batpak_analytics.payloads.default import decode_any as decode_any
    from batpak_analytics.payloads.default import event_payload as event_payload
    from batpak_analytics.payloads.default import upcast as upcast
    from batpak_analytics.payloads.registry import PayloadRegistry as PayloadRegistry
    from batpak_analytics.projection.cache import DirectoryCache as DirectoryCache
    from batpak_analytics.projection.cache import MemoryCache as MemoryCache
    from batpak_analytics.projection.check import PurityReport as PurityReport
    from batpak_analytics.projection.declared import declare as declare
    from batpak_analytics.projection.diff import Change as Change
    from batpak_analytics.projection.diff import Diff as Diff
    from batpak_analytics.projection.protocol import Projection as Projection
    from batpak_analytics.projection.protocol import fold as fold
    from batpak_analytics.projection.ready import Count as Count
    from batpak_analytics.projection.ready import GroupBy as GroupBy
    from batpak_analytics.projection.ready import Last as Last
    from batpak_analytics.projection.ready import StateMachine as StateMachine
    from batpak_analytics.projection.ready import Sum as Sum
    from batpak_analytics.projection.replay import Found as Found
    from batpak_analytics.projection.replay import Replay as Replay
    from batpak_analytics.projection.steps import part as part
    from batpak_analytics.projection.steps import when as when
    from batpak_analytics.projection.vectorised import VectorReplay as VectorReplay
    from batpak_analytics.projection.vectorised import vectorised as vectorised
    from batpak_analytics.proof.bridge import Bridge as Bridge
    from batpak_analytics.proof.inclusion import InclusionProof as InclusionProof
    from batpak_analytics.proof.inclusion import verify_inclusion as verify_inclusion
    from batpak_analytics.proof.note import Checkpoint as Checkpoint
    from batpak_analytics.proof.read import read_chains as read_chains
    from batpak_analytics.proof.read import read_segments as read_segments
    from batpak_analytics.proof.report import VerifyReport as VerifyReport
    from batpak_analytics.reader import Reader as Reader
    from batpak_analytics.reader import open_reader as open_reader
    from batpak_analytics.store.compact_report import CompactionReport as CompactionReport
    from batpak_analytics.store.config import StoreConfig as StoreConfig
    from batpak_analytics.store.copies.report import CopyReport as CopyReport
    from batpak_analytics.store.copies.restore import prove_restore as prove_restore
    from batpak_analytics.store.fence import Fence as Fence
    from batpak_analytics.store.idempotency import IdempotencyKey as IdempotencyKey
    from batpak_analytics.store.imports.importing import namespace_of as namespace_of
    from batpak_analytics.store.imports.report import ImportReport as ImportReport
    from batpak_analytics.store.items import BatchItem as BatchItem
    from batpak_analytics.store.items import PriorItem as PriorItem
    from batpak_analytics.store.marks import Watermarks as Watermarks
    from batpak_analytics.store.report import OpenReport as OpenReport
    from batpak_analytics.store.store import Store as Store
    from batpak_analytics.store.table.append import AppendedFrame as AppendedFrame
    from batpak_analytics.store.table.roles import column as column
    from batpak_analytics.store.table.roles import literal as literal

__version__ = "0.1.0"

_HOMES = {
    "read_batpak": "frames.read",
    "scan_batpak": "frames.read",
    "read_typed": "frames.typed",
    "read_causes": "frames.causes",
    "read_causal_nodes": "frames.causes",
    "read_correlations": "frames.causes",
    "Causes": "graph.causes",
    "CausalNodes": "graph.nodes",
    "Correlations": "graph.correlations",
    "Surroundings": "graph.surroundings",
    "Ocel": "frames.ocel",
    **dict.fromkeys(("DirectoryCache", "MemoryCache"), "projection.cache"),
    "declare": "projection.declared",
    "MaybeStale": "evidence.projection_run",
    "Projection": "projection.protocol",
    "fold": "projection.protocol",
    **dict.fromkeys(("Count", "GroupBy", "Last", "StateMachine", "Sum"), "projection.ready"),
    **dict.fromkeys(("Found", "Replay"), "projection.replay"),
    **dict.fromkeys(("VectorReplay", "vectorised"), "projection.vectorised"),
    **dict.fromkeys(("Change", "Diff"), "projection.diff"),
    "PurityReport": "projection.check",
    **dict.fromkeys(("part", "when"), "projection.steps"),
    "read_chains": "proof.read",
    "read_segments": "proof.read",
    "verify_inclusion": "proof.inclusion",
    "Bridge": "proof.bridge",
    "Checkpoint": "proof.note",
    "InclusionProof": "proof.inclusion",
    "VerifyReport": "proof.report",
    "open_reader": "reader",
    "Reader": "reader",
    "Scan": "arrow.scan",
    "category": "arrow.filters",
    "Region": "engine.region",
    "Entries": "engine.entries",
    "IndexEntry": "model",
    "AncestorWalk": "model",
    "demo_store": "data",
    "Event": "model",
    "EventKind": "model",
    "Finding": "model",
    "Receipt": "model",
    "PayloadRegistry": "payloads.registry",
    "decode_any": "payloads.default",
    "event_payload": "payloads.default",
    "upcast": "payloads.default",
    "Store": "store.store",
    "StoreConfig": "store.config",
    "CopyReport": "store.copies.report",
    "prove_restore": "store.copies.restore",
    "ImportReport": "store.imports.report",
    "namespace_of": "store.imports.importing",
    "BatchItem": "store.items",
    "Fence": "store.fence",
    "IdempotencyKey": "store.idempotency",
    "PriorItem": "store.items",
    "OpenReport": "store.report",
    "AppendedFrame": "store.table.append",
    "keep": "compaction",
    "CompactionPlan": "compaction.plan",
    "CompactionReport": "store.compact_report",
    "PlanSummary": "compaction.plan",
    "Suggestion": "compaction.suggestions",
    "compare_plans": "compaction.compare",
    "column": "store.table.roles",
    "literal": "store.table.roles",
    "Watermarks": "store.marks",
}
_ERRORS = (
    "BatpakError", "StoreNotFoundError", "NotAStoreError", "StorePermissionError", "FormatError", "TruncatedError",
    "LimitError", "CorruptError", "CorruptSegmentError", "CorruptFrameError", "CrcMismatchError",
    "SidecarCorruptError", "HiddenRangesCorruptError", "MarkerCorruptError", "KeysetCorruptError",
    "FutureVersionError", "EventNotFoundError", "PayloadEncryptedError", "PayloadUndecodableError",
    "ViewExpiredError", "ResultTooLargeError", "AnchorError", "MissingExtraError", "UnknownColumnError",
    "StoreLockedError", "StoreNeedsRepairError", "StoreEncryptedError", "StoreClosedError", "AppendRefusedError",
    "AppendFrameError", "ClockMismatchError", "FenceActiveError", "FenceEndedError", "WriteFailedError",
    "WaitTimeoutError", "CopyRefusedError", "CopyFailedError", "ImportStoppedError",
    "CompactionPlanError", "PlanOutgrownError",
    "PayloadDeclarationError", "PayloadRegistryError", "PayloadCollisionError", "UpcastChainError", "TypedDecodeError",
    "ProjectionDeclarationError", "ProjectionError", "ProjectionStateError", "ProjectionRunError",
    "IllegalTransitionError",
    "PayloadKindError", "PayloadVersionError", "UpcastError", "PayloadMismatchError", "BatpakWarning",
    "BatpakDamageWarning", "PerformanceWarning",
)  # fmt: skip
_HOMES.update(dict.fromkeys(_ERRORS, "errors"))

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    """Load a public name on first use, so that importing the package costs next to nothing."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
    return value


def __dir__() -> list[str]:
    return __all__
