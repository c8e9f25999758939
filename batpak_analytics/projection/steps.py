"""Ways through a replay: conditions on a part of the state, the next change of one, where events of a sort stand."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from batpak_analytics.projection.parts import MISSING, Keys, get_part, keys_of, named_parts, path_text, same

Positions = npt.NDArray[np.int64]
US_IN_MS: Final = 1000

COMPARISONS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    ">": operator.gt,
}


@dataclass(frozen=True, slots=True)
class Part:
    """A function of a state, made by `part`: the value at the end of some keys, None where there is none."""

    keys: Keys

    def __call__(self, state: Any) -> Any:
        """The part of this state; of all states of a vectorised replay, that of each."""
        found = _columns_of(state, self.keys) if hasattr(state, "iloc") else get_part(state, self.keys)
        return None if found is MISSING else found

    def __repr__(self) -> str:
        return f"bp.part({_written(self.keys)})"


def part(field: Any) -> Part:
    """A question for `Replay.trace` and `changes` that can be printed: a part of the state.

    `field` is a name, names joined by dots, a tuple of keys, or None for the whole state; anything else is a
    `TypeError`.

    >>> import batpak_analytics as bp
    >>> replay = bp.open_reader(bp.demo_store()).replay(bp.Count(by="entity"))
    >>> replay.trace(bp.part("monster:rat"))["value"].tolist()
    [None, None, None, 1, 1]
    """
    return Part(part_keys(field))


@dataclass(frozen=True, slots=True)
class Condition:
    """A function of a state, made by `when`: whether a part of it compares to a value."""

    keys: Keys
    comparison: str
    value: Any

    def __call__(self, state: Any) -> Any:
        """Whether it holds; of all states of a vectorised replay, whether it does for each."""
        if hasattr(state, "iloc"):
            return COMPARISONS[self.comparison](_columns_of(state, self.keys), self.value)
        found = get_part(state, self.keys)
        if found is MISSING:
            return False
        try:
            return bool(COMPARISONS[self.comparison](found, self.value))
        except (TypeError, ValueError):
            return False

    def __repr__(self) -> str:
        return f"bp.when({_written(self.keys)}, {self.comparison!r}, {self.value!r})"


def when(field: Any, comparison: str, value: Any) -> Condition:
    """A question for `Replay.first_where` that can be printed: whether a part of the state compares to a value.

    `field` is as in `part`; `comparison` is one of ``< <= == != >= >``. A part that is not there, or cannot be
    compared, answers no. Raises `ValueError` for another comparison and `TypeError` for another field.

    >>> import batpak_analytics as bp
    >>> replay = bp.open_reader(bp.demo_store()).replay(bp.Count())
    >>> replay.first_where(bp.when(None, ">=", 3)).position
    3
    """
    if comparison not in COMPARISONS:
        raise ValueError(f"comparison={comparison!r}: give one of {' '.join(COMPARISONS)}.")
    return Condition(part_keys(field), comparison, value)


def check_question(predicate: Any) -> None:
    """Raise `TypeError` for what cannot be asked of a state."""
    if not callable(predicate):
        told = "give a function of the state, as lambda state: state['total'] < 0, or bp.when('total', '<', 0)"
        raise TypeError(f"first_where({predicate!r}): {told}.")


def _columns_of(states: Any, keys: Keys) -> Any:
    """The column of a DataFrame of states, or the Series itself where states are values."""
    if not keys and states.ndim == 1:
        return states
    if len(keys) != 1 or states.ndim == 1 or keys[0] not in states:
        raise KeyError(f"{path_text(keys) or 'The whole state'} is no column of this replay. Name one of its columns.")
    return states[keys[0]]


def _written(keys: Keys) -> str:
    """Keys as `part` and `when` take them."""
    if not keys:
        return "None"
    names = all(isinstance(key, str) and key and "." not in key for key in keys)
    return repr(".".join(keys) if names else keys)


def part_keys(field: Any) -> Keys:
    """The keys of a part of a state; None or no keys for all of it."""
    return () if field is None or field == () else keys_of(field)


class NextChange:
    """A question that is true where a part of the state has changed, at one of some positions where these are given."""

    def __init__(self, keys: Keys, copied: Callable[[Any], Any], state: Any, position: int, among: Any) -> None:
        self._keys, self._copied, self._position = keys, copied, position
        self._among = None if among is None else frozenset(among.tolist())
        self._seen = copied(get_part(state, keys))

    def __call__(self, state: Any) -> bool:
        """Whether the next state has the part changed."""
        self._position += 1
        part = get_part(state, self._keys)
        if same(self._seen, part):
            return False
        self._seen = self._copied(part)
        return self._among is None or self._position in self._among


class LastChange(NextChange):
    """A question that is never true, and notes the last position at which it would have been."""

    found: int | None = None

    def __call__(self, state: Any) -> bool:
        """Note it, and go on."""
        if super().__call__(state):
            self.found = self._position
        return False


def parts_of(state: Any, most: int, deepest: int = 3) -> list[tuple[str, Keys, Any]]:
    """The first parts of a state that are no further divided: how one writes each, its keys, and its value."""
    found: list[tuple[str, Keys, Any]] = []
    for keys, value in _parts(state, (), deepest):
        if len(found) == most:
            break
        found.append((path_text(keys), keys, value))
    return found


def count_parts(state: Any, deepest: int = 3) -> int:
    """How many parts `parts_of` gives of a state, where it gives all."""
    return sum(1 for _ in _parts(state, (), deepest))


def _parts(value: Any, keys: Keys, left: int) -> Iterator[tuple[Keys, Any]]:
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        parts: Mapping[Any, Any] | None = dict(enumerate(value))
    else:
        parts = named_parts(value)
    if not parts or not left:
        yield keys, value
        return
    for key, part in parts.items():
        yield from _parts(part, (*keys, key), left - 1)


@dataclass(frozen=True, slots=True)
class Activity:
    """When the events of a replay happened: `counts[i]` of them in the i-th of equal stretches of time.

    `first_ms` and `last_ms` are the earliest and the latest time, in milliseconds since 1970.
    """

    first_ms: int
    last_ms: int
    counts: tuple[int, ...]

    @classmethod
    def of(cls, wall_ms: Any, bins: int) -> Activity:
        """Count times."""
        if not len(wall_ms):
            return cls(0, 0, (0,) * bins)
        first, last = int(wall_ms.min()), int(wall_ms.max())
        # As floats: no overflow where a clock was absurd.
        share = (wall_ms.astype(np.float64) - first) / max(last - first, 1)
        counts = np.bincount(np.minimum((share * bins).astype(np.int64), bins - 1), minlength=bins)
        return cls(first, last, tuple(counts.tolist()))

    def bin_of(self, timestamp_us: int) -> int:
        """In which of the stretches a moment is, given in microseconds."""
        share = (timestamp_us // US_IN_MS - self.first_ms) / max(self.last_ms - self.first_ms, 1)
        return min(max(int(share * len(self.counts)), 0), len(self.counts) - 1)
