"""What the widgets may be: an extra that can be missing, small, and without any arithmetic of their own."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import batpak_analytics as bp

WIDGETS = Path(bp.__file__).parent / "widgets"
SOURCES = sorted(WIDGETS.glob("*.py"))
LONGEST = 300

WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"ipywidgets", "traitlets", "comm", "IPython"}:  # all that comes with the extra
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
import batpak_analytics as bp
"""
ASKED = [
    "reader.explore()",
    "reader.what_if()",
    "reader.replay(bp.Count()).widget()",
    "import_module('batpak_analytics.widgets')",
    *(f"import_module('batpak_analytics.widgets.{name}')" for name in ("causes", "compaction", "replay")),
]


def test_without_the_extra_the_package_works_and_every_widget_names_it() -> None:
    code = f"""{WITHOUT}
import json
from importlib import import_module
reader = bp.open_reader(bp.demo_store())
assert reader.causes().count() == 2 and reader._repr_html_()
told = []
for asked in {ASKED!r}:
    try:
        eval(asked)
    except bp.MissingExtraError as error:
        told.append(str(error))
print(json.dumps(told))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert len(told) == len(ASKED)
    assert all("pip install 'batpak-analytics[widgets]'" in one for one in told)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_a_widget_is_short(source: Path) -> None:
    assert len(source.read_text().splitlines()) < LONGEST


FOLDS = {"apply", "initial", "fold", "reduce", "accumulate", "cumsum", "project"}
BYTES = {"struct", "from_bytes", "to_bytes", "unpack", "unpack_from", "frombuffer", "read_bytes", "memoryview", "mmap"}
SIZES = ("bytes", "size")
ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Div, ast.LShift, ast.RShift, ast.BitAnd)


def arithmetic(source: str) -> list[str]:
    """The folds, readings of bytes, and sums of sizes in bytes that a source does itself."""
    found = []
    for node in ast.walk(ast.parse(source)):
        name = getattr(node, "attr", None) or getattr(node, "id", None) or ""
        if isinstance(node, (ast.Attribute, ast.Name)) and name in FOLDS | BYTES:
            found.append(f"{node.lineno}: {name}")
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
            found += [f"{node.lineno}: import {one}" for one in names & BYTES]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ARITHMETIC):
            sides = [ast.unparse(side).split("(")[0].split(".")[-1] for side in (node.left, node.right)]
            if any(side.startswith(word) or side.endswith(word) for side in sides for word in SIZES):
                found.append(f"{node.lineno}: {ast.unparse(node)}")
    return found


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_a_widget_folds_nothing_and_counts_no_bytes(source: Path) -> None:
    assert arithmetic(source.read_text()) == []


@pytest.mark.parametrize(
    "wrong",
    [
        "state = self.projection.apply(state, event)",
        "from functools import reduce\nreduce(add, events)",
        "import struct",
        "net = plan.bytes_after - plan.bytes_before",
        "total += 1\nnet = one.bytes_net + header",
        "kind = int.from_bytes(frame[4:6], 'little')",
    ],
)
def test_arithmetic_in_a_widget_would_be_seen(wrong: str) -> None:
    assert arithmetic(wrong)
