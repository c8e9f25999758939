"""Pictures of `Surroundings`: the events as a tree in SVG, and the same in words. Pure functions of what they show."""

from __future__ import annotations

from collections.abc import Sequence

from batpak_analytics.graph.surroundings import Nearby, Surroundings
from batpak_analytics.markup import Html, duration_text, element, folded, joined, plural, short_id
from batpak_analytics.widgets.names import Names, kind_label, name_text

WIDTH, ROW, INDENT, MARGIN = 520, 22, 18, 14
MOST_INDENT = 120
"""Pixels that generations may take, however many there are."""
ACCENT = "#4a7fd4"
"""Readable on white and on black; what it marks is marked by a ring and bold type as well."""
ENDS = {
    "root": "which names no cause",
    "dangling": "whose cause is not there",
    "cycle": "which is among its own causes: somebody wrote wrong ids",
}


def label(one: Nearby, names: Names) -> str:
    """An event in a few words: what happened to whom, and its id."""
    return f"{kind_label(one.kind, names)} {name_text(one.entity)} {short_id(one.event_id)}"


def place_text(distance: int) -> str:
    """Where an event stands: ``2 before``, ``this``, ``1 after``."""
    return "this" if not distance else f"{abs(distance)} {'before' if distance < 0 else 'after'}"


def numbered_label(one: Nearby, names: Names) -> str:
    """An event with where it stands: ``2 before: Placed order:5 …00050000``."""
    return f"{place_text(one.distance)}: {label(one, names)}"


def latency_text(one: Nearby) -> str:
    """How long after its cause it came."""
    return "" if one.latency_ms is None else f"{'' if one.latency_ms < 0 else '+'}{duration_text(one.latency_ms)}"


def summary(found: Surroundings, names: Names) -> str:
    """What the picture shows, in a sentence."""
    above, below = found.at, len(found.events) - found.at - 1
    causes = f"{above} of {plural(above + found.more_causes, 'cause')}"
    effects = f"{below:,} of {plural(below + found.more_effects, 'effect')}"
    return f"{label(found.event, names)}: {causes} and {effects} shown. {_ending(found)}"


def _ending(found: Surroundings) -> str:
    if found.ends == "root" and found.root_id == found.event.event_id:
        return "It names no cause."
    return f"Its causes end at {short_id(found.root_id)}, {ENDS[found.ends]}."


def draw(found: Surroundings, names: Names) -> Html:
    """The tree as SVG: a column for each generation, a line from each cause to its effects, and the time between."""
    lines = _lines(found, names)
    step = min(INDENT, MOST_INDENT // max(found.events[-1].distance - found.events[0].distance, len(lines) and 1, 1))
    left = {number: MARGIN + step * line.depth for number, line in enumerate(lines)}
    texts = MARGIN + step * max(line.depth for line in lines) + 12
    height = ROW * len(lines) + 6
    same: list[str] = []
    other: list[str] = []
    dots: list[str] = []
    missing: list[str] = []
    for number, line in enumerate(lines):
        x, y = left[number], _middle(number)
        (dots if line.event is not None else missing).append(f"M{x} {y}h0")
        if line.cause is not None and line.cause < number:
            edge = f"M{left[line.cause]} {_middle(line.cause)}V{y}H{x}"
            (other if line.crosses else same).append(edge)
    middle = next(number for number, line in enumerate(lines) if line.event is found.event)
    ring = {"cx": left[middle], "cy": _middle(middle), "r": 7, "stroke": ACCENT, "stroke_width": 2}
    return element(
        "svg",
        element("path", d="".join(same), stroke_opacity=".55"),
        element("path", d="".join(other), stroke_opacity=".8", stroke_dasharray="4 3"),
        element("path", d="".join(missing), stroke_width=5, stroke_opacity=".6", stroke_linecap="round"),
        element("path", d="".join(dots), stroke_width=8, stroke_linecap="round"),
        element("circle", **ring),
        _labels(lines, texts, middle),
        viewBox=f"0 0 {WIDTH} {height}", width=WIDTH, fill="none", stroke="currentColor", font_size="12",
        font_family="sans-serif", role="img", aria_label=summary(found, names),
    )  # fmt: skip


def _middle(number: int) -> int:
    return ROW * number + ROW // 2 + 3


class _Line:
    """One line of the tree: an event, or what stands for those that are not shown."""

    def __init__(self, depth: int, text: str, after: str = "", event: Nearby | None = None) -> None:
        self.depth, self.text, self.after, self.event = depth, text, after, event
        self.cause: int | None = None
        self.crosses = False


def _lines(found: Surroundings, names: Names) -> list[_Line]:
    """The lines from top to bottom."""
    first = found.events[0].distance
    lines = []
    if found.missing is not None:
        lines.append(_Line(0, f"a cause that is not there: {short_id(found.missing)}"))
    elif found.more_causes:
        lines.append(_Line(0, plural(found.more_causes, "earlier cause")))
    offset = len(lines)
    for number, one in enumerate(found.events):
        more = f", and {plural(one.more_effects, 'effect')} not shown" if one.more_effects else ""
        line = _Line(one.distance - first + offset, label(one, names) + more, latency_text(one), one)
        line.cause = one.cause + offset if one.cause is not None else 0 if offset and not number else None
        line.crosses = one.cause is not None and found.events[one.cause].entity != one.entity
        lines.append(line)
    return lines


def _labels(lines: Sequence[_Line], left: int, middle: int) -> Html:
    names = (
        element("text", line.text, x=left, y=_middle(number) + 4, font_weight="bold" if number == middle else None)
        for number, line in enumerate(lines)
    )
    times = (
        element("text", line.after, x=WIDTH - 4, y=_middle(number) + 4)
        for number, line in enumerate(lines)
        if line.after
    )
    return element("g", *names, element("g", *times, text_anchor="end"), fill="currentColor", stroke="none")


def in_words(found: Surroundings, names: Names) -> Html:
    """The same as a list, folded: for screen readers, and where SVG is not shown."""
    items = []
    for line in _lines(found, names):
        where = "" if line.event is None else f"{place_text(line.event.distance)}: "
        after = f", {line.after} after its cause" if line.after else ""
        items.append(element("li", f"{where}{line.text}{after}{', of another entity' if line.crosses else ''}"))
    return folded("The same as text", element("ul", *items))


def legend() -> Html:
    """What lines and dots mean."""
    told = (
        "Each event hangs under its cause, with the time since then on the right. A dashed line leads to another "
        "entity; the ring marks the event that is looked at."
    )
    return element("div", told, class_="bpk-dim")


def picture(found: Surroundings, names: Names) -> Html:
    """The tree, its legend and its text."""
    return joined([draw(found, names), legend(), in_words(found, names)])
