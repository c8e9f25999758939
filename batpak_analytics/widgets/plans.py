"""Plans of a compaction as HTML: the numbers first, then what goes, in pieces of bounded length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from batpak_analytics.compaction.compare import compare_plans
from batpak_analytics.compaction.plan import CompactionPlan
from batpak_analytics.markup import Html, clip, element, joined, plural, short_id, size_text, table
from batpak_analytics.widgets.charts import WIDTH, svg
from batpak_analytics.widgets.names import LONGEST_NAME, Names, kind_label, name_text

MOST_ROWS, MOST_BARS = 20, 40
LONGEST = 300
CHAIN_RULES = ("link-broken", "link-ambiguous", "head-dropped")
COMPARED = (
    *("strategy", "events_kept", "events_dropped", "events_tombstoned", "bytes_net", "entities_emptied"),
    *("links_broken", "heads_dropped", "dangling_causes", "states_changed"),
)
CAUSE_RULES = ("cause-dangling",)
BAR, LABELS = 16, 130
NOTES = {
    "merge": "A merge keeps every event.",
    "retention": "Events that are not kept are gone, payload and all.",
    "tombstone": "A tombstone marks an event, and its payload stays on disk: this frees no room and erases nothing.",
}


def headline(plan: CompactionPlan, projections: int, entities: int | None) -> Html:
    """The numbers before and after, marked where they are estimated, and what the states say."""
    one = plan.numbers
    if plan.outcome == "skipped":
        found = f"{plural(len(plan.sources), 'segment')} before the last"
        told = f"It would be skipped: {found}, and {plan.min_segments} are needed."
        return element("div", element("b", told))
    refused = element("div", element("b", f"Refused: {clip(plan.refusals[0], LONGEST)}")) if plan.refusals else ""
    before = one.events_kept + one.events_dropped + one.events_tombstoned
    numbers = {
        "events of these segments": f"{before:,} → {one.events_kept + one.events_tombstoned:,}",
        "tombstoned": f"{one.events_tombstoned:,}" if plan.strategy == "tombstone" else None,
        "bytes on disk": f"{size_text(one.bytes_before)} → {size_text(one.bytes_after)}",
        "net": f"{one.bytes_net:+,} bytes",
        "segments": f"{one.segments_before} → {one.segments_after}",
        "entities emptied": None if one.entities_emptied is None else f"{one.entities_emptied:,}",
    }
    shown = (
        element("div", name, element("b", ("about " if plan.sampled is not None else "") + value))
        for name, value in numbers.items()
        if value is not None
    )
    return joined(
        [refused, element("div", _exactness(plan)), element("div", *shown, class_="bpk-numbers"),
         element("div", NOTES[plan.strategy]), element("div", element("b", _states(plan, projections, entities)))]
    )  # fmt: skip


def _exactness(plan: CompactionPlan) -> str:
    if plan.sampled is None:
        return "Exact: every number is counted."
    return f"ESTIMATE from {plan.sampled:.1%} of the events; the exact numbers follow."


def _states(plan: CompactionPlan, projections: int, entities: int | None) -> str:
    one = plan.numbers
    gone = one.events_dropped + one.events_tombstoned
    word = "tombstoned" if plan.strategy == "tombstone" else "dropped"
    if one.states_changed is None or entities is None:
        return f"{plural(gone, 'event')} {word}."
    each = "" if projections == 1 else f" of {projections} projections"
    states = plural(entities * projections, "state")
    return f"{plural(gone, 'event')} {word}, {one.states_changed:,} of {states}{each} change."


def lost(plan: CompactionPlan, names: Names) -> Html:
    """What goes: by kind, and the first of it."""
    frame = plan.events()
    if not len(frame):
        return element("div", "Nothing goes.")
    counts = frame["kind"].value_counts().head(MOST_ROWS)
    kinds = {"kind": [kind_label(int(one), names) for one in counts.index], "events": [f"{n:,}" for n in counts]}
    return joined([table(kinds, "By kind", numeric=("events",)), _events(frame, names, f"The first of {len(frame):,}")])


def _events(frame: Any, names: Names, caption: str) -> Html:
    shown = frame.head(MOST_ROWS)
    columns = {
        "sequence": shown["global_sequence"].tolist(),
        "event": [short_id(one) for one in shown["event_id"]],
        "entity": [name_text(one) for one in shown["entity"]],
        "kind": [kind_label(int(one), names) for one in shown["kind"]],
        "fate": shown["fate"].tolist(),
    }
    return table(columns, caption)


def findings(plan: CompactionPlan, rules: Sequence[str], told: Mapping[str, int | None]) -> Html:
    """Counts by name, and the first findings of these rules."""
    numbers = (element("div", name, element("b", _told(count))) for name, count in told.items())
    counts = element("div", *numbers, class_="bpk-numbers")
    frame = plan.findings()
    chosen = frame[frame["rule"].isin(rules)].head(MOST_ROWS)
    if not len(chosen):
        return joined([counts, element("div", "None is lost.")])
    columns = {
        "rule": chosen["rule"].tolist(),
        "entity": [_text(one, LONGEST_NAME) for one in chosen["entity"]],
        "event": [_id(one) for one in chosen["event_id"]],
        "goes": [_id(one) for one in chosen["related_id"]],
        "meaning": [_text(one, 120) for one in chosen["meaning"]],
    }
    return joined([counts, table(columns, "The first of them; plan.findings() lists all")])


def chains(plan: CompactionPlan) -> Html:
    """Links of the hash chains that break, or that no check would miss, and heads that go."""
    one = plan.numbers
    told = {"links broken": one.links_broken, "ambiguous": one.links_ambiguous, "heads dropped": one.heads_dropped}
    return findings(plan, CHAIN_RULES, told)


def causes(plan: CompactionPlan) -> Html:
    """Causes that go and leave effects behind."""
    one = plan.numbers
    return findings(
        plan, CAUSE_RULES, {"dangling causes": one.dangling_causes, "correlations torn": one.correlations_torn}
    )


def entities(plan: CompactionPlan) -> Html:
    """The entities that lose most."""
    frame = plan.entities().head(MOST_ROWS)
    names = ("events_before", "events_after", "tombstoned", "heads_dropped", "links_broken", "dangling_causes")
    columns: dict[str, list[Any]] = {"entity": [name_text(one) for one in frame["entity"]]}
    columns |= {name.replace("_", " "): frame[name].tolist() for name in names}
    if plan.numbers.states_changed is not None:
        columns["states changed"] = frame["states_changed"].tolist()
    columns["emptied"] = ["yes" if one else "" for one in frame["emptied"]]
    return table(columns, "Those that lose most; plan.entities() lists all")


def segments(plan: CompactionPlan) -> Html:
    """A bar for each segment: what stays of it, and what goes."""
    frame = plan.segments()
    rows = frame.head(MOST_BARS).to_dict("records")
    most = max((row["events"] for row in rows), default=0) or 1
    drawn = [_bar(number, row, (WIDTH - LABELS - 10) / most) for number, row in enumerate(rows)]
    told = f"{plural(len(frame), 'segment')}: full bars stay, empty parts go, dashed ones are not touched"
    more = element("div", f"and {len(frame) - len(rows):,} more") if len(frame) > len(rows) else ""
    columns = {
        "segment": [name_text(row["file"]) for row in rows[:MOST_ROWS]],
        "role": [row["role"] for row in rows[:MOST_ROWS]],
        "size": [size_text(int(row["size_bytes"])) for row in rows[:MOST_ROWS]],
        "events": [row["events"] for row in rows[:MOST_ROWS]],
        "go": [int(_count(row["dropped"]) + _count(row["tombstoned"])) for row in rows[:MOST_ROWS]],
    }
    picture = svg(BAR * len(rows) + 4, told, *drawn)
    return joined([picture, element("div", told, class_="bpk-dim"), more, table(columns)])


def _bar(number: int, row: Mapping[Any, Any], wide: float) -> Html:
    y, events = BAR * number + 3, int(row["events"])
    gone = int(_count(row["dropped"]) + _count(row["tombstoned"]))
    dashed = None if row["role"] == "source" else "3 3"
    name = element("text", clip(row["file"], 18), x=0, y=y + 10, fill="currentColor", stroke="none")
    whole = element("rect", x=LABELS, y=y, width=f"{wide * events:.1f}", height=BAR - 5, stroke_dasharray=dashed)
    if dashed:
        return joined([name, whole])
    size = {"width": f"{wide * (events - gone):.1f}", "height": BAR - 5}
    stays = element("rect", x=LABELS, y=y, **size, fill="currentColor", fill_opacity=".55")
    return joined([name, whole, stays])


def compared(named: Mapping[str, CompactionPlan]) -> Html:
    """Plans side by side, one column for each."""
    if not named:
        return element("div", "No plan is kept yet. Name one, and press Keep this plan.")
    frame = compare_plans(named)
    columns: dict[str, list[Any]] = {"": [name.replace("_", " ") for name in COMPARED]}
    for position, name in enumerate(named):
        columns[name_text(name)] = [_text(frame[row].iloc[position], LONGEST_NAME) for row in COMPARED]
    return table(columns, "bp.compare_plans(widget.plans) as data")


def _count(value: Any) -> int:
    return 0 if value is None or value != value else int(value)


def _told(value: int | None) -> str:
    return "not known" if value is None else f"{value:,}"


def _text(value: Any, most: int) -> str:
    if value is None or str(value) in ("<NA>", "nan"):
        return ""
    return clip(value, most)


def _id(value: Any) -> str:
    return short_id(value) if isinstance(value, str) and value else ""
