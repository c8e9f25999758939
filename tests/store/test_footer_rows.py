"""Footer rows that were given out stay as they were, whatever is written behind them or after them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

import batpak_analytics as bp
from batpak_analytics.format.layout import FOOTER_DTYPE, FOOTER_ENTRY_SIZE
from batpak_analytics.store.footer_rows import FooterRows


def packed(count: int, mark: int) -> bytes:
    return bytes([mark % 251 + 1]) * (FOOTER_ENTRY_SIZE * count)


@given(st.lists(st.tuples(st.integers(0, 400), st.booleans(), st.booleans()), max_size=20))
def test_arrays_never_change_and_rows_are_what_was_added(steps: list[tuple[int, bool, bool]]) -> None:
    rows, expected, given_out = FooterRows(), b"", []
    for mark, (count, look, forget) in enumerate(steps):
        rows += packed(count, mark)
        expected += packed(count, mark)
        if look:
            given_out.append((rows.array, expected))
        if forget:
            del given_out[:1]
        assert len(rows) == len(expected) // FOOTER_ENTRY_SIZE
        assert all(array.tobytes() == bytes_then for array, bytes_then in given_out)
    assert rows.array.dtype == FOOTER_DTYPE and rows.array.tobytes() == expected


def test_the_next_segment_never_writes_over_rows_that_are_looked_at() -> None:
    rows = FooterRows()
    rows += packed(1000, 1)
    ids = rows.array["event_id"][5:7]
    before = ids.tobytes()
    following = rows.emptied()
    assert len(following) == 0
    following += packed(1000, 2)
    assert ids.tobytes() == before
    del ids
    again = following.emptied()
    again += packed(2, 3)
    assert len(again) == 2 and again.array.tobytes() == packed(2, 3)


def test_a_snapshot_from_before_a_rotation_shows_the_rows_of_then(tmp_path: Path) -> None:
    table = pa.table({"order": [f"o{number % 7}" for number in range(500)], "n": np.arange(500)})
    with bp.Store.open(tmp_path / "s", config=bp.StoreConfig(segment_max_bytes=100_000)) as store:
        snapshots = []
        for _ in range(8):
            store.append_frame(table, entity="order", scope="shop", kind=0x1001)
            segments = store._snapshot().segments
            snapshots.append([(one.rows, one.rows.tobytes()) for one in segments])
        assert len(segments) > 3
        for snapshot in snapshots:
            assert all(rows.tobytes() == then for rows, then in snapshot)
    sequences = bp.scan_batpak(tmp_path / "s", columns=["global_sequence"]).to_arrow()["global_sequence"].to_numpy()
    assert len(sequences) == 4000 and bool((np.diff(sequences.astype(np.int64)) == 1).all())
