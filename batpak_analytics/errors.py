"""Every exception and warning of the package, one tree.

::

    BatpakError
    ├── StoreNotFoundError        (FileNotFoundError)  the path does not exist
    ├── NotAStoreError            (ValueError)         a path without segment files
    ├── StorePermissionError      (PermissionError)    the path may not be read
    ├── FormatError               (ValueError)         bytes that are not what the format says
    │   ├── TruncatedError                             they end too early
    │   └── LimitError                                 they claim more than the format allows
    ├── CorruptError                                   damage in a named file
    │   ├── CorruptSegmentError
    │   ├── CorruptFrameError
    │   ├── CrcMismatchError
    │   └── SidecarCorruptError
    │       ├── HiddenRangesCorruptError
    │       ├── MarkerCorruptError
    │       └── KeysetCorruptError
    ├── FutureVersionError                             written by a newer batpak
    ├── EventNotFoundError        (KeyError)
    ├── PayloadEncryptedError                          the key is needed and is not here
    ├── PayloadUndecodableError                        the payload has no JSON reading
    ├── ViewExpiredError                               files changed under an open view
    ├── ResultTooLargeError       (MemoryError)
    ├── StoreLockedError                               another writer owns the directory
    ├── StoreNeedsRepairError                          writing on would endanger events that are there
    ├── StoreEncryptedError                            the store seals payloads, and appends would not
    ├── StoreClosedError                               the store was closed, or stopped by a failure
    ├── AppendRefusedError        (ValueError)         an event that batpak does not take; nothing was written
    ├── AppendFrameError                               a table of which only the first batches were appended
    ├── ClockMismatchError                             the lane has moved on; nothing was written
    ├── FenceActiveError                               a fence is open, and the append is not submitted to it
    ├── FenceEndedError                                the visibility fence was committed or cancelled before
    ├── WriteFailedError          (OSError)            the disk refused, and the writer has stopped
    ├── CopyRefusedError          (ValueError)         a destination or a store that is not copied; nothing was touched
    ├── CopyFailedError           (OSError)            the disk refused in the middle of a copy
    ├── ImportStoppedError                             an import of which only the first chunks were appended
    ├── WaitTimeoutError          (TimeoutError)       what was waited for did not happen in time; nothing is undone
    ├── PayloadDeclarationError   (TypeError)          a class or step that cannot be registered as a payload's
    ├── PayloadRegistryError                           registered payload types that contradict each other
    │   ├── PayloadCollisionError                      two types for one kind
    │   └── UpcastChainError                           old versions that no chain of steps brings up to date
    ├── TypedDecodeError          (ValueError)         an event that does not become the payload type asked for
    │   ├── PayloadKindError                           it is of another kind
    │   ├── PayloadVersionError                        it was written by a newer version of the type
    │   ├── UpcastError                                a step is missing or failed, or its result does not fit
    │   └── PayloadMismatchError                       its bytes do not fit the type
    ├── ProjectionDeclarationError (TypeError)         an object that is no projection
    ├── ProjectionError                                a projection failed at an event; what was before can be asked
    │   ├── ProjectionStateError                       its state is larger than it declares
    │   └── ProjectionRunError                         a run with a report failed, and here is the report
    ├── IllegalTransitionError    (ValueError)         an event that a state machine does not allow
    ├── CompactionPlanError       (ValueError)         a file that is no plan, or a plan that cannot be applied
    │   └── PlanOutgrownError                          its source segments are no longer those it was made for
    ├── AnchorError               (ValueError)         a checkpoint or proof that is none, or that nobody vouches for
    ├── MissingExtraError         (ImportError)
    └── UnknownColumnError        (ValueError)

    BatpakWarning (UserWarning)
    ├── BatpakDamageWarning                            something in the store was skipped or repaired
    └── PerformanceWarning                             a slower path was taken
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from os import PathLike
from typing import Any


class BatpakError(Exception):
    """Root of everything the package raises for a store; the evidence is in attributes.

    ``path``, ``segment_id``, ``offset`` (bytes from the start of the file), ``expected`` and
    ``actual`` are None where they do not apply. The last sentence of the message says what to do next.
    """

    path: Any = None
    segment_id: int | None = None
    offset: int | None = None
    expected: object = None
    actual: object = None

    def __init__(
        self,
        message: str = "",
        *,
        path: str | PathLike[str] | None = None,
        segment_id: int | None = None,
        offset: int | None = None,
        expected: object = None,
        actual: object = None,
    ) -> None:
        super().__init__(message)
        self.path = path
        self.segment_id = segment_id
        self.offset = offset
        self.expected = expected
        self.actual = actual

    def __str__(self) -> str:
        # KeyError would quote the message and OSError would try to print an errno.
        return str(self.args[0]) if self.args else ""


class StoreNotFoundError(BatpakError, FileNotFoundError):
    """The path given does not exist."""


class NotAStoreError(BatpakError, ValueError):
    """The path exists but is not a directory with segment files."""


class StorePermissionError(BatpakError, PermissionError):
    """The operating system refuses to let this process read the store."""


class FormatError(BatpakError, ValueError):
    """Bytes that are not what the format says; ``offset`` counts from the start of the buffer.

    ``reason`` is a short phrase without position, which the engine reuses when it names the file.
    """

    advice = "Read the store through open_reader(), whose findings name the damaged file."

    def __init__(
        self,
        reason: str = "",
        *,
        path: str | PathLike[str] | None = None,
        segment_id: int | None = None,
        offset: int | None = None,
        expected: object = None,
        actual: object = None,
    ) -> None:
        super().__init__(reason, path=path, segment_id=segment_id, offset=offset, expected=expected, actual=actual)
        self.reason = reason

    def __str__(self) -> str:
        where = "" if self.offset is None else f" at byte {self.offset}"
        seen = "" if self.expected is None else f" (expected {self.expected}, found {self.actual})"
        return f"{self.reason}{where}{seen}. {self.advice}"


class TruncatedError(FormatError):
    """The buffer ends before the value does."""


class LimitError(FormatError):
    """The bytes claim a size, count or depth above the format's limit; nothing was allocated."""


