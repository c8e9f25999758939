"""What a cancelled fence took back stays hidden; where that is unsure, too much is hidden rather than too little."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from batpak_analytics.engine.visibility import _meets
from batpak_analytics.errors import EventNotFoundError, FutureVersionError, HiddenRangesCorruptError
from batpak_analytics.format.sidecars import visibility
from batpak_analytics.format.sidecars.visibility import HiddenRanges
from batpak_analytics.reader import open_reader
from tests.engine.building import make_event, numbers, rules, three_segments, write_store


def hide(directory: Path, *ranges: tuple[int, int]) -> None:
    (directory / "visibility_ranges.fbv").write_bytes(visibility.encode(HiddenRanges(ranges, {})))


def test_hidden_range_is_hidden_from_every_call(tmp_path: Path) -> None:
    hide(write_store(tmp_path, three_segments()), (2, 4))
    reader = open_reader(tmp_path)
    assert numbers(reader.view) == [0, 1, 4, 5, 6, 7, 8]
    with pytest.raises(EventNotFoundError):
        reader.get(make_event(2).event_id)


def test_hidden_range_in_a_crashed_tail_is_exact(tmp_path: Path) -> None:
    hide(write_store(tmp_path, three_segments(footer=False)), (6, 7))
    view = open_reader(tmp_path).view
    assert numbers(view) == [0, 1, 2, 3, 4, 5, 7, 8]
    assert rules(view) == set()


def test_gap_in_numbers_hides_every_candidate_and_says_so(tmp_path: Path) -> None:
    first, second, third = three_segments()
    shifted = [replace(first, footer=False), replace(second, first_sequence=5), replace(third, first_sequence=8)]
    hide(write_store(tmp_path, shifted), (2, 3))
    view = open_reader(tmp_path).view
    # Three rows for five numbers: each row of the first segment may be the one with number 2.
    assert numbers(view) == [3, 4, 5, 6, 7, 8]
    assert rules(view, "warning") == {"hidden-ambiguous"}


def test_lost_frames_before_a_hidden_range_hide_the_candidates(tmp_path: Path) -> None:
    segments = three_segments(footer=False)
    hide(write_store(tmp_path, segments), (8, 9))
    path = tmp_path / "000003.fbat"
    data = bytearray(path.read_bytes())
    data[segments[2].offsets()[0] + 60] ^= 0xFF
    path.write_bytes(bytes(data))
    view = open_reader(tmp_path).view
    assert numbers(view) == [0, 1, 2, 3, 4, 5, 7]
    assert "hidden-ambiguous" in rules(view, "warning")


def test_hidden_ranges_after_a_compaction_are_told_to_be_unsure(tmp_path: Path) -> None:
    first, _, third = three_segments()
    output = replace(first, footer=False)
    hide(write_store(tmp_path, [output, replace(third, first_sequence=3)]), (1, 2))
    view = open_reader(tmp_path).view
    assert numbers(view) == [0, 2, 6, 7, 8]
    assert rules(view, "warning") == {"hidden-after-compaction"}


@pytest.mark.parametrize("damage", ["short", "magic", "crc", "body"])
def test_corrupt_ranges_fail_closed_in_both_modes(tmp_path: Path, damage: str) -> None:
    hide(write_store(tmp_path, three_segments()), (2, 4))
    path = tmp_path / "visibility_ranges.fbv"
    data = path.read_bytes()
    broken = {"short": data[:9], "magic": b"X" + data[1:], "crc": data[:-1] + b"\x7f", "body": data[:-3]}[damage]
    path.write_bytes(broken)
    for mode in ("report", "raise"):
        with pytest.raises(HiddenRangesCorruptError, match=r"visibility_ranges\.fbv.*Restore"):
            open_reader(tmp_path, on_damage=mode)


def test_ranges_of_a_newer_version_fail_closed(tmp_path: Path) -> None:
    hide(write_store(tmp_path, three_segments()), (2, 4))
    path = tmp_path / "visibility_ranges.fbv"
    data = bytearray(path.read_bytes())
    data[6] = 9
    path.write_bytes(bytes(data))
    with pytest.raises(FutureVersionError, match=r"visibility_ranges\.fbv"):
        open_reader(tmp_path)


def as_nobody(code: str, *modules: str) -> subprocess.CompletedProcess[str]:
    """Run Python as an unprivileged user: the superuser may read everything, which would prove nothing.

    What the code needs is imported before: that user may be kept from the directory that the package is in.
    """
    needed = ", ".join(["reader", "frames.read", "frames.findings", *modules]).replace(" ", " batpak_analytics.")
    preload = f"import batpak_analytics.{needed}\n"
    drop = "import os\nif os.geteuid() == 0:\n    os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
    command = [sys.executable, "-W", "ignore", "-c", preload + drop + code]
    return subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), check=False)


def opened(path: Path) -> Path:
    """Let every user walk to `path`."""
    for parent in [path, *path.parents]:
        if parent.stat().st_uid == os.getuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    return path


def test_unreadable_ranges_fail_closed_for_an_unprivileged_user(tmp_path: Path) -> None:
    hide(write_store(tmp_path, three_segments()), (2, 4))
    opened(tmp_path)
    path = tmp_path / "visibility_ranges.fbv"
    path.chmod(0o000)
    done = as_nobody(f"batpak_analytics.reader.open_reader({str(tmp_path)!r})")
    assert "StorePermissionError" in done.stderr
    assert "visibility_ranges.fbv may not be read" in done.stderr
    assert "chmod" in done.stderr


def test_store_behind_a_closed_directory_may_not_be_reached_by_an_unprivileged_user(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir()
    store = write_store(tmp_path / "closed" / "store", three_segments())
    opened(tmp_path)
    (tmp_path / "closed").chmod(0o000)
    done = as_nobody(f"batpak_analytics.reader.open_reader({str(store)!r})")
    (tmp_path / "closed").chmod(0o700)
    assert "StorePermissionError" in done.stderr
    assert "may not be reached" in done.stderr


def test_unreadable_image_is_only_a_finding_for_an_unprivileged_user(tmp_path: Path) -> None:
    write_store(tmp_path, three_segments())
    opened(tmp_path)
    image = tmp_path / "index.fbati"
    image.write_bytes(b"anything")
    image.chmod(0o000)
    done = as_nobody(
        f"r = batpak_analytics.reader.open_reader({str(tmp_path)!r})\n"
        "print(r.view.event_count, [one.rule for one in r.view.findings])"
    )
    assert done.stdout.strip() == "9 ['image-unusable']", done.stderr


def test_unreadable_directory_is_a_permission_error(tmp_path: Path) -> None:
    store = tmp_path / "store"
    write_store(store, three_segments())
    opened(tmp_path)
    store.chmod(0o000)
    done = as_nobody(f"batpak_analytics.reader.open_reader({str(store)!r})")
    store.chmod(0o755)
    assert "StorePermissionError" in done.stderr


@pytest.mark.parametrize("seed", range(20))
def test_interval_test_equals_counting(seed: int) -> None:
    random = np.random.default_rng(seed)
    ranges = visibility.normalise([(int(a), int(a) + int(b)) for a, b in random.integers(1, 12, (5, 2)) * 4])
    low = random.integers(0, 120, 200)
    high = low + random.integers(0, 6, 200)
    expected = [any(a <= n < b for n in range(x, y + 1) for a, b in ranges) for x, y in zip(low, high, strict=True)]
    assert _meets(low, high, ranges).tolist() == expected
