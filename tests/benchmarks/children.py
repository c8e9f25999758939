"""Other Python processes: without kernels, or with a memory of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def start(module: str, store: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start a module of this folder in a new interpreter, with the store as its first argument."""
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.benchmarks.{module}", str(store.resolve()), *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )


def finish(process: subprocess.Popen[str], order: str = "") -> str:
    """Send the last line, and return the rest of what the process prints."""
    printed, _ = process.communicate(order)
    if process.returncode:
        raise RuntimeError(f"{process.args!r} ended with exit code {process.returncode}")
    return printed