class CorruptError(BatpakError):
    """Damage in a named file of the store."""


class CorruptSegmentError(CorruptError):
    """A segment file whose header, footer or frames contradict each other."""


class CorruptFrameError(CorruptError):
    """A frame whose length or body is not possible."""


class CrcMismatchError(CorruptError):
    """A frame whose bytes do not give the stored CRC-32."""


class SidecarCorruptError(CorruptError):
    """A file beside the segments that cannot be read as what its name says."""


class HiddenRangesCorruptError(SidecarCorruptError):
    """``visibility_ranges.fbv`` is damaged, so which events are hidden is unknown."""


class MarkerCorruptError(SidecarCorruptError):
    """``compaction.pending.json`` is damaged or names missing segments (reference: DataDirMalformed)."""


class KeysetCorruptError(SidecarCorruptError):
    """``keyset.fbatk`` is damaged, so lost keys cannot be told from shredded ones."""


class FutureVersionError(BatpakError):
    """A file written by a newer format version than this package reads."""


class EventNotFoundError(BatpakError, KeyError):
    """No visible event has the id asked for."""


class PayloadEncryptedError(BatpakError):
    """The payload is ciphertext and no key opens it here."""


class PayloadUndecodableError(BatpakError):
    """The stored payload has no JSON reading; its bytes are still available raw."""


class ViewExpiredError(BatpakError):
    """Segment files of an open view were replaced or removed, as a compaction does."""


class ResultTooLargeError(BatpakError, MemoryError):
    """The result asked for would not fit in memory; it was refused before it was built."""


class StoreLockedError(BatpakError):
    """Another writer, in Rust or Python, owns the directory."""


class StoreNeedsRepairError(BatpakError):
    """The store ends in, or holds, something that a new segment behind it would turn into a loss."""


class StoreEncryptedError(BatpakError):
    """The store seals payloads with keys; plaintext events beside them were not asked for."""


