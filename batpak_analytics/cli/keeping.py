"""``--keep NAME=VALUE`` as a rule of ``bp.keep``; several are kept by any of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from batpak_analytics.compaction import keep, rules
from batpak_analytics.compaction.rules import Rule

_AGE = re.compile(r"(\d{1,9})(w|d|h|m|s)")
_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_CONDITION = re.compile(r"\s*(?P<column>[^<>=!]+?)\s*(?P<operator><=|>=|!=|=|<|>)\s*(?P<value>.*)", re.DOTALL)
FORMS = "kinds=0x1001,0x1002 | entities=order,user:7 | last=5 | newer-than=30d | where='payload.total > 0' | @rule.json"


def rule_of(given: Sequence[str], *, causes: bool = False, correlations: bool = False) -> Rule | None:
    """The rule that the words of the command line make, None for none; `ValueError` for words that make none."""
    if not given:
        return None
    made = [_one(text) for text in given]
    rule = made[0] if len(made) == 1 else keep.any_of(*made)
    if correlations:
        rule = keep.whole_correlations(rule)
    return keep.with_causes(rule) if causes else rule


def _one(text: str) -> Rule:
    if text.startswith("@"):
        return rules.rule_from_json(json.loads(Path(text[1:]).read_text(encoding="utf-8")))
    if text.startswith("not:"):
        return keep.not_(_one(text[4:]))
    name, equals, value = text.partition("=")
    make = _FORMS.get(name)
    if make is None or (not equals and name not in _BARE):
        raise ValueError(f"--keep {text!r} is no rule. Write {FORMS}")
    return make(value)


def _kinds(text: str) -> Rule:
    try:
        return keep.kinds(*(int(one, 0) for one in text.split(",")))
    except ValueError as error:
        raise ValueError(f"--keep kinds={text}: {error}. Write kinds=0x1001,0x1002") from error


def _last(text: str) -> Rule:
    if not re.fullmatch(r"\d{1,18}", text):
        raise ValueError(f"--keep last={text} is no count. Write last=5 for the last 5 of each entity")
    return keep.last_n_per_entity(int(text))


def _newer(text: str) -> Rule:
    """An age, a sequence in digits, or a time."""
    age = _AGE.fullmatch(text)
    if age:
        return keep.newer_than(timedelta(**{_UNITS[age[2]]: int(age[1])}))
    return keep.newer_than(int(text) if re.fullmatch(r"\d{1,19}", text) else text)


def _where(text: str) -> Rule:
    found = _CONDITION.fullmatch(text)
    if not found:
        raise ValueError(f"--keep where={text}: write where='COLUMN OPERATOR VALUE', such as where='payload.total > 0'")
    return keep.where([(found["column"], found["operator"], _value(found["value"]))])


def _value(text: str) -> Any:
    """A number, true, false, null or a text in quotes as JSON has them; anything else as it stands."""
    try:
        return json.loads(text)
    except ValueError:
        return text


_FORMS: dict[str, Callable[[str], Rule]] = {
    "kinds": _kinds,
    "entities": lambda text: keep.entities(*text.split(",")),
    "last": _last,
    "newer-than": _newer,
    "where": _where,
    "chain-heads": lambda _: keep.chain_heads(),
}
_BARE = ("chain-heads",)
