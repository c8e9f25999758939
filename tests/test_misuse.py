"""What people try on their first day: each wrong call says what is wrong with it, and nothing goes wrong in silence."""

from __future__ import annotations

import copy
import gc
import io
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import batpak_analytics as bp
from batpak_analytics.cli import tables

DEMO = bp.demo_store()
UNTYPED: Any = bp  # calls that a type checker would refuse
TABLE = pd.DataFrame({"order": ["order:1"], "total": [1.5]})


def append_frame(path: Path, table: Any, **roles: Any) -> Any:
    with bp.Store.open(path) as store:
        given: dict[str, Any] = {"scope": "shop", "kind": 0x1001, "entity": "order"} | roles
        return store.append_frame(table, **given)


READING: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "a kind as text is named whole": (lambda: UNTYPED.read_batpak(DEMO, kind="0xF001"), TypeError, "kind='0xF001'"),
    "a kind as a float": (lambda: UNTYPED.read_batpak(DEMO, kind=1.0), TypeError, "kind=1.0: give an int"),
    "a lane as text": (lambda: UNTYPED.read_batpak(DEMO, lane="10"), TypeError, "lane='10'"),
    "a bare field in an expression": (
        lambda: UNTYPED.read_batpak(DEMO, filters=pc.field("x") > 1), bp.UnknownColumnError, "is named 'payload.x'"),
    "a bare field in tuples": (
        lambda: UNTYPED.read_batpak(DEMO, filters=[("x", ">", 1)]), bp.UnknownColumnError, "is named 'payload.x'"),
    "a schema that is a list": (lambda: UNTYPED.read_batpak(DEMO, payload_schema=["x"]), TypeError, "pa.int64()"),
    "a schema of names": (lambda: UNTYPED.read_batpak(DEMO, payload_schema={"x": "int64"}), TypeError, "pa.int64()"),
    "a query by text": (lambda: UNTYPED.open_reader(DEMO).query("player"), TypeError, "Region"),
    "a moment of a replay by id": (
        lambda: UNTYPED.open_reader(DEMO).replay(bp.Count()).state_at("391124e8"), TypeError, "event id"),
    "a question as text": (
        lambda: UNTYPED.open_reader(DEMO).replay(bp.Count()).first_where("x > 3"), TypeError, "lambda state:"),
    "one projection instead of a list": (
        lambda: UNTYPED.open_reader(DEMO).plan_compaction(projections=bp.Count()), TypeError, "give a list"),
    "a list of kinds to keep": (lambda: UNTYPED.keep.kinds([0x1001]), TypeError, "one by one"),
    "a list of entities to keep": (lambda: UNTYPED.keep.entities(["order"]), TypeError, "one by one"),
    "a dict for a config": (lambda: UNTYPED.Store.open("a", config={"sync": 1}), TypeError, "give a bp.StoreConfig("),
}  # fmt: skip


@pytest.mark.parametrize("case", READING)
def test_a_wrong_call_says_what_to_give(case: str) -> None:
    call, kind, told = READING[case]
    with pytest.raises(kind) as caught:
        call()
    assert told in str(caught.value)


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_widget_with_a_wrong_argument_fails_once() -> None:
    reader = UNTYPED.open_reader(DEMO)
    for make in (reader.what_if, reader.replay(bp.Count()).widget, reader.explore):
        with pytest.raises(TypeError, match="unexpected keyword argument 'speed'"):
            make(speed=3)
        gc.collect()


def test_a_store_is_opened_by_its_class_as_well(tmp_path: Path) -> None:
    with bp.Store(tmp_path / "s", config=bp.StoreConfig(sync="always")) as store:
        assert store.append("order:1", "shop", 0x1001, {"total": 1}).durable