class StoreClosedError(BatpakError):
    """The store was closed, or a failed write stopped it; nothing was written."""


class AppendRefusedError(BatpakError, ValueError):
    """An event outside the limits of batpak; nothing was written."""


class AppendFrameError(BatpakError):
    """A table of which only the first batches, or none, were appended; the cause is in ``__cause__``.

    ``appended`` is the `AppendedFrame` of those batches, all of them on disk; ``row`` is the row that was refused,
    counted from 0, or None where it was not about a row.
    """

    def __init__(self, message: str = "", *, appended: Any = None, row: int | None = None, **evidence: Any) -> None:
        super().__init__(message, **evidence)
        self.appended = appended
        self.row = row


class ClockMismatchError(BatpakError):
    """The latest clock of the (entity, lane) is ``actual``, not ``expected``; nothing was written."""


class FenceActiveError(BatpakError):
    """A visibility fence is open, and the store takes no append that is not submitted to it."""


class FenceEndedError(BatpakError):
    """The visibility fence was committed or cancelled before; nothing was written."""


class WriteFailedError(BatpakError, OSError):
    """A write or sync failed, and the writer has stopped.

    Events up to ``durable_sequence`` are on disk (None: none is known to be). Those after it, up to
    ``written_sequence``, were accepted and may be lost if the machine stops before the file system recovers.
    """

    def __init__(
        self, message: str = "", *, durable_sequence: int | None = None, written_sequence: int | None = None,
        **evidence: Any,
    ) -> None:  # fmt: skip
        super().__init__(message, **evidence)
        self.durable_sequence = durable_sequence
        self.written_sequence = written_sequence


class CopyRefusedError(BatpakError, ValueError):
    """A snapshot or fork that was not begun: its destination, its room, or the store do not allow it."""


class CopyFailedError(BatpakError, OSError):
    """A snapshot or fork that the disk did not let come to its end; the store is as it was.

    ``path`` is the destination. It does not exist, or, where the message says so, it is whole.
    """


class ImportStoppedError(BatpakError):
    """An import of which only the first chunks were appended; the cause is in ``__cause__``.

    ``report`` is the `ImportReport` of those chunks, all of them on disk. The same import, done again, goes on.
    """

    def __init__(self, message: str = "", *, report: Any = None, **evidence: Any) -> None:
        super().__init__(message, **evidence)
        self.report = report


class WaitTimeoutError(BatpakError, TimeoutError):
    """The mark was at ``actual`` and not at ``expected`` when the time was over; no event was undone."""


class PayloadDeclarationError(BatpakError, TypeError):
    """A payload type or an upcast step that breaks a rule of registration; nothing was registered."""


class PayloadRegistryError(BatpakError):
    """The registered payload types do not go together. ``faults`` lists each, as values."""

    def __init__(self, message: str = "", *, faults: Iterable[Any] = (), **evidence: Any) -> None:
        super().__init__(message, **evidence)
        self.faults = tuple(faults)


class PayloadCollisionError(PayloadRegistryError):
    """Two payload types are registered for one kind (reference: EventPayloadRegistry)."""


class UpcastChainError(PayloadRegistryError):
    """A payload type has older versions that no step lifts (reference: UpcastChainIncomplete)."""


class TypedDecodeError(BatpakError, ValueError):
    """An event that does not become a value of the payload type asked for; what is stored is intact.

    ``kind``, ``stored_version`` and ``current_version`` are those of the event and of the type.
    """

    def __init__(
        self, message: str = "", *, kind: int | None = None, stored_version: int | None = None,
        current_version: int | None = None, **evidence: Any,
    ) -> None:  # fmt: skip
        super().__init__(message, **evidence)
        self.kind = kind
        self.stored_version = stored_version
        self.current_version = current_version


class PayloadKindError(TypedDecodeError):
    """The event is of another kind than the payload type (reference: KindMismatch)."""


class PayloadVersionError(TypedDecodeError):
    """The event was written by a newer version of the payload type (reference: FutureVersion)."""


