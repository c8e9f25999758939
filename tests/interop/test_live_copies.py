"""Copies made while the reference writes, rotates and compacts: each is the store as the reader showed it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import batpak_analytics as bp
from batpak_analytics.errors import ViewExpiredError
from tests.interop.compare import assert_store_equals
from tests.interop.oracle import Oracle
from tests.interop.test_live import first_line

EVENTS = 4_000


def shown(store: Any) -> list[tuple[int, bytes, bytes]]:
    """Number, id and payload of every event."""
    columns = ["global_sequence", "event_id", "payload"]
    table = bp.scan_batpak(store, columns=columns, payload="binary", system=True).to_arrow()
    return list(zip(*(table.column(name).to_pylist() for name in columns), strict=True))


@pytest.mark.parametrize("kind", ["snapshot", "fork"])
@pytest.mark.parametrize("options", [{}, {"fences": 1}, {"compact_at": "600,1200,1800,2400,3000"}], ids=str)
def test_copies_beside_a_writer_are_what_the_reader_shows(
    oracle: Oracle, tmp_path: Path, kind: str, options: dict[str, Any]
) -> None:
    store, number, cut = tmp_path / "store", 0, 0
    with oracle.live(store, events=EVENTS, segment_bytes=30_000, pause_us=300, **options) as process:
        first_line(process)
        while process.poll() is None:
            number += 1
            copy = tmp_path / f"copy-{number}"
            with bp.open_reader(store) as reader:
                before = {path.name for path in tmp_path.iterdir()}
                try:
                    report = getattr(reader, kind)(copy)
                    expected = shown(reader)
                except ViewExpiredError:  # of a file that a compaction took away, and that was not mapped
                    assert {path.name for path in tmp_path.iterdir()} in (before, before | {copy.name})
                    shutil.rmtree(copy, ignore_errors=True)
                    continue
            cut += sum(one.new_footer for one in report.files)
            assert shown(copy) == expected
            assert report.events == len(expected)
            if number % 4 == 1:
                assert_store_equals(copy, oracle.dump(copy))
                oracle.append(copy, seed=number, events=5, segment_bytes=30_000)
                with bp.Store.open(copy):
                    pass
                assert_store_equals(copy, oracle.dump(copy))
            shutil.rmtree(copy)
    assert process.returncode == 0
    assert number > 2 and cut > 2
    assert_store_equals(store, oracle.dump(store))
