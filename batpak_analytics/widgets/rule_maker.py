"""`RuleMaker`: controls that make a rule of what to keep, and the code that says the same."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from batpak_analytics.compaction import keep
from batpak_analytics.compaction.plan import STRATEGIES
from batpak_analytics.widgets.names import Names, kind_number
from batpak_analytics.widgets.toolkit import control, row

RULES = (
    ("the last N events of each entity", "last"),
    ("what is newer than N days", "newer"),
    ("these kinds", "kinds"),
    ("these entities", "entities"),
)
GIVEN = ("what the given rule keeps", "given")


class RuleMaker:
    """Strategy and rule; `changed` is called when somebody sets another."""

    def __init__(self, names: Names, given: Any, attempt: Callable[..., None], changed: Callable[[], None]) -> None:
        self._names, self._given = names, given
        rules = RULES if given is None else (GIVEN, *RULES)
        self._strategy = control(
            "Dropdown", "Strategy", "What happens to events that are not kept", options=STRATEGIES, value="retention"
        )
        self._rule = control("Dropdown", "Keep", "What stays as it is", options=rules, width="340px")
        self._value = control(
            "Text", "N, or names", "A number, or kinds or entities with commas between", value="1", width="220px",
            continuous_update=False,
        )  # fmt: skip
        self._causes = control("Checkbox", "and their causes", "Back to the roots: no cause is left dangling")
        self._whole = control("Checkbox", "and whole correlations", "All events of a correlation of which any stays")
        self._heads = control("Checkbox", "and heads of chains", "The last event of each entity and lane")
        for one in (self._strategy, self._rule, self._value, self._causes, self._whole, self._heads):
            one.observe(lambda _: attempt(changed), "value")

    @property
    def parts(self) -> list[Any]:
        """The controls, in the order in which they are read."""
        return [row(self._strategy, self._rule, self._value), row(self._causes, self._whole, self._heads)]

    @property
    def strategy(self) -> Any:
        """What happens to events that are not kept."""
        return self._strategy.value

    def made(self) -> tuple[Any, str]:
        """The rule and its code; None and no code for a merge. Raises `ValueError` for what makes none."""
        merge = self.strategy == "merge"
        for one in (self._rule, self._value, self._causes, self._whole, self._heads):
            one.disabled = merge
        self._value.disabled = merge or self._rule.value == "given"
        if merge:
            return None, ""
        rule, code = self._base()
        if self._heads.value:
            rule, code = rule | keep.chain_heads(), f"{code} | bp.keep.chain_heads()"
        if self._whole.value:
            rule, code = keep.whole_correlations(rule), f"bp.keep.whole_correlations({code})"
        if self._causes.value:
            rule, code = keep.with_causes(rule), f"bp.keep.with_causes({code})"
        return rule, code

    def _base(self) -> tuple[Any, str]:
        kind, text = self._rule.value, self._value.value.strip()
        words = [word.strip() for word in text.split(",") if word.strip()]
        if kind == "given":
            return keep.as_rule(self._given), "keep"
        if kind == "last":
            return keep.last_n_per_entity(_number(text, int)), f"bp.keep.last_n_per_entity({_number(text, int)})"
        if kind == "newer":
            days = _number(text, float)
            return keep.newer_than(timedelta(days=days)), f"bp.keep.newer_than(timedelta(days={days:g}))"
        if not words:
            raise ValueError("Nothing would be kept. Name kinds or entities, with commas between.")
        if kind == "entities":
            return keep.entities(*words), f"bp.keep.entities({', '.join(map(repr, words))})"
        kinds = [kind_number(word, self._names) for word in words]
        return keep.kinds(*kinds), f"bp.keep.kinds({', '.join(f'0x{one:04X}' for one in kinds)})"


def _number(text: str, kind: Any) -> Any:
    try:
        found = kind(text)
    except ValueError:
        found = -1
    if not 0 <= found < 1e9:
        raise ValueError(f"{text!r} is no number from 0 on. Give N as one.")
    return found
