"""Steps that lift a decoded payload by one version, and their chain; what is stored never changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from batpak_analytics.errors import UpcastError
from batpak_analytics.model import EventKind

StepFunction = Callable[[Any], Any]
Steps = Mapping[tuple[int, int], "Step"]


@dataclass(frozen=True, slots=True)
class Step:
    """One registered function, and where it was defined.

    `replaceable`: its payload type was defined anew since. `run` is the import that ran the definition: importing a
    module again gives it another one.
    """

    function: StepFunction
    run: Any
    replaceable: bool = False

    @classmethod
    def of(cls, function: StepFunction) -> Step:
        """The step that this function is, defined just now."""
        return cls(function, _run(function))

    def may_give_way_to(self, function: StepFunction) -> bool:
        """Whether `function` is this step run again, in a notebook or by a reload, rather than a second one.

        The same name at the same line, or from another import, or under another file name: a notebook gives an edited
        cell a new one, and a file keeps its own.
        """
        if self.replaceable or function is self.function:
            return True
        old, new = _origin(self.function), _origin(function)
        if old is None or new is None:
            return False
        again = self.run is not _run(function) or old.file != new.file or old.line == new.line
        return old.name == new.name and again


class _Origin(NamedTuple):
    name: str
    file: str
    line: int


def _run(function: Any) -> Any:
    return getattr(function, "__globals__", {}).get("__spec__")


def _origin(function: Any) -> _Origin | None:
    """Where a function was defined; None for other callables."""
    code = getattr(function, "__code__", None)
    if code is None:
        return None
    return _Origin(f"{function.__module__}.{function.__qualname__}", code.co_filename, code.co_firstlineno)


def lift(steps: Steps, kind: EventKind, value: Any, stored: int, current: int) -> Any:
    """`value`, of version `stored`, brought to version `current` step by step. Raises `UpcastError`."""
    for version in range(stored, current):
        evidence: dict[str, Any] = {
            "kind": kind, "stored_version": stored, "current_version": current, "from_version": version,
        }  # fmt: skip
        step = steps.get((kind, version))
        if step is None:
            raise UpcastError(
                f"No step lifts kind {kind} from version {version}, on the way from {stored} to {current}. "
                f"Register one with @upcast(..., from_version={version}).",
                **evidence,
            )
        try:
            value = step.function(value)
        except Exception as error:
            raise UpcastError(
                f"The step that lifts kind {kind} from version {version} failed: {type(error).__name__}: {error}. "
                f"Mend the step; the stored event is intact.",
                **evidence,
            ) from error
        if value is None:
            raise UpcastError(
                f"The step that lifts kind {kind} from version {version} returned None. Return the lifted value.",
                **evidence,
            )
    return value
