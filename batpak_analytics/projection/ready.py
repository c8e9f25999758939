"""Projections that are ready-made: counts, sums, last values, a fold for each group, and state machines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from batpak_analytics.errors import IllegalTransitionError, ProjectionDeclarationError
from batpak_analytics.projection.parts import MISSING, Keys, get_part, keys_of
from batpak_analytics.projection.protocol import Fold, fold_of

S = TypeVar("S")
By = str | Callable[[Any], Any] | None
ATTRIBUTES = frozenset({"entity", "scope", "kind", "correlation_id", "causation_id", "event_id"})


@dataclass(frozen=True)
class Count:
    """How many events there were; with `by`, of each group: a dict.

    `by` is `"entity"`, `"scope"`, `"kind"`, the name of a payload field, or a function of the event.

    Examples
    --------
    >>> import batpak_analytics as bp
    >>> reader = bp.open_reader(bp.demo_store())
    >>> reader.replay(bp.Count(by="entity")).final()
    {'player:alice': 3, 'monster:rat': 1}
    """

    by: By = None
    kinds: Any = None
    entity: str | None = None
    version: int = 0

    @property
    def reads(self) -> Any:
        """That of the groups."""
        return fields_read(self.by)

    def initial(self) -> Any:
        """0, or an empty dict."""
        return 0 if self.by is None else {}

    def apply(self, state: Any, event: Any) -> Any:
        """One more."""
        if self.by is None:
            return state + 1
        group = group_of(self.by, event)
        state[group] = state.get(group, 0) + 1
        return state


@dataclass(frozen=True)
class Sum:
    """The sum of a payload field; with `by`, of each group: a dict. Of a list of fields: a dict by field.

    A field is a name, names joined by dots (`"price.cents"`), or a tuple of keys.

    Events without the field, or with null in it, add nothing. Raises `TypeError` (as `ProjectionError`) where a value
    is no number. Floats are added one by one, in commit order.

    Examples
    --------
    >>> import batpak_analytics as bp
    >>> reader = bp.open_reader(bp.demo_store())
    >>> reader.replay(bp.Sum("hp")).final()
    3
    """

    fields: Any
    by: By = None
    kinds: Any = None
    entity: str | None = None
    version: int = 0
    _keys: dict[Any, Keys] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_keys", keys_by_name(self.fields))

    @property
    def reads(self) -> Any:
        """The fields, and that of the groups."""
        return fields_read(self.by, *self._keys.values())

    def initial(self) -> Any:
        """0, or an empty dict."""
        return {} if self.by is not None else self._zero()

    def _zero(self) -> Any:
        return dict.fromkeys(self._keys, 0) if isinstance(self.fields, list) else 0

    def apply(self, state: Any, event: Any) -> Any:
        """The sum with this event's."""
        if self.by is None:
            return self._added(state, event.payload)
        group = group_of(self.by, event)
        state[group] = self._added(state[group] if group in state else self._zero(), event.payload)
        return state

    def _added(self, total: Any, payload: Any) -> Any:
        for name, keys in self._keys.items():
            value = get_part(payload, keys)
            amount = 0 if value is MISSING or value is None else value
            if not isinstance(self.fields, list):
                return total + amount
            total[name] += amount
        return total


@dataclass(frozen=True)
class Last:
    """The last value that each payload field had: a dict by field; with `by`, of each group.

    `fields` is one field or a list of them, as in `Sum`; None takes all. Null is a value; a field that an event
    does not have keeps the value before.

    Examples
    --------
    >>> import batpak_analytics as bp
    >>> reader = bp.open_reader(bp.demo_store())
    >>> reader.replay(bp.Last(["x", "y"]), entity="player:alice").final()
    {'x': 11, 'y': 20}
    """

    fields: Any = None
    by: By = None
    kinds: Any = None
    entity: str | None = None
    version: int = 0
    _keys: dict[Any, Keys] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_keys", {} if self.fields is None else keys_by_name(self.fields))

    @property
    def reads(self) -> Any:
        """The fields, and that of the groups."""
        return None if self.fields is None else fields_read(self.by, *self._keys.values())

    def initial(self) -> dict[Any, Any]:
        """An empty dict."""
        return {}

    def apply(self, state: dict[Any, Any], event: Any) -> dict[Any, Any]:
        """The state with this event's values."""
        payload = event.payload
        values = state if self.by is None else state.setdefault(group_of(self.by, event), {})
        if self.fields is None:
            if isinstance(payload, Mapping):
                values.update(payload)
            return state
        for name, keys in self._keys.items():
            value = get_part(payload, keys)
            if value is not MISSING:
                values[name] = value
        return state


