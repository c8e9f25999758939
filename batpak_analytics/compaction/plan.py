"""`CompactionPlan`: one compaction as data. It names its sources by content, so that it cannot be applied to others."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from html import escape
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from blake3 import blake3

from batpak_analytics.compaction.ranges import Ranges
from batpak_analytics.compaction.rules import Rule
from batpak_analytics.errors import CompactionPlanError
from batpak_analytics.markup import plural

if TYPE_CHECKING:
    import pandas as pd

    from batpak_analytics.compaction.suggestions import Suggestion

Strategy = Literal["merge", "retention", "tombstone"]
STRATEGIES: tuple[Strategy, ...] = ("merge", "retention", "tombstone")
Outcome = Literal["ready", "skipped", "refused"]


@dataclass(frozen=True, slots=True)
class PlanSource:
    """A segment that the plan compacts: its file by name, size and content, and which of its events are struck.

    `digest` is the BLAKE3 of the whole file. `struck` are the events that a retention drops or a tombstone marks;
    all others stay as they are. `events` counts the committed ones, hidden ones included.
    """

    segment_id: int
    name: str
    size_bytes: int
    digest: bytes
    events: int
    struck: Ranges = field(default_factory=Ranges)


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """What a compaction does, in numbers. Exact, unless `estimated_from` says from which share of the events.

    Fields that an estimate leaves out are None. `Reader.plan_compaction` says what each means.
    """

    events_kept: int = 0
    events_dropped: int = 0
    events_tombstoned: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    bytes_net: int = 0
    bytes_gross: int = 0
    segments_before: int = 0
    segments_after: int = 0
    entities_emptied: int | None = 0
    links_broken: int | None = 0
    links_ambiguous: int | None = 0
    heads_dropped: int | None = 0
    dangling_causes: int | None = 0
    correlations_torn: int | None = 0
    sequences_renumbered: int | None = 0
    hidden_ranges_stale: int | None = 0
    cursors_stale: int | None = 0
    idempotency_keys_kept: int | None = 0
    encrypted_unreadable: int | None = 0
    uncommitted_left_out: int | None = 0
    states_changed: int | None = None
    estimated_from: float | None = None

    def as_dict(self) -> dict[str, int | float | None]:
        """The numbers by name."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    def __repr__(self) -> str:
        lines = [f"  {name}: {'not estimated' if value is None else value}" for name, value in self._told()]
        return "\n".join([self._title, *lines])

    def _repr_html_(self) -> str:
        cells = [
            f'<tr><th scope="row">{name}</th><td>{"not estimated" if value is None else f"{value:,}"}</td></tr>'
            for name, value in self._told()
        ]
        return f"<table><caption>{escape(self._title)}</caption>{''.join(cells)}</table>"

    @property
    def _title(self) -> str:
        if self.estimated_from is None:
            return "PlanSummary"
        return f"PlanSummary: an ESTIMATE from {self.estimated_from:.3%} of the events"

    def _told(self) -> list[tuple[str, Any]]:
        return [
            (name, value)
            for name, value in self.as_dict().items()
            if name != "estimated_from" and not (name == "states_changed" and value is None)
        ]


