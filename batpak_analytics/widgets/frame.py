"""`Frame`: what the views share: heading, controls and pictures, a line of code, a status line, a place for errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial, wraps
from importlib.resources import files
from typing import Any

from batpak_analytics.markup import Html, clip, element, joined, preformatted
from batpak_analytics.widgets.toolkit import BOX, everything, html, say
from batpak_analytics.widgets.turns import TURN

MOST_BYTES = 20_000
"""One update sends no more: more takes longer to paint than a step may."""
MOST_SNAPSHOT_BYTES = 15_000
_LONGEST_ERROR = 1_000


def guarded(method: Callable[..., Any]) -> Callable[..., None]:
    """A callback whose exceptions are shown: Jupyter drops those of callbacks without a word."""

    @wraps(method)
    def run(self: Frame, *arguments: Any, **options: Any) -> None:
        self._attempt(partial(method, self), *arguments, **options)

    return run


@cache
def _style() -> Html:
    sheet = files("batpak_analytics.widgets").joinpath("static", "widgets.css").read_text()
    return element("style", Html(sheet))


class Frame(BOX):  # type: ignore[misc]
    """A view of a store. `close()` lets go of all of it; the attribute `last_error` is the exception shown, or None."""

    def __init__(self, title: Html, parts: Sequence[Any]) -> None:
        """`title` is the heading, `parts` what stands between it and the line of code."""
        self.last_error: Exception | None = None
        self._quiet, self._running = False, 0
        self._heading = html(title, "bpk-title")
        self._code, self._status, self._alert = html(), html(), html()
        before, after = [html(_style(), "bpk-css"), self._heading, self._alert], [self._code, self._status]
        super().__init__(children=[*before, *parts, *after])
        self.add_class("bpk")

    def _attempt(self, act: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        """Call it, and show what it raises; nothing is done while controls are set by the view itself."""
        with TURN:
            if self._quiet:
                return
            self._running += 1
            try:
                if self._running == 1:
                    self._tell_error(None)
                act(*arguments, **options)
            except Exception as error:
                self._tell_error(error)
            finally:
                self._running -= 1

    @contextmanager
    def _silent(self) -> Iterator[None]:
        """Controls may be set here without being taken for the user's doing."""
        with TURN:
            before, self._quiet = self._quiet, True
            try:
                yield
            finally:
                self._quiet = before

    def _tell_error(self, error: Exception | None) -> None:
        self.last_error = error
        told = "" if error is None else f"{type(error).__name__}: {clip(error, _LONGEST_ERROR)}"
        self._alert.value = say("alert", told)

    def _tell(self, text: Any) -> None:
        self._status.value = say("status", text)

    @property
    def code(self) -> str:
        """The Python that gives what is shown."""
        raise NotImplementedError

    def _tell_code(self) -> None:
        self._code.value = element("div", element("span", "In code: ", class_="bpk-dim"), preformatted(self.code))

    def _picture(self) -> Html:
        """What is shown now, as it stands without controls."""
        raise NotImplementedError

    @property
    def snapshot(self) -> Html:
        """The view as it is now as HTML that needs no kernel: what GitHub, nbconvert and marimo show."""
        return element("div", joined([Html(self._heading.value), self._picture(), Html(self._code.value)]))

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        made: dict[str, Any] = super()._repr_mimebundle_(**options) or {}
        return made | {"text/plain": repr(self), "text/html": str(self.snapshot)}

    def close(self) -> None:
        """Let go of every model of this view, in the kernel and in the browser."""
        for part in list(everything(self)):
            if part is not self:
                part.close()
        super().close()