@dataclass(frozen=True)
class GroupBy(Generic[S]):
    """A projection of its own for each group: a dict from group to state.

    `by` is as in `Count`; the projection's kinds and entity are this one's.

    Examples
    --------
    >>> import batpak_analytics as bp
    >>> reader = bp.open_reader(bp.demo_store())
    >>> reader.replay(bp.GroupBy("scope", bp.Count(by="kind"))).final()
    {'room:dungeon': {EventKind(0xF001): 2, EventKind(0xF002): 1, EventKind(0xF003): 1}}
    """

    by: Any
    projection: Any
    _fold: Fold[S] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.by is None:
            raise ProjectionDeclarationError('GroupBy needs groups: give by="entity", a field, or a function.')
        object.__setattr__(self, "_fold", fold_of(self.projection))

    @property
    def kinds(self) -> Any:
        """Those of the projection."""
        return getattr(self.projection, "kinds", None)

    @property
    def entity(self) -> str | None:
        """That of the projection."""
        return self._fold.entity

    @property
    def version(self) -> int:
        """That of the projection."""
        return self._fold.version

    @property
    def registry(self) -> Any:
        """That of the projection."""
        return self._fold.registry

    def initial(self) -> dict[Any, S]:
        """An empty dict."""
        return {}

    def apply(self, state: dict[Any, S], event: Any) -> dict[Any, S]:
        """The state with the event's group moved on."""
        group = group_of(self.by, event)
        state[group] = self._fold.step(state[group] if group in state else self._fold.initial(), event)
        return state


class IllegalTransition(NamedTuple):
    """An event that a state machine does not allow: where, and the step that was asked for."""

    global_sequence: int
    event_id: bytes
    entity: str
    state: Any
    signal: Any


class MachineState(NamedTuple):
    """Where a state machine stands, and the illegal transitions so far, with `illegal="record"`."""

    state: Any
    illegal: tuple[IllegalTransition, ...] = ()


@dataclass(frozen=True)
class StateMachine:
    """A finite-state machine: which state an event leads to from which, and nothing else.

    `transitions` maps (state, signal) to the next state. The signal of an event is its kind, or what `signal` gives: a
    payload field, or a function of the event. An event whose signal no transition has, in any state, is not the
    machine's and changes nothing; one that is not allowed in the state at hand is illegal. `illegal="raise"` raises
    `IllegalTransitionError`; `"record"` keeps the state and notes the event: states are then `MachineState`. With
    `by="entity"` each entity has a machine of its own.

    Examples
    --------
    >>> import batpak_analytics as bp
    >>> order = bp.StateMachine("new", {("new", 0x1001): "paid", ("paid", 0x1002): "sent"}, by="entity")
    >>> order.initial()
    {}
    """

    start: Any
    transitions: Mapping[tuple[Any, Any], Any]
    signal: By = None
    by: By = None
    illegal: Literal["raise", "record"] = "raise"
    kinds: Any = None
    entity: str | None = None
    version: int = 0
    _signals: frozenset[Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.illegal not in ("raise", "record"):
            raise ProjectionDeclarationError(f'illegal={self.illegal!r}: give "raise" or "record".')
        if not isinstance(self.transitions, Mapping) or not all(
            isinstance(step, tuple) and len(step) == 2 for step in self.transitions
        ):
            raise ProjectionDeclarationError(
                'transitions must map (state, signal) to the next state, as in {("new", 0x1001): "paid"}.'
            )
        object.__setattr__(self, "_signals", frozenset(signal for _, signal in self.transitions))

    def initial(self) -> Any:
        """The first state, or an empty dict of machines."""
        return {} if self.by is not None else self._first()

    def _first(self) -> Any:
        return self.start if self.illegal == "raise" else MachineState(self.start)

    def apply(self, state: Any, event: Any) -> Any:
        """The state after the event."""
        if self.by is None:
            return self._moved(state, event)
        group = group_of(self.by, event)
        state[group] = self._moved(state[group] if group in state else self._first(), event)
        return state

    def _moved(self, state: Any, event: Any) -> Any:
        signal = event.kind if self.signal is None else group_of(self.signal, event)
        at = state.state if self.illegal == "record" else state
        step = (at, signal)
        if step in self.transitions:
            new = self.transitions[step]
            return state._replace(state=new) if self.illegal == "record" else new
        if signal not in self._signals:
            return state
        fault = IllegalTransition(event.global_sequence, event.event_id, event.entity, at, signal)
        if self.illegal == "record":
            return MachineState(at, (*state.illegal, fault))
        raise IllegalTransitionError(
            f"{event.entity!r} is in state {at!r}, from which {_named(signal)} leads nowhere. "
            f'Add the transition, or note such events with illegal="record".',
            state=at,
            signal=signal,
        )


def group_of(by: Any, event: Any) -> Any:
    """What groups an event: one of its attributes, a payload field, or what a function gives."""
    if callable(by):
        return by(event)
    if by in ATTRIBUTES:
        return getattr(event, by)
    value = get_part(event.payload, keys_of(by))
    return None if value is MISSING else value


def _named(signal: Any) -> str:
    return f"kind {signal}" if type(signal).__name__ == "EventKind" else repr(signal)


def fields_read(by: Any, *paths: Any) -> tuple[str, ...] | None:
    """The payload fields that are looked at; None where a function may look at any."""
    if callable(by):
        return None
    grouped = () if by is None or by in ATTRIBUTES else (keys_of(by),)
    names = [keys[0] for keys in (*paths, *grouped)]
    return tuple(names) if all(isinstance(name, str) for name in names) else None


def keys_by_name(given: Any) -> dict[Any, Keys]:
    """The path of each payload field: a name, names joined by dots, a tuple of keys, or a list of these."""
    return {name: keys_of(name) for name in (given if isinstance(given, list) else [given])}
