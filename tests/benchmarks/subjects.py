"""The subjects of a run, each a section of the table: main store, memory, growth, payload sizes, small segments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from batpak_analytics.widgets.compaction import SMALL
from tests.benchmarks.browser import seen_in_browser
from tests.benchmarks.graph import graph_cases
from tests.benchmarks.holding import holding_lines
from tests.benchmarks.limits import memory_verdict, update_verdict
from tests.benchmarks.memory import Streamed, stream
from tests.benchmarks.painting import Traffic
from tests.benchmarks.passes import pass_cases
from tests.benchmarks.peers import peer_cases
from tests.benchmarks.planning import planning_cases
from tests.benchmarks.proving import Reference, proving_cases
from tests.benchmarks.queries import query_cases
from tests.benchmarks.reading import reading_cases, scan_case
from tests.benchmarks.replaying import SAMPLE_SHARE, projecting_cases, replay_cases
from tests.benchmarks.report import NONE, Line, Section, timing_line, timing_lines
from tests.benchmarks.stores import (
    ONE_SEGMENT_BYTES_AN_EVENT,
    SMALL_SEGMENT_BYTES,
    Stores,
    segment_bytes,
    segment_files,
)
from tests.benchmarks.timing import Case, measure
from tests.benchmarks.widgets import widget_cases
from tests.benchmarks.writing import MOST_EVENTS, TABLE_ROWS, opening_cases, writing_cases
from tests.browser.serving import missing_programs

PAYLOADS = ((60, 4), (600, 5), (6000, 25))
"""Payload bytes, and the share of the main store's events that are written with them."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure, and on what."""

    stores: Stores
    main: Path
    events: int
    repeat: int
    long: bool = False
    only: frozenset[str] = frozenset()

    def wants(self, name: str) -> bool:
        """Whether this case or subject was asked for. Without a choice everything is."""
        return not self.only or name in self.only


def main_store(plan: Plan) -> list[Section]:
    """Everything on the main store: the calls of this package, and the peers. All take turns, beside the pass."""
    ours = [*pass_cases(plan.main, plan.events), *reading_cases(plan.main, plan.events)]
    peers = peer_cases(plan.stores, plan.main, plan.events)
    chosen = [case for case in [*ours, *peers] if plan.wants(case.name)]
    if not chosen:
        return []
    timings = measure([case for case in [*ours, *peers] if case in chosen or case.name == "pass"], plan.repeat)
    seconds = {name: timing.scaled_to(plan.events) for name, timing in timings.items()}
    sections = []
    for title, group in (
        (f"This package, {_extent(plan.main, plan.events)}", ours),
        ("Others, the same events", peers),
    ):
        found = [timings[case.name] for case in group if case.name in timings]
        sections.append(Section(title, timing_lines(found, seconds, plan.events)))
    return [section for section in sections if section.lines]


def memory(plan: Plan) -> list[Section]:
    """Streaming a quarter of the events and all of them."""
    if not plan.wants("memory"):
        return []
    quarter = plan.events // 4
    streamed = [stream(plan.stores.everyday(quarter), quarter), stream(plan.main, plan.events)]
    return [Section("Memory of `scan_batpak(path).to_batches()`, above the imports", list(map(_memory_line, streamed)))]


def _memory_line(streamed: Streamed) -> Line:
    megabytes = streamed.anonymous_bytes / 1e6
    pool = f"Arrow's pool: {streamed.pool_bytes / 1e6:.0f} MB of it"
    cells = (f"{megabytes:.0f} MB", pool, NONE, NONE, NONE, NONE)
    return Line(f"{streamed.events:,} events", cells, (memory_verdict(megabytes),))


