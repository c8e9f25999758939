"""`CompactionReport`: what a compaction did, measured, beside what its plan said and in the reference's evidence."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from batpak_analytics.compaction.plan import CompactionPlan, PlanSummary
from batpak_analytics.errors import AnchorError
from batpak_analytics.evidence.canonical import Evidence
from batpak_analytics.evidence.compaction import CompactionBody

if TYPE_CHECKING:
    from batpak_analytics.proof.bridge import Bridge
    from batpak_analytics.proof.note import Checkpoint

Outcome = Literal["performed", "skipped", "failed"]


@dataclass(frozen=True, slots=True, repr=False)
class CompactionReport:
    """What `Store.compact` did. The counts and sizes are measured on what it wrote and removed; `planned` is what the
    plan's summary said.

    `outcome` is ``"performed"``; ``"skipped"`` where the plan has too few sources; ``"failed"`` for the `reason`, with
    every event as it was. `output` is the new segment, None unless performed; `sources` are the names of the segments
    that it replaces. `bytes_net` is what the store's segments became shorter, `bytes_gross` the size of the sources
    alone, which is what the reference calls reclaimed. `unfinished` says what could not be cleared away (disk errors);
    neither engine looks at it, and the next compaction or open removes it. `plan_digest` names the plan.

    `evidence` is the reference's report: `evidence.body` in its fields, `evidence.body_bytes` in its bytes, and
    `evidence.body_hash`, which the reference gives for the same facts.
    """

    outcome: Outcome
    strategy: str
    reason: str | None
    plan_digest: bytes
    planned: PlanSummary
    sources: tuple[str, ...]
    output: Path | None
    events_kept: int
    events_dropped: int
    events_tombstoned: int
    bytes_before: int
    bytes_after: int
    bytes_net: int
    bytes_gross: int
    segments_before: int
    segments_after: int
    unfinished: tuple[str, ...]
    elapsed_seconds: float
    evidence: Evidence[CompactionBody]

    @property
    def compaction_id(self) -> str:
        """What the reference names the compaction by, in hexadecimal."""
        return self.evidence.body.compaction_id.hex()

    @property
    def body_hash(self) -> str:
        """The hash of the evidence body, in hexadecimal."""
        return self.evidence.body_hash

    def bridge(self, before: Checkpoint, after: Checkpoint) -> Bridge:
        """The bridge over this compaction, for those who hold a checkpoint from before it; sign it with ``signed``.

        `before` and `after` are checkpoints of the store, `after` of its state after the compaction
        (``store.verify().checkpoint()``). A bridge says that the one who signs it compacted by this plan, no more.
        Raises `AnchorError` where nothing was compacted.

        Examples
        --------
        >>> import tempfile
        >>> import batpak_analytics as bp
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     for number in range(3):
        ...         with bp.Store.open(directory) as store:
        ...             _ = store.append("order:1", "shop", 0x1001, number)
        ...     with bp.Store.open(directory) as store:
        ...         before = store.verify().checkpoint()
        ...         report = store.compact(store.plan_compaction())
        ...         bridge = report.bridge(before, store.verify().checkpoint())
        >>> bridge.plan == report.plan_digest
        True
        """
        if self.outcome != "performed":
            raise AnchorError(f"Nothing was compacted ({self.outcome}), so old checkpoints hold without a bridge.")
        made: Bridge = import_module("batpak_analytics.proof.bridge").Bridge.between(before, self.plan_digest, after)
        return made

    def __repr__(self) -> str:
        if self.outcome != "performed":
            return f"CompactionReport({self.strategy}: {self.outcome}{f', {self.reason}' if self.reason else ''})"
        lines = "\n".join(f"  {name}: {_text(value)}" for name, value in self._told())
        return f"CompactionReport({self.strategy}: performed)\n{lines}"

    def _repr_html_(self) -> str:
        rows = self._told() if self.outcome == "performed" else [("reason", self.reason or "too few segments")]
        cells = "".join(f'<tr><th scope="row">{name}</th><td>{escape(_text(value))}</td></tr>' for name, value in rows)
        return f"<table><caption>{escape(self.strategy)}: {escape(self.outcome)}</caption>{cells}</table>"

    def _told(self) -> list[tuple[str, Any]]:
        names = (
            *("events_kept", "events_dropped", "events_tombstoned", "bytes_before", "bytes_after", "bytes_net"),
            *("bytes_gross", "segments_before", "segments_after"),
        )
        told: list[tuple[str, Any]] = [(name, getattr(self, name)) for name in names]
        told += [("sources", ", ".join(self.sources)), ("output", self.output), ("body_hash", self.body_hash)]
        return told + ([("unfinished", "; ".join(self.unfinished))] if self.unfinished else [])


def _text(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def report_of(plan: CompactionPlan, **measured: Any) -> CompactionReport:
    """The report of a run of `plan`; what is not measured is zero, none or empty."""
    nothing = dict.fromkeys(
        (
            *("events_kept", "events_dropped", "events_tombstoned", "bytes_before", "bytes_after", "bytes_net"),
            *("bytes_gross", "segments_before", "segments_after"),
        ),
        0,
    )
    return CompactionReport(
        **{
            **nothing,
            "strategy": plan.strategy,
            "reason": None,
            "plan_digest": plan.digest,
            "planned": plan.summary(),
            "sources": tuple(source.name for source in plan.sources),
            "output": None,
            "unfinished": (),
            **measured,
        }
    )