def test_a_tilde_is_the_home_directory_as_in_pandas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with bp.Store.open("~/s") as store:
        store.append("order:1", "shop", 0x1001, {"total": 1})
        store.snapshot("~/copy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "s"]
    assert len(bp.read_batpak("~/s")) == len(bp.read_batpak(Path("~/copy"))) == 1
    with pytest.raises(bp.StoreNotFoundError, match="~nobody-of-this-name/s does not exist"):
        bp.read_batpak("~nobody-of-this-name/s")


@pytest.mark.parametrize("words", ["and", "or", "not"])
def test_rules_joined_by_words_do_not_drop_half_of_what_was_said(words: str) -> None:
    first, second = bp.keep.kinds(0x1001), bp.keep.chain_heads()
    joined: dict[str, Callable[[], Any]] = {
        "and": lambda: first and second,
        "or": lambda: first or second,
        "not": lambda: not first,
    }
    with pytest.raises(TypeError, match=r"&, \| and ~"):
        joined[words]()


@pytest.mark.parametrize("value", [np.int64(3), np.bool_(True), np.arange(3)], ids=lambda one: type(one).__name__)
def test_a_numpy_value_is_not_called_by_the_name_of_a_python_type(value: Any, tmp_path: Path) -> None:
    with bp.Store.open(tmp_path / "store") as store, pytest.raises(bp.AppendRefusedError) as caught:
        store.append("a", "b", 0x1001, {"n": value})
    assert f"of type numpy.{type(value).__name__}" in str(caught.value) and ".item()" in str(caught.value)


def test_a_tuple_is_no_batch_item(tmp_path: Path) -> None:
    with bp.Store.open(tmp_path / "store") as store, pytest.raises(TypeError, match="Pass BatchItem"):
        store.append_batch([("a", "b", 0x1001, {})])  # type: ignore[list-item]


def test_a_value_given_for_a_column_is_told_of_literal(tmp_path: Path) -> None:
    with pytest.raises(bp.UnknownColumnError, match=r"the table has 'order', 'total'.*bp\.literal\('customer:77'\)"):
        append_frame(tmp_path / "store", TABLE, entity="customer:77")
    with pytest.raises(bp.UnknownColumnError, match=r"reset_index\(\)"):
        append_frame(tmp_path / "store", TABLE.set_index("order"))


def test_one_column_is_no_table(tmp_path: Path) -> None:
    for column in (TABLE["order"], pa.chunked_array([["order:1"]])):
        with pytest.raises(TypeError, match="is no table"):
            append_frame(tmp_path / "store", column)


def test_events_are_values_that_can_be_copied_pickled_and_counted() -> None:
    with bp.open_reader(DEMO) as reader:
        events = [reader.get(entry.event_id) for entry in reader.query()]
    for event in events:
        assert copy.deepcopy(event) == event == pickle.loads(pickle.dumps(event))
        assert copy.deepcopy(event).raw == event.raw
        with pytest.raises(TypeError):
            copy.deepcopy(event).extensions["name"] = b""  # type: ignore[index]
    assert len({*events, *copy.deepcopy(events)}) == len(events)


def test_explain_tells_nothing_of_fields_that_are_not_read() -> None:
    def told(columns: list[str] | None, **more: Any) -> set[str]:
        explained = bp.scan_batpak(DEMO, columns=columns, **more).explain()
        return {note.split(":")[0] for note in explained.payload_notes}

    assert told(["entity", "payload.x"]) == {"payload.x"}
    assert told(["entity", "payload.x"], filters=[("payload.hp", ">", 1)]) == {"payload.x", "payload.hp"}
    assert told(None) == {f"payload.{name}" for name in ("x", "y", "by", "hp", "loot", "xp")}


def test_a_projection_that_fails_is_told_in_sentences() -> None:
    class Broken:
        def initial(self) -> int:
            return 0

        def apply(self, state: int, event: Any) -> int:
            return state + int(event.payload["hp"])

    with pytest.raises(bp.ProjectionError, match=r"KeyError: 'hp'\. Everything before"):
        bp.open_reader(DEMO).replay(Broken()).final()


@pytest.mark.skipif(os.name == "nt", reason="a shell of Unix closes the output")
def test_without_an_output_the_exit_code_still_tells() -> None:
    for command in ("head", "check", "info"):
        line = f'"{sys.executable}" -m batpak_analytics {command} "{DEMO}" >&-'
        ran = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
        assert (ran.returncode, ran.stderr) == (0, "")


def test_an_ascii_terminal_gets_every_character_spelled_out(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    tables.console().print("order:ü …391124e8")
    sys.stdout.flush()
    assert written.getvalue() == b"order:\\xfc ...391124e8\n"


def test_why_works_in_an_ascii_terminal() -> None:
    plain = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "batpak_analytics", "why", str(DEMO), "391124e8"]
    ran = subprocess.run(command, capture_output=True, env=os.environ | plain, check=False)
    assert ran.returncode == 0, ran.stderr
    assert b"0xF001 player:alice" in ran.stdout and b"...391124e8" in ran.stdout
