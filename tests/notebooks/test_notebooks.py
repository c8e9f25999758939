"""What a committed notebook must be. That its outputs are true is checked by running it: CONTRIBUTING.md."""

from __future__ import annotations

import json
import re
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest

DIRECTORY = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(DIRECTORY.glob("*.ipynb"))
LARGEST_BYTES = 200_000
MOST_CELLS = 15
MOST_SANITISERS = 5


def cells(notebook: Path, kind: str | None = None) -> list[dict[str, Any]]:
    every: list[dict[str, Any]] = json.loads(notebook.read_text())["cells"]
    return [cell for cell in every if kind in (None, cell["cell_type"])]


def test_there_is_a_notebook() -> None:
    assert "01_read_a_store.ipynb" in [notebook.name for notebook in NOTEBOOKS]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_small_and_holds_no_widget_state(notebook: Path) -> None:
    assert notebook.stat().st_size <= LARGEST_BYTES
    assert len(cells(notebook)) <= MOST_CELLS
    assert "widgets" not in json.loads(notebook.read_text())["metadata"]
    # Where its model is gone, JupyterLab shows an error in place of what stands beside it.
    assert "widget-view" not in notebook.read_text()


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_first_output_is_within_three_cells(notebook: Path) -> None:
    assert any(cell["outputs"] for cell in cells(notebook, "code")[:3])


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_code_cell_was_run_in_order_and_none_failed(notebook: Path) -> None:
    code = cells(notebook, "code")
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    kinds = {output["output_type"] for cell in code for output in cell["outputs"]}
    assert "error" not in kinds
    assert not any(output.get("name") == "stderr" for cell in code for output in cell["outputs"])


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_name_no_path_of_the_machine_they_were_made_on(notebook: Path) -> None:
    assert not re.search(r"/(home|root|tmp|work|Users)/", notebook.read_text())


def test_sanitisers_are_few() -> None:
    config = ConfigParser()
    config.read(DIRECTORY / "nbval.cfg")
    assert len(config.sections()) <= MOST_SANITISERS
