"""From an input to the paint that shows what it led to, measured in the page; and the bytes that came for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

PATIENCE_MS = 60_000
REST_MS = 300
"""Between two inputs, so that what the one before brought has all come: a person reads before going on."""
READY = "() => !document.querySelector('.noUi-state-tap')"
"""A slider takes no click while it glides to the one before: for 300 ms by a timer, which is late on a busy machine."""
WATCH = """({event, words, without, patience}) => {
    const view = document.querySelector('.bpk');
    const code = () => [...view.querySelectorAll('pre')].at(-1)?.textContent;
    const before = code();
    const has = word => view.textContent.includes(word);
    const shown = () => code() !== before && words.every(has) && !without.some(has);
    window.batpakPaint = new Promise((resolve, reject) => {
        const late = () => reject(Error(`nothing new with ${words} after ${event} ${begun}: ${code()}`));
        setTimeout(late, patience);
        let begun = null;
        const begin = one => { begun ??= one.timeStamp; };
        document.addEventListener(event, begin, {capture: true});
        const observer = new MutationObserver(() => {
            if (begun === null || !shown()) return;
            observer.disconnect();
            document.removeEventListener(event, begin, {capture: true});
            // The first task after a frame's callbacks runs when that frame has been painted.
            const painted = new MessageChannel();
            painted.port1.onmessage = () => resolve((performance.now() - begun) / 1000);
            requestAnimationFrame(() => painted.port2.postMessage(null));
        });
        observer.observe(view, {subtree: true, childList: true, characterData: true, attributes: true});
    });
}"""
"""Every view ends with the code of what it shows, which is set last: it changes when all of the rest has."""


@dataclass(slots=True)
class Traffic:
    """What the kernel sent for the inputs that were measured, in bytes of websocket frames."""

    messages: list[int] = field(default_factory=list)
    updates: list[int] = field(default_factory=list)

    @property
    def largest_message(self) -> int:
        """The most that came in one message."""
        return max(self.messages, default=0)

    @property
    def largest_update(self) -> int:
        """The most that came between an input and its paint, all messages together."""
        return max(self.updates, default=0)


class Painter:
    """A page with one view in it. `paint` does something to it and says how long it took to be seen."""

    def __init__(self, page: Any, traffic: Traffic) -> None:
        self.page, self._traffic = page, traffic
        self._came: list[int] = []
        page.on("websocket", lambda socket: socket.on("framereceived", lambda data: self._came.append(len(data))))

    def paint(self, act: Callable[[], Any], event: str, *words: str, without: Sequence[str] = ()) -> float:
        """The seconds from the first `event` (of the DOM) of `act` to a paint of other code, with and without words."""
        watched = {"event": event, "words": words, "without": without, "patience": PATIENCE_MS}
        self.page.evaluate(WATCH, watched)
        self.page.wait_for_timeout(REST_MS)
        self.page.wait_for_function(READY)
        self._came.clear()
        act()
        seconds: float = self.page.evaluate("() => window.batpakPaint")
        self._traffic.messages += self._came
        self._traffic.updates.append(sum(self._came))
        return seconds
