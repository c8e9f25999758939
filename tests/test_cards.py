"""What a notebook shows of a value: true, short, and never script, whoever wrote the store."""

from __future__ import annotations

import json
import os
import pkgutil
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import batpak_analytics as bp
from batpak_analytics import markup
from tests.hostile import HOSTILE, write_hostile
from tests.shown import VALUES, WIDGETS

LONGEST_CARD = 15_000
ROOT = Path(__file__).resolve().parent.parent
MANY_LINES = ("Explanation", "GraphPlan", "Entries", "Diff", "PlanSummary", "PurityReport")


class Seen(HTMLParser):
    """The tags and attributes that a browser would find."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hostile(tmp_path_factory.mktemp("store") / "<b>&\n\x1b[7m")


@pytest.mark.parametrize("name", VALUES)
def test_no_card_runs_what_stands_in_a_store(name: str, hostile: Path) -> None:
    value = VALUES[name](bp.open_reader(hostile))
    assert type(value).__name__ == name
    shown = Seen(value._repr_html_())
    assert not shown.tags & {"img", "script", "iframe", "a", "style", "svg", "b><"}
    assert shown.attributes <= {"scope", "style", "title"}
    assert not shown.open


@pytest.mark.parametrize("name", VALUES)
def test_a_card_is_short_and_the_same_every_time(name: str, hostile: Path) -> None:
    reader = bp.open_reader(hostile)
    once, again = VALUES[name](reader)._repr_html_(), VALUES[name](bp.open_reader(hostile))._repr_html_()
    assert once == again
    assert len(once.encode()) < LONGEST_CARD
    assert not re.search(r"0x[0-9a-f]{9,}", once), "an address in memory"


def test_two_interpreters_show_the_same_to_the_byte() -> None:
    """Neither the order of sets, nor the time zone, nor the language, nor the width of a terminal may be seen."""
    seen = []
    for seed, zone, width in (("1", "UTC", "200"), ("2", "Asia/Kathmandu", "40")):
        environment = os.environ | {"PYTHONHASHSEED": seed, "TZ": zone, "LC_ALL": "C", "COLUMNS": width}
        command = [sys.executable, "-m", "tests.shown"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True, timeout=300)
        seen.append(done.stdout)
    assert seen[0] == seen[1]
    names = {json.loads(line)[1] for line in seen[0].splitlines()}
    assert names == {*VALUES, *WIDGETS}


def test_every_class_that_has_a_card_is_looked_at_here() -> None:
    """Those of `VALUES`, the widgets, and two that tests below make."""
    found = set()
    for module in pkgutil.walk_packages(bp.__path__, "batpak_analytics."):
        if ".kernels." not in module.name and not module.name.endswith("__main__"):
            found |= {one for one in vars(import_module(module.name)).values() if _shows_itself(one)}
    bases = {base for one in found for base in one.__mro__[1:]}
    names = {one.__name__ for one in found - bases}
    assert names == {*VALUES, *WIDGETS, "Store", "CompactionReport"}


def _shows_itself(one: Any) -> bool:
    mine = isinstance(one, type) and one.__module__.startswith("batpak_analytics.")
    return mine and any(hasattr(one, name) for name in ("_repr_html_", "_repr_mimebundle_"))


@pytest.mark.parametrize("name", [name for name in [*VALUES, *WIDGETS] if name not in MANY_LINES])
def test_the_plain_text_is_one_line(name: str, hostile: Path) -> None:
    assert "\n" not in repr((VALUES | WIDGETS)[name](bp.open_reader(hostile)))


@pytest.mark.parametrize("name", [*VALUES, *WIDGETS])
def test_plain_text_gives_a_terminal_nothing_to_obey(name: str, hostile: Path) -> None:
    """No escape, and no mark that turns the direction of writing, reaches the terminal of who prints it."""
    assert repr((VALUES | WIDGETS)[name](bp.open_reader(hostile))).replace("\n", "").isprintable()


def test_cards_of_one_event_show_ids_by_their_end_and_the_payload(hostile: Path) -> None:
    reader = bp.open_reader(hostile)
    effect = reader.get(reader.query(bp.Region(entity=HOSTILE))[1].event_id)
    card = effect._repr_html_()
    assert effect.causation_id is not None
    for shown in (effect.event_id, effect.causation_id, effect.correlation_id):
        assert f"…{shown.hex()[-8:]}" in card and shown.hex() not in card
    assert "&lt;img src=x" in card and "0x1002" in card


def test_a_store_tells_how_far_it_has_come_and_that_it_is_closed(tmp_path: Path) -> None:
    store = bp.Store.open(tmp_path / "store", config=bp.StoreConfig(sync=1))
    store.append("order:1", "shop", 0x1001, {})
    assert "open for writing" in store._repr_html_()
    store.close()
    assert "closed" in store._repr_html_() and "closed" in repr(store)


def test_cards_show_times_beyond_the_calendar(tmp_path: Path) -> None:
    with bp.Store.open(tmp_path, config=bp.StoreConfig(clock=lambda: 1 << 62)) as store:
        event = store.append("a", "s", 0x1001, {"n": 1}).event_id
        store.append("a", "s", 0x1001, {"n": 2}, causation_id=event)
    reader = bp.open_reader(tmp_path)
    tables: list[Any] = [reader.events(columns="all"), reader.causes(), reader.correlations(), reader.chains()]
    for one in (*tables, reader.replay(bp.Count()).events(), reader.get(event)):
        assert one._repr_html_()
    assert str((1 << 62) // 1000) in tables[0]._repr_html_()


def test_a_broken_store_shows_its_first_findings_in_the_card(hostile: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for source in hostile.glob("*.fbat"):
        data = bytearray(source.read_bytes())
        data[data.index(b"onerror")] ^= 1
        (copy / source.name).write_bytes(data)
    report = bp.open_reader(copy).verify()
    assert report.verdict == "broken"
    card = report._repr_html_()
    assert "frame" in card and "broken" in card and "<caption" in card
    assert "broken" in repr(report) and " errors" in repr(report)
    assert not Seen(card).open


@given(st.text(), st.integers(0, 60))
def test_clipped_text_takes_no_more_bytes_than_it_may(text: str, most: int) -> None:
    text = text.encode("utf-8", "replace").decode()
    clipped = markup.clip(text, most)
    assert len(markup.text(clipped).encode()) <= max(most, len("…".encode()))
    assert clipped == text or (clipped.endswith("…") and text.startswith(clipped[:-1]))


@given(st.text(), st.text())
def test_text_stays_text_in_content_and_in_attributes(content: str, attribute: str) -> None:
    made = markup.element("td", content, title=attribute)
    shown = Seen(made)
    assert shown.tags == {"td"} and shown.attributes == {"title"} and not shown.open


def test_what_is_markup_already_is_not_escaped_again() -> None:
    assert markup.element("p", markup.element("b", "<"), "<") == "<p><b>&lt;</b>&lt;</p>"
    assert markup.joined(["<", markup.Html("<br>")], " & ") == "&lt; &amp; <br>"
    assert markup.facts("x", {"shown": 0, "left out": None}).count("<tr>") == 1
    assert "and 1 more" in markup.first_rows({"a": ["1", "2", "3"]}, most=2)
