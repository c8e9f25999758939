"""ipywidgets, as the views use them: every control has a name that is read aloud, and a hint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ipywidgets

from batpak_analytics.markup import Html, element
from batpak_analytics.widgets.turns import in_turn

BOX = ipywidgets.VBox
_LABEL = {"description_width": "initial"}


def button(name: str, hint: str, act: Callable[[], Any], *, disabled: bool = False) -> Any:
    """A button that says what it does: an icon alone has no name."""
    made = ipywidgets.Button(description=name, tooltip=hint, disabled=disabled, layout={"width": "auto"})
    made.on_click(lambda _: act())
    return made


def control(kind: str, name: str, hint: str, *, width: str = "auto", **options: Any) -> Any:
    """A `Dropdown`, `Text`, `BoundedIntText` or another control with a label."""
    made = in_turn(getattr(ipywidgets, kind))
    return made(description=name, tooltip=hint, style=_LABEL, layout={"width": width}, **options)


def fill(choice: Any, options: Sequence[tuple[str, Any]], value: Any) -> None:
    """Give a `Dropdown` or `Select` other options, and choose one of them or None, in one message."""
    with choice.hold_sync():
        choice.options = options
        choice.value = value


def row(*children: Any) -> Any:
    """Controls side by side, on more lines where there is little room."""
    made = ipywidgets.HBox(children)
    made.add_class("bpk-row")
    return made


def tabs(titles: Sequence[str], panes: Sequence[Any]) -> Any:
    """Panes of which one is in view."""
    return in_turn(ipywidgets.Tab)(children=panes, titles=titles, selected_index=0)


def html(value: str = "", *classes: str) -> Any:
    """A place for markup, whose value is replaced in place."""
    made = ipywidgets.HTML(value)
    for name in classes:
        made.add_class(name)
    return made


def say(what: str, text: Any) -> Html:
    """Text for a screen reader to read out when it changes: `status` when it is idle, `alert` at once."""
    return element("div", text, role=what, class_=f"bpk-{what}") if text else Html("")


def everything(root: Any) -> Iterator[Any]:
    """A widget with all that it holds: children, layouts and styles, which closing it would leave behind."""
    for child in getattr(root, "children", ()):
        yield from everything(child)
    for name in ("layout", "style"):
        part = getattr(root, name, None)
        if part is not None:
            yield part
    yield root
