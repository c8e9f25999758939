"""An append that is tried again with its key is not done twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import batpak_analytics as bp
from batpak_analytics.errors import AppendRefusedError, FutureVersionError
from batpak_analytics.format.sidecars import idempotency
from batpak_analytics.format.sidecars.envelope import close_envelope
from batpak_analytics.store.config import StoreConfig
from batpak_analytics.store.idempotency import IdempotencyKey
from batpak_analytics.store.items import BatchItem
from batpak_analytics.store.store import Store

KIND = 0x1001
KEY = IdempotencyKey.for_operation("test", ["one"])
OTHER = IdempotencyKey.for_operation("test", ["other"])


def count(path: Path) -> int:
    return bp.scan_batpak(path).count()


def keyed(store: Store, key: Any = KEY, **options: Any) -> Any:
    return store.append("e", "s", KIND, {"n": 1}, idempotency_key=key, **options)


@pytest.mark.parametrize("end", ["close", "drop"])
def test_key_is_known_in_this_session_and_in_the_next(tmp_path: Path, end: str) -> None:
    store = Store.open(tmp_path, config=StoreConfig(segment_max_bytes=1000))
    first = keyed(store)
    assert (first.event_id, first.replayed) == (KEY, False)
    for number in range(5):
        store.append("e", "s", KIND, number)
    again = keyed(store)
    assert (again.replayed, again.global_sequence, again.offset) == (True, first.global_sequence, first.offset)
    getattr(store, end)()
    with Store.open(tmp_path) as store:
        later = keyed(store)
        assert later.replayed and later.durable
        assert (later.global_sequence, later.clock, later.content_hash) == (1, 0, first.content_hash)
        assert not keyed(store, OTHER).replayed
    assert count(tmp_path) == 7


def test_lost_list_is_made_up_for_by_the_events(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        keyed(store)
    (tmp_path / "index.idemp").write_bytes(b"FBATID\x01\x00 nonsense")
    with Store.open(tmp_path) as store:
        assert keyed(store).replayed
    assert KEY not in [one.key for one in idempotency.decode((tmp_path / "index.idemp").read_bytes())]


def test_key_outlives_its_event(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        keyed(store)
    history = (tmp_path / "index.idemp").read_bytes()
    other = tmp_path / "compacted"
    with Store.open(other) as store:
        store.append("e", "s", KIND, 0)
    (other / "index.idemp").write_bytes(history)
    with Store.open(other) as store:
        again = keyed(store)
    assert (again.replayed, again.clock, again.global_sequence) == (True, None, 1)


def test_key_comes_before_the_expected_clock(tmp_path: Path) -> None:
    """Trap T28: in 0.9.0 the retry of a keyed append with an expected clock fails."""
    with Store.open(tmp_path) as store:
        keyed(store, expected_clock=-1)
        assert keyed(store, expected_clock=-1).replayed


def test_id_of_any_event_is_a_used_key(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        assert not keyed(store).replayed
        plain = store.append("e", "s", KIND, 2)
        assert keyed(store, plain.event_id).global_sequence == plain.global_sequence
        newer = store.append("e", "s", KIND, 3)
        assert keyed(store, newer.event_id).global_sequence == newer.global_sequence


def test_batch_is_repeated_as_a_whole_or_refused(tmp_path: Path) -> None:
    def items(*keys: bytes | None) -> list[BatchItem]:
        return [BatchItem("e", "s", KIND, n, idempotency_key=key) for n, key in enumerate(keys)]

    with Store.open(tmp_path) as store:
        first = store.append_batch(items(KEY, OTHER))
        again = store.append_batch(items(OTHER, KEY))
        assert [one.event_id for one in again] == [OTHER, KEY]
        assert all(one.replayed for one in again) and not any(one.replayed for one in first)
        for keys in ((KEY, None), (KEY, bytes([1]) * 16), (bytes([2]) * 16,) * 2):
            with pytest.raises(AppendRefusedError, match="key"):
                store.append_batch(items(*keys))
        with pytest.raises(AppendRefusedError, match="zero"):
            keyed(store, bytes(16))
    assert count(tmp_path) == 2


def test_list_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    Store.open(tmp_path).close()
    (tmp_path / "index.idemp").write_bytes(close_envelope(b"FBATID", 2, b"\x90"))
    with pytest.raises(FutureVersionError, match=r"index\.idemp"):
        Store.open(tmp_path)
    (tmp_path / "index.idemp").unlink()
    Store.open(tmp_path).close()


@given(
    st.text(max_size=5), st.lists(st.text(max_size=5), max_size=4), st.text(max_size=5), st.lists(st.text(max_size=5))
)
@settings(max_examples=100)
def test_keys_differ_where_operations_do(domain: str, parts: list[str], other: str, others: list[str]) -> None:
    one, two = IdempotencyKey.for_operation(domain, parts), IdempotencyKey.for_operation(other, others)
    assert len(one) == 16
    assert (one == two) == ((domain, parts) == (other, others))
