"""What a run is doing, on stderr: the table alone goes to stdout."""

from __future__ import annotations

import sys


def say(line: str) -> None:
    """Print one line of progress at once."""
    print(line, file=sys.stderr, flush=True)