def growth(plan: Plan) -> list[Section]:
    """The same scan on stores of growing size."""
    if not plan.wants("growth"):
        return []
    counts = [plan.events // 4, plan.events, *([2 * plan.events, 4 * plan.events] if plan.long else [])]
    lines = []
    for events in counts:
        store = plan.main if events == plan.events else plan.stores.everyday(events)
        lines.append(_scan_line(plan, store, events, _extent(store, events)))
    return [Section("Growing stores: `scan_batpak(path).to_arrow()`, each beside its own pass", lines)]


def payloads(plan: Plan) -> list[Section]:
    """The same scan on stores with larger payloads."""
    if not plan.wants("payloads"):
        return []
    lines = []
    for size, share in PAYLOADS:
        events = plan.events // share
        store = plan.stores.everyday(events, payload_bytes=size)
        lines.append(_scan_line(plan, store, events, f"payloads of {size:,} bytes: {_extent(store, events)}"))
    return [Section("Payload sizes: `scan_batpak(path).to_arrow()`, each beside its own pass", lines)]


def segments(plan: Plan) -> list[Section]:
    """Many small segments against the same events in one."""
    if not plan.wants("segments"):
        return []
    events = plan.events // 2
    stores = {
        "one-segment": plan.stores.everyday(events, segment_bytes=ONE_SEGMENT_BYTES_AN_EVENT * events),
        "many-segments": plan.stores.everyday(events, segment_bytes=SMALL_SEGMENT_BYTES),
    }
    cases = [scan_case(store, events, name, _segments_title(store, events)) for name, store in stores.items()]
    timings = measure(cases, plan.repeat)
    seconds = {name: timing.seconds for name, timing in timings.items()}
    lines = timing_lines(timings.values(), seconds, events)
    return [Section(f"Segment sizes: `scan_batpak(path).to_arrow()` of {events:,} events", lines)]


def _segments_title(store: Path, events: int) -> str:
    count = len(segment_files(store))
    return f"{count:,} segment{'s' if count > 1 else ''} of {events // count:,} events"


def _scan_line(plan: Plan, store: Path, events: int, title: str) -> Line:
    """The scan of a store, in passes over that store."""
    the_pass, _ = pass_cases(store, events)
    timings = measure([the_pass, scan_case(store, events, "this-store", title)], plan.repeat)
    seconds = {"pass": timings["pass"].seconds}
    return timing_line(timings["this-store"], seconds, events, size_bytes=segment_bytes(store))


def _extent(store: Path, events: int) -> str:
    files = segment_files(store)
    return (
        f"{events:,} events, {len(files)} segment{'s' if len(files) > 1 else ''}, {segment_bytes(store) / 1e6:.0f} MB"
    )


def writing(plan: Plan) -> list[Section]:
    """This engine and the reference, side by side."""
    if not plan.wants("writing"):
        return []
    sections = []
    few, rows = min(MOST_EVENTS, plan.events), min(TABLE_ROWS, plan.events)
    for title, cases, events in (
        (f"Writing {few:,} events into a new store", writing_cases(plan.stores, few, rows), few),
        (
            f"Opening for writing, {_extent(plan.main, plan.events)}",
            opening_cases(plan.stores, plan.main, plan.events),
            plan.events,
        ),
    ):
        timings = measure(cases, plan.repeat)
        seconds = {name: timing.scaled_to(events) for name, timing in timings.items()}
        sections.append(Section(title, timing_lines(timings.values(), seconds, events)))
    return sections


def queries(plan: Plan) -> list[Section]:
    """Point reads and queries, side by side with the reference."""
    if not plan.wants("queries"):
        return []
    timings = measure(query_cases(plan.stores, plan.main, plan.events), plan.repeat)
    seconds = {name: timing.scaled_to(plan.events) for name, timing in timings.items()}
    title = f"Events by id and entries of the index, {_extent(plan.main, plan.events)}"
    return [Section(title, timing_lines(timings.values(), seconds, plan.events))]


def holding(plan: Plan) -> list[Section]:
    """What an open store keeps in memory."""
    if not plan.wants("holding"):
        return []
    title = "Memory of an open store, above the imports: the most of its stages, each stage, and the most an event"
    return [Section(title, holding_lines(plan.stores, plan.main, plan.events))]


def graph(plan: Plan) -> list[Section]:
    """The causal views on stores of growing size, each beside the reference's read-only open of the same store."""
    if not plan.wants("graph"):
        return []
    sections = []
    for events in (plan.events // 4, plan.events // 2, plan.events, *([2 * plan.events] if plan.long else [])):
        store = plan.stores.caused(events)
        timings = measure(graph_cases(plan.stores, store, events), plan.repeat)
        seconds = {name: timing.seconds for name, timing in timings.items()}
        title = f"Who caused whom, the open included: {_extent(store, events)}"
        sections.append(Section(title, timing_lines(timings.values(), seconds, events)))
    return sections


def widgets(plan: Plan) -> list[Section]:
    """A step of each notebook widget."""
    if not plan.wants("widgets"):
        return []
    timings = measure(widget_cases(plan.main, plan.events), plan.repeat)
    title = f"A step of a notebook widget, in the kernel: {_extent(plan.main, plan.events)}"
    seconds = {name: timing.seconds for name, timing in timings.items()}
    return [Section(title, timing_lines(timings.values(), seconds, plan.events))]


def browser(plan: Plan) -> list[Section]:
    """The widgets as a person meets them: from an input to the paint of what it led to."""
    if not plan.wants("browser"):
        return []
    title = f"A widget in JupyterLab and Chromium, from the input to the paint: {_extent(plan.main, plan.events)}"
    missing = missing_programs()
    if missing or plan.events <= SMALL:
        why = f"there is no {', no '.join(missing)}" if missing else "so few events are counted without an estimate"
        return [Section(f"{title}. Left out: {why}")]
    with TemporaryDirectory(prefix="batpak-browser-") as folder:
        caused = plan.stores.caused(plan.events)
        seen = seen_in_browser(plan.main, caused, plan.events, plan.repeat, Path(folder))
    seconds = {name: timing.seconds for name, timing in seen.timings.items()}
    lines = timing_lines(seen.timings.values(), seconds, plan.events)
    return [Section(title, [*lines, *(_traffic_line(name, one) for name, one in seen.traffic.items())])]


def _traffic_line(name: str, traffic: Traffic) -> Line:
    most, of = traffic.largest_message, f"all for one input: {traffic.largest_update / 1000:.1f} kB at most"
    cells = (f"{most / 1000:.1f} kB", of, NONE, NONE, NONE, NONE)
    return Line(f"`{name}`: the largest message to the browser", cells, (update_verdict(most),))


def proving(plan: Plan) -> list[Section]:
    """Links, verification and anchors: beside the reference on the main store, and on growing ones."""
    if not plan.wants("proving"):
        return []
    cases = [*proving_cases(plan.main, plan.events), *Reference(plan.stores, plan.main, plan.events).cases()]
    sections = [_proving(f"Integrity, {_extent(plan.main, plan.events)}", cases, plan, plan.events)]
    for events in (plan.events // 4, plan.events // 2, *([2 * plan.events] if plan.long else [])):
        store = plan.stores.everyday(events)
        title = f"The same, {_extent(store, events)}"
        sections.append(_proving(title, proving_cases(store, events), plan, events))
    return sections


def _proving(title: str, cases: list[Case], plan: Plan, events: int) -> Section:
    timings = measure(cases, plan.repeat)
    seconds = {name: timing.seconds for name, timing in timings.items()}
    return Section(title, timing_lines(timings.values(), seconds, events))


def replay(plan: Plan) -> list[Section]:
    """Projections: replays beside a bare loop, and one entity beside the reference."""
    if not plan.wants("replay"):
        return []
    few = plan.events // SAMPLE_SHARE
    sections = []
    for title, cases, events in (
        (f"Replays, {_extent(plan.main, plan.events)}", replay_cases(plan.main, plan.events), plan.events),
        (f"A projection of one entity, {few:,} events", projecting_cases(plan.stores, plan.events), few),
    ):
        timings = measure(cases, plan.repeat)
        seconds = {name: timing.seconds for name, timing in timings.items()}
        sections.append(Section(title, timing_lines(timings.values(), seconds, events)))
    return sections


def planning(plan: Plan) -> list[Section]:
    """Compactions planned, beside a scan."""
    if not plan.wants("planning"):
        return []
    timings = measure(planning_cases(plan.main, plan.events), plan.repeat)
    seconds = {name: timing.seconds for name, timing in timings.items()}
    title = f"Compactions planned, {_extent(plan.main, plan.events)}"
    return [Section(title, timing_lines(timings.values(), seconds, plan.events))]


SUBJECTS: tuple[Callable[[Plan], list[Section]], ...] = (
    main_store, memory, growth, payloads, segments, writing, queries, holding, graph, proving,
    replay, planning, widgets, browser,
)  # fmt: skip
