"""The machine and the software of a run, in general terms: no host names, no paths."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = ("batpak-analytics", "numpy", "pyarrow", "pandas", "msgpack", "isal")


def machine_lines() -> list[str]:
    """What a reader needs to judge the figures."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    return [
        f"{cores} core{'s' if cores > 1 else ''} of {_processor()}, {memory:.0f} GB of memory, "
        f"{platform.system()} {platform.machine()}",
        f"{platform.python_implementation()} {platform.python_version()}, "
        + ", ".join(f"{name} {_version(name)}" for name in LIBRARIES)
        + f", SQLite {sqlite3.sqlite_version}; the reference is batpak 0.9.0, a release build",
        f"load average {os.getloadavg()[0]:.1f} when the run began",
    ]


def _processor() -> str:
    """The processor's name, without its trademark signs."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return re.sub(r"\((R|TM)\)", "", found[1]).strip() if found else platform.processor() or "unknown make"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(missing)"
