"""While the writer changes from one segment to the next, a reader beside it meets nothing that looks like damage.

0.9.0 creates the next segment first and then writes the footer of the last one (segments spec 6.10): for a moment the
segment before the highest ends in half a footer.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from batpak_analytics.errors import CorruptFrameError
from batpak_analytics.format.footer import read_footer
from batpak_analytics.reader import open_reader
from tests.engine.building import Segment, make_event, numbers, rules, three_segments, write_store

HEADER = len(Segment(4, footer=False).to_bytes())


def rotating(directory: Path, *, footer_bytes: int, next_bytes: int) -> Path:
    """Three segments, the last with the beginning of its footer, and the beginning of a fourth."""
    write_store(directory, three_segments())
    whole = (directory / "000003.fbat").read_bytes()
    frames_end = read_footer(whole).frames_end
    assert frames_end is not None
    (directory / "000003.fbat").write_bytes(whole[: frames_end + footer_bytes])
    (directory / "000004.fbat").write_bytes(Segment(4, footer=False).to_bytes()[:next_bytes])
    return directory


@pytest.mark.parametrize("next_bytes", [0, 5, HEADER])
@pytest.mark.parametrize("footer_bytes", [0, 1, 7, 8, 9, 100, 400, 519])
def test_half_a_footer_before_a_segment_without_events_is_normal(
    tmp_path: Path, footer_bytes: int, next_bytes: int
) -> None:
    store = rotating(tmp_path, footer_bytes=footer_bytes, next_bytes=next_bytes)
    view = open_reader(store, on_damage="raise").view
    assert numbers(view) == list(range(9))
    assert not rules(view, "error", "warning")


def test_half_a_footer_before_a_segment_with_events_is_damage(tmp_path: Path) -> None:
    store = rotating(tmp_path, footer_bytes=100, next_bytes=HEADER)
    Segment(4, [make_event(9)], footer=False).write(store)
    assert rules(open_reader(store).view, "warning") == {"footer-unusable"}
    with pytest.raises(CorruptFrameError):
        open_reader(store, on_damage="raise")


def test_refresh_follows_a_rotation_step_by_step(tmp_path: Path) -> None:
    first, second, third = three_segments()
    write_store(tmp_path, [first, second, replace(third, footer=False)])
    with open_reader(tmp_path, on_damage="raise") as reader:
        for footer_bytes in (0, 50, 300, 520):
            rotating(tmp_path, footer_bytes=footer_bytes, next_bytes=HEADER)
            assert numbers(reader.refresh().view) == list(range(9))
        Segment(4, [make_event(9)], footer=False).write(tmp_path)
        view = reader.refresh().view
        assert numbers(view) == list(range(10))
        assert [segment.mapped for segment in view.segments] == [True, True, True, False]
        assert not view.findings
