"""The graph in the hands of other libraries: it is the same graph, and no name in it can draw or run anything."""

from __future__ import annotations

import html
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import networkx
import pandas as pd
import pydot
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import batpak_analytics as bp
from batpak_analytics.graph import drawing
from tests.arrow.scan_stores import store_of
from tests.engine.building import EPOCH_US
from tests.graph.stores import UNKNOWN, id_of
from tests.graph.test_tables import caused

HOSTILE = [
    'a"];x[label="b', "a\\", 'a\\"', "a\nb --> c", "<script>alert(1)</script>", "%%{init: {}}%%", "end", "a]-->n9[b",
    "#quot;&quot;", "`x`", "\x00\x1b[2J", "\u202eabc", "click n0 href", "subgraph x", "a;b}", "🦇 söme 名",
]  # fmt: skip
MERMAID = re.compile(r'    (?:(\w+)\["([^"\n]*)"\]|(\w+) --> (\w+)|style (\w+) stroke-(?:width:3px|dasharray:4))')
SAFE = re.compile(r"(?:[^\W_]|[ \-_.:,/+@]|#\d+;)*")


def reader_of(directory: Path, *events: Any) -> Any:
    return bp.open_reader(store_of(directory, events))


@pytest.fixture
def order(tmp_path: Path) -> Any:
    """0 caused 1 and 2, 2 caused 3; 4 names a cause that is not there."""
    made = [caused(0, None), caused(1, 0), caused(2, 0, entity="user:1"), caused(3, 2), caused(4, UNKNOWN)]
    return reader_of(tmp_path / "store", *made)


def name(number: int) -> str:
    return id_of(number).hex()


# Graph libraries


def test_networkx_gets_every_event_and_every_edge(order: Any) -> None:
    graph = order.to_networkx()
    edges = {(name(cause), name(effect)) for cause, effect in ((0, 1), (0, 2), (2, 3))}
    assert set(graph.edges) == edges | {(UNKNOWN.hex(), name(4))}
    assert set(graph.nodes) == {*map(name, range(5)), UNKNOWN.hex()}
    assert graph.edges[name(0), name(2)]["latency_ms"] == 2.0
    assert graph.edges[UNKNOWN.hex(), name(4)]["latency_ms"] is None
    assert graph.nodes[UNKNOWN.hex()] == {"missing": True}
    assert graph.nodes[name(2)] == {
        "sequence": 2, "kind": 0x1001, "entity": "user:1", "scope": "test", "correlation_id": name(0), "missing": False,
    }  # fmt: skip
    assert networkx.descendants(graph, name(0)) == set(order.descendants(id_of(0))["event_id"])


def test_rustworkx_gets_the_same_graph(order: Any) -> None:
    graph, other = order.to_rustworkx(), order.to_networkx()
    nodes = [dict(node) for node in graph.nodes()]
    names = [node.pop("event_id") for node in nodes]
    assert dict(zip(names, nodes, strict=True)) == dict(other.nodes)
    edges = [(names[cause], names[effect], latency) for cause, effect, latency in graph.weighted_edge_list()]
    assert sorted(edges, key=str) == sorted(other.edges(data="latency_ms"), key=str)


def test_a_filter_brings_the_causes_along(order: Any) -> None:
    graph = order.to_networkx(entity="user:1")
    assert set(graph.nodes) == {name(0), name(2)} and not graph.nodes[name(0)]["missing"]
    assert set(order.to_networkx(as_of=1).nodes) == {name(0), name(1)}


