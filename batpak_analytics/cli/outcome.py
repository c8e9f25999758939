"""How a command ends: its exit code, and the one line that says why."""

from __future__ import annotations

OK, FINDINGS, FAILED = 0, 1, 2
INTERRUPTED, PIPE_CLOSED = 130, 141  # 128 + the signal's number, as a shell reports them


def one_line(text: object) -> str:
    """The text without line breaks and runs of spaces."""
    return " ".join(str(text).split())
