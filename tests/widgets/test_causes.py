"""The causes widget without a browser: it shows what the library says, sends little, leaks nothing, runs no script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import traitlets

import batpak_analytics as bp
from batpak_analytics.widgets import CausesWidget, frame
from tests.arrow.scan_stores import event, store_of
from tests.browser.stores import KINDS, order_id, write_shop
from tests.hostile import HOSTILE, write_hostile
from tests.widgets.sent import INSTANCES, assert_banner, assert_harmless, named, sending, texts, widgets_of

WORST_NAME = "&" * 200


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shop(tmp_path_factory.mktemp("stores") / "shop")


@pytest.fixture
def view(shop: Path) -> Any:
    made = bp.open_reader(shop).explore(order_id(5, 2), kind_names=KINDS)
    yield made
    assert made.last_error is None
    made.close()


def test_it_begins_at_the_event_asked_for_or_at_the_latest(view: CausesWidget, shop: Path) -> None:
    assert view.event_id == order_id(5, 2)
    assert "Picked warehouse:north" in repr(view) and "2 of 2 causes and 2 of 2 effects" in repr(view)
    latest = bp.open_reader(shop).explore()
    assert latest.event_id == order_id(12, 4) and latest.last_error is None


def test_buttons_walk_to_the_cause_the_root_any_event_shown_and_back(view: CausesWidget) -> None:
    named(view, "To its cause").click()
    assert view.event_id == order_id(5, 1)
    named(view, "To the root").click()
    assert view.event_id == order_id(5, 0)
    assert named(view, "To the root").disabled and named(view, "To its cause").disabled
    named(view, "Walk to").value = order_id(5, 3)
    named(view, "Walk").click()
    assert view.event_id == order_id(5, 3)
    for order in (order_id(5, 0), order_id(5, 1), order_id(5, 2)):
        named(view, "Back").click()
        assert view.event_id == order
    assert named(view, "Back").disabled


def test_the_picture_follows_the_traits_and_the_controls_do_too(view: CausesWidget) -> None:
    view.causes, view.effects = 1, 0
    assert named(view, "Generations back").value == 1 and named(view, "Generations on").value == 0
    assert "1 earlier cause" in texts(view) and "2 effects not shown" not in texts(view)
    assert "1 effect not shown" in texts(view)
    named(view, "Generations back").value = 5
    assert view.causes == 5 and "1 earlier cause" not in texts(view)
    assert "+14 min" in texts(view), "the latency of the edge"


def test_two_widgets_linked_by_event_id_move_together(view: CausesWidget, shop: Path) -> None:
    other = bp.open_reader(shop).explore(kind_names=KINDS)
    link = traitlets.link((view, "event_id"), (other, "event_id"))
    named(view, "To its cause").click()
    assert other.event_id == view.event_id == order_id(5, 1)
    assert "Paid order:5" in repr(other)
    named(other, "To the root").click()
    assert view.event_id == order_id(5, 0)
    link.unlink()


def test_an_id_is_entered_by_its_end_and_what_is_wrong_is_said(view: CausesWidget) -> None:
    entry = named(view, "Event id")
    entry.value = "…00070004"
    assert view.event_id == order_id(7, 4)
    for wrong, told in (
        ("0004", "events have ids that end in"),
        ("zz", "not the end of an event id"),
        ("f" * 32, "No"),
    ):
        entry.value = wrong
        assert told in str(view.last_error) and 'role="alert"' in texts(view)
        assert view.event_id == order_id(7, 4), "what is shown stays"
    entry.value = order_id(1, 0)
    assert view.last_error is None and 'role="alert"' not in texts(view)


def test_an_event_that_is_not_there_is_refused_where_it_is_set(view: CausesWidget) -> None:
    with pytest.raises(bp.EventNotFoundError):
        view.event_id = "f" * 32
    assert view.event_id == order_id(5, 2)


def test_the_list_narrows_and_a_choice_from_it_begins_a_new_walk(view: CausesWidget) -> None:
    named(view, "To its cause").click()
    named(view, "Choose from").value = "roots"
    named(view, "Entity").value = "order:3"
    named(view, "Kind").value = "Placed"
    events = named(view, "Events")
    assert [value for _, value in events.options] == [order_id(3, 0)]
    assert events.value is None, "nothing is chosen before somebody does"
    events.value = order_id(3, 0)
    assert view.event_id == order_id(3, 0) and named(view, "Back").disabled
    named(view, "Kind").value = "Sold"
    assert "is no kind" in str(view.last_error)
    named(view, "Kind").value = "0x1002"
    assert view.last_error is None and len(events.options) == 0


def test_pages_of_the_list_hold_every_event_once(view: CausesWidget) -> None:
    events, pages = named(view, "Events"), []
    pages += [value for _, value in events.options]
    assert named(view, "Previous page").disabled
    named(view, "Next page").click()
    pages += [value for _, value in events.options]
    assert named(view, "Next page").disabled
    assert sorted(pages) == sorted(order_id(order, step) for order in range(1, 13) for step in range(5))


def test_the_button_to_the_replay_takes_it_to_the_event(shop: Path) -> None:
    class Replay(traitlets.HasTraits):
        event_id = traitlets.Unicode()

    replay = Replay()
    view = bp.open_reader(shop).explore(order_id(5, 2), replay=replay)
    named(view, "Open in replay").click()
    assert replay.event_id == order_id(5, 2) and view.last_error is None


def test_the_line_of_code_gives_what_is_shown(view: CausesWidget, shop: Path) -> None:
    view.causes = 1
    found = eval(view.code, {"reader": bp.open_reader(shop)})
    assert found["event_id"].tolist() == [order_id(5, step) for step in range(1, 5)]


def raising(*_: Any) -> None:
    raise KeyError(HOSTILE)


def test_an_exception_in_a_callback_is_shown_and_not_lost(view: CausesWidget, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(frame.Frame, "_tell", raising)
        named(view, "To its cause").click()
        assert_banner(view, KeyError, "&lt;img")
    named(view, "To the root").click()
    assert view.last_error is None and 'role="alert"' not in texts(view)


def test_nothing_in_a_store_becomes_markup(tmp_path: Path) -> None:
    view = bp.open_reader(write_hostile(tmp_path / "<b>")).explore(kind_names={0x1002: HOSTILE})
    named(view, "To its cause").click()
    assert_harmless(view)
    assert "&lt;img" in texts(view)


def worst_store(path: Path) -> Path:
    """An event of a hundred effects, all with names of which every character takes most room."""
    root = event(0, {"n": WORST_NAME * 50}, entity=WORST_NAME, scope=WORST_NAME)
    effects = [
        event(n, {"n": WORST_NAME * 50}, entity=WORST_NAME + str(n), scope=WORST_NAME, causation_id=root.event_id)
        for n in range(1, 100)
    ]
    return store_of(path, [root, *effects])


def test_no_step_sends_more_than_paints_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = bp.open_reader(worst_store(tmp_path / "store"))
    view = reader.explore(kind_names={0x1001: WORST_NAME})
    with sending(monkeypatch) as sent:
        named(view, "To the root").click()
    assert view.last_error is None
    assert 0 < sent.total <= frame.MOST_BYTES, sent.sizes
    with sending(monkeypatch) as sent:
        named(view, "Choose from").value = "most_effects"
    assert 0 < sent.total <= frame.MOST_BYTES
    assert len(view.snapshot.encode()) <= frame.MOST_SNAPSHOT_BYTES


def test_steps_make_no_models_and_closing_leaves_none(shop: Path) -> None:
    before = set(INSTANCES)
    view = bp.open_reader(shop).explore(kind_names=KINDS)
    made = set(INSTANCES)
    for _ in range(3):
        named(view, "To its cause").click()
        named(view, "Choose from").value = "roots"
        named(view, "Choose from").value = "latest"
    assert set(INSTANCES) == made
    view.close()
    assert set(INSTANCES) == before


def test_what_it_shows_without_a_kernel_is_true_short_and_the_same_every_time(view: CausesWidget, shop: Path) -> None:
    bundle = view._repr_mimebundle_()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == view.model_id
    assert "\n" not in bundle["text/plain"] and bundle["text/plain"] == repr(view)
    again = bp.open_reader(shop).explore(order_id(5, 2), kind_names=KINDS)
    assert bundle["text/html"] == again._repr_mimebundle_()["text/html"]
    assert "1 before: Paid order:5 …00050001" in bundle["text/html"] and "<svg" in bundle["text/html"]
    assert len(bundle["text/html"].encode()) < frame.MOST_SNAPSHOT_BYTES


def test_an_empty_store_says_that_there_is_nothing(tmp_path: Path) -> None:
    with bp.Store.open(tmp_path / "store") as store:
        view = store.explore()
        assert view.last_error is None and view.event_id == "" and "no event" in texts(view).lower()
        assert "no events" in repr(view) and view.snapshot


def test_a_store_that_goes_on_is_shown_as_it_is_now(tmp_path: Path) -> None:
    with bp.Store.open(tmp_path / "store") as store:
        first = store.append("order:1", "shop", 0x1001, {})
        view = store.explore()
        second = store.append("order:1", "shop", 0x1002, {}, causation_id=first.event_id)
        view.event_id = second.event_id.hex()
        assert "1 of 1 cause" in repr(view) and view.last_error is None


def test_every_control_has_a_label_and_a_hint(view: CausesWidget) -> None:
    for one in widgets_of(view):
        if hasattr(one, "description") and type(one).__name__ != "HTML":
            assert one.description and one.tooltip, one
