"""The layers of the package: who may import whom, and who may import a heavy library."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import batpak_analytics.errors

PACKAGE = Path(batpak_analytics.errors.__file__).parent

# Each layer may import itself and what its row names. `data` is a path, and belongs to nobody.
LAYERS: dict[str, set[str]] = {
    "errors": set(),
    "markup": set(),
    "model": {"errors"},
    "data": set(),
    "format": {"errors", "model"},
    "kernels": {"errors", "model", "format"},
    "engine": {"errors", "model", "format", "kernels"},
    "evidence": {"errors", "model", "format"},
    "payloads": {"errors", "model", "format", "kernels"},
    "store": {
        *("errors", "model", "format", "kernels", "engine", "payloads", "evidence", "frames", "projection", "reader"),
        *("views", "copies", "compaction", "proof"),
    },
    "arrow": {"errors", "model", "format", "kernels", "engine"},
    "graph": {"errors", "model", "format", "kernels", "engine", "arrow"},
    "frames": {"errors", "model", "format", "kernels", "engine", "payloads", "arrow", "graph"},
    "projection": {
        *("errors", "model", "format", "kernels", "engine", "payloads", "evidence", "arrow", "frames", "proof"),
        "widgets",
    },
    "proof": {"errors", "model", "format", "kernels", "engine", "arrow", "frames"},
    "compaction": {
        *("errors", "model", "format", "kernels", "engine", "arrow", "graph", "frames", "projection", "proof"),
    },
    # It names what it gives, and loads nothing before it is asked.
    "views": {"engine", "arrow", "graph", "frames", "projection", "proof", "compaction", "reader", "widgets"},
    # They compute nothing: what they show is asked of the library, and their bare functions make markup of it.
    "widgets": {"errors", "model", "engine", "graph", "projection", "compaction"},
    "copies": {"evidence", "store"},
    "reader": {"errors", "model", "format", "engine", "payloads", "projection", "views", "copies"},
    "cli": {
        *("errors", "model", "data", "format", "kernels", "engine", "evidence", "arrow", "graph", "frames"),
        *("projection", "proof", "compaction"),
        "reader",
    },
}
SHOWN = {"markup"}  # pieces of HTML: any layer may say how a notebook shows its values
FACADES = {"__init__", "__main__"}  # the public names; only commands may go through them

HEAVY = {
    *("numpy", "pyarrow", "pandas", "polars", "duckdb", "ipywidgets", "rich", "tqdm", "msgspec", "pydantic"),
    *("networkx", "rustworkx", "pm4py"),
}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "markup": set(),
    "model": set(),
    "data": set(),
    "format": {"numpy"},
    "kernels": {"numpy"},
    "engine": {"numpy"},
    "evidence": set(),
    "payloads": {"msgspec"},
    "store": {"numpy"},
    "arrow": {"numpy", "pyarrow"},
    "graph": {"numpy", "pyarrow"},
    "frames": {"numpy", "pyarrow", "pandas", "tqdm"},
    "projection": {"numpy", "pyarrow", "pandas"},
    "proof": {"numpy", "pyarrow", "pandas"},
    "compaction": {"numpy", "pyarrow", "pandas"},
    "views": {"pandas"},
    "copies": set(),
    "widgets": {"ipywidgets", "numpy"},
    "reader": set(),
    "cli": {"numpy", "pyarrow", "pandas", "tqdm", "rich"},
}
EXTRA_IMPORTS = {
    # Its memory map keeps no file descriptor, which Python's own does before 3.13.
    "engine/mapping.py": {"pyarrow"},
    # Tables come in these, and only `Store.append_frame` loads them.
    "store/table/append.py": {"pyarrow"},
    "store/table/columns.py": {"pyarrow"},
    "store/table/rows.py": {"pyarrow"},
    "store/table/source.py": {"pyarrow"},
    # Where the graph leaves for a graph library; only then is that imported.
    "graph/libraries.py": {"networkx", "rustworkx"},
    # `progress=True` shows a bar; only then is it imported.
    "arrow/scan.py": {"tqdm"},
}

SOURCES = sorted(
    source.relative_to(PACKAGE).as_posix()
    for source in PACKAGE.rglob("*.py")
    if source.relative_to(PACKAGE).with_suffix("").as_posix() not in FACADES
)


def layer_of(source: str) -> str:
    return source.split("/", 1)[0].removesuffix(".py")


def imported_modules(source: str) -> Iterator[str]:
    """Every module that the file imports anywhere, type-checking blocks and function bodies included."""
    parts = ["batpak_analytics", *Path(source).parent.parts]
    for node in ast.walk(ast.parse((PACKAGE / source).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = parts[: len(parts) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # `from batpak_analytics import kernels` names a layer in its second half.
            yield from (f"{module}.{alias.name}" for alias in node.names)


def inner_layers(source: str) -> set[str]:
    """The layers of the package that the file imports."""
    names = (name.split(".") for name in imported_modules(source))
    return {parts[1] if len(parts) > 1 else "__init__" for parts in names if parts[0] == "batpak_analytics"}


def test_every_layer_is_in_the_table() -> None:
    assert {layer_of(source) for source in SOURCES} == set(LAYERS) == set(MAY_IMPORT)


@pytest.mark.parametrize("source", SOURCES)
def test_imports_go_only_to_lower_layers(source: str) -> None:
    layer = layer_of(source)
    allowed = LAYERS[layer] | {layer} | SHOWN
    if layer == "cli":
        allowed |= {"__init__"}
    imported = {name if name in LAYERS else "__init__" for name in inner_layers(source)}
    assert imported <= allowed, f"{source} imports {sorted(imported - allowed)} from above or beside its layer"


@pytest.mark.parametrize("source", SOURCES)
def test_heavy_libraries_stay_in_their_layers(source: str) -> None:
    imported = {name.split(".")[0] for name in imported_modules(source)} & HEAVY
    allowed = MAY_IMPORT[layer_of(source)] | EXTRA_IMPORTS.get(source, set())
    assert imported <= allowed, f"{source} imports {sorted(imported - allowed)}"


@pytest.mark.parametrize("source", SOURCES)
def test_inner_layers_know_files_but_not_the_network(source: str) -> None:
    assert not {name.split(".")[0] for name in imported_modules(source)} & {"socket", "urllib", "http", "ssl"}


def test_a_wrong_import_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    (tmp_path / "format").mkdir()
    (tmp_path / "format" / "bad.py").write_text("def f():\n    from ..engine import view\n    import pandas.api\n")
    assert inner_layers("format/bad.py") == {"engine"}
    assert "pandas.api" in set(imported_modules("format/bad.py"))