@dataclass(frozen=True, repr=False)
class CompactionPlan:
    """One compaction as data: made by `plan_compaction`, looked at, compared, saved, and given to `Store.compact`.

    It is for exactly its `sources`. Segments that come later do not matter to it; sources that changed do, and
    `changes` names them. Two plans are equal when they would do the same for the same reasons; `digest` is the BLAKE3
    of that as text.

    `outcome` is ``"ready"``; ``"skipped"`` when there are fewer than `min_segments` sources; ``"refused"`` for the
    reasons in `refusals`. `keep` is the rule in its JSON form, None for a merge. Where the rule was a function or an
    expression, which no file can hold, `ids` has those of the struck events, 16 bytes each, in the order of the files.
    `sampled` is the share of events that an estimate looked at; such a plan cannot be applied.
    """

    strategy: Strategy
    outcome: Outcome
    min_segments: int
    active_segment_id: int
    sources: tuple[PlanSource, ...]
    keep: str | None
    numbers: PlanSummary
    refusals: tuple[str, ...] = ()
    ids: bytes | None = None
    system: bool = False
    tombstone_encrypted: bool = False
    sampled: float | None = None
    view: Any = field(default=None, compare=False)
    """The view that it was made of, or held against last. Like what follows, no part of what the plan is."""
    rule: Rule | None = field(default=None, compare=False)
    effects: Any = field(default=None, compare=False)
    asked: Any = field(default=None, compare=False)

    def but(self, **fields: Any) -> CompactionPlan:
        """The same plan with some fields changed."""
        return replace(self, **fields)

    @property
    def target_id(self) -> int | None:
        """The id of the segment that it writes: the lowest of its sources, as in batpak. None unless it is ready."""
        return self.sources[0].segment_id if self.outcome == "ready" and self.sources else None

    @property
    def applicable(self) -> bool:
        """Whether it can be applied: ready, and no estimate."""
        return self.outcome == "ready" and self.sampled is None

    @cached_property
    def digest(self) -> bytes:
        """BLAKE3 of the plan's canonical text, 32 bytes: what names it in a `Bridge` or a report."""
        text: str = import_module("batpak_analytics.compaction.plan_file").canonical_text(self)
        return blake3(text.encode()).digest()

    def summary(self) -> PlanSummary:
        """What it does, in numbers; exact unless it is an estimate."""
        return self.numbers

    def changes(self, view: Any) -> tuple[str, ...]:
        """What of the sources is no longer as it was planned, in sentences; empty when the plan still fits.

        Takes a `Reader`, or a view. Cost: the sources are read once, for their digests.
        """
        found: tuple[str, ...] = import_module("batpak_analytics.compaction.sources").changes(
            self, getattr(view, "view", view)
        )
        return found

    def on(self, view: Any) -> CompactionPlan:
        """The same plan, held against a `Reader` or a view, so that its tables can be asked for.

        Raises `PlanOutgrownError` where the sources changed.
        """
        view = getattr(view, "view", view)
        import_module("batpak_analytics.compaction.sources").require_unchanged(self, view)
        return replace(self, view=view)

    def findings(self) -> pd.DataFrame:
        """What the plan breaks, one row for each: errors first, then warnings, then what is only worth knowing.

        Columns: `severity` (ordered category), `rule` (`link-broken`, `link-ambiguous`, `cause-dangling`,
        `head-dropped`, `entity-emptied`, `state-changed`, `encrypted-unreadable`, `kept-unjudged`), `entity`, `lane`,
        `clock`, `global_sequence` and `event_id` of the event that it is about (missing where it is about an entity),
        `related_id` (the parent or cause that goes), `in_sources` (whether the event itself is in a segment that is
        compacted) and `meaning`. Ids are str, numbers nullable.

        Raises `CompactionPlanError` for an estimate, and for a plan that was loaded and not held against a store with
        `on`; of such a one, `kept-unjudged` and `state-changed` are not known.
        """
        return self._frame("findings_frame")

    def events(self) -> pd.DataFrame:
        """Every event that is dropped or tombstoned, in commit order.

        Columns: `global_sequence`, `event_id`, `entity`, `scope`, `kind`, `wall_time`, `lane`, `clock`, `fate`
        (`dropped` or `tombstoned`), `hidden` (by a cancelled fence), `segment_id`, `offset` and `length` of its frame;
        dtypes as in `read_batpak`. Raises as `findings`.
        """
        return self._frame("events_frame")

    def entities(self) -> pd.DataFrame:
        """Every entity of the store, those that lose most first.

        Columns: `entity` (category), `events_before` and `events_after` (visible ones), `tombstoned`, `heads_dropped`
        (lanes whose last event goes), `links_broken`, `links_ambiguous`, `dangling_causes` and `states_changed` (of its
        events, uint64; the last is missing where no projections were given) and `emptied` (bool). Raises as `findings`.
        """
        return self._frame("entities_frame")

    def segments(self) -> pd.DataFrame:
        """Every segment file.

        Columns: `segment_id`, `file`, `role` (`source` or `untouched`), `size_bytes`, `events`, `kept`, `dropped`,
        `tombstoned`, `markers` and `uncommitted` (frames of batches, of sources only; uint64) and `footer` (whether it
        has a sound one). Raises as `findings`.
        """
        return self._frame("segments_frame")

    def states(self) -> pd.DataFrame:
        """Every state that would be another, those whose number moves farthest first.

        Columns: `projection` and `entity` (category), `before` and `after` (the states themselves) and `delta`
        (Float64, for states that are numbers). Raises `CompactionPlanError` for a plan that was made without
        `projections=`, for an estimate, and for a plan that was loaded.
        """
        return self._frame("states_frame")

    def suggestions(self) -> list[Suggestion]:
        """What could be kept besides, each with the rule, the plan that it makes, and its price.

        Such as ``keep the causes too: +37 events, +14,210 bytes, 0 dangling_causes instead of 37``. Cost: a plan for
        each, without reading the sources again.
        """
        self._need_effects()
        found: list[Suggestion] = import_module("batpak_analytics.compaction.suggestions").suggestions(self)
        return found

    def _frame(self, name: str) -> pd.DataFrame:
        effects = self._need_effects()
        frame: pd.DataFrame = getattr(import_module("batpak_analytics.compaction.tables"), name)(self, effects)
        return frame

    def _need_effects(self) -> Any:
        if self.sampled is not None:
            raise CompactionPlanError("This plan is an estimate, which lists no events. Plan again without sample=.")
        if self.effects is not None:
            return self.effects
        if self.view is None:
            raise CompactionPlanError("This plan was loaded from a file. Hold it against its store: plan.on(reader).")
        return import_module("batpak_analytics.compaction.planning").effects_of(self)

    def save(self, path: str | PathLike[str]) -> Path:
        """Write it to a file, as JSON with a CRC-32C; returns the path."""
        saved: Path = import_module("batpak_analytics.compaction.plan_file").save(self, path)
        return saved

    @classmethod
    def load(cls, path: str | PathLike[str]) -> CompactionPlan:
        """Read one from a file. Raises `CompactionPlanError` for a file that is damaged, newer, or none."""
        loaded: CompactionPlan = import_module("batpak_analytics.compaction.plan_file").load(path)
        return loaded

    def __repr__(self) -> str:
        return f"CompactionPlan({self.headline})"

    def _repr_html_(self) -> str:
        rule = "" if self.keep is None else f"<p>keep <code>{escape(self.keep)}</code></p>"
        reasons = "".join(f"<li>{escape(one)}</li>" for one in self.refusals)
        more = f"<ul>{reasons}</ul>" if reasons else ""
        name = f'<p>plan <code title="{self.digest.hex()}">{self.digest.hex()[:8]}</code></p>'
        return f"<div><b>{escape(self.headline)}</b>{more}{rule}{self.numbers._repr_html_()}{name}</div>"

    @property
    def headline(self) -> str:
        """The plan in one line."""
        one = self.numbers
        if self.outcome == "skipped":
            found = f"{plural(len(self.sources), 'segment')} before the last"
            return f"{self.strategy}, skipped: {found}, and {self.min_segments} needed"
        parts = [
            f"{self.strategy} of {plural(len(self.sources), 'segment')}",
            f"{one.events_kept:,} events kept",
            *([f"{one.events_dropped:,} dropped"] if self.strategy == "retention" else []),
            *([f"{one.events_tombstoned:,} tombstoned"] if self.strategy == "tombstone" else []),
            f"{one.bytes_net:+,} bytes",
        ]
        if self.sampled is not None:
            parts.insert(0, f"ESTIMATE from {self.sampled:.3%} of the events")
        if self.outcome == "refused":
            parts.insert(0, f"REFUSED: {self.refusals[0]}")
        return ", ".join(parts)
