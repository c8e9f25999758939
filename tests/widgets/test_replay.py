"""The replay widget without a browser: it shows what the replay says, plays every event in order, survives failures."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import traitlets

import batpak_analytics as bp
from batpak_analytics.widgets import ReplayWidget, frame
from tests.hostile import HOSTILE, write_hostile
from tests.projection.stores import PAID, REFUNDED, Balance, made_store, paid, refunded
from tests.widgets.sent import INSTANCES, assert_banner, assert_harmless, named, sending, texts, widgets_of

ROWS = [paid("order:1", 500), paid("order:2", 300), refunded("order:2", 300), paid("order:1", 0)]
ROWS += [refunded("order:1", 900), *(paid("user:7", n) for n in range(95))]
NAMES = {PAID: "Paid", REFUNDED: "Refunded"}


class Failing(Balance):
    """A projection that cannot take the third event."""

    def apply(self, state: dict[str, Any], event: Any) -> dict[str, Any]:
        if event.kind == REFUNDED:
            raise KeyError(f"{event.entity} is unknown")
        return super().apply(state, event)


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> bp.Replay:
    return bp.open_reader(made_store(tmp_path_factory.mktemp("stores") / "store", ROWS)).replay(Balance())


@pytest.fixture
def view(replay: bp.Replay) -> Iterator[ReplayWidget]:
    made = replay.widget(position=1, kind_names=NAMES)
    yield made
    assert made.last_error is None
    made.close()


def tab(view: Any, name: str) -> Any:
    """Bring a tab into view."""
    (found,) = [one for one in widgets_of(view) if type(one).__name__ == "Tab"]
    found.selected_index = found.titles.index(name)
    pane = found.children[found.selected_index]
    return pane if hasattr(pane, "value") else pane.children[-1]


def slider(view: Any) -> Any:
    (found,) = [one for one in widgets_of(view) if type(one).__name__ == "IntSlider"]
    return found


def test_it_begins_at_the_end_and_shows_the_difference_first(replay: bp.Replay) -> None:
    view = replay.widget()
    assert view.position == len(replay) == 100 and view.last_error is None
    assert tab(view, "Diff").value and "user:7" in texts(view)


def test_slider_box_list_and_trait_always_agree(view: ReplayWidget) -> None:
    box, events = named(view, "Event"), named(view, "Events")
    for setting in (
        lambda: setattr(view, "position", 7),
        lambda: setattr(box, "value", 60),
        lambda: setattr(slider(view), "value", 3),
        lambda: setattr(events, "value", 5),
        lambda: named(view, "Next").click(),
        lambda: named(view, "Previous").click(),
    ):
        setting()
        assert box.value == slider(view).value == view.position == events.value
    assert view.position == 5
    assert view.event_id == view.replay.event(5).event_id.hex()


def test_the_diff_says_what_an_event_changed_and_when_it_changed_nothing(view: ReplayWidget) -> None:
    view.position = 2
    diff = tab(view, "Diff").value
    assert "500" in diff and "800" in diff and "+300" in diff and "by[" in diff and "added" in diff
    view.position = 4
    assert "last" in tab(view, "Diff").value
    view.position = 6
    view.position = 0
    assert "initial state" in tab(view, "Diff").value and view.event_id == ""
    assert named(view, "Previous").disabled and not named(view, "Next").disabled


def test_an_event_that_changes_nothing_is_told_as_such(tmp_path: Path) -> None:
    store = made_store(tmp_path / "store", ROWS)
    view = bp.open_reader(store).replay(bp.fold(lambda state, _: state, initial=0)).widget()
    assert "No change" in tab(view, "Diff").value


def test_tabs_show_state_and_event(view: ReplayWidget) -> None:
    view.position = 3
    state = tab(view, "State").value
    assert "The state at position 3" in state and "<td>500</td>" in state
    event = tab(view, "Event").value
    assert "Refunded" in event and "order:2" in event and "'cents': 300" in event
    view.position = 1
    assert "Paid" in tab(view, "Event").value and "The state at position 1" in tab(view, "State").value


def test_a_filter_narrows_where_it_stops_and_never_what_is_folded(view: ReplayWidget) -> None:
    view.position = 0
    named(view, "Stop at entity").value = "order"
    named(view, "Stop at kind").value = "Refunded"
    assert view.stops.tolist() == [3, 5]
    assert "Stopping at 2 of 100 events" in texts(view)
    assert [value for _, value in named(view, "Events").options] == [3, 5]
    named(view, "Next").click()
    assert view.position == 3
    assert "-300" in tab(view, "Diff").value, "the event before it is folded all the same"
    slider(view).value = 2
    assert view.position == 5 and named(view, "Next").disabled
    named(view, "Event").value = 4  # exact, whatever the filter
    assert view.position == 4 and slider(view).value == 1
    named(view, "Previous").click()
    assert view.position == 3
    named(view, "Stop at kind").value = "Sold"
    assert "is no kind" in str(view.last_error)
    named(view, "Stop at kind").value = ""
    named(view, "Stop at entity").value = ""
    assert view.last_error is None and len(view.stops) == 100


def test_next_and_previous_change_follow_a_part(view: ReplayWidget) -> None:
    named(view, "Part of the state").value = "total"
    named(view, "Next change").click()
    assert view.position == 2
    view.position = 3
    named(view, "Next change").click()
    assert view.position == 5, "the event that paid nothing is passed over"
    named(view, "Previous change").click()
    assert view.position == 3
    view.position = 1
    named(view, "Previous change").click()
    assert view.position == 1 and "does not change before" in texts(view)


def test_parts_with_dots_in_their_names_are_suggested_and_followed(view: ReplayWidget) -> None:
    view.position = 2
    tab(view, "State")
    suggested = named(view, "Part of the state").options
    assert "by['order:2']" in suggested and "total" in suggested
    named(view, "Part of the state").value = "by['order:2']"
    named(view, "Next change").click()
    assert view.position == 3


def test_find_first_goes_where_a_condition_first_holds(view: ReplayWidget) -> None:
    named(view, "Part of the state").value = "total"
    named(view, "is").value = "<"
    named(view, "Value").value = "0"
    named(view, "Find first").click()
    assert view.position == 5
    assert "replay.first_where(bp.when('total', '&lt;', 0))" in texts(view)
    named(view, "Value").value = "-1e9"
    named(view, "Find first").click()
    assert view.position == 5 and "never is so" in texts(view)


def test_a_question_given_as_a_function_has_a_button(replay: bp.Replay) -> None:
    view = replay.widget(position=0, find=lambda state: len(state["by"]) == 3)
    named(view, "Find as given").click()
    assert view.position == 6 and view.last_error is None


def test_the_trace_is_a_line_and_a_data_frame(view: ReplayWidget) -> None:
    assert "No part is traced yet" in tab(view, "Trace").value
    named(view, "Trace this part").click()
    assert "no number" in str(view.last_error)
    named(view, "Part of the state").value = "total"
    named(view, "Trace this part").click()
    assert view.trace_frame["value"].tolist()[:6] == [0, 500, 800, 500, 500, -400]
    assert "<svg" in tab(view, "Trace").value and "at position 1: 500" in tab(view, "Trace").value
    view.position = 5
    assert "at position 5: -400" in tab(view, "Trace").value
    named(view, "Part of the state").value = "last"
    named(view, "Trace this part").click()
    assert "no number to draw" in tab(view, "Trace").value


def test_two_replays_linked_by_position_move_together(view: ReplayWidget, replay: bp.Replay) -> None:
    other = replay.widget(position=1)
    link = traitlets.link((view, "position"), (other, "position"))
    named(view, "Next").click()
    assert other.position == 2 and other.event_id == view.event_id
    named(other, "Event").value = 50
    assert view.position == 50
    link.unlink()


def test_the_event_id_moves_it_and_another_event_is_refused(view: ReplayWidget, replay: bp.Replay) -> None:
    view.event_id = replay.event(44).event_id.hex()
    assert view.position == 44
    with pytest.raises(bp.EventNotFoundError):
        view.event_id = "f" * 32
    with pytest.raises(traitlets.TraitError, match="from 0 to 100"):
        view.position = 101
    assert view.position == 44 and view.event_id == replay.event(44).event_id.hex()


def test_an_event_of_the_causes_opens_in_the_replay(replay: bp.Replay, view: ReplayWidget) -> None:
    reader = bp.open_reader(replay._selected.view.path)
    causes = reader.explore(replay.event(9).event_id, replay=view)
    named(causes, "Open in replay").click()
    assert view.position == 9 and causes.last_error is None


def test_play_visits_every_event_in_order_and_stops_at_the_end(replay: bp.Replay) -> None:
    view, seen = replay.widget(position=0), []
    view.observe(lambda change: seen.append(change.new), "position")
    view._player._wait = lambda: 0.0

    async def watch() -> None:
        named(view, "Play").click()
        assert view.playing and named(view, "Pause")
        while view.playing:
            await asyncio.sleep(0.005)

    asyncio.run(asyncio.wait_for(watch(), 60))
    assert seen == list(range(1, 101))
    assert view.last_error is None and named(view, "Play")


def test_playing_stops_when_it_is_paused_moved_by_hand_closed_or_made_again(replay: bp.Replay) -> None:
    async def watch() -> None:
        for stop in (
            lambda view: named(view, "Pause").click(),
            lambda view: setattr(slider(view), "value", 70),
            lambda view: named(view, "Next").click(),
            lambda view: view.close(),
            lambda view: replay.widget(),
        ):
            view = replay.widget(position=0)
            view._player._wait = lambda: 0.001
            view.play()
            while view.position < 3:
                await asyncio.sleep(0.001)
            stop(view)
            assert not view.playing
            at = view.position
            await asyncio.sleep(0.02)
            assert view.position == at

    asyncio.run(asyncio.wait_for(watch(), 60))


def test_speed_may_follow_the_clock_with_gaps_cut_short(view: ReplayWidget) -> None:
    named(view, "Speed").value = 0.0
    assert view._gap() == 0.05, "events a millisecond apart"
    view._places.stops = view._places.stops[::2000] + 99
    named(view, "Speed").value = 0.5
    assert view._gap() == 0.5


def test_playing_without_a_loop_says_what_to_do(view: ReplayWidget) -> None:
    with pytest.raises(RuntimeError, match="step"):
        view.play()
    named(view, "Play").click()
    assert isinstance(view.last_error, RuntimeError)
    assert view.step() and view.position == 2
    named(view, "Next").click()
    assert view.last_error is None


def test_a_projection_that_fails_stops_there_with_its_last_line_and_the_last_good_state(replay: bp.Replay) -> None:
    failing = bp.open_reader(replay._selected.view.path).replay(Failing())
    view = failing.widget(kind_names=NAMES)
    assert view.position == 3, "where it failed, and not at the end"
    diff, state = tab(view, "Diff").value, tab(view, "State").value
    assert "fails at this event" in diff and "order:2 is unknown" in diff and "Failing.apply" in diff
    assert "last good state, at position 2" in state and "800" in state
    assert "Refunded" in tab(view, "Event").value
    view.position = 50
    assert view.position == 3
    named(view, "Previous").click()
    assert view.position == 2 and "fails" not in tab(view, "Diff").value
    assert view.last_error is None


def test_the_line_of_code_gives_what_is_shown(view: ReplayWidget, replay: bp.Replay) -> None:
    view.position = 5
    state, diff = eval(view.code, {"replay": replay})
    assert state == replay.state_at(5) and diff == replay.diff(4, 5)


def test_an_exception_of_a_question_is_shown_and_not_lost(replay: bp.Replay) -> None:
    def question(_: Any) -> bool:
        raise KeyError(HOSTILE)

    view = replay.widget(position=2, find=question)
    named(view, "Find as given").click()
    assert_banner(view, KeyError, "&lt;img")
    assert view.position == 2
    named(view, "Stop at kind").value = HOSTILE
    assert_banner(view, ValueError, "&lt;img")
    named(view, "Next").click()
    assert view.last_error is None and view.position == 3 and 'role="alert"' not in texts(view)


def test_words_of_the_store_in_the_failure_of_a_projection_stay_text(tmp_path: Path) -> None:
    class Refusing:
        def initial(self) -> int:
            return 0

        def apply(self, state: int, event: Any) -> int:
            raise KeyError(f"{event.entity}: {event.payload}")

    view = bp.open_reader(write_hostile(tmp_path / "store")).replay(Refusing()).widget()
    for name in ("State", "Event", "Trace", "Diff"):
        tab(view, name)
        assert_harmless(view)
    assert "fails at this event" in texts(view) and "&lt;img" in texts(view)


def test_nothing_in_a_store_becomes_markup(tmp_path: Path) -> None:
    reader = bp.open_reader(write_hostile(tmp_path / "<b>"))
    replay = reader.replay(bp.GroupBy("entity", bp.Last()))
    view = replay.widget(kind_names={0x1001: HOSTILE})
    for name in ("Diff", "State", "Event", "Trace"):
        tab(view, name)
    named(view, "Part of the state").value = HOSTILE
    named(view, "Trace this part").click()
    named(view, "Find first").click()
    assert_harmless(view)
    assert "&lt;img" in texts(view) and view.last_error is None


def test_no_step_sends_more_than_paints_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worst = "&" * 300
    rows = [(worst + str(n), PAID, {worst + str(m): worst * 30 for m in range(60)}) for n in range(60)]
    replay = bp.open_reader(made_store(tmp_path / "store", rows)).replay(bp.GroupBy("entity", bp.Last()))
    view = replay.widget(kind_names={PAID: worst})
    for name in ("Diff", "State", "Event", "Trace"):
        tab(view, name)
        view.position = 60
        for target in (59, 5):
            with sending(monkeypatch) as sent:
                view.position = target
            assert 0 < sent.total <= frame.MOST_BYTES, (name, target, sent.sizes)
    assert len(view.snapshot.encode()) <= frame.MOST_SNAPSHOT_BYTES
    assert view.last_error is None


def test_steps_make_no_models_and_closing_leaves_none(replay: bp.Replay) -> None:
    before = set(INSTANCES)
    view = replay.widget(find=bool)
    made = set(INSTANCES)
    for position in (3, 60, 0):
        view.position = position
        for name in ("State", "Event", "Trace", "Diff"):
            tab(view, name)
        named(view, "Stop at entity").value = f"order:{position}"
    assert set(INSTANCES) == made
    view.close()
    assert set(INSTANCES) == before


def test_what_it_shows_without_a_kernel_is_true_short_and_the_same_every_time(replay: bp.Replay) -> None:
    one, other = replay.widget(position=5), replay.widget(position=5)
    bundle = one._repr_mimebundle_()
    assert bundle["text/html"] == other._repr_mimebundle_()["text/html"]
    assert "\n" not in bundle["text/plain"] and "at 5" in bundle["text/plain"]
    assert "-900" in bundle["text/html"] and "state at position 5" in bundle["text/html"]
    assert len(bundle["text/html"].encode()) < frame.MOST_SNAPSHOT_BYTES


def test_a_replay_of_no_event_shows_its_initial_state(replay: bp.Replay) -> None:
    view = bp.open_reader(replay._selected.view.path).replay(Balance(), entity="nobody").widget()
    assert view.position == 0 and view.last_error is None and "initial state" in texts(view)
    assert named(view, "Play").disabled and named(view, "Next").disabled and view.snapshot


def test_every_control_has_a_label_and_a_hint(view: ReplayWidget) -> None:
    for one in widgets_of(view):
        if hasattr(one, "description") and type(one).__name__ not in ("HTML", "IntSlider"):
            assert one.description and one.tooltip, one


def test_a_vectorised_replay_has_the_same_widget(replay: bp.Replay) -> None:
    total = bp.vectorised(lambda df: df["payload.cents"].cumsum(), columns=["payload.cents"], initial=0)
    view = bp.open_reader(replay._selected.view.path).replay(total).widget(position=3)
    assert "+300" in tab(view, "Diff").value
    named(view, "is").value = ">"
    named(view, "Value").value = "1100"
    named(view, "Find first").click()
    assert view.position == 5 and view.last_error is None
    named(view, "Next change").click()
    assert view.position == 7, "event 6 adds nothing"
    named(view, "Trace this part").click()
    assert "<svg" in tab(view, "Trace").value and view.last_error is None
    view.close()
