"""What a widget sends to the browser, counted without a browser or a kernel."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import comm
import ipywidgets
import pytest

from tests.test_cards import Seen

HARMLESS = {
    *(
        "div",
        "span",
        "b",
        "nav",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "details",
        "summary",
        "ul",
        "ol",
    ),
    *("li", "pre", "code", "svg", "path", "circle", "rect", "line", "text", "g", "title", "style"),
}
INSTANCES: dict[str, Any] = ipywidgets.widgets.widget._instances


class Sent:
    """The sizes of messages in bytes of JSON."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    @property
    def total(self) -> int:
        return sum(self.sizes)


@contextmanager
def sending(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sent]:
    """Count the messages that are sent in the block."""
    sent = Sent()
    base: Any = comm.base_comm.BaseComm
    original = base.send

    def counted(self: Any, data: Any = None, *arguments: Any, **options: Any) -> Any:
        sent.sizes.append(len(json.dumps(data, ensure_ascii=False).encode()))
        return original(self, data, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(base, "send", counted)
        yield sent


def assert_harmless(view: Any) -> None:
    """Every value of the view that a browser takes for markup holds only tags and attributes that run nothing."""
    values = [one.value for one in widgets_of(view) if isinstance(one, ipywidgets.HTML)]
    for value in [*values, view.snapshot]:
        shown = Seen(value)
        assert shown.tags <= HARMLESS, shown.tags - HARMLESS
        assert not {name for name in shown.attributes if name.startswith("on") or name in ("href", "src")}
        assert not shown.open
    assert all(not getattr(one, "description_allow_html", False) for one in widgets_of(view))


def assert_banner(view: Any, error: type[Exception], words: str = "") -> None:
    """The error is kept and read out at once, in one place, as text; what the controls do goes on."""
    assert isinstance(view.last_error, error), view.last_error
    banners = [
        one.value for one in widgets_of(view) if isinstance(one, ipywidgets.HTML) and 'role="alert"' in one.value
    ]
    assert len(banners) == 1
    assert error.__name__ in banners[0] and words in banners[0]
    assert_harmless(view)


def widgets_of(view: Any) -> list[Any]:
    """The view and everything in it."""
    return [view, *(inner for child in getattr(view, "children", ()) for inner in widgets_of(child))]


def named(view: Any, description: str) -> Any:
    """The control with this label."""
    (found,) = [one for one in widgets_of(view) if getattr(one, "description", None) == description]
    return found


def texts(view: Any) -> str:
    """All that the view says, as text."""
    return "\n".join(one.value for one in widgets_of(view) if isinstance(one, ipywidgets.HTML))
