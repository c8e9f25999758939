"""The Python in README.md and docs/ runs as it stands."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import batpak_analytics as bp

ROOT = Path(__file__).resolve().parent.parent
NAMES = (
    *("index", "quickstart", "reading", "causes", "replay", "projections", "writing", "copies", "typed", "compaction"),
    *("integrity", "widgets"),
)
PAGES = ["README.md", *(f"docs/{name}.md" for name in NAMES)]
NEEDS_MORE = ("polars", "duckdb")  # examples of other tools, which the tests do not install


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_every_example_runs_as_it_stands(
    page: str, quickstart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(quickstart, tmp_path / "data" / "store")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"bp": bp, "store": "data/store"}
    examples = [block for block in blocks(page) if not any(tool in block for tool in NEEDS_MORE)]
    assert examples
    for example in examples:
        exec(compile(example, page, "exec", dont_inherit=True), names)
