"""Which kernels run, and that an installation without a compiler still works."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REQUIRED = os.environ.get("BATPAK_REQUIRE_KERNELS") == "1"

REPORT = """
import importlib, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from batpak_analytics import kernels
print(kernels.COMPILED)
print(kernels.__file__)
print(kernels.walk_frames.__module__, kernels.locate_fields.__module__)
print(getattr(importlib.import_module("batpak_analytics.kernels.walk"), "__file__", "") if kernels.COMPILED else "")
print(kernels.walk_frames(bytes(8), 0, 8)[2:], kernels.column_stats(b"\\x05", [0]).int_max)
for warning in caught:
    print(warning.category.__name__, warning.message)
"""


def report(cwd: Path, **environment: str) -> list[str]:
    """What a new interpreter started in ``cwd`` says about its kernels, one line each."""
    done = subprocess.run(
        [sys.executable, "-c", REPORT],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_from_the_project_root_the_compiled_build_is_what_runs() -> None:
    compiled, where, modules, walk, answer, *caught = report(ROOT, BATPAK_KERNELS="")
    assert Path(where).parent == ROOT / "batpak_analytics" / "kernels"
    assert answer == "(8, 6) 5"
    if REQUIRED or compiled == "True":
        assert compiled == "True"
        assert modules == "batpak_analytics.kernels.walk batpak_analytics.kernels.fields"
        assert walk.endswith(tuple(EXTENSION_SUFFIXES))
        assert caught == []
    else:
        assert len(caught) == 1


def test_switching_the_kernels_off_warns_once_and_gives_the_same_answers() -> None:
    compiled, _, modules, _, answer, *caught = report(ROOT, BATPAK_KERNELS="off")
    assert (compiled, answer) == ("False", "(8, 6) 5")
    assert modules == "batpak_analytics.format.rows batpak_analytics.format.payload"
    assert len(caught) == 1
    assert caught[0].startswith("PerformanceWarning") and "Unset it" in caught[0]


def test_sources_of_the_kernels_are_never_run_uncompiled(tmp_path: Path) -> None:
    leave_out = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
    shutil.copytree(ROOT / "batpak_analytics", tmp_path / "batpak_analytics", ignore=leave_out)
    compiled, where, modules, _, answer, *caught = report(tmp_path, BATPAK_KERNELS="", PYTHONPATH=str(tmp_path))
    assert Path(where).is_relative_to(tmp_path)
    assert (compiled, answer) == ("False", "(8, 6) 5")
    assert modules == "batpak_analytics.format.rows batpak_analytics.format.payload"
    assert len(caught) == 1
    assert caught[0].startswith("PerformanceWarning") and "Install a C compiler" in caught[0]


def build(project: Path, **environment: str) -> int:
    """Build one kernel of a copy of the project in place; the exit code."""
    kernels = project / "batpak_analytics" / "kernels"
    kernels.mkdir(parents=True)
    for name in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, project / name)
    declarations = (f"kernels/{source.name}" for source in (ROOT / "batpak_analytics" / "kernels").glob("*.pxd"))
    for name in ("__init__.py", "kernels/__init__.py", "kernels/wire.py", *declarations):
        shutil.copy(ROOT / "batpak_analytics" / name, project / "batpak_analytics" / name)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("BATPAK_")}
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    return subprocess.run(command, cwd=project, env=clean | environment, capture_output=True).returncode


def built(project: Path) -> bool:
    return any((project / "batpak_analytics" / "kernels").glob("wire.*.so"))


def test_without_a_compiler_the_build_succeeds_and_leaves_the_kernels_out(tmp_path: Path) -> None:
    assert build(tmp_path, CC="false") == 0
    assert not built(tmp_path)


def test_where_kernels_are_required_a_missing_compiler_is_an_error(tmp_path: Path) -> None:
    assert build(tmp_path, CC="false", BATPAK_REQUIRE_KERNELS="1") != 0


def test_a_build_without_kernels_can_be_asked_for(tmp_path: Path) -> None:
    assert build(tmp_path, BATPAK_NO_KERNELS="1") == 0
    assert not built(tmp_path)
