"""What every layer raises and passes on."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys

import pytest

from batpak_analytics import errors, model
from batpak_analytics.errors import BatpakError, EventNotFoundError, FormatError, UnknownColumnError
from batpak_analytics.format import layout

EVERY_ERROR = sorted(
    (item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, BatpakError)),
    key=lambda item: item.__name__,
)


@pytest.mark.parametrize("kind", EVERY_ERROR)
def test_errors_carry_their_evidence_through_a_worker_process(kind: type[BatpakError]) -> None:
    error = kind("It broke. Mend it.", path="p", segment_id=3, offset=57, expected=1, actual=2)
    for found in (error, pickle.loads(pickle.dumps(error))):
        assert str(found).startswith("It broke. Mend it.")
        assert (found.path, found.segment_id, found.offset) == ("p", 3, 57)
        assert (found.expected, found.actual) == (1, 2)
    assert kind.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        ("StoreNotFoundError", FileNotFoundError),
        ("StorePermissionError", PermissionError),
        ("NotAStoreError", ValueError),
        ("FormatError", ValueError),
        ("EventNotFoundError", KeyError),
        ("ResultTooLargeError", MemoryError),
        ("AnchorError", ValueError),
        ("CompactionPlanError", ValueError),
        ("PlanOutgrownError", ValueError),
        ("MissingExtraError", ImportError),
        ("UnknownColumnError", ValueError),
    ],
)
def test_errors_are_caught_by_the_builtin_a_caller_expects(kind: str, builtin: type[Exception]) -> None:
    assert issubclass(getattr(errors, kind), builtin)


def test_a_missing_event_is_not_reported_in_quotes() -> None:
    assert str(EventNotFoundError("No event has that id. Check it.")) == "No event has that id. Check it."


def test_a_format_error_says_what_where_and_what_next() -> None:
    error = FormatError("bad magic", offset=4, expected="FBAT", actual="ABCD")
    assert error.reason == "bad magic"
    assert str(error).startswith("bad magic at byte 4 (expected FBAT, found ABCD). ")


def test_an_unknown_column_names_its_neighbours() -> None:
    error = UnknownColumnError.for_name("entty", ["entity", "scope"])
    assert error.suggestions == ("entity",)
    assert "Did you mean 'entity'?" in str(error)
    assert ".schema" in str(UnknownColumnError.for_name("zzz", ["entity"]))
    assert pickle.loads(pickle.dumps(error)).suggestions == ("entity",)


def event(kind: int) -> model.Event:
    return model.Event(
        event_id=bytes(12) + b"\xde\xad\xbe\xef",
        correlation_id=bytes(16),
        causation_id=bytes(12) + b"\x01\x02\x03\x04",
        timestamp_us=0,
        position=model.Position(0, lane=3, clock=9),
        payload_size=0,
        kind=model.EventKind(kind),
        flags=0,
        content_hash=bytes(32),
        payload_version=0,
        payload_encryption=None,
        payload=b"\x80",
        hash_chain=model.HashChain(bytes(32), b"\xab" * 32),
        entity="order:1",
        scope="shop",
    )


def test_model_and_layout_agree_on_what_a_marker_is() -> None:
    marked = {kind for kind in (*layout.KIND_NAMES, 0, 0xF101) if event(kind).is_marker}
    assert marked == layout.MARKER_KINDS == model._MARKER_KINDS


def test_an_event_is_shown_in_one_line() -> None:
    assert repr(event(0xF101)) == (
        "Event(…deadbeef, 'order:1' @ 'shop', kind=0xF101, clock=9, lane=3, cause=…01020304, 1 bytes)"
    )
    assert repr(event(1).hash_chain) == "HashChain(prev=00000000, event=abababab)"
    assert str(event(1).coordinate) == "order:1@shop"
    assert event(1).extensions == {}


@pytest.mark.parametrize("payload", [7, None, {"v": 1}])
def test_an_event_with_a_decoded_payload_is_shown_too(payload: object) -> None:
    assert f"payload={payload!r}" in repr(dataclasses.replace(event(0xF101), payload=payload))


def test_a_kind_splits_into_category_and_type() -> None:
    kind = model.EventKind(0xD007)
    assert (kind.category, kind.type_id, kind.is_reserved) == (0xD, 7, True)
    assert (repr(kind), str(kind)) == ("EventKind(0xD007)", "0xD007")
    assert not model.EventKind(0xF101).is_reserved
    assert pickle.loads(pickle.dumps(kind)) == kind


def test_errors_and_model_load_nothing_heavy() -> None:
    code = (
        "import sys, batpak_analytics.errors, batpak_analytics.model;"
        "print([m for m in ('numpy', 'pyarrow', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