class UpcastError(TypedDecodeError):
    """A step towards the current version is missing or failed, or what came out does not fit the type.

    ``from_version`` is the version that the step lifts; the step's own exception is the cause.
    """

    def __init__(self, message: str = "", *, from_version: int | None = None, **evidence: Any) -> None:
        super().__init__(message, **evidence)
        self.from_version = from_version


class PayloadMismatchError(TypedDecodeError):
    """The stored bytes do not fit the payload type (reference: DecodeFailure)."""


class ProjectionDeclarationError(BatpakError, TypeError):
    """An object that is no projection, or whose `kinds`, `entity` or `version` is none; nothing was folded."""


class ProjectionError(BatpakError):
    """A projection raised, or returned None, at an event; its own exception is the cause.

    ``position`` is how many events were folded with this one, ``event_id`` (bytes), ``global_sequence``, ``entity`` and
    ``kind`` are those of the event, and ``state`` is the last good state, before it. All are None where no event was
    at hand.
    """

    def __init__(
        self, message: str = "", *, position: int | None = None, event_id: bytes | None = None,
        global_sequence: int | None = None, entity: str | None = None, kind: int | None = None, state: Any = None,
        **evidence: Any,
    ) -> None:  # fmt: skip
        super().__init__(message, **evidence)
        self.position = position
        self.event_id = event_id
        self.global_sequence = global_sequence
        self.entity = entity
        self.kind = kind
        self.state = state


class ProjectionStateError(ProjectionError):
    """A state with ``actual`` entries where the projection declares at most ``expected``; None where it cannot be told.

    (Reference: ProjectionStateBoundExceeded, ProjectionStateExtentUnavailable.)
    """


class ProjectionRunError(ProjectionError):
    """`project_run` failed: its cause is the error, and ``report`` the evidence that it failed.

    Where an event was at fault, the attributes of `ProjectionError` name it.
    """

    def __init__(self, message: str = "", *, report: Any = None, **evidence: Any) -> None:
        super().__init__(message, **evidence)
        self.report = report


class IllegalTransitionError(BatpakError, ValueError):
    """An event that a `StateMachine` does not allow where it stands: in ``state``, at ``signal``.

    A replay gives it as the cause of a `ProjectionError`, which names the event.
    """

    def __init__(self, message: str = "", *, state: Any = None, signal: Any = None, **evidence: Any) -> None:
        super().__init__(message, **evidence)
        self.state = state
        self.signal = signal


class CompactionPlanError(BatpakError, ValueError):
    """A file that is damaged, of a newer version or no compaction plan; or a plan that is not one to be applied."""


class PlanOutgrownError(CompactionPlanError):
    """The source segments of a compaction plan are no longer those it was made for; ``changes`` lists how."""

    def __init__(self, message: str = "", *, changes: Iterable[str] = (), **evidence: Any) -> None:
        super().__init__(message, **evidence)
        self.changes = tuple(changes)


class AnchorError(BatpakError, ValueError):
    """A checkpoint, proof, bridge or leaf file that is none, that does not fit, or whose signature does not hold."""


class MissingExtraError(BatpakError, ImportError):
    """An optional dependency is not installed; the message names the extra to install."""


class UnknownColumnError(BatpakError, ValueError):
    """A column name that the store does not have; ``suggestions`` holds the nearest that it has."""

    def __init__(self, message: str = "", *, suggestions: Iterable[str] = (), **evidence: Any) -> None:
        super().__init__(message, **evidence)
        self.suggestions = tuple(suggestions)

    @classmethod
    def for_name(cls, name: str, known: Iterable[str]) -> UnknownColumnError:
        """The error for one unknown name, with up to three near names from ``known``."""
        near = difflib.get_close_matches(name, list(known), n=3)
        hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else "List the columns with .schema."
        return cls(f"There is no column {name!r}. {hint}", suggestions=near, actual=name)


class BatpakWarning(UserWarning):
    """Root of the package's warnings."""


class BatpakDamageWarning(BatpakWarning):
    """Part of the store is damaged; what was read is right, and something may be missing."""


class PerformanceWarning(BatpakWarning):
    """The answer is the same, but a slower path gave it."""
