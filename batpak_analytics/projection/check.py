"""Is a projection pure? Two folds over the same events, and each payload before and after it was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any, Literal

from batpak_analytics.projection.copies import Copier
from batpak_analytics.projection.diff import diff_states
from batpak_analytics.projection.parts import same
from batpak_analytics.projection.protocol import Fold

Rule = Literal["initial-shared", "payload-changed", "state-differs", "copy-differs", "failed"]
STRETCHES = 1000


@dataclass(frozen=True, slots=True)
class Impurity:
    """One thing by which a projection depends on more than state and event; `position` is where it was first seen."""

    rule: Rule
    position: int
    event_id: bytes | None
    meaning: str

    def __str__(self) -> str:
        return f"{self.rule} at position {self.position}: {self.meaning}"


@dataclass(frozen=True, slots=True)
class PurityReport:
    """What a double fold found. `pure` is True where it found nothing: a proof for these events, not for all."""

    events: int
    impurities: tuple[Impurity, ...]

    @property
    def pure(self) -> bool:
        """Whether nothing was found."""
        return not self.impurities

    def __bool__(self) -> bool:
        return self.pure

    def __repr__(self) -> str:
        if self.pure:
            return f"PurityReport(pure over {self.events:,} events)"
        return "\n  ".join([f"PurityReport(not pure over {self.events:,} events)", *map(str, self.impurities)])

    def _repr_html_(self) -> str:
        return f"<pre>{escape(repr(self))}</pre>"


def check_purity(fold: Fold[Any], columns: Any, copier: Copier) -> PurityReport:
    """Fold twice side by side, the second time from copies of states, and compare a thousand times on the way."""
    check = _Check(fold, columns, copier)
    check.run()
    return PurityReport(len(columns), tuple(check.found.values()))


class _Check:
    def __init__(self, fold: Fold[Any], columns: Any, copier: Copier) -> None:
        self._fold, self._columns, self._copier = fold, columns, copier
        self.found: dict[Rule, Impurity] = {}

    def run(self) -> None:
        """Fill `found`, of each rule the first."""
        count, copied = len(self._columns), self._copier.copied
        stride = max(1, -(-count // STRETCHES))
        first = copied(self._fold.initial())
        one, other = self._fold.initial(), self._fold.initial()
        for start in range(0, count, stride):
            stop = min(start + stride, count)
            kept, other = copied(one), copied(other)
            if not same(kept, one):
                self._note("copy-differs", start, "a copy of the state is not equal to it, so no state can be kept")
                return
            try:
                one = self._folded(one, start, stop)
                other = self._folded(other, start, stop)
            except _Failed:
                return
            if not same(one, other):
                self._locate(kept, start, stop, one, other)
                return
        if not same(self._fold.initial(), first):
            self._note("initial-shared", 0, "initial() gives an object that a fold has changed; make a new one in it")

    def _folded(self, state: Any, start: int, stop: int) -> Any:
        """The state after a range; notes the first event whose payload is not what it was."""
        for event in self._columns.rows(start, stop):
            try:
                state = self._fold.step(state, event)
            except Exception as error:
                self._note("failed", event.row + 1, f"apply raised {type(error).__name__}: {error}")
                raise _Failed from error
            if event.has_payload and not same(event.payload, self._columns.row(event.row).payload):
                self._note("payload-changed", event.row + 1, "apply changed the payload of the event it was given")
        return state

    def _locate(self, kept: Any, start: int, stop: int, one: Any, other: Any) -> None:
        """Name the first event of a stretch after which two folds differ; the last one if they now agree."""
        place, differ = stop, diff_states(one, other)
        left, right = self._copier.copied(kept), self._copier.copied(kept)
        for row in range(start, stop):
            left, right = self._folded(left, row, row + 1), self._folded(right, row, row + 1)
            if not same(left, right):
                place, differ = row + 1, diff_states(left, right)
                break
        told = "; ".join(map(str, differ[:3]))
        meaning = f"folding the same events twice gave other states, so apply looks at more than these ({told})"
        self._note("state-differs", place, meaning)

    def _note(self, rule: Rule, position: int, meaning: str) -> None:
        event_id = self._columns.row(position - 1).event_id if position else None
        self.found.setdefault(rule, Impurity(rule, position, event_id, meaning))


class _Failed(Exception):
    """apply raised; what is to be said was said."""