@pytest.mark.parametrize("library", ["networkx", "rustworkx"])
def test_a_missing_library_names_the_extra(library: str, order: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(bp.MissingExtraError, match=r"batpak-analytics\[graph\]"):
        getattr(order, f"to_{library}")()


# Drawings


def mermaid_labels(text: str) -> tuple[dict[str, str], set[tuple[str, str]]]:
    """Labels and edges; fails at any line that is not one of the three kinds that are meant to be there."""
    first, *lines = text.removesuffix("\n").split("\n")
    assert first == "flowchart TD"
    labels, edges, styled = {}, set(), set()
    for line in lines:
        found = MERMAID.fullmatch(line)
        assert found, line
        node, label, cause, effect, style = found.groups()
        if node:
            assert SAFE.fullmatch(label), label
            labels[node] = re.sub(r"#(\d+);", lambda code: chr(int(code[1])), label)
        elif cause:
            edges.add((cause, effect))
        else:
            styled.add(style)
    assert {end for edge in edges for end in edge} | styled <= labels.keys()
    return labels, edges


def dot_labels(text: str) -> tuple[dict[str, str], set[tuple[str, str]]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # between pydot and its parser
        graphs = pydot.graph_from_dot_data(text)
    assert graphs is not None and len(graphs) == 1
    (graph,) = graphs
    assert not graph.get_subgraphs()
    nodes = [node for node in graph.get_nodes() if node.get_name() not in ("node", "\\n")]
    labels = {node.get_name(): html.unescape(node.get("label")[1:-1]) for node in nodes}
    return labels, {(str(edge.get_source()), str(edge.get_destination())) for edge in graph.get_edges()}


def test_drawings_show_the_event_with_its_causes_and_effects(order: Any) -> None:
    for labels, edges in (mermaid_labels(order.to_mermaid(id_of(2))), dot_labels(order.to_dot(id_of(2)))):
        named = {label.split()[2]: node for node, label in labels.items()}
        assert set(named) == {"0", "2", "3"}
        assert edges == {(named["0"], named["2"]), (named["2"], named["3"])}
        assert labels[named["2"]] == f"0x1001 user:1 2 {name(2)[-8:]}"
    assert "Placed order:1 1" in order.to_mermaid(id_of(1), kind_names={0x1001: "Placed"})
    assert "a cause that is not there" in order.to_dot(id_of(4))


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_hostile_name_stays_inside_its_label(hostile: str, tmp_path: Path) -> None:
    reader = reader_of(tmp_path / "store", caused(0, None, entity=hostile), caused(1, 0, entity="order:1"))
    printable = "".join(char if char.isprintable() else "?" for char in hostile)
    for (labels, edges), text in (
        (mermaid_labels(reader.to_mermaid(id_of(1))), hostile),
        (dot_labels(reader.to_dot(id_of(1))), printable),
    ):
        assert set(labels) == {"n0", "n1"} and edges == {("n1", "n0")}
        assert labels["n1"] == f"0x1001 {text} 0 {name(0)[-8:]}"


@settings(deadline=None)
@given(st.text(max_size=70))
def test_no_text_whatever_ends_a_label(text: str) -> None:
    label = drawing._encoded(drawing._short(text), drawing._mermaid_code)
    assert SAFE.fullmatch(label)
    dot = f'digraph causes {{\n n0 [label="{drawing._encoded(text, drawing._dot_code)}"];\n}}'
    expected = "".join(char if char.isprintable() else "?" for char in text)
    assert dot_labels(dot) == ({"n0": expected}, set())


@pytest.mark.parametrize("most", [1, 2, 5, 6, 60])
def test_a_large_neighbourhood_is_cut_and_says_so(most: int, tmp_path: Path) -> None:
    chain = [caused(0, None), *(caused(number, number - 1) for number in range(1, 10))]
    fan = [caused(number, 9) for number in range(10, 30)]
    reader = reader_of(tmp_path / "store", *chain, *fan)
    for labels, edges in (
        mermaid_labels(reader.to_mermaid(id_of(9), max_nodes=most)),
        dot_labels(reader.to_dot(id_of(9), max_nodes=most)),
    ):
        events = [label for label in labels.values() if label.startswith("0x")]
        assert len(events) == min(most, 30)
        causes = sum(int(label.split()[2]) < 9 for label in events)
        assert causes == min(9, (most - 1) // 2) or most == 60
        assert labels.get("earlier") == (None if causes == 9 else f"{9 - causes} earlier causes")
        left = 20 - (len(events) - causes - 1)
        assert labels.get("more") == (f"{left} more effects" if left else None)
        assert {end for edge in edges for end in edge} <= labels.keys()


def test_a_cycle_is_drawn_once(tmp_path: Path) -> None:
    reader = reader_of(tmp_path / "store", caused(0, 2), caused(1, 0), caused(2, 1), caused(3, 3), caused(4, 2))
    labels, edges = mermaid_labels(reader.to_mermaid(id_of(1)))
    assert len(labels) == 4 and len(edges) == 4
    assert mermaid_labels(reader.to_mermaid(id_of(3)))[1] == {("n0", "n0")}


def test_drawings_refuse_what_makes_no_sense(order: Any) -> None:
    for wrong in (0, -1, True, 2.5):
        with pytest.raises(ValueError, match="max_nodes"):
            order.to_mermaid(id_of(0), max_nodes=wrong)
    with pytest.raises(ValueError, match="kind_names"):
        order.to_dot(id_of(0), kind_names={"a": "b"})


# Process mining


def test_ocel_has_the_columns_that_pm4py_reads(order: Any) -> None:
    log = order.to_ocel(kind_names={0x1001: "Placed"})
    assert log.events["ocel:eid"].tolist() == [name(number) for number in range(5)]
    assert set(log.events["ocel:activity"]) == {"Placed"}
    assert log.events["ocel:timestamp"].tolist()[1] == pd.Timestamp(EPOCH_US + 1000, unit="us", tz="UTC")
    assert log.objects.to_dict("list") == {"ocel:oid": ["order:1", "user:1"], "ocel:type": ["order", "user"]}
    assert log.relations["ocel:oid"].tolist() == ["order:1", "order:1", "user:1", "order:1", "order:1"]
    wanted = ["ocel:eid", "ocel:activity", "ocel:timestamp", "ocel:oid", "ocel:type", "ocel:qualifier"]
    assert log.relations.columns.tolist() == wanted
    found = list(zip(log.e2e["ocel:eid"], log.e2e["ocel:eid_2"], log.e2e["ocel:qualifier"], strict=True))
    assert found == [(name(cause), name(effect), "caused") for cause, effect in ((0, 1), (0, 2), (2, 3))]
    assert len(order.to_ocel(entity="user:1").e2e) == 0


def test_ocel_of_a_damaged_frame_takes_the_time_of_the_index(tmp_path: Path) -> None:
    path = store_of(tmp_path / "store", [caused(0, None, timestamp_us=EPOCH_US + 5), caused(1, 0)])
    place = bp.read_batpak(path, columns=["offset"])["offset"].iloc[0]
    data = bytearray((path / "000001.fbat").read_bytes())
    data[place + 100] ^= 0xFF
    (path / "000001.fbat").write_bytes(data)
    times = bp.open_reader(path).to_ocel().events["ocel:timestamp"]
    assert [int(time.value) // 1000 - EPOCH_US for time in times] == [0, 1000]
